"""`ray up deploy/local.yaml` for real: over SSH to two hosts, to a finished run on both, to `ray down`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.loopback_hosts import Hosts, loopback_hosts, missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing()), reason=missing() or "it can run"),
]

ROOT = Path(__file__).parents[2]
TRAIN = (
    "cd ~/twoclips && deploy/node.sh run twoclips train half-cheetah --address auto --workers 3 --labels 20 "
    "--steps 8192 --set loop.warmup_steps=4096 --set loop.pretrain_steps=20 --set rollout.steps=128 "
    "--set rollout.num_envs=4 --run runs/one --json"
)


@dataclass(frozen=True)
class Launcher:
    """The machine at which somebody types: `ray` with a home of its own, where the token is."""

    home: Path
    cluster_file: Path

    def ray(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ray")), *arguments],
            cwd=ROOT,
            env={**os.environ, "HOME": str(self.home), "RAY_AUTH_MODE": "token"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with loopback_hosts(2, tmp_path) as hosts:
        yield hosts


@pytest.fixture
def launcher(hosts: Hosts, tmp_path: Path) -> Launcher:
    """The shipped file, with nothing but its four marked lines filled in."""
    text = (ROOT / "deploy" / "local.yaml").read_text()
    filled = {
        "head_ip": hosts.addresses[0],
        "worker_ips": json.dumps(hosts.addresses[1:]),
        "ssh_user": "root",
        "ssh_private_key": str(hosts.key),
    }
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if "# fill in:" in line:
            name = line.strip().partition(":")[0]
            lines[index] = f"  {name}: {filled.pop(name)}"
    assert not filled, "the file has a marked line for each"
    (tmp_path / "local.yaml").write_text("\n".join(lines))
    return Launcher(tmp_path / "launcher", tmp_path / "local.yaml")


def test_the_local_file_brings_up_a_cluster_trains_on_it_and_takes_it_down(hosts: Hosts, launcher: Launcher):
    file = str(launcher.cluster_file)
    launcher.home.mkdir()
    launcher.ray("get-auth-token", "--generate")
    said = launcher.ray("up", "-y", "--no-config-cache", file)
    deadline = time.monotonic() + 120
    while "2 local.cluster.node" not in launcher.ray("exec", file, "ray status"):
        assert time.monotonic() < deadline, "the worker did not join"
        time.sleep(2)
    found = launcher.ray("exec", file, "cd ~/twoclips && deploy/node.sh run twoclips doctor --address auto --workers 3")
    assert "2 alive" in found
    assert "from 2 nodes" in found
    assert f"{2 * (os.cpu_count() or 1)} in the cluster, 3 needed" in found
    said += (told := launcher.ray("exec", file, TRAIN))
    summary = json.loads(next(line for line in told.splitlines() if line.startswith('{"task"')))
    assert (summary["steps"] >= 8192, summary["labels"], summary["policy_lag_max"]) == (True, 20, 1)
    assert "half-cheetah learned from 20 comparisons" in told

    head = hosts.homes[0]
    written = [path for path in (head / "twoclips" / "runs").rglob("*") if path.is_file()]
    assert any(path.name == "config.toml" for path in written)
    arguments = _arguments()
    secrets = [*(head / ".twoclips").glob("*.password"), launcher.home / ".ray" / "auth_token"]
    assert len(secrets) == 6
    for secret in (path.read_bytes().strip() for path in secrets):
        assert not [path for path in written if secret in path.read_bytes()]
        assert not [line for line in arguments if secret in line]
        assert secret.decode() not in said
    assert not (hosts.homes[1] / ".twoclips").exists()  # who rolls out holds no key to the labels

    launcher.ray("down", "-y", file)
    deadline = time.monotonic() + 100
    while left := [line for home in hosts.homes for line in _arguments() if b"raylet" in line and _of(home, line)]:
        assert time.monotonic() < deadline, left
        time.sleep(1)
    assert list((head / ".twoclips" / "redis").rglob("*.aof"))  # labels outlive the cluster


def _of(home: Path, line: bytes) -> bool:
    return str(home).encode() in line


def _arguments() -> list[bytes]:
    """Argument lists of all processes, as any user of the machine may read them."""
    lines: list[bytes] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(path.read_bytes())
    return lines
