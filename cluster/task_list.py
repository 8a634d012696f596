"""`twoclips tasks`: which tasks there are, and what each of them is."""

from __future__ import annotations

import json
from typing import Any

import typer

from actors.judges import JUDGES
from actors.tasks import Task, make_task, task_names
from cluster.cli_parts import print_table


def list_tasks(as_json: bool) -> None:
    """All tasks, a line each."""
    rows = [make_task(name) for name in task_names()]
    if as_json:
        typer.echo(json.dumps([_told(task) for task in rows]))
        return
    line = "{:<20}  {:<32}  {:>7}  {:>4}"
    typer.echo(line.format("task", "environment", "horizon", "clip") + "  (agent steps)")
    for task in rows:
        typer.echo(line.format(task.name, task.environment_id, task.horizon, task.preset.clip_steps))
    typer.echo("and any registered gymnasium environment by its id, e.g. CartPole-v1 or my_pkg:MyEnv-v0")
    typer.echo("`twoclips tasks TASK` says what one of them is trained with")


def show_task(name: str, as_json: bool) -> None:
    """One task: what labelers are told, what `evaluate` reports of it, what its preset changes."""
    told = _told(make_task(name))
    if as_json:
        typer.echo(json.dumps(told))
        return
    print_table([(key, str(told[key])) for key in ("task", "environment", "instruction")], to_stderr=False)
    typer.echo(f"an episode has {told['horizon_steps']:,} agent steps, a clip {told['clip_steps']}")
    if told["judge"]:
        typer.echo("\n`twoclips evaluate` reports of it")
        print_table([(f"  {figure}", meaning) for figure, meaning in told["judge"].items()], to_stderr=False)
    typer.echo(f"\nits preset (`twoclips settings --task {name}` has all settings)")
    for algorithm, changed in {"": told["preset"], **told["by_algorithm"]}.items():
        if algorithm:
            typer.echo(f"with --algorithm {algorithm}")
        if changed:
            print_table([(f"  {key}", json.dumps(value)) for key, value in changed.items()], to_stderr=False)
        elif not algorithm:
            typer.echo("  changes nothing")


def _told(task: Task) -> dict[str, Any]:
    preset = task.preset
    return {
        "task": task.name,
        "environment": task.environment_id,
        "horizon_steps": task.horizon,
        "clip_steps": preset.clip_steps,
        "preset": dict(preset.overrides),
        "by_algorithm": {name: dict(changed) for name, changed in preset.by_algorithm.items()},
        "instruction": preset.instruction,
        "judge": JUDGES[task.name].figures if task.name in JUDGES else {},
    }
