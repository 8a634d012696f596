import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest
import redis

from actors.trajectory import Clip, Segment
from cluster.redis_server import PrivateRedis
from labeling.queue import QueryQueue
from reward_service.codec import encode_clip
from reward_service.comparison_rows import rows_of
from reward_service.comparisons import Answer, Comparison, Label, Offered, Query, Retraction, Unreadable
from reward_service.database import START, ComparisonDatabase, DatabaseError, check_writable, connect
from reward_service.keys import BadIdError

pytestmark = pytest.mark.redis
NAN = float("nan")


def clip(number: int) -> Clip:
    rng = np.random.default_rng(number)
    segment = Segment(rng.normal(size=(10, 4)).astype(np.float32), rng.normal(size=(10, 2)).astype(np.float32))
    return Clip(f"clip{number}", segment, np.zeros((10, 0), np.float32), float(number), 0)


def query(name: str, left: int, right: int, disagreement: float = NAN) -> Query:
    return Query(name, f"clip{left}", f"clip{right}", disagreement, 0, 0.0)


def label(
    name: str,
    answer: Answer | None = Answer.LEFT,
    retracts: str = "",
    surplus: bool = False,
    query: str = "imported",
) -> Label:
    return Label("", name, query, "bob", answer, retracts, 12.5, surplus)


def with_budget_for(num_clips: float, database: ComparisonDatabase) -> ComparisonDatabase:
    size = max(len(encode_clip(clip(number))) for number in range(10))
    return ComparisonDatabase(database.client, database.run_id, int(num_clips * size))


def test_clips_come_back_as_they_went_in(database: ComparisonDatabase) -> None:
    assert database.clips.put([clip(number) for number in range(100)]) == [True] * 100
    back = database.clips.one("clip42")
    assert back is not None
    np.testing.assert_array_equal(back.segment.observations, clip(42).segment.observations)
    assert back.true_return == 42.0
    assert database.clips.one("clip100") is None
    assert list(database.clips.get(["clip3", "clip100", "clip3", "clip1"])) == ["clip3", "clip1"]


def test_a_full_budget_drops_the_oldest_clips_that_no_query_names(database: ComparisonDatabase) -> None:
    small = with_budget_for(4, database)
    small.clips.put(map(clip, range(4)))
    assert small.offer([query("q", 0, 2)]) == [True]
    small.clips.put([clip(1)])  # stored again: it is the newest now
    assert small.clips.put([clip(4)]) == [True]
    assert set(small.clips.get(f"clip{number}" for number in range(5))) == {"clip0", "clip1", "clip2", "clip4"}
    assert small.counts()["clips_dropped"] == 1
    assert small.counts()["clips"] == 4
    assert small.counts()["clip_bytes"] <= small.clips.budget_bytes


def test_when_all_is_named_clips_are_refused_and_labels_are_not(database: ComparisonDatabase) -> None:
    small = with_budget_for(2, database)
    small.clips.put([clip(0), clip(1)])
    small.offer([query("q", 0, 1)])
    assert small.clips.put([clip(2), clip(3)]) == [False, False]
    assert small.counts()["clips_refused"] == 2
    queue = QueryQueue(database.client, database.run_id)
    lease = queue.claim("ann")
    assert lease is not None
    queue.complete(lease, Answer.LEFT, "l1")
    small.import_comparison(clip(5), clip(6), label("l2"))
    assert small.num_labels() == 2
    assert len(small.comparisons_since(START)[0]) == 2


def test_a_withdrawn_querys_clips_may_be_dropped_again(database: ComparisonDatabase) -> None:
    small = with_budget_for(2, database)
    queue = QueryQueue(database.client, database.run_id)
    small.clips.put([clip(0), clip(1)])
    small.offer([query("q", 0, 1)])
    lease = queue.claim("ann")
    assert lease is not None
    assert queue.withdraw("q")
    assert not queue.withdraw("q")
    assert small.clips.put([clip(2)]) == [False], "somebody is still looking at them"
    assert queue.complete(lease, Answer.LEFT, "l1").surplus
    assert small.clips.put([clip(2)]) == [False], "a label names them"
    assert small.num_open_queries() == 0

    other = ComparisonDatabase(database.client, uuid.uuid4().hex, small.clips.budget_bytes)
    queue = QueryQueue(database.client, other.run_id)
    other.clips.put([clip(0), clip(1)])
    other.offer([query("q", 0, 1)])
    assert queue.withdraw("q")
    assert other.clips.put([clip(2), clip(3)]) == [True, True]
    assert other.clips.one("clip0") is None
    assert other.counts()["clip_bytes"] <= other.clips.budget_bytes


