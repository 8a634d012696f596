"""`twoclips label`: finds the labeling pages of a run, or serves them, and the run's Redis where that rests."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from actors.replay import drawing_problem
from cluster.label_server import LabelServer, LabelServerError, Served
from cluster.page_address import announced, is_listening
from cluster.redis_server import redis_of
from cluster.run_folder import RunFolder
from cluster.run_status import run_process
from labeling.labelers import LabelerPool, Role
from reward_service.client import connect


@dataclass(frozen=True)
class Serving:
    """Where the pages of a run are, and whether they end with this command."""

    address: str
    run: Served
    is_ours: bool
    explanation: str

    def invites(self, count: int, role: Role = Role.LABELER, name: str = "") -> list[str]:
        """See `invite_links`."""
        with closing(connect(self.run.redis_url)) as client:
            return invite_links(LabelerPool(client, self.run.run_id), self.address, count, role, name)

    def wait(self) -> None:
        """Until Ctrl-C, where the pages are ours; else there is nothing to wait for."""
        while self.is_ours:
            try:
                time.sleep(3600)
            except KeyboardInterrupt:
                return


def admin_page(address: str) -> str:
    """Where an admin sees how the pool of these pages is doing."""
    return f"{address}admin"


def invite_links(pool: LabelerPool, address: str, count: int, role: Role = Role.LABELER, name: str = "") -> list[str]:
    """Links to the pages at `address` that make `count` labelers, or admins, or let in the one of that `name`; each
    works once, for a week. Raises NotFreeError."""
    page = admin_page(address) if role is Role.ADMIN else address
    return [f"{page}#invite={pool.invite(name, role=role)}" for _ in range(count)]


@contextmanager
def serve_labeling(folder: RunFolder, port: int | None = None) -> Generator[Serving]:
    """The pages of a run. A run at work that has them is only found; else a server of our own starts beside its Redis,
    which is started too where the run rests. Raises LabelServerError, RedisServerError."""
    config = folder.config
    if not config.uses_labels:
        raise LabelServerError(f"the run in {folder.path} trains on the true reward and asks nobody: nothing to label")
    if problem := drawing_problem(config.make_task()):
        raise LabelServerError(problem)
    with redis_of(folder.path, config.redis) as (url, _):
        run = Served(config.task, url, folder.run_id)
        if address := _pages_of_run(folder.path):
            yield Serving(address, run, False, "the run serves these pages itself")
            return
        settings = config.labeling if port is None else dataclasses.replace(config.labeling, port=port)
        server = LabelServer(run, folder.path, settings)
        explanation = "Ctrl-C stops the pages; every answer is stored"
        if run_process(folder) is None:
            explanation += (
                ". The run is not at work on this machine: unless it is elsewhere, what is asked was asked before it "
                "stopped"
            )
        with server as address:
            yield Serving(address, run, True, explanation)


def _pages_of_run(path: Path) -> str:
    """Address of the pages that a run at work serves, "" where it serves none."""
    address = announced(path)
    return address if is_listening(address) else ""
