"""What clips and comparisons take in Redis: its own `used_memory`, by the difference between two sizes, so that what an
empty server takes is left out."""

from __future__ import annotations

import dataclasses
import secrets
import tempfile
from pathlib import Path
from typing import Any

from actors.clips import cut_clips
from actors.policy import ActorCritic
from actors.tasks import Task
from actors.trajectory import Clip
from cluster.components import RunSpec, build_worker
from cluster.configure import make_config
from cluster.redis_server import PrivateRedis
from labeling.queue import QueryQueue
from reward_service.comparisons import Answer, Query
from reward_service.database import ComparisonDatabase, connect

CLIPS = 2000
COMPARISONS = 10_000
_RUN = "bench"


def measure_memory(task: Task, clips: int = CLIPS, comparisons: int = COMPARISONS) -> tuple[float, float]:
    """Bytes for each clip of the task and for each comparison, its query and its label without the clips."""
    made = _clips(task, clips)
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder, PrivateRedis(Path(folder)) as url:
        client = connect(url)
        client.config_set("appendfsync", "no")  # what is measured is memory
        database = ComparisonDatabase(client, _RUN, clip_budget_bytes=1 << 34)
        queue = QueryQueue(client, _RUN)
        database.clips.put(made[: clips // 2])
        _answer(database, queue, made, comparisons // 10)
        before = _used(client)
        database.clips.put(made[clips // 2 :])
        with_clips = _used(client)
        _answer(database, queue, made, comparisons)
        after = _used(client)
        client.close()
    return (with_clips - before) / (clips - clips // 2), (after - with_clips) / comparisons


def _answer(database: ComparisonDatabase, queue: QueryQueue, clips: list[Clip], count: int) -> None:
    """As a person does over HTTP, evidence included."""
    left, right = clips[0].clip_id, clips[1].clip_id
    database.offer([Query(secrets.token_hex(16), left, right, 0.1234567890123, 7, 0.0) for _ in range(count)])
    for _ in range(count):
        lease = queue.claim("labeler-1a2b3c4d")
        assert lease is not None
        evidence = '{"response_s":3.4,"plays":2,"focus_lost":0,"input":"key","mirrored":true}'
        queue.complete(lease, Answer.LEFT, secrets.token_hex(16), evidence)


def _clips(task: Task, count: int) -> list[Clip]:
    """Of the untrained policy; as many as the pool of them gives, then the same again under other names."""
    config = make_config(task, {"in_process": True, "workers": 1})
    worker = build_worker(RunSpec(config, task, redis_url="", run_id=_RUN), 0)
    weights = ActorCritic(config.policy, task.observation_shape, task.action).export(0)
    clips: list[Clip] = []
    while len(clips) < count:
        clips += cut_clips(*worker.step(weights), task.preset.clip_steps, task.action)
    return [dataclasses.replace(clip, clip_id=secrets.token_hex(16)) for clip in clips[:count]]


def _used(client: Any) -> int:
    return int(client.info("memory")["used_memory"])
