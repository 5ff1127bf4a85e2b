"""What the settings of a run may be, and what is used for what the command line gives."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from typing import Any, Final

from ldct_clipdn.core.config import DenoiserConfig
from ldct_clipdn.errors import BackendError, ConfigError
from ldct_clipdn.inference.engine import pick_device

__all__ = ["check_is_no_none", "typed", "used_value"]

TEXTS: Final = {
    "bundle_root",
    "cache_dir",
    "camera_curves",
    "continue_from",
    "dataset_dir",
    "encoder_weights",
    "output_dir",
    "run_dir",
    "test_patients",
    "validation_dir",
    "weights",
}
"""Names and paths, which may look like numbers."""

NO_VALUE: Final = {
    "camera_curves": "none",
    "validation_dir": "none",
    "validation_pictures": "all",
    "validation_slices": "all",
}
"""The word that stands for null, by setting: MONAI drops a None that the command line gives."""


def used_value(name: str, value: object) -> object:
    """Give what a run uses for what its config or command line says.

    Parameters
    ----------
    name
        The setting, such as `run_dir`.
    value
        What was given.

    Returns
    -------
    object
        Text where a text is meant, though it looks like a number; None for the word that says so;
        everything else as it is.

    Raises
    ------
    ConfigError
        When the value cannot be used.
    """
    if isinstance(value, str) and value.startswith(("$", "@", "%")):
        return value
    if name in TEXTS:
        value = _as_text(name, value)
    if str(value).lower() == NO_VALUE.get(name):
        return None
    fits, allowed = RULES.get(name, _ANYTHING)
    if not fits(value):
        raise ConfigError(f"--{name} cannot be {value!r}", remedy=f"Give {allowed}")
    return value


def check_is_no_none(name: str) -> None:
    """Refuse a None on the command line, which would say nothing and change nothing.

    Parameters
    ----------
    name
        The setting.

    Raises
    ------
    ConfigError
        When the command line gives None for it.
    """
    if typed(name) == "None":
        word = NO_VALUE.get(name)
        raise ConfigError(
            f"--{name} cannot be None: MONAI would take the default",
            remedy=f"Give --{name} {word}" if word else "Leave it out",
        )


def _as_text(name: str, value: object) -> object:
    """Undo that fire reads numbers and lists where it can: 2026_11_29 comes as 20261129."""
    if value is None or isinstance(value, str):
        return value
    if (text := typed(name)) is not None and _read_by_fire(text) == value:
        return text
    if isinstance(value, os.PathLike) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    if name == "test_patients" and isinstance(value, list | tuple):
        return [str(one) for one in value]
    raise ConfigError(f"--{name} cannot be {value!r}", remedy="Give a name or path")


def typed(name: str) -> str | None:
    """Find what the command line says for a setting.

    Parameters
    ----------
    name
        The setting, such as `run_dir`.

    Returns
    -------
    str or None
        As it was typed; None where the command line does not name it.
    """
    given, words = None, sys.argv[1:]
    for word, after in zip(words, [*words[1:], ""], strict=False):
        option, sign, value = word.partition("=")
        if word.startswith("-") and option.lstrip("-").replace("-", "_") == name:  # as fire does
            given = value if sign else after
    return given


def _read_by_fire(text: str) -> object:
    from fire.parser import DefaultParseValue  # type: ignore[import-untyped]

    return DefaultParseValue(text)


def _is_whole(low: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_number(low: float, high: float) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    )


def _is_pair_below_1(value: object) -> bool:
    fits = _is_number(0, _BELOW_1)
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(fits, value))


def _is_range(value: Any) -> bool:
    try:
        DenoiserConfig(hu_range=value)
    except ConfigError:
        return False
    return value is not None


def _is_limit(value: object) -> bool:
    return value is None or _is_whole(0)(value)


def _is_device(name: object) -> bool:
    if name == "auto":  # the bundle's own default decides; torch knows no such device
        return False
    try:
        pick_device(str(name))
    except BackendError:
        return False
    return True


_ANYTHING: Final[tuple[Callable[[object], bool], str]] = (lambda _: True, "")
_COUNT: Final = (_is_whole(1), "a whole number from 1")
_LIMIT: Final = (_is_limit, "a whole number from 0, or all")
_SWITCH: Final = (lambda value: isinstance(value, bool), "True or False")
_ABOVE_0: Final = math.ulp(0)
_BELOW_1: Final = math.nextafter(1, 0)

RULES: Final[dict[str, tuple[Callable[[object], bool], str]]] = {
    "max_iterations": _COUNT,
    "validation_interval": _COUNT,
    "validation_slices": _LIMIT,
    "validation_pictures": _LIMIT,
    "batch_size": _COUNT,
    "crop_size": _COUNT,
    "hu_range": (_is_range, "two numbers of HU, the lower first, as --hu_range=-160,240"),
    "fall": _COUNT,
    "margin": (_is_whole(0), "a whole number from 0"),
    "num_workers": (_is_whole(0), "a whole number from 0"),
    "seed": (_is_whole(0), "a whole number from 0"),
    "learning_rate": (_is_number(0, 1), "a number; the paper's is 3e-4"),
    "sigma": (_is_number(0, 255), "a number of 0 to 255; the paper's is 5 (CT), 15 (pictures)"),
    "validation_sigma": (_is_number(0, 255), "a number of 0 to 255; the paper's is 50"),
    "gamma": (_is_number(0, 1), "a number; the paper's is 0.025"),
    "betas": (_is_pair_below_1, "two numbers of 0 to below 1"),
    "max_norm": (_is_number(_ABOVE_0, math.inf), "a number above 0; the paper's is 0.01"),
    "average_decay": (_is_number(0, _BELOW_1), "a number of 0 (the newest) to below 1"),
    "hold_share": (_is_number(0, _BELOW_1), "a number of 0 to below 1"),
    "mixup": (_is_number(0, 1), "a number of 0 (never) to 1 (every batch)"),
    "resume": _SWITCH,
    "strict": _SWITCH,
    "pairs": _SWITCH,
    "device": (_is_device, "cpu, cuda or cuda:N, one that is here"),
}
"""What may be given for the settings that nothing else checks by name."""
