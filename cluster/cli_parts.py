"""What the commands share: options of one form, and how failures end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Any other of `twoclips settings`, e.g. ppo.entropy=0.01. May be repeated.",
    ),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]


@contextlib.contextmanager
def plain_errors(stopped: str = "stopped") -> Generator[None]:
    """Every expected failure ends as one sentence and an exit code: 2 for bad usage, 1 for anything else. `stopped` is
    said after Ctrl-C, where nobody closer to what was done has said more."""
    from cluster.errors import exit_code, sentence

    try:
        yield
    except KeyboardInterrupt:
        typer.echo(stopped, err=True)
        raise SystemExit(1) from None
    except BrokenPipeError:  # of `... | head`, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        typer.echo(f"twoclips: {sentence(error)}", err=True)
        raise SystemExit(code) from None


def warn_of_password(redis: str) -> None:
    """Where `--redis` has one: it belongs into the environment."""
    from reward_service.address import REDIS_VARIABLE, has_password

    if has_password(redis):
        typer.echo(
            f"warning: every user of this machine can read the password in --redis; set {REDIS_VARIABLE}", err=True
        )


def print_table(rows: list[tuple[str, str]], to_stderr: bool) -> None:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:{width}}  {value}", err=to_stderr)
