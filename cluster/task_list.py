"""`twoclips tasks`: which tasks there are."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Table

from actors.judges import JUDGES
from actors.tasks import make_task, task_names


def list_tasks(as_json: bool) -> None:
    """All tasks with horizon, clip length and what the preset changes."""
    rows = [make_task(name) for name in task_names()]
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "task": task.name,
                        "environment": task.environment_id,
                        "horizon_steps": task.horizon,
                        "clip_steps": task.preset.clip_steps,
                        "preset": dict(task.preset.overrides),
                        "instruction": task.preset.instruction,
                        "judge": JUDGES[task.name].figures if task.name in JUDGES else {},
                    }
                    for task in rows
                ]
            )
        )
        return
    table = Table("task", "environment", "horizon", "clip", "preset")
    for task in rows:
        preset = "  ".join(f"{name}={value}" for name, value in task.preset.overrides.items())
        table.add_row(task.name, task.environment_id, str(task.horizon), str(task.preset.clip_steps), preset)
    Console().print(table)
    for name, judge in JUDGES.items():
        typer.echo(f"`twoclips evaluate` judges {name} by")
        for figure, meaning in judge.figures.items():
            typer.echo(f"  {figure:<16} {meaning}")
    typer.echo("and any registered gymnasium environment by its id, e.g. CartPole-v1 or my_pkg:MyEnv-v0")