def test_a_query_needs_both_clips(database: ComparisonDatabase) -> None:
    database.clips.put([clip(0), clip(1)])
    assert database.offer([query("a", 0, 7), query("b", 0, 1, 0.2), query("c", 7, 8)]) == [False, True, False]
    assert database.offer([query("b", 0, 1, 0.2)]) == [Offered.KNOWN], "repeating changes nothing"
    assert database.offer([query("b", 1, 0)]) == [False], "an id names one pair"
    assert database.counts()["queries"] == database.num_open_queries() == 1
    stored = database.get_query("b")
    assert stored is not None
    assert (stored.left, stored.right, stored.disagreement) == ("clip0", "clip1", 0.2)
    assert stored.asked_at_s > 1.6e9
    assert database.get_query("a") is None
    assert database.offer([]) == []


@pytest.mark.parametrize("ending", ["answered", "withdrawn"])
def test_what_is_asked_no_longer_is_known_and_not_queued_again(database: ComparisonDatabase, ending: str) -> None:
    database.clips.put([clip(0), clip(1)])
    assert database.offer([query("q", 0, 1)]) == [Offered.QUEUED]
    queue = QueryQueue(database.client, database.run_id)
    if ending == "withdrawn":
        assert queue.withdraw("q")
    else:
        lease = queue.claim("ann")
        assert lease is not None
        queue.complete(lease, Answer.LEFT, "l1")
    assert database.offer([query("q", 0, 1)]) == [Offered.KNOWN]
    assert Offered.KNOWN, "no refusal"
    assert database.num_open_queries() == 0


def test_the_log_is_read_in_order_from_a_cursor(database: ComparisonDatabase) -> None:
    database.clips.put(map(clip, range(8)))
    database.offer([query(f"q{number}", number, number + 1, float(-number)) for number in range(7)])
    queue = QueryQueue(database.client, database.run_id)
    for number in range(7):
        lease = queue.claim("ann")
        assert lease is not None
        queue.complete(lease, [Answer.LEFT, Answer.INCOMPARABLE][number % 2], f"l{number}")
    queue.retract("ann", "l2", "r2")

    cursor, read = START, []
    while True:
        page, cursor = database.comparisons_since(cursor, limit=3)
        if not page:
            break
        read += page
    assert [entry.label.label_id for entry in read] == [*(f"l{number}" for number in range(7)), "r2"]
    assert isinstance(read[-1], Retraction)
    assert read[-1].label.retracts == "l2"
    assert read[-1].label.answer is None
    third = read[3]
    assert isinstance(third, Comparison)
    assert third.label.answer is Answer.INCOMPARABLE
    assert (third.left_true_return, third.right_true_return) == (3.0, 4.0)
    np.testing.assert_array_equal(third.right.actions, clip(4).segment.actions)
    assert database.comparisons_since(cursor) == ([], cursor)
    assert [entry.label_id for entry in database.labels_since(START)[0]] == [entry.label.label_id for entry in read]
    assert database.num_labels() == 6
    assert database.counts()["labels_incomparable"] == 3
    assert database.sides_of(["q0", "nothing"]) == {"q0": ("clip0", "clip1")}


def test_a_gold_query_keeps_its_better_side_up_to_the_trainer(database: ComparisonDatabase) -> None:
    database.clips.put(map(clip, range(4)))
    golden = replace(query("gold", 0, 1, 0.01), gold="right")
    assert database.offer([query("q", 2, 3, 0.1), golden], [0.1, 0.2]) == [True, True]
    assert database.offer([query("gold", 0, 1, 0.01)]) == [Offered.KNOWN], "offered again it stays what it was"
    assert database.get_query("gold") == replace(golden, asked_at_s=ANY)
    assert database.golds_of(["gold", "q", "gold", "nothing"]) == {"gold": "right", "q": "", "nothing": ""}
    queue = QueryQueue(database.client, database.run_id)
    for asked in ("gold", "q"):  # by priority, which was given apart from the disagreement
        lease = queue.claim("ann")
        assert lease is not None
        assert lease.query_id == asked
        queue.complete(lease, Answer.LEFT, f"label-{asked}")
    read = database.comparisons_since(START)[0]
    assert [entry.gold for entry in read if isinstance(entry, Comparison)] == ["right", ""]
    with pytest.raises(ValueError, match="better side"):
        replace(golden, gold="up")


def test_a_run_reads_into_another_as_it_was(database: ComparisonDatabase) -> None:
    assert database.import_comparison(clip(0), clip(1), label("l1"), "left")
    assert not database.import_comparison(clip(0), clip(1), label("l1"), "left")
    assert database.golds_of(["imported"]) == {"imported": "left"}
    assert database.import_comparison(clip(0), clip(1), label("l2", Answer.TIE, surplus=True))
    assert database.import_comparison(clip(0), clip(1), label("r1", None, "l1"))
    assert not database.import_comparison(clip(0), clip(1), label("r1", None, "l1"))
    labels = database.labels_since(START)[0]
    assert [(entry.label_id, entry.answer, entry.retracts) for entry in labels] == [
        ("l1", Answer.LEFT, ""),
        ("l2", Answer.TIE, ""),
        ("r1", None, "l1"),
    ]
    assert {entry.answered_at_s for entry in labels} == {12.5}
    assert database.num_labels() == 0
    assert [entry.label.label_id for entry in database.comparisons_since(START)[0]] == ["l1", "r1"]
    assert QueryQueue(database.client, database.run_id).claim("ann") is None


