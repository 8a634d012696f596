"""What a page is told when Redis refuses a command, and what the server's log keeps of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import redis
from fastapi import FastAPI
from starlette.testclient import TestClient

from labeling.refusals import add_refusals

OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'. script: 3bf1, on @user_script:12."


def reply_to(error: redis.RedisError) -> Any:
    app = FastAPI()
    add_refusals(app)

    @app.get("/")
    def fail() -> None:
        raise error

    with TestClient(app) as client:
        return client.get("/")


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (redis.OutOfMemoryError(OUT_OF_MEMORY), f"OutOfMemoryError: {OUT_OF_MEMORY}"),
        (redis.ResponseError("MOVED 3999 redis-1:6381"), "ResponseError: MOVED 3999 …"),
        (redis.AuthenticationError("unix:///run/redis.sock lets nobody in"), "AuthenticationError: … lets nobody in"),
    ],
)
def test_what_redis_refuses_is_logged_without_an_address_and_sent_again_by_the_page(
    error: redis.RedisError, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    reply = reply_to(error)
    assert reply.status_code == 503, "at any final one the page would let an answer go"
    assert reply.json() == {"error": "the database refuses this; the server's log says why"}
    assert reply.headers["retry-after"] == "10"
    assert [(record.levelno, record.message) for record in caplog.records if "httpx" not in record.name] == [
        (logging.ERROR, logged)
    ]


@pytest.mark.parametrize("kind", [redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError])
def test_a_redis_that_is_away_is_waited_for_and_not_logged(
    kind: type[redis.RedisError], caplog: pytest.LogCaptureFixture
) -> None:
    reply = reply_to(kind("Error 111 connecting to 127.0.0.1:6379"))
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert "does not answer" in reply.json()["error"]
    assert not [record for record in caplog.records if record.name.startswith("labeling")]
