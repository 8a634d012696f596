"""Passwords come from the environment and are not written down."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from actors.tasks import make_task
from cluster.config import load_config, save_config
from cluster.configure import make_config
from reward_service.address import REDIS_VARIABLE, has_password, with_password, without_password
from reward_service.client import DatabaseError, connect

ADDRESS = "redis://driver:s3cret@host:6380"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (ADDRESS, "redis://driver@host:6380"),
        ("rediss://:s3cret@host:6380/0", "rediss://host:6380/0"),
        ("unix://driver:s3cret@/run/redis.sock?db=1", "unix://driver@/run/redis.sock?db=1"),
        ("redis://driver@host", "redis://driver@host"),
        ("redis://[::1]:6380", "redis://[::1]:6380"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis://driver:s3/cr@t@[host", "redis://driver@[host"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str):
    assert without_password(address) == shown
    assert has_password(address) == (address != shown)


def test_a_stored_address_finds_its_password_in_the_environment(monkeypatch: pytest.MonkeyPatch):
    stored = without_password(ADDRESS)
    assert with_password(stored) == stored
    monkeypatch.setenv(REDIS_VARIABLE, ADDRESS)
    assert with_password(stored) == ADDRESS
    assert with_password("redis://driver@other:6380") == "redis://driver@other:6380"  # of another server
    assert with_password("") == ""  # a run with a private server keeps it


def test_a_runs_configuration_never_holds_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "config.toml"
    save_config(make_config(make_task("hopper"), {"redis": ADDRESS}), file)
    assert tomllib.loads(file.read_text())["redis"] == "redis://driver@host:6380"
    assert load_config(file).redis == "redis://driver@host:6380"
    monkeypatch.setenv(REDIS_VARIABLE, ADDRESS)
    assert load_config(file).redis == ADDRESS


def test_a_wrong_address_is_named_without_its_password():
    with pytest.raises(DatabaseError) as raised:
        connect("http://driver:s3cret@host:6380")
    assert "http://driver@host:6380" in str(raised.value)
    assert "s3cret" not in str(raised.value)
