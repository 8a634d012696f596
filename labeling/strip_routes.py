"""How picture strips reach a page: the route that serves them, and the thread that draws ahead while a server is up."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from actors.replay import DrawingError
from labeling.bodies import QueryId
from labeling.desk import Desk
from labeling.queue_records import LeaseLostError
from labeling.refusals import OF_STRIPS
from labeling.sessions import Sessions
from labeling.show import Show
from labeling.strips import MEDIA_TYPE, StripAhead

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


def drawing_ahead(desk: Desk, show: Show) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A server's lifespan: where the task is shown as pictures, the most wanted are drawn while it is up."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        if show.strips is None:
            yield
            return
        ahead = StripAhead(desk.queue, desk.database, show.strips)
        ahead.start()
        yield
        await run_in_threadpool(ahead.stop)

    return lifespan


def add_strips(app: FastAPI, sessions: Sessions, desk: Desk, show: Show) -> None:
    """The pictures of pairs. Who does not hold a pair is told nothing of it, not even that it exists."""

    @app.exception_handler(DrawingError)
    def undrawn(_: Request, error: DrawingError) -> JSONResponse:
        del error  # the thread that draws ahead writes it into the log
        sentence = "the server cannot draw pictures now; its log says why"
        return JSONResponse({"error": sentence}, 503, {"Retry-After": "10"})

    @app.get("/api/strips/{query}/{digest}", response_class=Response, responses=OF_STRIPS)
    def strip(query: QueryId, digest: Digest, labeler: str = Depends(sessions.labeler)) -> Response:
        if show.strips is not None and desk.queue.holds(labeler, query):
            asked = desk.database.get_query(query)
            clips = desk.database.clips.readable([asked.left, asked.right]) if asked else {}
            with suppress(ValueError):  # what another process has drawn and this one cannot is not there
                if asked and len(clips) == 2:
                    drawn = show.strips.of(clips[asked.left], clips[asked.right])
                    if drawn.digest == digest:
                        return Response(drawn.data, media_type=MEDIA_TYPE)
        raise LeaseLostError("you do not hold this pair, or no longer: claim another")
