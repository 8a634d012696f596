"""Every failure of the API as one sentence that says what to do, and tells nothing of the inside; and how the API's own
description names them. What `access.py` turns away before a route sees it is described here too.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import redis
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from labeling.labelers import InviteError
from labeling.queue import ConflictError, LeaseLostError
from labeling.sessions import MisdirectedError, NotAdminError, NotInvitedError

_ADDRESS = re.compile(r"(?<!\S)(?:\S*/\S+|(?!@?user_script:)\S+:\d+\b)")
"""A path, a URL, or a host and its port; not the line at which a script failed."""

_log = logging.getLogger(__name__)


class Refusal(BaseModel):
    """error: one sentence for people."""

    error: str


def _described(meanings: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Refusal, "description": meaning} for status, meaning in meanings.items()}


ALWAYS = _described(
    {
        400: "not a valid request; the sentence says where",
        401: "not signed in, or the session or invite is over",
        403: "not from our own page or address, or for admins only",
        404: "there is nothing of that name",
        405: "only GET and POST are served",
        413: "the body is too large",
        415: "the body is not JSON",
        421: "the page was loaded for another run or another labeler: X-Twoclips-Scope says which; reload it",
        429: "too many requests; Retry-After says when to come back",
        503: "the database does not answer, or refuses; send it again, as Retry-After says",
    }
)
"""What any operation may answer."""

OF_ANSWERS = _described(
    {
        409: "the id was used before, for something else",
        410: "the lease was never given or is used up; or there is no such label",
    }
)
"""What only answers and retractions may."""


OF_ADMINS = _described({409: "it would lock somebody out who should not be, or has no effect"})

OF_STRIPS: dict[int | str, dict[str, Any]] = {
    **_described({410: "the pair is not, or no longer, in this labeler's hands"}),
    200: {"content": {"image/webp": {}}},
}


def add_refusals(app: FastAPI) -> None:
    """One handler for each kind of failure; and no status in the description that is never sent."""

    @app.exception_handler(ConflictError)
    def conflict(_: Request, error: ConflictError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 409)

    @app.exception_handler(LeaseLostError)
    def lost(_: Request, error: LeaseLostError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 410)

    @app.exception_handler(InviteError)
    @app.exception_handler(NotInvitedError)
    def uninvited(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 401)

    @app.exception_handler(MisdirectedError)
    def misdirected(_: Request, error: MisdirectedError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 421)

    @app.exception_handler(NotAdminError)
    def not_admin(_: Request, error: NotAdminError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 403)

    @app.exception_handler(redis.RedisError)
    def database(_: Request, error: redis.RedisError) -> JSONResponse:
        """Both are 503, at which a page keeps what it sends, and sends it again: what is full is given room one day,
        and what is set wrongly is set right."""
        if _is_absence(error):
            sentence = "the database does not answer; nothing is lost, send it again in a moment"
            return JSONResponse({"error": sentence}, 503, {"Retry-After": "1"})
        _log.error("%s: %s", type(error).__name__, _ADDRESS.sub("…", str(error)))
        sentence = "the database refuses this; the server's log says why"
        return JSONResponse({"error": sentence}, 503, {"Retry-After": "10"})

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        if any(one["type"] == "json_invalid" for one in error.errors()):
            return JSONResponse({"error": "not a valid request: the body is not JSON"}, 400)
        places = sorted({".".join(str(part) for part in one["loc"][1:]) or "body" for one in error.errors()})
        return JSONResponse({"error": f"not a valid request: look at {_listed(places)}"}, 400)

    @app.exception_handler(HTTPException)
    def other(_: Request, error: HTTPException) -> JSONResponse:
        sentence = f"{HTTPStatus(error.status_code).phrase.lower()}: /openapi.json lists what there is"
        return JSONResponse({"error": sentence}, error.status_code, error.headers)

    describe = app.openapi

    def without_422() -> dict[str, Any]:
        """The framework describes 422 for every body; we answer 400."""
        described = describe()
        for operations in described["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        return described

    app.openapi = without_422


def _is_absence(error: redis.RedisError) -> bool:
    """It may be there again in a moment. One that lets nobody in under this name is there."""
    isnt_let_in = isinstance(error, redis.AuthenticationError)
    return isinstance(error, redis.ConnectionError | redis.TimeoutError) and not isnt_let_in


def _listed(places: Iterable[str]) -> str:
    return ", ".join(places)[:200]