def test_an_import_that_contradicts_what_is_there_is_refused(database: ComparisonDatabase) -> None:
    database.import_comparison(clip(0), clip(1), label("l1"))
    for left, right, wrong in [
        (clip(0), clip(1), label("l1", Answer.RIGHT)),
        (clip(0), clip(2), label("l3")),
        (clip(0), clip(1), label("r1", None, "nothing")),
        (clip(0), clip(0), label("l4")),
        (clip(0), clip(1), label("l5", None)),
    ]:
        with pytest.raises(DatabaseError):
            database.import_comparison(left, right, wrong)
    assert [entry.label_id for entry in database.labels_since(START)[0]] == ["l1"]


def test_a_label_whose_clip_was_lost_is_told_not_skipped(database: ComparisonDatabase) -> None:
    database.import_comparison(clip(0), clip(1), label("l1"))
    database.client.delete(f"{database.prefix}clip:clip1")
    with pytest.raises(DatabaseError, match="gone"):
        database.comparisons_since(START)
    assert len(database.labels_since(START)[0]) == 1


def test_a_label_whose_clip_cannot_be_read_does_not_keep_the_others_from_being_read(
    database: ComparisonDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        database.import_comparison(clip(2 * number), clip(2 * number + 1), label(f"l{number}", query=f"q{number}"))
    database.import_comparison(clip(2), clip(3), label("r1", None, "l1", query="q1"))
    newer = bytearray(encode_clip(clip(3)))
    newer[4] += 1  # the format's version
    database.client.set(f"{database.prefix}clip:clip3", bytes(newer))
    items, _ = database.comparisons_since(START)
    assert [type(item) for item in items] == [Comparison, Unreadable, Comparison, Retraction]
    assert [item.label.label_id for item in items] == ["l0", "l1", "l2", "r1"]
    assert "label l1 is left out: its clip clip3 cannot be read" in caplog.messages
    gone: list[Label] = []
    unreadable: list[Label] = []
    assert [row.label.label_id for row in rows_of(database, gone.append, unreadable.append)] == ["l0", "l2"]
    assert (gone, [each.label_id for each in unreadable]) == ([], ["l1", "r1"])
    assert [row.label.label_id for row in rows_of(database, gone.append)] == ["l0", "l2"]
    assert [each.label_id for each in gone] == ["l1", "r1"], "whoever asks for one figure is told of all"


def test_rows_need_nothing_of_a_query_but_its_labels(database: ComparisonDatabase) -> None:
    """An import of before it kept the query of its label may have lost it."""
    database.import_comparison(clip(0), clip(1), label("l1"))
    database.client.delete(f"{database.prefix}query:imported")
    assert [row.label.label_id for row in rows_of(database)] == ["l1"]


def test_only_newer_snapshots_are_kept(database: ComparisonDatabase) -> None:
    assert database.snapshots.version() == 0
    assert database.snapshots.get() is None
    payload = bytes(range(256))
    assert database.snapshots.put(2, payload)
    assert not database.snapshots.put(2, b"same")
    assert not database.snapshots.put(1, b"older")
    assert database.snapshots.get() == (2, payload)
    assert database.snapshots.put(10, b"newer")
    assert database.snapshots.version() == 10


def test_the_first_snapshot_that_saw_a_label_can_be_found(database: ComparisonDatabase) -> None:
    """A service that starts anew reads the log from its beginning: what it publishes meanwhile saw nothing new."""
    cursors = ["0-0", "1700000000000-0", "1700000000000-0", "1700000000000-2", "1600000000000-0", "1700000000001-0"]
    for version, cursor in enumerate(cursors, 1):
        assert database.snapshots.put(version, b"model", cursor)
    assert not database.snapshots.put(6, b"model", "1800000000000-0")
    kept = database.snapshots.publications()
    assert [cursor for cursor, _ in kept] == [cursors[1], cursors[3], cursors[5]]
    assert all(abs(at_s - database.now_s()) < 10 for _, at_s in kept)
    for version in range(7, 300):
        database.snapshots.put(version, b"model", f"1700000000001-{version}")
    assert len(database.snapshots.publications()) == 256


def test_a_status_carries_the_servers_time(database: ComparisonDatabase) -> None:
    database.set_status("learner", {"steps": 1})
    database.set_status("learner", {"steps": 2, "note": "a b"})
    status = database.status_of("learner")
    assert status.pop("updated_at_s") > 1.6e9
    assert status == {"steps": 2, "note": "a b"}
    assert database.status_of("nobody") == {}


def test_two_runs_on_one_server_do_not_meet(database: ComparisonDatabase) -> None:
    other = ComparisonDatabase(database.client, f"{database.run_id}2")
    database.clips.put([clip(0), clip(1)])
    database.offer([query("q", 0, 1)])
    database.snapshots.put(3, b"x")
    database.set_status("learner", {})
    assert other.clips.one("clip0") is None
    assert other.offer([query("q", 0, 1)]) == [False]
    assert QueryQueue(database.client, other.run_id).claim("ann") is None
    assert other.snapshots.version() == other.counts()["queries"] == 0
    assert other.status_of("learner") == {}


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "x" * 129, "ä", "a\n", "*"])
def test_ids_that_could_confuse_keys_are_refused(database: ComparisonDatabase, bad: str) -> None:
    with pytest.raises(BadIdError):
        ComparisonDatabase(database.client, bad)
    with pytest.raises(BadIdError):
        database.offer([Query(bad, "a", "b", NAN, 0, 0.0)])
    with pytest.raises(BadIdError):
        database.clips.one(bad)
    with pytest.raises(BadIdError):
        ComparisonDatabase(database.client, "run:with:colon")


