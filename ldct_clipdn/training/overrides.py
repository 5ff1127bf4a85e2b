"""Are the settings of a run known, and can their values be used."""

from __future__ import annotations

import inspect
import json
import math
import pydoc
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from monai.bundle import ComponentLocator, ConfigComponent

from ldct_clipdn.errors import BackendError, ConfigError
from ldct_clipdn.inference.engine import pick_device
from ldct_clipdn.training.run_folder import calling_workflow

__all__ = ["check_overrides"]

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


def check_overrides() -> None:
    """Refuse a setting that no config of the bundle has: MONAI would take it and ignore it.

    Below a `_target_` its own parameters are what can be set.

    Raises
    ------
    ConfigError
        When there is a stranger; it is named, with what was probably meant. When a setting has a
        value that cannot be used.
    """
    workflow = calling_workflow()
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
