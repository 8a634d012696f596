"""One test for each thing that a request must be, on a bare application behind the guard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from labeling.access import _SESSION, MAX_BODY_BYTES, Rate, SafeByDefault
from labeling.labelers import LabelerPool
from labeling.sessions import cookie_name
from reward_service.database import ComparisonDatabase

OURS = {"x-twoclips": "1", "content-type": "application/json", "origin": "http://localhost:8765"}


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse({"bytes": len(await request.body())})


@pytest.fixture
def client() -> Iterator[TestClient]:
    inner = Starlette(routes=[Route("/api/echo", _echo, methods=["GET", "POST", "DELETE"])])
    with TestClient(SafeByDefault(inner, ["localhost"]), base_url="http://localhost:8765") as client:
        yield client


def test_our_own_page_may_post(client: TestClient) -> None:
    assert client.post("/api/echo", content=b"{}", headers=OURS).json() == {"bytes": 2}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "localhost.evil.example:8765"}, 403),
        ({"host": "["}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": "http://localhost:1234"}, 403),
        ({"x-twoclips": "0"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-length": str(MAX_BODY_BYTES + 1)}, 413),
        ({"content-length": "-1"}, 413),
    ],
)
def test_a_request_that_is_not_ours_is_refused_in_one_sentence(
    client: TestClient, change: dict[str, str], status: int
) -> None:
    reply = client.post("/api/echo", content=b"{}", headers={**OURS, **change})
    assert reply.status_code == status
    assert list(reply.json()) == ["error"]


@pytest.mark.parametrize("host", ["::1", "[::1]", "2001:DB8::1", "[2001:db8::1]"])
def test_an_ipv6_host_may_be_given_with_brackets_or_without(host: str) -> None:
    address = f"http://[{host.strip('[]')}]:8765"
    with TestClient(SafeByDefault(Starlette(routes=[Route("/api/echo", _echo)]), [host]), address) as client:
        assert client.get("/api/echo").status_code == 200


def test_a_post_without_our_header_is_refused(client: TestClient) -> None:
    headers = {name: value for name, value in OURS.items() if name != "x-twoclips"}
    assert client.post("/api/echo", content=b"{}", headers=headers).status_code == 403


def test_only_get_and_post_are_served(client: TestClient) -> None:
    assert client.delete("/api/echo", headers=OURS).status_code == 405


def test_a_body_without_a_length_is_bounded_while_it_arrives(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(4):
            yield b"x" * MAX_BODY_BYTES

    reply = client.post("/api/echo", content=endless(), headers=OURS)  # no body of that size is ever held
    assert reply.status_code == 413
    assert list(reply.json()) == ["error"]


def test_a_reply_that_has_begun_ends_where_the_body_goes_on_too_long() -> None:
    """Nothing can be refused any more."""

    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b", ended"})

    client = TestClient(SafeByDefault(early, ["localhost"]), base_url="http://localhost:8765")
    content = iter([b"x" * MAX_BODY_BYTES] * 2)
    assert client.request("GET", "/", content=content).text == "begun, ended"


def test_every_reply_forbids_what_our_pages_do_not_need(client: TestClient) -> None:
    for reply in (client.get("/api/echo"), client.get("/nothing"), client.delete("/api/echo")):
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in reply.headers
    assert client.get("/api/echo").headers["cache-control"] == "no-store"
    assert client.get("/nothing").headers["cache-control"] == "no-cache", "a page of before an upgrade would not do"


def test_a_flood_is_slowed_down_and_told_when_to_come_back() -> None:
    inner = Starlette(routes=[Route("/api/echo", _echo)])
    rate = Rate(1.0, 3.0, lambda: 0.0)
    with TestClient(SafeByDefault(inner, ["localhost"], rate), base_url="http://localhost") as client:
        statuses = [client.get("/api/echo").status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert client.get("/api/echo").headers["retry-after"] == "1"


def test_the_rate_is_each_clients_own_and_comes_back_with_time() -> None:
    now = [0.0]
    rate = Rate(2.0, 2.0, lambda: now[0])
    assert [rate.allows("anna") for _ in range(3)] == [True, True, False]
    assert rate.allows("ben")
    now[0] = 0.5
    assert [rate.allows("anna") for _ in range(2)] == [True, False]
    now[0] = -100.0  # a clock that jumps back
    assert not rate.allows("anna")
    now[0] = -99.0
    assert rate.allows("anna")


def of_session(number: int, name: str = "twoclips_0123456789abcdef") -> dict[str, str]:
    return {"cookie": f"other=1; {name}={number:043}; more={number}"}


def statuses(client: TestClient, headers: list[dict[str, str]]) -> list[int]:
    return [client.get("/api/echo", headers=each).status_code for each in headers]


def guarded(rate: Rate, address_rate: Rate | None = None) -> TestClient:
    inner = Starlette(routes=[Route("/api/echo", _echo)])
    return TestClient(SafeByDefault(inner, ["localhost"], rate, address_rate), base_url="http://localhost")


@pytest.mark.redis
@pytest.mark.parametrize("join_id", ["", "a" * 32])
def test_the_cookie_that_tells_people_apart_is_the_one_that_a_session_sets(
    database: ComparisonDatabase, join_id: str
) -> None:
    pool = LabelerPool(database.client, database.run_id)
    for _ in range(20):
        cookie = f"{cookie_name(database.run_id)}={pool.join(pool.invite(), join_id)}"
        for header in (cookie, f"a=b; {cookie}", f"{cookie}; a=b", f"a=b;{cookie} ; c"):
            found = _SESSION.search(header)
            assert found
            assert cookie.endswith(f"={found[1]}")


def test_each_session_has_a_rate_of_its_own() -> None:
    with guarded(Rate(0.0, 2.0)) as client:
        assert statuses(client, [of_session(1), of_session(1), of_session(1), of_session(2)]) == [200, 200, 429, 200]


@pytest.mark.parametrize(
    "header",
    ["x={}", "twoclips_0123456789abcdef=short{}", "nottwoclips_0123456789abcdef={:043}", "twoclips_{0:016}={0:044}"],
)
def test_a_cookie_that_is_no_session_makes_nobody_another(header: str) -> None:
    with guarded(Rate(0.0, 2.0)) as client:
        sent = [{"cookie": header.format(number)} for number in range(3)]
        assert statuses(client, sent) == [200, 200, 429]
        assert statuses(client, [{}]) == [429]


def test_invented_sessions_do_not_get_around_the_rate_of_an_address() -> None:
    with guarded(Rate(0.0, 2.0), Rate(0.0, 5.0)) as client:
        assert statuses(client, [of_session(number) for number in range(8)]) == [200] * 5 + [429] * 3


@pytest.mark.parametrize(
    ("first", "second", "are_one"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
    ],
)
def test_whoever_has_many_addresses_of_one_network_has_one_rate(first: str, second: str, are_one: bool) -> None:
    app = SafeByDefault(Starlette(routes=[Route("/api/echo", _echo)]), ["localhost"], None, Rate(0.0, 1.0))
    found = [
        TestClient(app, base_url="http://localhost", client=(address, 50_000)).get("/api/echo").status_code
        for address in (first, second)
    ]
    assert found == [200, 429 if are_one else 200]


def test_of_too_many_clients_the_one_that_was_quiet_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rate, "_MAX_CLIENTS", 3)
    rate = Rate(0.0, 1.0, lambda: 0.0)
    assert [rate.allows(name) for name in ("anna", "ben", "cleo")] == [True] * 3
    assert not rate.allows("anna")
    assert rate.allows("dan")
    assert [rate.allows(name) for name in ("anna", "cleo", "dan")] == [False] * 3
    assert rate.allows("ben")
    assert not rate.allows("cleo")
    for number in range(100):
        rate.allows(str(number))
    assert len(rate._buckets) == 3
