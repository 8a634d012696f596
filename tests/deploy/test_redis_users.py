"""redis.conf and users.acl: each role can do its work, and nothing else."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError
from starlette.testclient import TestClient

from cluster.run_folder import RunFolder
from cluster.runner import run_training
from labeling.labelers import LabelerPool, Role
from labeling.server import PoolConfig, make_app
from reward_service.address import REWARD_VARIABLE
from reward_service.client import check_writable, connect
from reward_service.database import ComparisonDatabase
from tests.cluster.runs import small_config
from tests.labeling.pool import TASK, offer_pairs

pytestmark = pytest.mark.redis

ROOT = Path(__file__).parents[2]
Addresses = Callable[[str], str]


@pytest.fixture
def denied(address_of: Addresses) -> Callable[[], list[str]]:
    """What the server has refused to anybody since the test began."""
    client = connect(address_of("admin"))
    client.execute_command("ACL", "LOG", "RESET")
    return lambda: [str(entry["object"]) for entry in client.acl_log()]


def test_a_run_does_its_work_as_driver_and_reward_service(
    address_of: Addresses, denied: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(REWARD_VARIABLE, address_of("reward"))
    admin, users, warnings = connect(address_of("admin")), set(), []
    folder = RunFolder.create(tmp_path / "run", small_config(redis=address_of("driver")))
    show = lambda _: users.update(client["user"] for client in admin.client_list())  # noqa: E731
    summary = run_training(folder, False, show, warnings.append)
    assert denied() == []
    assert (summary["labels"], warnings) == (24, [])
    assert summary["reward_version"] > 0
    assert {"driver", "reward"} <= users


def test_the_pages_do_their_work_as_pages(address_of: Addresses, denied: Callable[[], list[str]]):
    driver, pages = connect(address_of("driver")), connect(address_of("pages"))
    run_id = f"acl-{secrets.token_hex(4)}"
    offer_pairs(ComparisonDatabase(driver, run_id), 6)
    app = make_app(PoolConfig(run_id, TASK), pages)
    with TestClient(app, base_url="http://127.0.0.1:8765", headers={"x-twoclips": "1"}) as client:
        invite = LabelerPool(pages, run_id).invite("ada", role=Role.ADMIN)
        assert client.post("/api/sessions", json={"invite": invite}).status_code == 200

        def claim() -> dict[str, str]:
            token = secrets.token_hex(16)
            return {"token": token, "query": client.post("/api/claims", json={"token": token}).json()["pair"]["query"]}

        given = {**claim(), "label_id": secrets.token_hex(16), "answer": "left", "evidence": {"response_s": 2.5}}
        posts = [
            ("answers", given),
            ("admin/gold", {"query": given["query"]}),
            ("retractions", {"label_id": given["label_id"], "retraction_id": secrets.token_hex(16)}),
            ("heartbeats", {"tokens": [claim()["token"]]}),
            ("withdrawals", {"token": claim()["token"]}),
            ("admin/invites", {}),
            ("admin/pauses", {"labeler": "*", "paused": True}),
            ("admin/pauses", {"labeler": "*", "paused": False}),
            ("admin/revocations", {"labeler": "ben"}),
        ]
        statuses = {path: client.post(f"/api/{path}", json=body).status_code for path, body in posts}
        reads = ["progress", "admin/overview", "admin/comparisons", "run", "session"]
        statuses |= {path: client.get(f"/api/{path}").status_code for path in reads}
    assert denied() == []
    assert not {path: status for path, status in statuses.items() if status >= 500 or status in (401, 403)}, statuses
    assert statuses["answers"] == statuses["admin/overview"] == statuses["admin/gold"] == 200


FORBIDDEN = [
    ("driver", ("FLUSHALL",)),
    ("driver", ("CONFIG", "SET", "appendonly", "no")),
    ("driver", ("KEYS", "*")),
    ("driver", ("SET", "other:key", "1")),
    ("driver", ("SHUTDOWN",)),
    ("reward", ("XADD", "twoclips:r:log", "*", "answer", "left")),
    ("reward", ("DEL", "twoclips:r:log")),
    ("reward", ("SET", "twoclips:r:clip:c", "1")),
    ("pages", ("FLUSHDB",)),
    ("pages", ("XTRIM", "twoclips:r:log", "MAXLEN", "0")),
    ("pages", ("EVAL", "return redis.call('FLUSHALL')", "0")),
    ("pages", ("ACL", "LIST")),
]


@pytest.mark.parametrize(
    ("role", "command"), FORBIDDEN, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_what_a_role_does_not_need_is_refused(address_of: Addresses, role: str, command: tuple[str, ...]):
    with pytest.raises(NoPermissionError):
        connect(address_of(role)).execute_command(*command)


def test_nobody_gets_in_without_a_password(address_of: Addresses):
    socket = address_of("driver").rpartition("@")[2]
    for address in (f"unix://{socket}", f"unix://driver:wrong@{socket}", f"unix://default:@{socket}"):
        with pytest.raises(redis.AuthenticationError):
            connect(address).ping()


def test_labels_are_on_disk_before_they_are_acknowledged(address_of: Addresses):
    admin = connect(address_of("admin"))
    kept = {name: admin.config_get(name)[name] for name in ("appendonly", "appendfsync", "maxmemory-policy", "save")}
    assert kept == {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}
    assert check_writable(connect(address_of("driver"))) == []


LUA = {path.stem: re.sub(r"--.*", "", path.read_text()) for path in ROOT.glob("*/*.lua")}
PRELUDES = ("common", "leases", "gold")
RUN_BY = {
    "driver": LUA.keys() - set(PRELUDES),
    "pages": {path.stem for path in ROOT.glob("labeling/*.lua")} - {*PRELUDES, "practice", "record", "rerank"},
    "reward": {"put_snapshot", "set_status"},
}


def commands_of(text: str, functions: dict[str, str]) -> set[str]:
    """What a script may ask of Redis, by itself and in the functions of preludes that it calls."""
    own = {
        name.lower() for call in re.findall(r"redis\.call\(([^,)]*)", text) for name in re.findall("'([A-Z]+)'", call)
    }
    called = [name for name in functions if re.search(rf"\b{name}\(", text)]
    return own.union(*(commands_of(functions[name], functions) for name in called))


@pytest.mark.parametrize("role", RUN_BY)
def test_every_command_of_a_script_is_one_that_whoever_runs_it_may_use(role: str):
    """A script runs with its caller's rights: one that a rare branch needs must not be missing."""
    [user] = re.findall(rf"^user {role} .*", (ROOT / "deploy" / "users.acl").read_text(), re.MULTILINE)
    preludes = "\n".join(LUA[name] for name in PRELUDES)
    parts = re.split(r"^local function (\w+)", preludes, flags=re.MULTILINE)[1:]
    functions = dict(zip(parts[::2], parts[1::2], strict=True))
    used = {name: commands_of(LUA[name], functions) for name in RUN_BY[role]}
    assert all(used.values())
    assert set().union(*used.values()) <= set(re.findall(r"\+(\S+)", user))
