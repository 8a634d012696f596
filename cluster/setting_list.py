"""`twoclips settings`: every setting of a run, its value and its meaning, from the records that declare them."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
import textwrap
from typing import Any

import typer

from actors.tasks import make_task
from cluster.config import RunConfig
from cluster.configure import make_config
from cluster.settings import ConfigError

_NAMES = re.compile(r"(\w+(?:, \w+)*)(?:\s{2,}(.*))?$")
_WIDTH = 100


def settings_of(config: RunConfig) -> dict[str, dict[str, Any]]:
    """Value and meaning of every setting, by dotted name."""
    found: dict[str, dict[str, Any]] = {}
    for section in sections(config):
        record = getattr(config, section)
        told = meanings(type(record))
        for field in dataclasses.fields(record):
            name = field.name
            found[f"{section}.{name}"] = {"value": getattr(record, name), "meaning": told.get(name, "")}
    return found


def sections(config: RunConfig) -> list[str]:
    return [field.name for field in dataclasses.fields(config) if dataclasses.is_dataclass(getattr(config, field.name))]


def meanings(record: type) -> dict[str, str]:
    """What the docstrings of a record and of those that it extends say of its fields: a line begins with the field's
    name, or with several, and two spaces; what is indented goes on."""
    found: dict[str, str] = {}
    for kind in reversed(record.__mro__):
        if not dataclasses.is_dataclass(kind):
            continue
        fields = {field.name for field in dataclasses.fields(kind)}
        named: list[str] = []
        for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
            match = _NAMES.match(line)
            if match and fields.issuperset(match[1].split(", ")):
                named = match[1].split(", ")
                found.update(dict.fromkeys(named, match[2] or ""))
            elif named and line.startswith(" "):
                found.update({name: f"{found[name]} {line.strip()}".strip() for name in named})
            else:
                named = []
    return found


def list_settings(section: str, task_name: str, algorithm: str, as_json: bool) -> None:
    """Print them, those of one section if it is named: as they stand for this task and algorithm."""
    config = make_config(make_task(task_name), {"algorithm": algorithm})
    if section and section not in sections(config):
        raise ConfigError(f"there is no section {section} of settings; they are {', '.join(sections(config))}")
    shown = {name: said for name, said in settings_of(config).items() if name.startswith(f"{section}." * bool(section))}
    if as_json:
        typer.echo(json.dumps({name: _plain(said["value"]) for name, said in shown.items()}))
        return
    typer.echo(f"as they stand for {task_name} with {algorithm}; change one with --set NAME=VALUE\n")
    for name, said in shown.items():
        typer.echo(f"{name} = {_settable(said['value'])}")
        typer.echo(textwrap.fill(said["meaning"], _WIDTH, initial_indent="    ", subsequent_indent="    "))


def _settable(value: Any) -> str:
    """As `--set` takes it, which reads TOML."""
    return "none" if value is None else json.dumps(value).replace("Infinity", "inf")


def _plain(value: Any) -> Any:
    """As JSON holds it, which has no word for the infinite."""
    return str(value) if isinstance(value, float) and math.isinf(value) else value
