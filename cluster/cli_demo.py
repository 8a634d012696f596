"""`twoclips demo`: options to a session in the small world, with its page or without. Imports late."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cluster.cli_parts import Json, plain_errors


def demo(
    preset: Annotated[
        str, typer.Option(help="oracle (a synthetic labeler), person (you), or offline (asked at the start only).")
    ] = "oracle",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 1,
    size: Annotated[int, typer.Option(help="Cells a side.")] = 5,
    goal: Annotated[
        str, typer.Option(help="ROW,COLUMN from 0, from the upper left. [default: one in from the end]")
    ] = "",
    selection: Annotated[str, typer.Option(help="Which pairs to ask about: disagreement or random.")] = "disagreement",
    algorithm: Annotated[
        str, typer.Option(help="planner (value iteration), or ppo, the pipeline's own learner: needs 50,000 steps.")
    ] = "planner",
    members: Annotated[int, typer.Option(help="Reward maps in the ensemble.")] = 3,
    error_rate: Annotated[float, typer.Option(help="Share of the oracle's answers that are wrong.")] = 0.0,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on the loopback address; where it is taken, any free one.")
    ] = 8775,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address, open no browser.")] = False,
    headless: Annotated[
        bool, typer.Option("--headless", help="No page: play --steps steps and print what came out.")
    ] = False,
    steps: Annotated[int, typer.Option(help="Agent steps of a headless demo.")] = 3000,
    json_: Json = False,
) -> None:
    """The whole idea on one page: a 5 x 5 world, a hidden goal, two paths, one answer, a reward map. Ctrl-C ends it.

    Example: twoclips demo --preset person
    """
    with plain_errors():
        from labeling.demo_config import DemoConfig, DemoError

        given = {"preset": preset, "seed": seed, "size": size, "selection": selection, "members": members}
        given["algorithm"] = algorithm
        config = DemoConfig(**given, error_rate=error_rate, **_goal(goal, DemoError))  # type: ignore[arg-type]
        if not headless:
            from cluster.demo import serve_demo
            from cluster.page_address import open_page

            def say(address: str) -> None:
                typer.echo(f"the small world is at {address}", err=json_)
                if json_:
                    typer.echo(json.dumps({"address": address}))
                if not no_open:
                    open_page(address)

            serve_demo(config, port, say)
            return
        from cluster.demo import run_headless

        found = run_headless(config, steps)
        typer.echo(
            f"{found['labels']} labels in {found['steps']:,} steps ({found['steps_per_second']:,.0f} per second): "
            f"reward match {found['reward_match']:.0%}, optimal policy {found['optimal_policy']:.0%}, "
            f"loss {found['loss']:.3f}",
            err=json_,
        )
        if json_:
            typer.echo(json.dumps(found))


def _goal(text: str, error: type[Exception]) -> dict[str, tuple[int, int]]:
    if not text:
        return {}
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise error(f"--goal is ROW,COLUMN, e.g. 3,3; {text!r} is not")
    return {"goal": (int(parts[0]), int(parts[1]))}
