from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from cluster import machine as module
from cluster.machine import process_space, processor_s
from cluster.ray_member import local_process


def test_it_is_the_same_for_every_process_of_this_machine_whatever_its_host_is_called() -> None:
    code = "import socket; socket.gethostname = lambda: 'another'; from cluster.machine import process_space"
    told = subprocess.run([sys.executable, "-c", f"{code}; print(process_space())"], capture_output=True, text=True)
    assert told.stdout.strip() == process_space()


def test_a_process_of_another_container_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_process((process_space(), 42)) == 42
    assert local_process(("another", 42)) is None
    module.process_space.cache_clear()
    monkeypatch.setattr(module.os, "stat", lambda _: (_ for _ in ()).throw(FileNotFoundError))
    monkeypatch.setattr(module.socket, "gethostname", lambda: "mac")
    assert process_space() == "mac"
    module.process_space.cache_clear()


def test_processor_time_is_that_of_all_processes() -> None:
    before_s, process = time.process_time(), psutil.Process()
    assert 2 * before_s - 0.1 <= processor_s(process, process) <= 2 * time.process_time() + 0.1
