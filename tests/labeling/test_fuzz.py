"""Every operation that the API describes, with whatever input: no 5xx, and no reply that is not described."""

from __future__ import annotations

import secrets

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis import BaseSchema, Case
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from labeling.server import PoolConfig, make_app
from reward_service.database import ComparisonDatabase
from tests.labeling.pool import HEADERS, TASK, offer_pairs

pytestmark = pytest.mark.redis

HOSTS = ("testserver",)  # what schemathesis calls an application in this process
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture
def app(database: ComparisonDatabase) -> FastAPI:
    offer_pairs(database, 4)
    return make_app(PoolConfig(database.run_id, TASK, HOSTS), database.client)


@pytest.fixture
def described(app: FastAPI) -> BaseSchema:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    schema.config.max_stream_events = 1  # /api/events never ends
    return schema


# Made when the test is run: that takes longer than to collect all other tests.
schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_input_is_answered_as_described(case: Case, app: FastAPI) -> None:
    # each with a cookie of its own: the rate is a client's
    headers = {**HEADERS, "cookie": f"somebody={secrets.token_hex(8)}"}
    case.call_and_validate(headers=headers, checks=CHECKS, app=app)
