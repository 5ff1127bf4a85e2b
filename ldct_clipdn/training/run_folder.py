"""Which bundle runs, and the folder that its run is kept in."""

from __future__ import annotations

import inspect
from datetime import datetime
from pathlib import Path
from weakref import WeakKeyDictionary

import torch.distributed as dist
from monai.bundle import ConfigWorkflow

from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.errors import ConfigError

__all__ = ["calling_workflow", "claim_run_dir", "default_run_dir", "find_bundle_root"]

_run_dirs: WeakKeyDictionary[ConfigWorkflow, str] = WeakKeyDictionary()


def find_bundle_root() -> str:
    """Find the bundle's folder by the config file that runs, whatever the current folder is.

    Returns
    -------
    str
        The folder above `configs`; `.` where the config is only read and not run.
    """
    workflow = calling_workflow()
    return "." if workflow is None else str(workflow.config_root_path.resolve().parent)


def default_run_dir(bundle_root: str) -> str:
    """Name a new folder under the bundle's `runs/`, by the time of the start.

    Parameters
    ----------
    bundle_root
        The bundle's folder.

    Returns
    -------
    str
        The same for every call of one workflow, and for all processes of one training.
    """
    workflow = calling_workflow()
    if workflow is not None and workflow in _run_dirs:
        return _run_dirs[workflow]
    name = [_new_name(Path(bundle_root).resolve() / "runs")]
    if dist.is_available() and dist.is_initialized():
        dist.broadcast_object_list(name)
    if workflow is not None:
        _run_dirs[workflow] = name[0]
    return name[0]


def claim_run_dir(run_dir: str, resume: bool) -> Path:
    """Make the run's folder, or check that there is a run to resume.

    Parameters
    ----------
    run_dir
        The folder.
    resume
        Whether a run in it goes on.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ConfigError
        When it holds something already and `resume` is false, or nothing and `resume` is true.
    """
    folder = Path(run_dir)
    if resume and not (folder / "last.pt").is_file():
        raise ConfigError(
            "there is no run to resume: last.pt is missing",
            path=folder,
            remedy="Give the run_dir of an interrupted run, or leave out resume",
        )
    if _rank() > 0:
        return folder
    if not resume and folder.is_dir() and any(folder.iterdir()):
        is_run = (folder / "last.pt").is_file()
        raise ConfigError(
            "the run folder is not empty, and another run is never overwritten",
            path=folder,
            remedy="Add --resume True to go on with it, or name another --run_dir"
            if is_run
            else "It holds no run to go on with: empty it, or name another --run_dir",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the run folder cannot be made ({system_words(error)})",
            path=folder,
            remedy="Name a folder you may write with --run_dir",
        ) from error
    return folder


def calling_workflow() -> ConfigWorkflow | None:
    """Find what runs: MONAI gives expressions no way to the config they stand in.

    Returns
    -------
    monai.bundle.ConfigWorkflow or None
        The nearest one among the callers.
    """
    callers = (one.frame.f_locals.get("self") for one in inspect.stack(context=0))
    return next((one for one in callers if isinstance(one, ConfigWorkflow)), None)


def _rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def _new_name(runs: Path) -> str:
    start = datetime.now().astimezone().strftime("%Y-%m-%d_%H%M%S")
    candidates = [runs / start, *(runs / f"{start}_{k}" for k in range(2, 1000))]
    return str(next(folder for folder in candidates if not folder.exists()))
