"""What is done with a run that is at work: `twoclips status`, `attach`, `stop`. Imports late."""

from __future__ import annotations

import json

import typer

from cluster.cli_parts import Json, RunArgument, plain_errors, print_table


def status(run: RunArgument, json_: Json = False) -> None:
    """What a run is doing, and whether it still lives.

    Example: twoclips status runs/half-cheetah-s1
    """
    with plain_errors():
        from cluster.run_folder import RunFolder
        from cluster.run_status import read_status, table_rows

        found = read_status(RunFolder.open(run))
        print_table(table_rows(found), json_)
        if json_:
            typer.echo(json.dumps(found))


def attach(run: RunArgument) -> None:
    """Show the progress of a run that is at work, until it ends. Ctrl-C leaves the run as it is.

    Example: twoclips attach runs/half-cheetah-s1
    """
    with plain_errors():
        try:
            from cluster.detached import attach as follow
            from cluster.run_folder import RunFolder

            typer.echo(follow(RunFolder.open(run)))
        except KeyboardInterrupt:
            typer.echo("no longer shown; the run goes on", err=True)


def stop(run: RunArgument) -> None:
    """Have a run that is at work on this machine write a checkpoint and end; what it learned and every label stay.

    Example: twoclips stop runs/half-cheetah-s1
    """
    with plain_errors(f"no longer waited for; `twoclips status {run}` tells whether the run has ended"):
        from cluster.detached import stop as end
        from cluster.run_folder import RunFolder

        typer.echo(end(RunFolder.open(run)))
