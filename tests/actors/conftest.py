"""Small worlds to act in, and MuJoCo's log kept out of the working directory."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import pytest
import torch

from actors import tasks
from tests.actors.counters import Counter


@pytest.fixture(autouse=True, scope="session")
def quiet_mujoco() -> Iterator[None]:
    """Without this, compiling half_cheetah.xml leaves MUJOCO_LOG.TXT behind."""
    mujoco.set_mju_user_warning(lambda _: None)
    yield
    mujoco.set_mju_user_warning(None)


@pytest.fixture(autouse=True)
def same_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def registered_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(tasks, "_REGISTERED", dict(tasks._REGISTERED))


@pytest.fixture
def counters() -> list[Counter]:
    """The Counters that this test makes, in order."""
    Counter.instances = []
    return Counter.instances
