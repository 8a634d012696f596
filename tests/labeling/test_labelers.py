"""Invites work once, sessions end, and Redis never holds what would let its reader label."""

from __future__ import annotations

import pytest

from labeling import labelers
from labeling.labelers import EVERYBODY, InviteError, LabelerPool, Names, NotFreeError, Person, Role
from reward_service.database import ComparisonDatabase
from tests.labeling.pool import leave_alone, seen_at

pytestmark = pytest.mark.redis


@pytest.fixture
def pool(database: ComparisonDatabase) -> LabelerPool:
    return LabelerPool(database.client, database.run_id)


def anna(role: Role = Role.LABELER) -> Person:
    return Person("anna", role)


def test_an_invite_begins_one_session_and_no_second(pool: LabelerPool) -> None:
    invite = pool.invite("anna")
    assert pool.whois(pool.join(invite)) == anna()
    with pytest.raises(InviteError, match="ask for a new one"):
        pool.join(invite)


def test_every_invite_makes_a_labeler_of_its_own(pool: LabelerPool) -> None:
    names = {pool.whois(pool.join(pool.invite())) for _ in range(5)}
    assert len(names) == 5


def test_who_lost_the_reply_to_an_invite_gets_the_same_session_and_nobody_else_does(
    pool: LabelerPool, database: ComparisonDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite, mine = pool.invite("anna"), "a" * 32
    token = pool.join(invite, mine)
    assert pool.join(invite, mine) == token
    assert pool.whois(token) == anna()
    for other in ("b" * 32, ""):
        with pytest.raises(InviteError):
            pool.join(invite, other)
    assert database.client.hlen(f"{pool.prefix}sessions") == 1
    assert pool.join(pool.invite("ben"), mine) != token, "an id is one browser's, an invite one person's"
    monkeypatch.setattr(labelers, "REPEAT_S", -1.0)
    with pytest.raises(InviteError):
        pool.join(invite, mine)


def test_an_expired_invite_and_an_unknown_one_open_nothing(pool: LabelerPool) -> None:
    for invite in (pool.invite("anna", expires_s=-1.0), "no-such-invite"):
        with pytest.raises(InviteError):
            pool.join(invite)


def test_a_revoked_labeler_is_nobody(pool: LabelerPool) -> None:
    gone, ben = pool.join(pool.invite("anna")), pool.join(pool.invite("ben"))
    pool.revoke("anna")
    assert (pool.whois(gone), pool.whois(ben)) == (None, Person("ben", Role.LABELER))
    assert (pool.is_revoked("anna"), pool.is_revoked("ben")) == (True, False)
    with pytest.raises(NotFreeError, match="anna was revoked"):
        pool.invite("anna")


def test_an_invite_that_was_not_used_before_its_labeler_was_revoked_lets_nobody_in(pool: LabelerPool) -> None:
    unused, admins = pool.invite("anna"), pool.invite("anna", role=Role.ADMIN)
    pool.revoke("anna")
    for invite in (unused, admins):
        token = pool.join(invite, "a" * 32)
        assert pool.whois(token) is None
        assert pool.whois(pool.join(invite, "a" * 32)) is None, "nor when it is sent again"
        assert pool.has_session(token), "it counts as one that is over, not as none at all"


@pytest.mark.parametrize("limit", ["IDLE_S", "ABSOLUTE_S"])
def test_a_session_ends_idle_or_old(pool: LabelerPool, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    token = pool.join(pool.invite("anna"))
    assert pool.whois(token) == anna()
    monkeypatch.setattr(labelers, limit, 0.0)
    assert pool.whois(token) is None
    monkeypatch.undo()
    assert pool.whois(token) is None  # over is over


@pytest.mark.parametrize("has_acted", [True, False])
def test_a_page_that_asks_by_itself_does_not_keep_its_session(
    pool: LabelerPool, database: ComparisonDatabase, has_acted: bool
) -> None:
    token = pool.join(pool.invite("anna"))
    an_hour_ago = leave_alone(database, 3600.0)
    assert pool.whois_all([(token, has_acted)]) == [anna()]
    assert (seen_at(database) == an_hour_ago) != has_acted


def test_redis_holds_digests_only(pool: LabelerPool, database: ComparisonDatabase) -> None:
    invite = pool.invite("anna")
    token = pool.join(pool.invite("ben"))
    kept = repr([database.client.hgetall(f"{pool.prefix}{name}") for name in ("invites", "sessions")])
    assert "anna" in kept
    assert "ben" in kept
    assert invite not in kept
    assert token not in kept


def test_an_invite_carries_its_role_into_the_session(pool: LabelerPool) -> None:
    assert pool.whois(pool.join(pool.invite("anna", role=Role.ADMIN))) == anna(Role.ADMIN)
    named = pool.whois(pool.join(pool.invite(role=Role.ADMIN)))
    assert named is not None
    assert named.labeler.startswith("admin-")


def test_one_is_paused_or_everybody(pool: LabelerPool) -> None:
    pool.pause("anna")
    pool.pause("anna")
    assert (pool.is_paused("anna"), pool.is_paused("ben")) == (True, False)
    assert pool.paused_among(["ben", "anna"]) == {"anna"}
    pool.pause(EVERYBODY)
    pool.pause("anna", False)
    assert (pool.is_paused("anna"), pool.is_paused("ben")) == (True, True)
    pool.pause(EVERYBODY, False)
    assert not pool.is_paused("anna")


def test_a_session_is_seen_once_a_minute_and_keeps_its_role(pool: LabelerPool, database: ComparisonDatabase) -> None:
    token = pool.join(pool.invite("anna", role=Role.ADMIN))
    two_minutes_ago = leave_alone(database, 120.0)
    assert pool.whois(token) == anna(Role.ADMIN)
    seen = seen_at(database)
    assert seen > two_minutes_ago + 119.0
    assert pool.whois(token) == anna(Role.ADMIN)
    assert seen_at(database) == seen


def test_who_has_a_session_or_an_invite_has_a_name_until_that_expires(
    pool: LabelerPool, database: ComparisonDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.join(pool.invite("anna"))
    pool.invite("anna", expires_s=-1.0)
    pool.invite("ben")
    pool.invite("cleo", expires_s=-1.0)
    assert pool.names() == Names({"anna"}, {"ben"}, set(), set())
    assert (database.client.hlen(f"{pool.prefix}sessions"), database.client.hlen(f"{pool.prefix}invites")) == (1, 1)
    monkeypatch.setattr(labelers, "IDLE_S", 1.0)
    leave_alone(database, 2.0)
    assert pool.names() == Names(set(), {"ben"}, set(), set())
    assert not database.client.exists(f"{pool.prefix}sessions")
