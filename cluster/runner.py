"""Runs one training from its folder: starts what it stands on, and leaves no process behind."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from actors.failures import Failure
from cluster.components import RunSpec, build_database, ray_cores
from cluster.config import RunConfig
from cluster.freed_memory import keep_freed_memory
from cluster.in_process import LocalPool, LocalServices
from cluster.interfaces import RolloutPool, Services
from cluster.interrupts import undisturbed
from cluster.label import admin_page, invite_links
from cluster.label_server import LabelServer, Served
from cluster.page_address import open_page
from cluster.prometheus import RunCollector, redis_figures, serve_metrics
from cluster.redis_care import RedisCare
from cluster.redis_server import PrivateRedis
from cluster.reward_source import RewardSource
from cluster.run_folder import RunFolder
from cluster.status import StatusBoard, StatusFile
from cluster.supervise import Tell
from cluster.tensorboard import EventFiles
from cluster.threads import torch_threads
from cluster.training import Training
from cluster.writing import written_at_last
from labeling.labelers import LabelerPool, Role
from learners.checkpoint import load_checkpoint
from reward_service.address import REWARD_VARIABLE
from reward_service.database import check_writable, connect

Show = Callable[[dict[str, Any]], None]
Part = Callable[[], dict[str, Any]]
"""What status.json says of a part of the run that has a process of its own."""


class Interrupted(Failure, RuntimeError):
    """The run was stopped by Ctrl-C or SIGTERM, after a checkpoint."""


def run_training(
    folder: RunFolder,
    resume: bool,
    show: Show,
    say: Callable[[str], None],
    comparisons: Path | None = None,
    saved: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Train to the end and return the summary that `train --json` prints. `comparisons`: a file to start on. `saved` is
    called after every checkpoint.

    Raises Interrupted after Ctrl-C, or SIGTERM where that is heard as such (`cluster.interrupts`)."""
    keep_freed_memory()
    config = folder.config
    with ExitStack() as stack:
        stack.enter_context(torch_threads(config.loop.learner_threads))

        def tell(component: str, text: str) -> None:
            folder.log_event(text, component)
            say(text)

        url, care = _redis(config, folder, stack, say, tell)
        own = os.environ.get(REWARD_VARIABLE, "") if config.redis else ""
        spec = RunSpec(config, config.make_task(), url, folder.run_id, own)
        if comparisons is not None:
            from cluster.exchange import import_comparisons  # here, not above: it brings pyarrow

            database = build_database(spec)
            count = import_comparisons(comparisons, database)
            say(f"starting on {database.num_labels():,} labels; new rows of {comparisons}: {count:,}")
        parts: list[Part] = [care.as_row] if url else []
        if config.labeler == "human":
            parts.append(_served_pages(spec, folder, stack, say, tell))
        pool, services = _components(spec, stack, tell)
        stack.callback(pool.close)
        status, events = _watched(spec, folder, care, pool, services, parts, stack, say)
        source = RewardSource(spec, services, care)
        training = Training(spec, folder, pool, source, status.watch(events.watch(show)), saved)
        if resume:
            _go_on(training, events, folder, say)
        folder.log_event(f"{'resumed' if resume else 'started'}: {config.task}, {config.algorithm}, seed {config.seed}")
        with written_at_last(lambda: status.close(training.last)):
            _run(training, folder, say)
    folder.log_event("finished")
    return summary(config, training.last, folder.path)


def summary(config: RunConfig, last: dict[str, Any], path: Path) -> dict[str, Any]:
    """What a finished run says of itself; a figure that it does not have is None."""

    def figure(name: str) -> Any:
        value = last.get(name)
        return None if isinstance(value, float) and not math.isfinite(value) else value

    labels = last.get("labels", 0.0)
    return {
        "task": config.task,
        "algorithm": config.algorithm,
        "seed": config.seed,
        "labeler": config.labeler,
        "steps": last.get("agent_steps", 0),
        "labels": int(labels) if labels == labels else 0,
        "true_return": figure("true_return"),
        "predicted_return": figure("predicted_return"),
        "steps_per_second": figure("steps_per_second"),
        "wall_s": figure("wall_s"),
        "policy_lag_max": figure("policy_lag_max"),
        "reward_version": last.get("reward_version", 0),
        "run": str(path),
    }


