import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import redis

from cluster import redis_server
from cluster.redis_server import PrivateRedis, RedisServerError, find_server
from labeling.queue import QueryQueue
from reward_service.comparisons import Answer, Query
from reward_service.database import START, ComparisonDatabase, connect
from tests.labeling.pool import one_step_clip
from tests.machine import lives
from tests.waiting import wait_until

pytestmark = pytest.mark.redis
ROOT = Path(__file__).parents[2]


def test_it_starts_on_a_private_socket_and_leaves_nothing(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path)
    url = server.start()
    process_id = server.process_id
    assert process_id is not None
    assert server.start() == url == server.url
    assert server.process_id == process_id
    assert (tmp_path / "redis" / "url").read_text().strip() == url
    assert stat.S_IMODE(os.stat(url.removeprefix("unix://")).st_mode) == 0o700
    assert psutil.Process(process_id).net_connections("tcp") == []
    with connect(url) as client:
        assert client.config_get("append*")["appendfsync"] == "always"
    server.stop()
    server.stop()
    assert server.process_id is None
    wait_until(lambda: not lives(process_id), 10, "the server to be gone")
    left = {path.name for path in (tmp_path / "redis").iterdir()} - {
        "appendonlydir",
        "appendonly.aof",
    }  # Redis 6: a file
    assert left == {"lock", "redis.log"}


def test_a_long_folder_name_gets_a_short_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    with PrivateRedis(folder) as url:
        assert len(url) < 107
        with connect(url) as client:
            client.set("a", b"1")
        socket = Path(url.removeprefix("unix://"))
    assert not socket.parent.exists()
    again = PrivateRedis(folder)
    assert again.start() == again.url
    again.stop()
    assert again.start() == again.url, "who knows the address may keep it"
    again.stop()
    with PrivateRedis(folder) as url, connect(url) as client:
        assert client.get("a") == b"1"


def test_kill_9_of_the_server_loses_no_acknowledged_label(tmp_path: Path) -> None:
    """Labels are written while it is killed; the observer is this process."""
    num_queries = 3000
    server = PrivateRedis(tmp_path)
    url = server.start()
    acknowledged: list[str] = []
    try:
        with connect(url) as client:
            database, queue = ComparisonDatabase(client, "run"), QueryQueue(client, "run")
            database.clips.put(one_step_clip(f"c{n}") for n in range(2))
            database.offer([Query(f"q{n}", "c0", "c1", 0.0, 0, 0.0) for n in range(num_queries)])

            def kill() -> None:
                while len(acknowledged) < 50:
                    time.sleep(0.001)
                process_id = server.process_id
                assert process_id is not None
                os.kill(process_id, signal.SIGKILL)

            killer = threading.Thread(target=kill)
            killer.start()
            with pytest.raises(redis.ConnectionError):  # noqa: PT012, it is not known which call fails
                while True:
                    lease = queue.claim("ann")
                    assert lease is not None
                    queue.complete(lease, Answer.LEFT, f"l-{lease.query_id}")
                    acknowledged.append(f"l-{lease.query_id}")
            killer.join()
            assert server.start() == url
            kept = [label.label_id for label in database.labels_since(START, limit=num_queries)[0]]
            assert 50 <= len(acknowledged) < num_queries
            assert kept[: len(acknowledged)] == acknowledged
            assert len(kept) <= len(acknowledged) + 1, "at most the one whose reply was lost"
            assert database.num_labels() == len(kept)
            assert queue.claim("ann") is not None, "the same client goes on"
    finally:
        server.stop()


def test_the_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.3)
    try:
        with connect(server.url) as client:
            assert client.ping()
    finally:
        server.stop()


def test_the_server_dies_with_a_process_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from cluster.redis_server import PrivateRedis;"
        "server = PrivateRedis(Path(sys.argv[1])); server.start(); print(server.process_id, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        process_id = int(process.stdout.readline())
        process.kill()
    wait_until(lambda: not lives(process_id), 10, "the server to be gone")
    with PrivateRedis(tmp_path) as url, connect(url) as client:  # its leftovers do no harm
        assert client.ping()


def test_ctrl_c_in_the_terminal_is_not_for_the_server(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path)
    server.start()
    try:
        assert server.process_id is not None
        assert os.getpgid(server.process_id) != os.getpgid(0)
        assert os.getsid(server.process_id) != os.getsid(0)
    finally:
        server.stop()


def test_two_servers_never_write_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "STOP_TIMEOUT_S", 0.1)
    with PrivateRedis(tmp_path) as url:
        second = PrivateRedis(tmp_path)
        with pytest.raises(RedisServerError, match="another process is using"):
            second.start()
        assert second.process_id is None
        with connect(url) as client:
            assert client.ping()
        assert (tmp_path / "redis" / "url").exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RedisServerError, match="choose another with --run"):
        PrivateRedis(tmp_path / "file").start()


def test_a_server_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path) as url, connect(url) as client:
        client.set("a", b"1" * 1000)
    for part in (tmp_path / "redis").rglob("*.aof"):
        part.write_bytes(b"this is no append-only file\n" * 10)
    server = PrivateRedis(tmp_path)
    with pytest.raises(RedisServerError, match=r"(?i)ended at its start, saying .*aof"):
        server.start()
    assert server.process_id is None


def test_no_server_at_all_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.access(find_server(), os.X_OK)
    monkeypatch.setattr(redis_server.shutil, "which", lambda _name: None)
    assert "valkey" in str(find_server())
    monkeypatch.setattr(redis_server, "_BUNDLED", ())
    with pytest.raises(RedisServerError, match="--redis"):
        find_server()
