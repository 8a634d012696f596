"""The command line. Thin, and slow to import anything: `twoclips --help` must not wait for torch."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Agents that learn from human preferences: two clips, one answer, a reward model, a better agent.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any other setting, e.g. ppo.entropy=0.01. May be repeated.")]


def main() -> None:
    """Entry point of `twoclips`."""
    app()


@app.command()
def tasks(json_: Json = False) -> None:
    """List the tasks with their horizon, clip length and presets.

    Example: twoclips tasks
    """
    with plain_errors():
        from cluster.commands import list_tasks

        list_tasks(json_)


@app.command()
def train(
    task: Annotated[str, typer.Argument(help="A task of `twoclips tasks`, or any gymnasium id (CartPole-v1, my_pkg:MyEnv-v0).")],
    labeler: Annotated[str, typer.Option(help="synthetic, human, or none (true reward: the baseline).")] = "synthetic",
    labels: Annotated[int, typer.Option(help="Comparisons to learn from.")] = 700,
    steps: Annotated[int, typer.Option(help="Agent steps to train for.")] = 2_000_000,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
    run: Annotated[Path | None, typer.Option(help="Folder of the run. [default: runs/TASK-sSEED-TIME]")] = None,
    workers: Annotated[int, typer.Option(help="Rollout workers; 0: one for every core but one.")] = 0,
    algorithm: Annotated[str, typer.Option(help="ppo, trpo or a2c.")] = "ppo",
    in_process: Annotated[bool, typer.Option("--in-process", help="No Ray: everything in one process, deterministic.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --run from its last checkpoint.")] = False,
    address: Annotated[str, typer.Option(help="Address of a running Ray cluster. [default: a local one]")] = "",
    redis: Annotated[str, typer.Option(help="URL of a Redis server. [default: a private one]")] = "",
    selection: Annotated[str, typer.Option(help="Which pairs to ask about: disagreement or random.")] = "disagreement",
    members: Annotated[int, typer.Option(help="Reward networks in the ensemble.")] = 3,
    offline: Annotated[bool, typer.Option("--offline", help="Ablation: all labels at the start.")] = False,
    no_regularisation: Annotated[bool, typer.Option("--no-regularisation", help="Ablation: no adaptive L2, no noise.")] = False,
    clip_steps: Annotated[int, typer.Option(help="Steps in a clip; 1 is the paper's ablation. 0: the task's own.")] = 0,
    target: Annotated[str, typer.Option(help="comparisons, or returns (ablation: regression on true clip returns).")] = "comparisons",
    set_: SetOption = None,
    json_: Json = False,
) -> None:
    """Train an agent from comparisons.

    Example: twoclips train half-cheetah --labels 700 --steps 2000000 --seed 1
    """
    with plain_errors():
        from actors.tasks import make_task
        from cluster.config import make_config, parse_settings
        from cluster.progress import Progress
        from cluster.run_folder import RunFolder, RunFolderError, default_folder
        from cluster.runner import run_training

        if resume:
            if run is None:
                raise RunFolderError("--resume needs --run with the folder of the run to continue; `ls runs` shows them")
            folder = RunFolder.open(run)
        else:
            given = {
                "labeler": labeler,
                "labels": labels,
                "steps": steps,
                "seed": seed,
                "workers": workers,
                "algorithm": algorithm,
                "in_process": in_process,
                "address": address,
                "redis": redis,
                "clip_steps": clip_steps,
                "query.selection": selection,
                "query.offline": offline,
                "reward.members": members,
                "reward.regularise": not no_regularisation,
                "reward.target": target,
            }
            config = make_config(make_task(task), {**given, **parse_settings(set_ or [])})
            folder = RunFolder.create(run or default_folder(config.task, seed), config)
        with Progress(folder.config) as progress:
            summary = run_training(folder, resume, progress, progress.say)
        from cluster.report import write_report

        report = write_report([folder])
        typer.echo(f"run     {folder.path}\nreport  {report}\n{_verdict(summary)}")
        if json_:
            typer.echo(json.dumps(summary))


def _verdict(summary: dict[str, Any]) -> str:
    source = "the true reward" if summary["labeler"] == "none" else f"{summary['labels']} comparisons"
    value = summary["true_return"]
    text = "no episode ended" if value is None else f"true return {value:,.0f}"
    return f"{summary['task']} learned from {source}: {text} after {summary['steps']:,} steps ({summary['steps_per_second']:,.0f} per second)"


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Every expected failure ends as one sentence and an exit code: 2 for bad usage, 1 for anything else."""
    from cluster.errors import exit_code, sentence

    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped before anything was saved; start again with the same command", err=True)
        raise SystemExit(1) from None
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        typer.echo(f"twoclips: {sentence(error)}", err=True)
        raise SystemExit(code) from None


if __name__ == "__main__":
    sys.exit(main())