def test_a_refused_batch_changes_nothing(database: ComparisonDatabase) -> None:
    database.clips.put([clip(0), clip(1)])
    with pytest.raises(BadIdError):
        database.offer([query("q", 0, 1), Query("a b", "clip0", "clip1", NAN, 0, 0.0)])
    assert database.counts()["queries"] == 0


def test_a_good_server_passes_the_check(redis_url: str) -> None:
    with connect(redis_url) as client:
        assert check_writable(client) == []


def test_an_unreachable_server_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be reached"):
        check_writable(connect(f"unix://{tmp_path}/nothing.sock"))
    with pytest.raises(DatabaseError, match="not an address"):
        connect("http://example.org")


def test_servers_that_would_lose_labels_are_refused(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path) as url, connect(url) as client:
        client.config_set("appendonly", "no")
        assert len(check_writable(client)) == 1
        client.config_set("maxmemory", 100_000_000)
        client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(DatabaseError, match="evicts"):
            check_writable(client)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        with pytest.raises(DatabaseError, match="out of memory"):
            check_writable(client)
        client.config_set("maxmemory", 0)
        client.config_set("appendonly", "yes")
        assert check_writable(client) == []
        client.config_set("appendfsync", "everysec")
        assert ["before they are on disk (appendfsync everysec)" in each for each in check_writable(client)] == [True]
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(DatabaseError, match="read-only"):
            check_writable(client)


def test_a_server_without_room_for_the_clips_is_refused(tmp_path: Path) -> None:
    budget = 64 * 1024 * 1024
    with PrivateRedis(tmp_path) as url, connect(url) as client:
        assert check_writable(client, budget) == [], "without a limit there is room"
        client.config_set("maxmemory", budget)
        with pytest.raises(
            DatabaseError, match=r"64 MiB \(maxmemory\).* set its maxmemory to 6\d MiB at least, or lower"
        ):
            check_writable(client, budget)
        assert check_writable(client) == [], "who stores no clips needs none"
        database = ComparisonDatabase(client, "run", budget)
        assert all(database.clips.put(map(clip, range(10))))
        client.hset(f"{database.prefix}counters", "clip_bytes", 32 * 1024 * 1024)
        assert check_writable(client, budget, "run") == [], "what the run has stored is part of its budget"


def test_a_user_who_may_not_ask_for_settings_is_let_in(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path) as url, connect(url) as admin:
        admin.config_set("appendfsync", "everysec")
        admin.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config"])
        assert check_writable(admin) == []
        assert len(admin.acl_log()) == 1
        admin.acl_setuser("ann", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config"])
        with connect(url.replace("unix://", "unix://ann:any@")) as client:
            assert check_writable(client) == []
        assert len(admin.acl_log()) == 1, "one of its own is not asked to do what it may not"


def test_nothing_is_repeated_in_secret(redis_url: str) -> None:
    with connect(redis_url) as client:
        retry = client.get_retry()
        assert retry is not None
        calls: list[int] = []

        def fail() -> None:
            calls.append(1)
            raise redis.ConnectionError("lost")

        with pytest.raises(redis.ConnectionError):
            retry.call_with_retry(fail, lambda _error: None)
        assert len(calls) == 1


def test_the_database_lives_without_torch() -> None:
    code = (
        "import sys, reward_service.database, labeling.queue, labeling.oracle, labeling.schedule, cluster.redis_server;"
        "assert not {'torch', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
