"""Machines of one's own for a test of `ray up`: namespaces of this one, each with an address, processes and a home.

Each host is an SSH server in namespaces of its own (network, processes, mounts, host name), so that `ray stop` on one
ends nothing elsewhere, and ports, /tmp/ray and ~ are its own. What it shares with this machine is the rest of the file
system. Its ~/twoclips/.venv sees the packages of the Python that runs the test: the shipped setup commands run as they
are, and pip finds that it need not download anything. Nothing leaves this machine: the bridge has no other end.
"""

from __future__ import annotations

import os
import shutil
import signal
import site
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NETWORK = "10.231.77"

_BOOT = """
set -e
hostname {name}
mkdir -p /tmp/ray /run/sshd
mount -t tmpfs tmpfs /tmp/ray
mount --bind {folder}/passwd /etc/passwd
exec /usr/sbin/sshd -D -e -f {folder}/sshd_config
"""

_SSHD = """
ListenAddress {address}:22
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PasswordAuthentication no
UsePAM no
StrictModes no
PermitRootLogin yes
PidFile none
"""


@dataclass(frozen=True)
class Hosts:
    """Addresses of the hosts, the key that opens them, and their homes as this machine sees them."""

    addresses: list[str]
    key: Path
    homes: list[Path]


def missing() -> str:
    """Why this machine cannot have such hosts; "" where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux, for namespaces"
    lacking = [name for name in ("/usr/sbin/sshd", "ssh", "rsync", "ip", "unshare", "make") if not shutil.which(name)]
    if lacking:
        return f"needs {', '.join(lacking)}"
    probe = subprocess.run(["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "true"], capture_output=True)
    return "" if probe.returncode == 0 else "needs to be allowed namespaces"


@contextmanager
def loopback_hosts(count: int, folder: Path) -> Iterator[Hosts]:
    """`count` hosts that answer SSH, until the block ends; none of their processes is left."""
    tag = uuid.uuid4().hex[:6]
    with ExitStack() as stack:
        key = folder / "key"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        bridge = stack.enter_context(_bridge(tag))
        addresses = [f"{NETWORK}.{10 + index}" for index in range(count)]
        homes = [
            stack.enter_context(_host(folder / address, address, bridge, f"{tag}{index}", key))
            for index, address in enumerate(addresses)
        ]
        for address in addresses:
            _wait_for_ssh(address, key)
        yield Hosts(addresses, key, homes)


@contextmanager
def _host(folder: Path, address: str, bridge: str, tag: str, key: Path) -> Iterator[Path]:
    home = folder / "home"
    home.mkdir(parents=True)
    _equip(home)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key"))
    shutil.copy(key.with_suffix(".pub"), folder / "authorized_keys")
    (folder / "passwd").write_text(f"root:x:0:0:root:{home}:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n")
    (folder / "sshd_config").write_text(_SSHD.format(address=address, folder=folder))
    with _network(address, bridge, tag) as space:
        boot = _BOOT.format(name=f"host{tag}", home=home, folder=folder)
        with (folder / "sshd.log").open("w") as log:
            # killing `unshare` kills the first process of the namespace, and with it every other
            namespaces = ["--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc"]
            server = subprocess.Popen(
                ["ip", "netns", "exec", space, "unshare", *namespaces, "sh", "-c", boot], stdout=log, stderr=log
            )
        try:
            yield home
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()


@contextmanager
def networks(count: int) -> Iterator[list[tuple[str, str]]]:
    """Names of `count` network namespaces that reach each other, and their addresses. What shares one is a host as far
    as the network goes: its cable is `ip link set NAMEo down`."""
    tag = uuid.uuid4().hex[:6]
    with ExitStack() as stack:
        bridge = stack.enter_context(_bridge(tag))
        addresses = [f"{NETWORK}.{10 + index}" for index in range(count)]
        yield [
            (stack.enter_context(_network(address, bridge, f"{tag}{index}")), address)
            for index, address in enumerate(addresses)
        ]


@contextmanager
def _bridge(tag: str) -> Iterator[str]:
    bridge = f"tc{tag}"
    run("ip", "link", "add", bridge, "type", "bridge")
    try:
        run("ip", "addr", "add", f"{NETWORK}.1/24", "dev", bridge)
        run("ip", "link", "set", bridge, "up")
        yield bridge
    finally:
        run("ip", "link", "del", bridge)


@contextmanager
def _network(address: str, bridge: str, tag: str) -> Iterator[str]:
    space, outer, inner = f"tc{tag}", f"tc{tag}o", f"tc{tag}i"
    run("ip", "netns", "add", space)
    try:
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space)
        run("ip", "link", "set", outer, "master", bridge, "up")
        run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", inner)
        run("ip", "-n", space, "link", "set", inner, "up")
        run("ip", "-n", space, "link", "set", "lo", "up")
        yield space
    finally:
        run("ip", "netns", "del", space)


def _equip(home: Path) -> None:
    """A .venv in which every package of this one is installed already, but not this tree."""
    (home / ".bashrc").touch()
    environment = home / "twoclips" / ".venv"
    run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    packages = next(path for path in site.getsitepackages() if Path(path, "ray").exists())
    own = next(environment.glob("lib/python*/site-packages"))
    (own / "shared.pth").write_text(packages + "\n")
    script = environment / "bin" / "ray"
    script.write_text(f"#!{environment}/bin/python\nfrom ray.scripts.scripts import main\n\nmain()\n")
    script.chmod(0o755)


def _wait_for_ssh(address: str, key: Path) -> None:
    options = ["-i", str(key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    deadline = time.monotonic() + 20
    while subprocess.run(["ssh", *options, f"root@{address}", "true"], capture_output=True).returncode:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the SSH server on {address} does not answer")
        time.sleep(0.2)


def run(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()}")