def _redis(
    config: RunConfig, folder: RunFolder, stack: ExitStack, say: Callable[[str], None], tell: Tell
) -> tuple[str, RedisCare]:
    """Address of the given server, checked, or of a private one that ends with the run; and who sees to it when it no
    longer answers. A baseline needs none."""
    if not config.uses_labels:
        return "", RedisCare("", None, tell)
    url, private = config.redis, None
    if not url:
        private = PrivateRedis(folder.path)
        url = stack.enter_context(private)
    care = RedisCare(url, private, tell)
    stack.callback(care.close)
    with closing(connect(url)) as client:
        for warning in check_writable(client, config.loop.clip_budget_mib * 2**20, folder.run_id):
            say(f"warning: {warning}")
    return url, care


def _served_pages(spec: RunSpec, folder: RunFolder, stack: ExitStack, say: Callable[[str], None], tell: Tell) -> Part:
    """The labeling pages, and whoever sits here told, or shown, where to label."""
    labeling, served = spec.config.labeling, Served(spec.config.task, spec.redis_url, spec.run_id)
    pages = LabelServer(served, folder.path, labeling, tell)
    address = stack.enter_context(pages)
    say(f"label at {address}")
    say(f"admin page {admin_page(address)}")
    if labeling.invited_only:
        with closing(connect(spec.redis_url)) as client:
            [link] = invite_links(LabelerPool(client, spec.run_id), address, 1, Role.ADMIN)
        say(f"nobody gets in without an invite; an admin's: {link}")
    else:
        open_page(address)
    return pages.life.as_row


def _components(spec: RunSpec, stack: ExitStack, tell: Tell) -> tuple[RolloutPool, Services | None]:
    if spec.config.in_process:
        return LocalPool(spec), LocalServices(spec) if spec.config.uses_labels else None
    if not spec.config.address:
        # Ray takes the machine's outward address even where it is told 127.0.0.1; this makes it stay on loopback.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray  # here, not above: a run in one process never waits for it

    from cluster.launch import connect_ray, object_store_bytes, topology

    stack.callback(ray.shutdown)
    connect_ray(spec.config.address, ray_cores(spec.config), object_store_bytes(spec))
    return topology(spec, tell)


def _watched(
    spec: RunSpec,
    folder: RunFolder,
    care: RedisCare,
    pool: RolloutPool,
    services: Services | None,
    parts: Sequence[Part],
    stack: ExitStack,
    say: Callable[[str], None],
) -> tuple[StatusFile, EventFiles]:
    """Where the run says how it is doing: its folder, the pages, Prometheus. `parts`: of its processes those that are
    neither workers nor services."""
    config = spec.config
    status = StatusFile(folder, StatusBoard(build_database(spec), config, care) if spec.redis_url else None)

    def components() -> list[dict[str, Any]]:
        lives = [*pool.lives(), *(services.lives() if services else [])]  # workers may come and go
        return [part() for part in parts] + [life.as_row() for life in lives]

    status.components = components
    measured = RunCollector(
        {"run": folder.run_id, "task": config.task, "algorithm": config.algorithm, "labeler": config.labeler},
        status.latest,
        lambda: redis_figures(spec.redis_url, folder.run_id) if spec.redis_url and care.is_well else {},
    )
    if address := stack.enter_context(serve_metrics(config.metrics, measured)):
        say(f"metrics at {address}")
    events = EventFiles(folder.path / "tensorboard")
    stack.enter_context(written_at_last(events.flush))
    return status, events


def _go_on(training: Training, events: EventFiles, folder: RunFolder, say: Callable[[str], None]) -> None:
    """From the newest checkpoint; without one from the beginning."""
    if not any(folder.checkpoints.glob("checkpoint-*.pt")):
        folder.cut_metrics(0)
        events.go_on_from(0)
        say("nothing was learned yet: starting from the beginning, with the labels that were given")
        return
    step, state = load_checkpoint(folder.checkpoints)
    training.resume(state)
    events.go_on_from(step)
    say(f"resuming at {step:,} agent steps")


def _run(training: Training, folder: RunFolder, say: Callable[[str], None]) -> None:
    try:
        training.run()
    except KeyboardInterrupt:
        with undisturbed():
            _stop_cleanly(training, folder, say)


def _stop_cleanly(training: Training, folder: RunFolder, say: Callable[[str], None]) -> None:
    if training.agent_steps:
        say("stopping: writing a checkpoint")
        training.checkpoint()
    folder.log_event(f"interrupted at {training.agent_steps} agent steps")
    raise Interrupted(
        f"stopped at {training.agent_steps:,} agent steps; go on with `twoclips train {folder.config.task} "
        f"--run {folder.path} --resume`"
    )
