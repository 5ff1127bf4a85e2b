"""Before a run: are its settings known, is its folder free, which network and files are meant."""

from __future__ import annotations

import inspect
import json
import logging
import math
import pydoc
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import torch.distributed as dist
from monai.bundle import ComponentLocator, ConfigComponent, ConfigWorkflow

from ldct_clipdn.core.denoiser import CLIPDenoiser
from ldct_clipdn.core.weight_store import find_weights
from ldct_clipdn.core.weights import open_denoiser
from ldct_clipdn.errors import BackendError, ConfigError, DataError, LdctError, WeightsError
from ldct_clipdn.inference.engine import pick_device

if TYPE_CHECKING:
    from ldct_clipdn.data.mayo import TrainingSets

__all__ = [
    "check_overrides",
    "claim_run_dir",
    "default_run_dir",
    "find_bundle_root",
    "network_for",
    "report_errors_plainly",
    "require_validation",
]

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


logger = logging.getLogger(__name__)

_run_dirs: WeakKeyDictionary[ConfigWorkflow, str] = WeakKeyDictionary()


def report_errors_plainly() -> None:
    """Print an error of ours that ends the process as one line, not as MONAI's chain of tracebacks.

    Whoever catches exceptions sees them as they are; this changes only what is printed at the end.
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        ours = next((link for link in _chain(error) if isinstance(link, LdctError)), None)
        if ours is None and not issubclass(kind, KeyboardInterrupt):
            before(kind, error, trace)
        else:
            line = ours or "interrupted"
            print(f"ldct_clipdn: {line}", file=sys.stderr)  # noqa: T201 - the process ends here

    sys.excepthook = hook


def find_bundle_root() -> str:
    """Find the bundle's folder by the config file that runs, whatever the current folder is.

    Returns
    -------
    str
        The folder above `configs`; `.` where the config is only read and not run.
    """
    workflow = _calling_workflow()
    return "." if workflow is None else str(workflow.config_root_path.resolve().parent)


def check_overrides() -> None:
    """Refuse a setting that no config of the bundle has: MONAI would take it and ignore it.

    Below a `_target_` its own parameters are what can be set.

    Raises
    ------
    ConfigError
        When there is a stranger; it is named, with what was probably meant. When a setting has a
        value that cannot be used.
    """
    workflow = _calling_workflow()
    if workflow is None:
        raise ConfigError("the settings can only be checked while a MONAI bundle runs")
    known = set(SET_BY_MONAI)
    for config in sorted(workflow.config_root_path.glob("*.json")):
        known |= set(_ids(json.loads(config.read_text(encoding="utf-8"))))
    given = dict(workflow.parser.get())
    strangers = sorted(set(_ids(given)) - known)
    for path, target in _targets(given):
        parameters = _parameters(path, target, workflow.parser.locator)
        arguments = {f"{path}#{name}" for name in target if not name.startswith("_")}
        if parameters is not None:
            known |= {f"{path}#{name}" for name in parameters}
            strangers += sorted(arguments - known)
    if strangers:
        from difflib import get_close_matches

        near = get_close_matches(strangers[0], known, n=1)
        meant = f"Did you mean --{near[0]}? " if near else ""
        raise ConfigError(
            f"no such setting: --{', --'.join(strangers)}",
            remedy=f"{meant}docs/README.md of the bundle lists all settings",
        )
    for name, (fits, allowed) in RULES.items():
        value = given.get(name)
        if name in given and not (isinstance(value, str) and value.startswith(("$", "@", "%"))):
            _check_value(name, value, fits(value), allowed)


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
    workflow = _calling_workflow()
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
            f"the run folder cannot be made ({error.strerror})",
            path=folder,
            remedy="Name a folder you may write with --run_dir",
        ) from error
    return folder


def require_validation(sets: TrainingSets) -> None:
    """Refuse to evaluate on nothing.

    Parameters
    ----------
    sets
        What was found.

    Raises
    ------
    DataError
        When there is no slice to validate on.
    """
    if not sets.validation:
        raise DataError(
            "there is nothing to evaluate on: all slices belong to one patient",
            remedy="Give --validation_dir with other patients, or name some with --test_patients",
        )


def network_for(weights: str | Path, otherwise: CLIPDenoiser) -> CLIPDenoiser:
    """Load the weights that are to be used or evaluated.

    Parameters
    ----------
    weights
        As for `load_denoiser`; `none` takes the network as it is.
    otherwise
        The network for `none`: for tests, and for servers that send weights later.

    Returns
    -------
    CLIPDenoiser
        In evaluation mode where weights were loaded.

    Raises
    ------
    WeightsError
        When the file is not there or is no denoiser's.
    """
    if str(weights).lower() == "none":
        logger.warning("No weights are loaded: what comes out means nothing")
        return otherwise
    if not find_weights(weights).is_file():
        raise WeightsError(
            "there is no such weights file",
            path=weights,
            remedy="Name one with --weights, such as RUN_DIR/best.pt of a training; `ldct-clipdn "
            "weights export RUN_DIR/best.pt models/model.pt` makes it the bundle's own",
        )
    network, info = open_denoiser(weights)
    logger.info("Weights: %s (%s)", info.name, info.encoder)
    return network


def _rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def _new_name(runs: Path) -> str:
    start = datetime.now().astimezone().strftime("%Y-%m-%d_%H%M%S")
    candidates = [runs / start, *(runs / f"{start}_{k}" for k in range(2, 1000))]
    return str(next(folder for folder in candidates if not folder.exists()))


def _calling_workflow() -> ConfigWorkflow | None:
    """Find what runs: MONAI gives expressions no way to the config they stand in."""
    callers = (one.frame.f_locals.get("self") for one in inspect.stack(context=0))
    return next((one for one in callers if isinstance(one, ConfigWorkflow)), None)


def _ids(config: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """List all ids of a config, `a#b` for b within a, as far as the config itself decides them."""
    for name, value in config.items():
        path = _id(above, name)
        parts = path.split("#")
        yield from ("#".join(parts[: k + 1]) for k in range(len(parts)))
        if isinstance(value, Mapping) and "_target_" not in value and path != "_meta_":
            yield from _ids(value, f"{path}#")


def _id(above: str, name: str) -> str:
    """Name a part as the command line does: MONAI also writes `a::b` for `a#b`, and `+a` to add."""
    return above + name.lstrip("+").replace("::", "#")


def _targets(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """List what a config calls, with the id of each."""
    for name, value in config.items():
        if isinstance(value, Mapping) and name != "_meta_":
            path = _id(above, name)
            if "_target_" in value:
                yield path, value
            yield from _targets(value, f"{path}#")


def _parameters(path: str, target: Mapping[str, Any], locator: ComponentLocator) -> set[str] | None:
    """Look up what a target can be given; None where it takes anything or does not say."""
    if not isinstance(target["_target_"], str) or target["_target_"].startswith(("$", "@", "%")):
        return None
    component = ConfigComponent(dict(target), locator=locator)
    name = component.resolve_module_name()  # type: ignore[no-untyped-call]
    called = pydoc.locate(str(name))
    if called is None:
        raise ConfigError(
            f"--{path}#_target_: there is no class or function {name}",
            remedy="Give a full path to one, such as torch.nn.L1Loss",
        )
    try:
        parameters = inspect.signature(called).parameters  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    takes_anything = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return None if takes_anything else set(parameters)


def _check_value(name: str, value: object, fits: bool, allowed: str) -> None:
    if not fits:
        raise ConfigError(f"--{name} cannot be {value!r}", remedy=f"Give {allowed}")


def _is_whole(low: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_number(low: float, high: float) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    )


def _is_pair_below_1(value: object) -> bool:
    fits = _is_number(0, _BELOW_1)
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(fits, value))


def _is_device(name: str) -> bool:
    if name == "auto":  # the bundle's own default decides; torch knows no such device
        return False
    try:
        pick_device(name)
    except BackendError:
        return False
    return True


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Follow what MONAI wraps, which names its cause: a bug in an `except` of ours has none."""
    while error is not None:
        yield error
        error = error.__cause__


