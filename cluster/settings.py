"""Settings by dotted name: how a text, or a value of TOML, becomes a field of a nested record, and back."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal

from actors.failures import UsageError

# Evaluates every annotation of a record, which takes a while; a run's config is read again at each look at the run.
types_of_fields = functools.cache(typing.get_type_hints)


class ConfigError(UsageError, ValueError):
    """A setting that does not exist or that no run can have."""


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """`["ppo.entropy=0.01", ...]` -> values by dotted name, read as TOML where that works, else as text."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise ConfigError(f"--set wants section.key=value, got {pair!r}")
        try:
            settings[name.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            settings[name.strip()] = text
    return settings


def replaced(config: Any, settings: Mapping[str, Any], path: str = "") -> Any:
    """A copy of a nested record with these set, by dotted name, types checked. All of a record's are set at once: what
    it demands of several together is asked of the outcome, in whatever order they come."""
    names = [f.name for f in fields(config)]
    here: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        head, _, rest = name.partition(".")
        if head not in names or (rest and not is_dataclass(getattr(config, head))):
            near = difflib.get_close_matches(head, names, n=3) or names
            likely = ", ".join(path + n for n in near)
            raise ConfigError(f"there is no setting {path}{name}; did you mean {likely}? `twoclips settings` lists all")
        if rest:
            below.setdefault(head, {})[rest] = value
        else:
            here[head] = _convert(value, types_of_fields(type(config))[head], path + head)
    nested = {head: replaced(getattr(config, head), inner, f"{path}{head}.") for head, inner in below.items()}
    try:
        return dataclasses.replace(config, **here, **nested)
    except ValueError as error:
        named = [name for name in here if re.search(rf"\b{name}\b", str(error))] or list(here)
        raise ConfigError(f"{', '.join(f'{path}{name}={settings[name]!r}' for name in named)}: {error}") from error


def _convert(value: Any, kind: Any, name: str) -> Any:
    """The value as its field's type wants it; raises ConfigError where it is of another."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal and value in args:
        return value
    if origin in (types.UnionType, typing.Union):
        if value in (None, "none") and type(None) in args:
            return None
        return _convert(value, next(a for a in args if a is not type(None)), name)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(each, args[0], f"{name}[{index}]") for index, each in enumerate(value))
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind in (int, bool, str) and type(value) is kind:
        return value
    expected = " or ".join(map(repr, args)) if origin is Literal else getattr(kind, "__name__", str(kind))
    raise ConfigError(f"{name} must be {expected}, got {value!r}")


def as_tables(record: Any) -> dict[str, Any]:
    """The record as TOML holds it: what is None is left out."""
    pairs = ((f.name, getattr(record, f.name)) for f in fields(record))
    return {
        name: as_tables(value) if is_dataclass(value) else list(value) if isinstance(value, tuple) else value
        for name, value in pairs
        if value is not None
    }


def flattened(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Values of nested tables by dotted name."""
    flat: list[tuple[str, Any]] = []
    for name, value in data.items():
        flat += flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return flat
