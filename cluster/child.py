"""A process that ends with us: its parent's death, however sudden, ends it by a signal from the kernel (Linux).

Linux sends that signal when the *thread* that started the child ends, so a thread of its own starts it and stays as
long as it lives. Not a preexec_fn, which may deadlock in a process with threads.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

# Runs before the program in its process: asks for SIGTERM when the parent dies, then becomes the program.
_LAUNCH = """
import os, sys
parent, arguments = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == parent:
    os.execv(arguments[0], arguments)
"""

Process = subprocess.Popen[bytes]


def spawn(
    arguments: Sequence[str],
    keep: Callable[[Process], None],
    pass_fds: Sequence[int] = (),
    log: int = subprocess.DEVNULL,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Start `arguments` (an absolute path first) and hand the process to `keep` at once, on the thread that started it:
    an interrupt may come before this returns. `log`: a descriptor for its output. `environment` is added to ours: the
    place for secrets, which an argument list would show to everybody. Raises OSError."""
    failed: list[BaseException] = []
    ready = threading.Event()

    def start() -> None:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C in the terminal is for the run, which then stops its children
                pass_fds=pass_fds,
            )
        except BaseException as error:
            failed.append(error)
            ready.set()
            return
        keep(process)
        ready.set()
        process.wait()

    threading.Thread(target=start, name="keeper", daemon=True).start()
    ready.wait()
    if failed:
        raise failed[0]


def end(process: Process, timeout_s: float) -> None:
    """Ask it to go; by force if it does not."""
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