_COUNT: Final = (_is_whole(1), "a whole number from 1")
_ABOVE_0: Final = math.ulp(0)
_BELOW_1: Final = math.nextafter(1, 0)

RULES: Final[dict[str, tuple[Callable[[object], bool], str]]] = {
    "max_iterations": _COUNT,
    "validation_interval": _COUNT,
    "batch_size": _COUNT,
    "crop_size": _COUNT,
    "fall": _COUNT,
    "margin": (_is_whole(0), "a whole number from 0"),
    "num_workers": (_is_whole(0), "a whole number from 0"),
    "seed": (_is_whole(0), "a whole number from 0"),
    "learning_rate": (_is_number(0, 1), "a number; the paper's is 3e-4"),
    "sigma": (_is_number(0, 255), "a number of 0 to 255; the paper's is 5"),
    "gamma": (_is_number(0, 1), "a number; the paper's is 0.025"),
    "betas": (_is_pair_below_1, "two numbers of 0 to below 1"),
    "max_norm": (_is_number(_ABOVE_0, math.inf), "a number above 0; the paper's is 0.01"),
    "average_decay": (_is_number(0, _BELOW_1), "a number of 0 (the newest) to below 1"),
    "hold_share": (_is_number(0, _BELOW_1), "a number of 0 to below 1"),
    "mixup": (_is_number(0, 1), "a number of 0 (never) to 1 (every batch)"),
    "resume": (lambda value: isinstance(value, bool), "True or False"),
    "device": (lambda value: _is_device(str(value)), "cpu, cuda or cuda:N, one that is here"),
}
"""What the command line may give for the settings that nothing else checks by name."""
