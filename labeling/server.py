"""The labeling server: pages and the API under them. Stateless: any number of processes may serve one run.

    app = make_app(PoolConfig(run_id="…", task="hopper"), connect("unix:///…/redis.sock"))

Every route is a few lines over `Desk`; what a request must be is `access.py`'s. Routes that talk to Redis are plain
functions, which the framework runs on its threads. No torch: it starts in about a second.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import redis
from fastapi import Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from actors.tasks import Task, make_task
from labeling.access import SafeByDefault
from labeling.admin import add_admin
from labeling.bodies import AnswerBody, ClaimBody, HeartbeatBody, RetractBody, WithdrawBody
from labeling.desk import Desk, Given, Pair
from labeling.labelers import LabelerPool, Person
from labeling.practice import Practice
from labeling.progress import Progress, read_progress
from labeling.queue import Completion, QueryQueue
from labeling.refusals import ALWAYS, OF_ANSWERS, add_refusals
from labeling.run_page import add_run_page
from labeling.sessions import NotInvitedError, Sessions
from labeling.show import Show
from labeling.strip_routes import add_strips, drawing_ahead
from labeling.together import Together
from reward_service.database import ComparisonDatabase

EVENTS_EVERY_S = 1.0
_log = logging.getLogger(__name__)
_WEB = Path(__file__).parent / "web"
_PAGES = {"/": "index.html", "/admin": "admin.html", "/run": "run.html"}


@dataclass(frozen=True)
class PoolConfig:
    """run_id: the run's name in Redis. hosts: names under which the server may be asked for, IPv6 addresses with or
    without brackets. lease_s: how long a pair waits for its answer. invited_only: without a session nobody gets in;
    otherwise who has none is the local labeler, which is for the loopback address alone."""

    run_id: str
    task: str
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]", "::1")
    lease_s: float = 60.0
    invited_only: bool = False

    def reached_at(self, host: str) -> PoolConfig:
        """The same, asked for under `host`: a name that is not this machine's own lets in invited people only."""
        is_own = host in self.hosts
        return self if is_own else replace(self, hosts=(*self.hosts, host), invited_only=True)


