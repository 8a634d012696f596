"""The page of the demo and the API under it, before the labeling application of whatever run is being played.

    app = make_demo_app(player, client)

What the demo's page needs beyond labeling is here; claims, answers and retractions go to `labeling/server.py` as it is.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import redis
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from actors.tasks import Task, make_task
from labeling.access import SafeByDefault
from labeling.demo_config import DemoError
from labeling.demo_player import FASTEST, Player
from labeling.refusals import add_refusals
from labeling.server import PoolConfig, make_app

TASK = "small-world"
STATE_EVERY_S, CURVES_EVERY_S = 0.08, 0.5
_PAGE = Path(__file__).parent / "web" / "demo.html"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PlayBody(_Body):
    """steps_per_second: 0 is full speed."""

    playing: bool
    steps_per_second: Annotated[float | None, Field(ge=0, le=FASTEST)] = None


class ChangeBody(_Body):
    labeler: Literal["oracle", "person"] | None = None
    online: bool | None = None
    selection: Literal["disagreement", "random"] | None = None
    error_rate: Annotated[float | None, Field(ge=0, le=0.5)] = None


class ResetBody(_Body):
    preset: Literal["oracle", "person", "offline"]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    selection: Literal["disagreement", "random"] = "disagreement"
    error_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    members: Annotated[int, Field(ge=1, le=7)] = 3
    side_by_side: bool = False


def make_demo_app(player: Player, client: redis.Redis, hosts: tuple[str, ...] = PoolConfig.hosts) -> FastAPI:
    """The application. It does not start the player, nor stop it."""
    app = FastAPI(title="twoclips demo", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SafeByDefault, hosts=hosts)
    add_refusals(app)

    @app.exception_handler(DemoError)
    def refused(_: Request, error: DemoError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400)

    @app.api_route("/", methods=["GET", "HEAD"])
    def page() -> FileResponse:
        return FileResponse(_PAGE)

    @app.post("/api/demo/play")
    def play(body: PlayBody) -> dict[str, Any]:
        player.play(body.playing, body.steps_per_second)
        return player.state()

    @app.post("/api/demo/step")
    def step() -> dict[str, Any]:
        player.step()
        return player.state()

    @app.post("/api/demo/change")
    def change(body: ChangeBody) -> dict[str, Any]:
        player.change(**body.model_dump(exclude_none=True))
        return player.state()

    @app.post("/api/demo/reset")
    def reset(body: ResetBody) -> dict[str, Any]:
        chosen = body.model_dump(exclude={"side_by_side"})
        player.reset(replace(player.config, **chosen), body.side_by_side)
        return player.state()

    @app.get("/api/demo/state")
    def state() -> dict[str, Any]:
        return player.state()

    @app.get("/api/demo/curves")
    def curves() -> dict[str, Any]:
        return player.curves()

    @app.get("/api/demo/events")
    async def events(request: Request) -> StreamingResponse:
        return StreamingResponse(_events(player, request), media_type="text/event-stream")

    app.mount("/", _LabelingOfNow(player, client, hosts))
    return app


async def _events(player: Player, request: Request) -> AsyncIterator[str]:
    """State and curves as they change, but no more often than the page can use; until the page goes, or the
    server does."""
    told: dict[str, int] = {"state": -1, "curves": -1}
    since_s = CURVES_EVERY_S
    while not (player.is_ending or await request.is_disconnected()):
        due: dict[str, Callable[[], dict[str, Any]]] = {"state": player.state}
        if since_s >= CURVES_EVERY_S:
            due["curves"] = player.curves
            since_s = 0.0
        for name, ask in due.items():
            if told[name] != player.version:
                found = await run_in_threadpool(ask)
                told[name] = found["version"]
                yield f"event: {name}\ndata: {json.dumps(found, separators=(',', ':'))}\n\n"
        await asyncio.sleep(STATE_EVERY_S)
        since_s += STATE_EVERY_S


class _LabelingOfNow:
    """The labeling application of the run that is being played; another run has another."""

    def __init__(self, player: Player, client: redis.Redis, hosts: tuple[str, ...]) -> None:
        self._player, self._client, self._hosts = player, client, hosts
        self._lock = threading.Lock()
        self._run_id, self._app = "", FastAPI()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = await run_in_threadpool(self._now)
        await app(scope, receive, send)

    def _now(self) -> FastAPI:
        with self._lock:
            if self._run_id != self._player.run_id:
                run_id = self._player.run_id
                config = PoolConfig(run_id, TASK, self._hosts)
                self._app = make_app(config, self._client, _task_of(self._player))
                self._run_id = run_id
            return self._app


def _task_of(player: Player) -> Task:
    grid = player.grid
    kwargs = {"size": grid.size, "goal": grid.goal}
    return replace(make_task(TASK), environment_kwargs=kwargs, observation_shape=(grid.num_cells,))
