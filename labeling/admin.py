"""The admin's API: how the pool is doing, and what steers it. Labelers get 403 from every route of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from labeling.bodies import GoldBody, InviteBody, PauseBody, RevokeBody
from labeling.labelers import LOCAL_LABELER, NotFreeError
from labeling.overview import Overview
from labeling.queue import QueryQueue
from labeling.queue_records import QueueError
from labeling.refusals import OF_ADMINS
from labeling.sessions import Sessions
from reward_service.comparison_rows import json_line, rows_of
from reward_service.comparisons import Label
from reward_service.database import ComparisonDatabase

_log = logging.getLogger(__name__)


class AdminRefusedError(RuntimeError):
    """What an admin asked for would lock somebody out who should not be, or has no effect."""


def add_admin(app: FastAPI, sessions: Sessions, queue: QueryQueue, database: ComparisonDatabase) -> None:
    """Adds the routes below /api/admin. Each of those that change something may be repeated."""
    pool, overview = sessions.pool, Overview(database, queue, sessions.pool)

    @app.exception_handler(AdminRefusedError)
    @app.exception_handler(NotFreeError)
    def refused(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 409)

    @app.get("/api/admin/overview", dependencies=[Depends(sessions.admin)])
    def read() -> dict[str, Any]:
        return overview.read()

    rows: dict[int | str, dict[str, Any]] = {200: {"content": {"application/jsonl": {}}}}

    @app.get(
        "/api/admin/comparisons",
        dependencies=[Depends(sessions.admin)],
        response_class=StreamingResponse,
        responses=rows,
    )
    def export() -> StreamingResponse:
        named = {"content-disposition": f'attachment; filename="{database.run_id}.jsonl"'}
        return StreamingResponse(_exported(database), media_type="application/jsonl", headers=named)

    @app.post("/api/admin/pauses", dependencies=[Depends(sessions.admin)])
    def pause(body: PauseBody) -> dict[str, Any]:
        pool.pause(body.labeler, body.paused)
        return {"labeler": body.labeler, "paused": body.paused}

    @app.post("/api/admin/revocations", responses=OF_ADMINS)
    def revoke(body: RevokeBody, admin: str = Depends(sessions.admin)) -> dict[str, Any]:
        _check_revocable(body.labeler, admin)
        pool.revoke(body.labeler)
        return {"labeler": body.labeler}

    @app.post("/api/admin/gold", responses=OF_ADMINS)
    def mark_gold(body: GoldBody, admin: str = Depends(sessions.admin)) -> dict[str, Any]:
        try:
            side = queue.mark_gold(admin, body.query, body.marked)
        except QueueError as error:
            raise AdminRefusedError(str(error)) from error
        return {"query": body.query, "marked": side != "", "num_gold": queue.num_gold()}

    @app.post("/api/admin/invites", dependencies=[Depends(sessions.admin)], responses=OF_ADMINS)
    def invite(body: InviteBody) -> dict[str, Any]:
        name = body.labeler or pool.new_name(body.role)
        return {"invite": pool.invite(name, role=body.role), "labeler": name, "role": body.role}


def _exported(database: ComparisonDatabase) -> Iterator[str]:
    """The lines of `twoclips export`. What they leave out is told to the server's log: the file holds rows only."""
    gone: list[Label] = []
    unreadable: list[Label] = []
    yield from map(json_line, rows_of(database, gone.append, unreadable.append))
    if gone:
        _log.warning("%d surplus entries of the log were not exported: their clips are gone", len(gone))
    if unreadable:
        _log.warning("%d entries of the log were not exported: a clip of each cannot be read", len(unreadable))


def _check_revocable(labeler: str, admin: str) -> None:
    if labeler == LOCAL_LABELER:
        raise AdminRefusedError("the local labeler has no session that could end: pause it")
    if labeler == admin:
        raise AdminRefusedError("you would lock yourself out: ask another admin")
