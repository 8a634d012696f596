"""What there is, without a run: `twoclips tasks`, `settings`, `doctor`, `bench`. Imports late."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli_parts import Json, SetOption, plain_errors, print_table, warn_of_password


def tasks(
    task: Annotated[str, typer.Argument(help="Say more of this one.", show_default=False)] = "", json_: Json = False
) -> None:
    """List the tasks with their horizon and clip length; or say what one is, and what its preset changes.

    Example: twoclips tasks pong
    """
    with plain_errors():
        from cluster.task_list import list_tasks, show_task

        if task:
            show_task(task, json_)
        else:
            list_tasks(json_)


def settings(
    section: Annotated[str, typer.Argument(help="One section only, e.g. reward.", show_default=False)] = "",
    task: Annotated[str, typer.Option(help="As this task's preset has them.")] = "half-cheetah",
    algorithm: Annotated[str, typer.Option(help="ppo, trpo or a2c.")] = "ppo",
    json_: Json = False,
) -> None:
    """All that `train --set NAME=VALUE` can change: each setting's value for a task, and what it is.

    Example: twoclips settings reward --task pong
    """
    with plain_errors():
        from cluster.setting_list import list_settings

        list_settings(section, task, algorithm, json_)


def doctor(
    address: Annotated[str, typer.Option(help="Examine the Ray cluster at this address instead, every node.")] = "",
    workers: Annotated[int, typer.Option(help="With --address: rollout workers that a run will want.")] = 1,
    gpus: Annotated[int, typer.Option(help="With --address: GPUs that a run will want.")] = 0,
    redis: Annotated[
        str, typer.Option(help="With --address: the run's Redis. [default: what TWOCLIPS_REDIS says]")
    ] = "",
    json_: Json = False,
) -> None:
    """What this machine, or a cluster, has and lacks, each with its remedy. Exits with 1 where something is missing.

    Example: twoclips doctor --address auto --workers 16
    """
    with plain_errors():
        from dataclasses import asdict

        if address:
            from cluster.doctor_cluster import examine_cluster
            from reward_service.address import REDIS_VARIABLE

            warn_of_password(redis)
            checks = examine_cluster(address, workers, gpus, redis or os.environ.get(REDIS_VARIABLE, ""))
        else:
            from cluster.doctor import examine
            from cluster.settings import ConfigError

            if workers != 1 or gpus or redis:
                raise ConfigError("--workers, --gpus and --redis are for a cluster: name it with --address")
            checks = examine(Path.cwd())
        for check in checks:
            remedy = f": {check.remedy}" if check.remedy else ""
            typer.echo(f"{check.status:4}  {check.name:13}  {check.detail}{remedy}", err=json_)
        ready = all(check.status != "fail" for check in checks)
        if json_:
            typer.echo(json.dumps({"ready": ready, "checks": [asdict(check) for check in checks]}))
    if not ready:
        raise SystemExit(1)


def bench(
    task: Annotated[
        str, typer.Option(help="The task to measure with. [default: half-cheetah; pong with --device cuda]")
    ] = "",
    device: Annotated[str, typer.Option(help="cpu or cuda, for learner and reward model.")] = "cpu",
    scale: Annotated[
        bool, typer.Option("--scale", help="Instead: many workers and people against one process of each kind.")
    ] = False,
    set_: SetOption = None,
    json_: Json = False,
) -> None:
    """Throughput of every stage on this machine, beside the limit that the machine sets. A minute; --scale: three.

    A game is measured with the paper's networks, and with a GPU in batches that fill it.

    Example: twoclips bench --task half-cheetah --json
    """
    with plain_errors():
        from actors.tasks import make_task
        from cluster.bench import bench as measure
        from cluster.bench import table_rows
        from cluster.bench_scale import bench_scale, scale_rows
        from cluster.settings import ConfigError, parse_settings

        def say(text: str) -> None:
            typer.echo(text, err=True)

        measured = make_task(task or ("pong" if device == "cuda" else "half-cheetah"))
        if scale and (set_ or device != "cpu"):
            raise ConfigError(
                "--scale measures workers and people, which neither --device nor --set changes: leave it out"
            )
        found = bench_scale(measured, say) if scale else measure(measured, device, say, parse_settings(set_ or []))
        print_table(scale_rows(found) if scale else table_rows(found), json_)
        if json_:
            typer.echo(json.dumps(found))
