"""`twoclips train`: options to a run, and the run to its end. Imports late, as all of the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli_parts import Json, SetOption, plain_errors, warn_of_password
from cluster.interrupts import STOPPED_EARLY

if TYPE_CHECKING:
    from cluster.config import RunConfig
    from cluster.run_folder import RunFolder

_SETTINGS = {
    **{name: name for name in ("labeler", "labels", "steps", "seed", "workers", "algorithm", "in_process")},
    **{name: name for name in ("address", "redis", "store", "clip_steps")},
    "selection": "query.selection",
    "offline": "query.offline",
    "members": "reward.members",
    "metrics_port": "metrics.port",
    "target": "reward.target",
}
"""Options of `train` that are settings of a run, by the dotted name of the setting."""


def _workers(text: str) -> int:
    """A number of rollout workers, 0 for auto."""
    try:
        return 0 if text == "auto" else int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor auto") from None


def train(
    context: typer.Context,
    task: Annotated[
        str, typer.Argument(help="A task of `twoclips tasks`, or any gymnasium id (CartPole-v1, my_pkg:MyEnv-v0).")
    ],
    labeler: Annotated[str, typer.Option(help="synthetic, human, or none (true reward: the baseline).")] = "synthetic",
    labels: Annotated[int, typer.Option(help="Comparisons to learn from.")] = 700,
    steps: Annotated[int, typer.Option(help="Agent steps to train for.")] = 2_000_000,
    seed: Annotated[int, typer.Option(help="Seed of everything random; with Ray, when things happen is not.")] = 1,
    run: Annotated[Path | None, typer.Option(help="Folder of the run. [default: runs/TASK-sSEED-TIME]")] = None,
    workers: Annotated[
        int,
        typer.Option(
            parser=_workers,
            metavar="N|auto",
            help="Rollout workers. auto: one for every core but one (--in-process: one); with --address as many as the "
            "cluster has room for, now and later.",
            show_default="auto",
        ),
    ] = 0,
    algorithm: Annotated[str, typer.Option(help="ppo, trpo or a2c.")] = "ppo",
    in_process: Annotated[
        bool, typer.Option("--in-process", help="No Ray: everything in one process, deterministic.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue the run in --run from its last checkpoint, with what else is given changed."
        ),
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Go on without this terminal; see `twoclips attach` and `twoclips stop`.")
    ] = False,
    address: Annotated[str, typer.Option(help="Address of a running Ray cluster. [default: a local one]")] = "",
    redis: Annotated[
        str, typer.Option(help="URL of a Redis server. [default: what TWOCLIPS_REDIS says, or a private one]")
    ] = "",
    store: Annotated[
        str, typer.Option(help="Where to keep the run's folder, too: file:///shared/runs, s3://BUCKET/runs, gs://...")
    ] = "",
    selection: Annotated[str, typer.Option(help="Which pairs to ask about: disagreement or random.")] = "disagreement",
    members: Annotated[int, typer.Option(help="Reward networks in the ensemble.")] = 3,
    offline: Annotated[bool, typer.Option("--offline", help="Ablation: all labels at the start.")] = False,
    no_regularisation: Annotated[
        bool, typer.Option("--no-regularisation", help="Ablation: no adaptive L2, penalty, input noise or dropout.")
    ] = False,
    clip_steps: Annotated[int, typer.Option(help="Steps in a clip; 1 is the paper's ablation. 0: the task's own.")] = 0,
    target: Annotated[
        str, typer.Option(help="comparisons, or returns (ablation: regression on true clip returns).")
    ] = "comparisons",
    comparisons: Annotated[
        Path | None, typer.Option(help="Start on the comparisons of a file of `twoclips export`; they count as labels.")
    ] = None,
    metrics_port: Annotated[int, typer.Option(help="Serve Prometheus metrics on this port; 0: do not.")] = 0,
    set_: SetOption = None,
    json_: Json = False,
) -> None:
    """Train an agent from comparisons.

    Example: twoclips train half-cheetah --labels 700 --steps 2000000 --seed 1 --run runs/half-cheetah-s1
    """
    with plain_errors(STOPPED_EARLY):
        from cluster.settings import parse_settings

        # Only what was really asked for: a default of ours must not overrule a task's preset.
        given = {
            setting: context.params[option] for option, setting in _SETTINGS.items() if _was_given(context, option)
        }
        if no_regularisation:
            given["reward.regularise"] = False
        given = {**parse_settings(set_ or []), **given}
        folder = _resumed(task, run, store, comparisons, given) if resume else _created(task, run, comparisons, given)
        warn_of_password(redis)
        if detach:
            from cluster.detached import detach as start

            typer.echo("starting; this takes some seconds", err=True)
            process_id = start(folder, resume, comparisons)
            typer.echo(
                f"at work in process {process_id}\nrun     {folder.path}\nsee it  twoclips attach {folder.path}\n"
                f"end it  twoclips stop {folder.path}"
            )
            if json_:
                typer.echo(json.dumps({"run": str(folder.path), "process_id": process_id}))
            return
        from cluster.job import run_job

        summary, report = run_job(folder, resume, comparisons)
        typer.echo(f"run     {folder.path}\nreport  {report}\n{_verdict(summary)}")
        if json_:
            typer.echo(json.dumps(summary))


def _resumed(task: str, run: Path | None, store: str, comparisons: Path | None, given: dict[str, Any]) -> RunFolder:
    """The folder of the run that is to go on, with the settings that were given changed in it."""
    from cluster.configure import change_config
    from cluster.job import claimed
    from cluster.run_folder import RunFolder, RunFolderError

    if run is None:
        raise RunFolderError("--resume needs --run with the folder of the run to continue; `ls runs` shows them")
    if store and not (run / "config.toml").exists():
        from cluster.store import RunStore, place

        RunStore(place(store, run)).pull(run)
    folder = RunFolder.open(run)
    if folder.config.task != task:
        raise RunFolderError(f"the run in {run} is of {folder.config.task}, not of {task}; name that task")
    config = change_config(folder.config, given)
    if config != folder.config:
        _check(config)
    if comparisons is not None:
        from cluster.exchange import check_for_run

        check_for_run(comparisons, config)
    with claimed(folder):  # not under the hands of a run that is at work
        for change in folder.change(config):
            typer.echo(f"changed: {change}", err=True)
    return folder


def _created(task: str, run: Path | None, comparisons: Path | None, given: dict[str, Any]) -> RunFolder:
    """A new folder, once all that can be checked is."""
    from actors.tasks import make_task
    from cluster.configure import make_config
    from cluster.run_folder import RunFolder, default_folder
    from reward_service.address import REDIS_VARIABLE

    config = make_config(make_task(task), {"redis": os.environ.get(REDIS_VARIABLE, ""), **given})
    _check(config)
    if caution := config.make_task().caution:
        typer.echo(caution, err=True)
    if comparisons is not None:
        from cluster.exchange import check_for_run

        check_for_run(comparisons, config)
    return RunFolder.create(run or default_folder(config.task, config.seed), config)


def _check(config: RunConfig) -> None:
    """What settings alone do not tell: whether people can be shown anything, and whether the store is there."""
    from actors.replay import drawing_problem
    from cluster.settings import ConfigError

    if config.labeler == "human" and (problem := drawing_problem(config.make_task())):
        raise ConfigError(problem)
    if config.store:
        from cluster.store import check_store

        check_store(config.store)


def _was_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _verdict(summary: dict[str, Any]) -> str:
    source = "the true reward" if summary["labeler"] == "none" else f"{summary['labels']} comparisons"
    value = summary["true_return"]
    text = "no episode ended" if value is None else f"true return {value:,.0f}"
    steps = f"{summary['steps']:,} steps ({summary['steps_per_second']:,.0f} per second)"
    return f"{summary['task']} learned from {source}: {text} after {steps}"
