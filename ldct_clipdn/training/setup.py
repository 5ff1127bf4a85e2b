"""Before a run: are its settings known, and is its folder free?"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import torch.distributed as dist
from monai.bundle import ConfigParser

from ldct_clipdn.errors import ConfigError, LdctError

__all__ = ["check_overrides", "claim_run_dir", "default_run_dir", "report_errors_plainly"]

SET_BY_MONAI: Final = {
    "_meta_",
    "experiment_name",
    "is_not_rank0",
    "output_dir",
    "run_name",
    "save_execute_config",
    "tracking_uri",
}
"""Ids that MONAI itself adds to a config: metadata and experiment tracking."""


def report_errors_plainly() -> None:
    """Print an error of ours that ends the process as one line, not as MONAI's chain of tracebacks.

    Whoever catches exceptions sees them as they are; this changes only what is printed at the end.
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        ours = next((link for link in _chain(error) if isinstance(link, LdctError)), None)
        if ours is None:
            before(kind, error, trace)
        else:
            print(f"ldct_clipdn: {ours}", file=sys.stderr)  # noqa: T201 - the process ends here

    sys.excepthook = hook


def check_overrides(bundle_root: str) -> None:
    """Refuse a setting that no config of the bundle has: MONAI would take it and ignore it.

    MONAI gives expressions no way to the config they stand in, so the parser is looked up among
    the callers.

    Parameters
    ----------
    bundle_root
        The bundle's folder.

    Raises
    ------
    ConfigError
        When there is a stranger; it is named, with what was probably meant.
    """
    known = set(SET_BY_MONAI)
    for config in sorted((Path(bundle_root) / "configs").glob("*.json")):
        known |= set(json.loads(config.read_text(encoding="utf-8")))
    given = {str(key) for key in _config_of_caller()}
    strangers = sorted(given - {key.lstrip("+") for key in known})
    if strangers:
        from difflib import get_close_matches

        near = get_close_matches(strangers[0], known, n=1)
        meant = f"Did you mean --{near[0]}? " if near else ""
        raise ConfigError(
            f"no such setting: --{', --'.join(strangers)}",
            remedy=f"{meant}docs/README.md of the bundle lists all settings",
        )


def default_run_dir(bundle_root: str) -> str:
    """Name a new folder under the bundle's `runs/`, by the time of the start.

    Parameters
    ----------
    bundle_root
        The bundle's folder.

    Returns
    -------
    str
        The same for every call within a process, and for all processes of one training.
    """
    name = [_new_name(Path(bundle_root).resolve() / "runs")]
    if dist.is_available() and dist.is_initialized():
        dist.broadcast_object_list(name)
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
        raise ConfigError(
            "the run folder is not empty, and another run is never overwritten",
            path=folder,
            remedy="Add --resume True to go on with it, or name another --run_dir",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the run folder cannot be made ({error.strerror})",
            path=folder,
            remedy="Name a folder you may write with --run_dir",
        ) from error
    return folder


def _rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


@cache
def _new_name(runs: Path) -> str:
    start = datetime.now().astimezone().strftime("%Y-%m-%d_%H%M%S")
    candidates = [runs / start, *(runs / f"{start}_{k}" for k in range(2, 1000))]
    return str(next(folder for folder in candidates if not folder.exists()))


def _config_of_caller() -> dict[str, Any]:
    for frame in inspect.stack():
        parser = frame.frame.f_locals.get("self")
        if isinstance(parser, ConfigParser):
            return dict(parser.get())
    raise ConfigError("the settings can only be checked from within a MONAI bundle's config")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
