"""Invites work once, sessions end, and Redis never holds what would let its reader label."""

from __future__ import annotations

import pytest

from labeling import labelers
from labeling.labelers import InviteError, LabelerPool
from reward_service.database import ComparisonDatabase

pytestmark = pytest.mark.redis


@pytest.fixture
def pool(database: ComparisonDatabase) -> LabelerPool:
    return LabelerPool(database.client, database.run_id)


def test_an_invite_begins_one_session_and_no_second(pool: LabelerPool) -> None:
    invite = pool.invite("anna")
    assert pool.whois(pool.join(invite)) == "anna"
    with pytest.raises(InviteError, match="ask for a new one"):
        pool.join(invite)


def test_every_invite_makes_a_labeler_of_its_own(pool: LabelerPool) -> None:
    names = {pool.whois(pool.join(pool.invite())) for _ in range(5)}
    assert len(names) == 5


def test_an_expired_invite_and_an_unknown_one_open_nothing(pool: LabelerPool) -> None:
    for invite in (pool.invite("anna", expires_s=-1.0), "no-such-invite"):
        with pytest.raises(InviteError):
            pool.join(invite)


def test_a_revoked_labeler_is_nobody(pool: LabelerPool) -> None:
    anna, ben = pool.join(pool.invite("anna")), pool.join(pool.invite("ben"))
    pool.revoke("anna")
    assert (pool.whois(anna), pool.whois(ben)) == (None, "ben")
    assert pool.whois(pool.join(pool.invite("anna"))) is None


@pytest.mark.parametrize("limit", ["IDLE_S", "ABSOLUTE_S"])
def test_a_session_ends_idle_or_old(pool: LabelerPool, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    token = pool.join(pool.invite("anna"))
    assert pool.whois(token) == "anna"
    monkeypatch.setattr(labelers, limit, 0.0)
    assert pool.whois(token) is None
    monkeypatch.undo()
    assert pool.whois(token) is None  # over is over


def test_redis_holds_digests_only(pool: LabelerPool, database: ComparisonDatabase) -> None:
    invite = pool.invite("anna")
    token = pool.join(pool.invite("ben"))
    kept = repr([database.client.hgetall(f"{pool.prefix}{name}") for name in ("invites", "sessions")])
    assert "anna" in kept
    assert "ben" in kept
    assert invite not in kept
    assert token not in kept
