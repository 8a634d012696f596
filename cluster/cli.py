"""The command line. Thin, and slow to import anything: `twoclips --help` must not wait for torch."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli_demo import demo
from cluster.cli_info import bench, doctor, settings, tasks
from cluster.cli_job import attach, status, stop
from cluster.cli_parts import Json, RunArgument, plain_errors, warn_of_password
from cluster.cli_train import train

app = typer.Typer(
    help="Agents that learn from human preferences: two clips, one answer, a reward model, a better agent.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Entry point of `twoclips`."""
    # NumPy's own threads wait for each other: beside other work two of them took twenty times as long for a game's
    # pictures as one. It reads this when it is imported, here and in every process that is started from here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # torch's threads would spin while they wait for each other, on cores that acting needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    app()


app.command()(tasks)
app.command()(settings)
app.command()(train)
app.command()(demo)
app.command()(status)
app.command()(attach)
app.command()(stop)


@app.command()
def label(
    run: RunArgument,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port, where this command serves the pages itself. [default: 8765 if free]"
        ),
    ] = None,
    invite: Annotated[int, typer.Option(metavar="N", help="Print N invite links, each for one labeler, once.")] = 0,
    admin: Annotated[bool, typer.Option("--admin", help="The invite links are for admins.")] = False,
    name: Annotated[str, typer.Option(help="The invite link, or the N, are for this labeler, e.g. to come back.")] = "",
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address, open no browser.")] = False,
    simulate: Annotated[
        str, typer.Option(metavar="KIND:N,...", help="Add simulated people, e.g. perfect:3,mistaken:1,left-biased:1.")
    ] = "",
    json_: Json = False,
) -> None:
    """The labeling pages of a run, at work or stopped: print their address and open it. Ctrl-C ends what this started.

    Example: twoclips label runs/hopper-s1
    """
    with plain_errors():
        from cluster.label import admin_page, serve_labeling
        from cluster.page_address import open_page
        from cluster.run_folder import RunFolder
        from labeling.labelers import Role
        from labeling.people import parse_people

        folder = RunFolder.open(run)
        if simulate:
            parse_people(simulate)  # before anything is served
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # it, too, should leave nothing behind
        with serve_labeling(folder, port) as served:
            typer.echo(f"label at {served.address}", err=json_)
            typer.echo(f"admin page {admin_page(served.address)}", err=json_)
            typer.echo(served.explanation, err=True)
            role = Role.ADMIN if admin else Role.LABELER
            links = served.invites(invite or int(name != ""), role, name)
            for link in links:
                typer.echo(f"invite {link}", err=json_)
            if simulate:
                from cluster.simulate import simulate_people

                counts = simulate_people(folder, served, simulate, lambda text: typer.echo(text, err=True))
                for person, count in counts.items():
                    typer.echo(f"{person} gave {count:,} answers", err=json_)
                if json_:
                    typer.echo(json.dumps({"address": served.address, "labels": counts}))
                return
            if json_:
                typer.echo(
                    json.dumps({"address": served.address, "admin": admin_page(served.address), "invites": links})
                )
            if not no_open:
                open_page(served.address)
            served.wait()


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs; several are drawn together.")],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file. [default: RUN/report.html; of several, beside the first]")
    ] = None,
    json_: Json = False,
) -> None:
    """One HTML file with charts, and the charts as PNG files. Several runs: curves over each other, means over seeds.

    Example: twoclips report runs/half-cheetah-s1 runs/half-cheetah-s2 --out seeds.html
    """
    with plain_errors():
        from cluster.report import write_report
        from cluster.run_folder import RunFolder

        written = write_report([RunFolder.open(run) for run in runs], out)
        typer.echo(f"report  {written}", err=json_)
        if json_:
            typer.echo(json.dumps({"report": str(written), "runs": [str(run) for run in runs]}))


@app.command()
def evaluate(
    run: RunArgument,
    episodes: Annotated[int, typer.Option(help="So many of fixed length, and as many with gymnasium's own ends.")] = 10,
    video: Annotated[Path | None, typer.Option(help="The MP4 file. [default: RUN/episode.mp4]")] = None,
    no_video: Annotated[bool, typer.Option("--no-video", help="Draw nothing.")] = False,
    strip: Annotated[Path | None, typer.Option(help="A PNG of eight frames of the video, 0.9 s of it.")] = None,
    strip_from: Annotated[float, typer.Option(metavar="S", help="Second of the video where the strip begins.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episodes.")] = 1,
    json_: Json = False,
) -> None:
    """True and standard return of the trained policy, acting without noise; and a video of an episode.

    Example: twoclips evaluate runs/half-cheetah-s1 --episodes 10
    """
    with plain_errors():
        from cluster.evaluate import evaluate as evaluate_run
        from cluster.evaluate import evaluation_lines
        from cluster.run_folder import RunFolder

        folder = RunFolder.open(run)
        path = None if no_video else video or folder.path / "episode.mp4"
        found = evaluate_run(folder, episodes, seed, path, strip, strip_from)
        for line in evaluation_lines(found):
            typer.echo(line, err=json_)
        if json_:
            typer.echo(json.dumps(found))


@app.command("export")
def export_(
    run: RunArgument,
    format_: Annotated[str, typer.Option("--format", help="jsonl or parquet. [default: as --out ends, or jsonl]")] = "",
    out: Annotated[Path | None, typer.Option(help="The file. [default: RUN/comparisons.jsonl]")] = None,
    json_: Json = False,
) -> None:
    """Write a run's comparisons, with their clips, to a file: a row for each answer, surplus or taken back too, and for
    each that takes one back. The run may be at work.

    Example: twoclips export runs/half-cheetah-s1 --format parquet --out comparisons.parquet
    """
    with plain_errors():
        from cluster.exchange import export_run
        from cluster.run_folder import RunFolder

        written, count, gone = export_run(RunFolder.open(run), out, format_)
        typer.echo(f"{count:,} rows written to {written}", err=json_)
        if gone:
            typer.echo(
                f"{gone:,} entries of the log are not among them: their clips are gone, or cannot be read", err=True
            )
        if json_:
            found = {"file": str(written), "rows": count, "clips_gone": gone, "run": str(run)}
            typer.echo(json.dumps(found))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `twoclips export`.")],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a new run (or of one that exists).")],
    redis: Annotated[
        str,
        typer.Option(
            help="URL of the Redis server that the run will use. [default: the run's; of a new one what TWOCLIPS_REDIS "
            "says, or a private one]"
        ),
    ] = "",
    json_: Json = False,
) -> None:
    """Read comparisons into a new run, on which `twoclips train TASK --run RUN` then starts.

    Example: twoclips import comparisons.parquet runs/second
    """
    with plain_errors():
        from cluster.exchange import import_file
        from reward_service.address import without_password

        warn_of_password(redis)
        is_new = not (run / "config.toml").exists()
        count = import_file(file, run, redis)
        same_redis = f" --redis {without_password(redis)}" if redis and is_new else ""
        go_on = f"`twoclips train TASK --run {run}{same_redis}` starts on them" if is_new else "the run has them now"
        typer.echo(f"{count:,} new rows read; {go_on}", err=json_)
        if json_:
            typer.echo(json.dumps({"file": str(file), "rows": count, "run": str(run)}))


app.command()(doctor)
app.command()(bench)


if __name__ == "__main__":
    sys.exit(main())