def make_app(config: PoolConfig, client: redis.Redis, task: Task | None = None) -> FastAPI:
    """The application for one run. `task`: where it is not quite what its name says. Raises UnknownTaskError where the
    name is unknown."""
    task = task or make_task(config.task)
    database = ComparisonDatabase(client, config.run_id)
    desk = Desk(QueryQueue(client, config.run_id, config.lease_s), database)
    show = Show(task)
    sessions = Sessions(LabelerPool(client, config.run_id), config.run_id, config.invited_only)
    app = FastAPI(
        title="twoclips labeling",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=drawing_ahead(desk, show),
        responses=ALWAYS,
    )
    app.state.show = show
    app.add_middleware(SafeByDefault, hosts=config.hosts)
    add_refusals(app)
    sessions.add_joining(app)
    _add_labeling(app, sessions, desk, show)
    _add_reading(app, sessions, config, task, database, show)
    add_strips(app, sessions, desk, show)
    add_admin(app, sessions, desk.queue, database)
    add_run_page(app, sessions, task, database, show)
    for path, page in _PAGES.items():
        app.add_api_route(path, _file(_WEB / page), methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/static", StaticFiles(directory=_WEB), name="static")
    return app


def _file(path: Path) -> Callable[[], FileResponse]:
    """A route that serves one page: it holds nothing of a run, and is there for who has yet to sign in."""
    return lambda: FileResponse(path)


def _add_labeling(app: FastAPI, sessions: Sessions, desk: Desk, show: Show) -> None:
    """Routes that change something."""

    def claim_all(several: list[tuple[str, str]]) -> list[tuple[Pair | None, float]]:
        """For each labeler and token a pair, if there is one, and the time of the server."""
        paused = sessions.pool.paused_among([labeler for labeler, _ in several])
        pairs = iter(desk.claim_all([each for each in several if each[0] not in paused]))
        now_s = desk.database.now_s()
        return [(None if labeler in paused else next(pairs), now_s) for labeler, _ in several]

    def draw_all(several: list[tuple[Pair, float]]) -> list[dict[str, Any] | None]:
        return [_shown(pair, now_s, show) for pair, now_s in several]

    claimed, drawn = Together(claim_all), Together(draw_all)

    @app.post("/api/claims")
    async def claim(body: ClaimBody, labeler: str = Depends(sessions.labeler)) -> dict[str, Any]:
        while True:
            pair, now_s = await claimed((labeler, body.token))
            if pair is None:
                holds_most = await run_in_threadpool(desk.holds_most, labeler)
                progress = asdict(await run_in_threadpool(read_progress, desk.database))
                return {"pair": None, "holds_most": holds_most, "progress": progress}
            if show.strips is None:
                shown = await drawn((pair, now_s))
            else:  # a picture takes its time: nobody's claim waits for somebody else's
                shown = (await run_in_threadpool(draw_all, [(pair, now_s)]))[0]
            if shown is not None:
                return {"pair": shown}
            await run_in_threadpool(desk.withdraw, labeler, body.token)

    def answer_all(several: list[tuple[Given, dict[str, Any]]]) -> list[dict[str, Any] | Exception]:
        completions = desk.answer_all(several)
        progress = asdict(read_progress(desk.database))
        return [each if isinstance(each, Exception) else _completed(each, progress) for each in completions]

    answered = Together(answer_all)

    @app.post("/api/answers", responses=OF_ANSWERS)
    async def answer(body: AnswerBody, labeler: str = Depends(sessions.labeler)) -> dict[str, Any]:
        given = Given(labeler, body.token, body.query, body.label_id, body.answer)
        return await answered((given, body.evidence.model_dump()))

    @app.post("/api/retractions", responses=OF_ANSWERS)
    def retract(body: RetractBody, labeler: str = Depends(sessions.labeler)) -> dict[str, Any]:
        completion = desk.retract(labeler, body.label_id, body.retraction_id)
        return _completed(completion, asdict(read_progress(desk.database)))

    @app.post("/api/heartbeats")
    def heartbeat(body: HeartbeatBody, labeler: str = Depends(sessions.labeler)) -> dict[str, Any]:
        deadlines = {token: desk.heartbeat(labeler, token) for token in body.tokens}
        now_s = desk.database.now_s()
        return {"deadlines": {token: at and at - now_s for token, at in deadlines.items()}}

    @app.post("/api/withdrawals")
    def withdraw(body: WithdrawBody, labeler: str = Depends(sessions.labeler)) -> dict[str, Any]:
        _log.warning("a browser of %s could not draw a pair: %r", labeler, body.reason)
        return {"withdrawn": desk.set_aside(labeler, body.token)}


def _add_reading(
    app: FastAPI, sessions: Sessions, config: PoolConfig, task: Task, database: ComparisonDatabase, show: Show
) -> None:
    """Routes that only tell."""
    practice = Practice(database.client, config.run_id)

    @app.get("/api/session")
    def session(person: Person = Depends(sessions.person)) -> dict[str, Any]:
        return {
            "run": config.run_id,
            "labeler": person.labeler,
            "role": person.role,
            "paused": sessions.pool.is_paused(person.labeler),
            "task": task.name,
            "instruction": task.preset.instruction,
            "drawable": show.drawable,
            "lease_s": config.lease_s,
            "progress": asdict(read_progress(database)),
        }

    @app.get("/api/scene", dependencies=[Depends(sessions.labeler)])
    def scene() -> dict[str, Any]:
        return show.description()

    @app.get("/api/practice", dependencies=[Depends(sessions.labeler)])
    def practise() -> dict[str, Any]:
        shown: list[dict[str, Any]] = []
        for pair in practice.pairs(database, secrets.randbits(32)):
            with suppress(ValueError):  # one that cannot be drawn is left out
                shown.append({**show.pair(pair.left, pair.right), "better": pair.better})
        return {"pairs": shown}

    stream: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}

    @app.get("/api/events", response_class=StreamingResponse, responses=stream)
    async def events(request: Request, labeler: str = Depends(sessions.labeler)) -> StreamingResponse:
        return StreamingResponse(_events(database, sessions, labeler, request), media_type="text/event-stream")


async def _events(
    database: ComparisonDatabase, sessions: Sessions, labeler: str, request: Request
) -> AsyncIterator[str]:
    """Progress, and whether this labeler is paused, about once a second until the page goes or is this labeler's no
    longer: the session is over, or its labeler revoked. While Redis does not answer it says nothing and goes on: what
    the page asks for and sends finds out."""
    while not await request.is_disconnected():
        try:
            if (await sessions.person(request)).labeler != labeler:
                return
            progress: Progress = await run_in_threadpool(read_progress, database)
            yield f"event: progress\ndata: {_json(asdict(progress))}\n\n"
            paused = await run_in_threadpool(sessions.pool.is_paused, labeler)
            yield f"event: paused\ndata: {str(paused).lower()}\n\n"
        except NotInvitedError:
            return
        except redis.RedisError:
            pass
        await asyncio.sleep(EVENTS_EVERY_S)


def _json(value: dict[str, Any]) -> str:
    return bytes(JSONResponse(value).body).decode()


def _shown(pair: Pair, now_s: float, show: Show) -> dict[str, Any] | None:
    """The pair as the page gets it; None where it cannot be drawn: nobody could judge it, so nobody is asked."""
    try:
        clips = show.pair(pair.left, pair.right, pair.lease.query_id)
    except ValueError:
        return None
    lease = pair.lease
    return {"token": lease.token, "query": lease.query_id, "deadline_s": lease.deadline_s - now_s, **clips}


def _completed(completion: Completion, progress: dict[str, Any]) -> dict[str, Any]:
    return {
        "label_id": completion.label_id,
        "surplus": completion.surplus,
        "repeated": completion.repeated,
        "progress": progress,
    }
