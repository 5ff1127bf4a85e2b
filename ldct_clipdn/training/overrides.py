"""Are the settings of a run known, and can their values be used."""

from __future__ import annotations

import inspect
import json
import logging
import pydoc
from collections.abc import Iterator, Mapping
from typing import Any, Final

from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser

from ldct_clipdn.errors import ConfigError
from ldct_clipdn.training.run_folder import calling_workflow
from ldct_clipdn.training.setting_values import check_is_no_none, typed, used_value

__all__ = ["check_overrides"]

SET_BY_MONAI: Final = {
    "_meta_",
    "bundle_root",
    "experiment_name",
    "is_not_rank0",
    "output_dir",
    "run_name",
    "save_execute_config",
    "tracking_uri",
}
"""Ids that MONAI itself adds to a config, metadata and experiment tracking, or always gives."""

logger = logging.getLogger(__name__)


def check_overrides() -> None:
    """Refuse a setting that no config of the bundle has: MONAI would take it and ignore it.

    Below a `_target_` its own parameters are what can be set. Names that fire has read as numbers
    become text again, before anything uses them. What another config of the bundle has, and nothing
    of those loaded uses, is said in a warning.

    Raises
    ------
    ConfigError
        When there is a stranger; it is named, with what was probably meant. When a setting has a
        value that cannot be used. When a config runs alone that is made to be laid over another.
    """
    workflow = calling_workflow()
    if workflow is None:
        raise ConfigError("the settings can only be checked while a MONAI bundle runs")
    used = _referred_to(workflow.parser)
    _check_is_whole(workflow.parser, used)
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
    for name in sorted(known):
        check_is_no_none(name)
    for name, value in given.items():
        if (fitting := used_value(name, value)) is not value:
            _set(workflow.parser, name, fitting)
        if name not in used | SET_BY_MONAI and typed(name) is not None:
            logger.warning("--%s changes nothing: no part of these configs uses it", name)


def _referred_to(parser: ConfigParser) -> set[str]:
    """List what some part of the configs refers to; to be recorded alone is no use."""
    resolver = parser.ref_resolver
    texts: dict[str, Any] = {name: one.get_config() for name, one in resolver.items.items()}  # type: ignore[no-untyped-call]
    return {
        reference.partition(resolver.sep)[0]
        for name, text in texts.items()
        if isinstance(text, str) and not name.startswith(f"state{resolver.sep}settings")
        for reference in resolver.match_refs_pattern(text)
    }


def _check_is_whole(parser: ConfigParser, used: set[str]) -> None:
    """Refuse a config that refers to what is not there, as an overlay alone does."""
    if missing := sorted(used - set(parser.get())):
        raise ConfigError(
            f"the config refers to {', '.join(missing)}, which it does not have",
            remedy="Name the config first that it is laid over: --config_file "
            "\"['train.json','evaluate.json']\", each with its path",
        )


def _set(parser: ConfigParser, name: str, value: object) -> None:
    """Change a setting while a run begins: `parser[name] = value` would forget all it has made."""
    parser.get()[name] = value
    parser.ref_resolver.get_item(name).update_config(value)  # type: ignore[union-attr]


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
