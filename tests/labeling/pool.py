"""A run with pairs of real half-cheetah clips to label, for tests of server and page."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from actors.mujoco import MujocoSimulator
from actors.trajectory import Clip, Segment
from labeling.practice import Practice
from reward_service.comparisons import Query
from reward_service.database import START, ComparisonDatabase

TASK = "half-cheetah"
HEADERS = {"x-twoclips": "1"}
STEPS = 12


def run_out(database: ComparisonDatabase, *tokens: str | bytes) -> None:
    """The deadlines of these leases have passed."""
    deadlines: Any = dict.fromkeys(tokens, 1.0)  # redis-py's own type for a name of either kind is narrower
    database.client.zadd(f"{database.prefix}leases", deadlines)


def clips_of(count: int, seed: int) -> list[Clip]:
    """Clips of random torques."""
    simulator = MujocoSimulator(TASK, count, seed)
    simulator.reset(np.arange(count))
    random = np.random.default_rng(seed)
    observations, actions, states, rewards = [], [], [], []
    for _ in range(STEPS):
        action = random.uniform(-1, 1, (count, 6)).astype(np.float32)
        observations.append(simulator.observe().astype(np.float32))
        states.append(simulator.states().astype(np.float32))
        actions.append(action)
        rewards.append(simulator.step(action))
    columns = [np.stack(part, 1) for part in (observations, actions, states, rewards)]
    return [
        Clip(f"clip-{seed}-{index}", Segment(columns[0][index], columns[1][index]), columns[2][index],
             float(columns[3][index].sum()), 0)
        for index in range(count)
    ]  # fmt: skip


def offer_pairs(database: ComparisonDatabase, count: int, seed: int = 0) -> list[str]:
    """Stores 2 x count clips and offers `count` queries about them; their ids, the most wanted first."""
    clips = clips_of(2 * count, seed)
    database.put_clips(clips)
    pairs = [(clips[2 * index].clip_id, clips[2 * index + 1].clip_id) for index in range(count)]
    queries = [
        Query(hashlib.sha256(f"{left} {right}".encode()).hexdigest()[:32], left, right, 1.0 - index / count, 1, 0.0)
        for index, (left, right) in enumerate(pairs)
    ]
    assert all(database.offer(queries))
    return [query.query_id for query in queries]


def keep_practice(database: ComparisonDatabase, clips: list[Clip]) -> frozenset[str]:
    """The run has practice pairs, as its query actor would keep them; the ids of their clips."""
    kept = Practice(database.client, database.run_id).keep(database, clips)
    assert len(kept) == 6
    return kept


def current_answers(database: ComparisonDatabase) -> dict[str, str]:
    """What the log says by now, as it was shown: query -> answer."""
    log, _ = database.labels_since(START)
    retracted = {label.retracts for label in log}
    standing = [label for label in log if label.answer is not None and label.label_id not in retracted]
    assert len({label.query_id for label in standing}) == len(standing), "one current label for each query"
    mirrored = {"left": "right", "right": "left"}
    shown = {}
    for label in standing:
        answer = str(label.answer)
        shown[label.query_id] = mirrored.get(answer, answer) if json.loads(label.evidence)["mirrored"] else answer
    return shown


def new_id() -> str:
    """As a browser makes them, for a token or a label."""
    return secrets.token_hex(16)


def claimed_pair(client: TestClient) -> dict[str, Any]:
    """What a browser is given to show."""
    reply = client.post("/api/claims", json={"token": new_id()})
    assert reply.status_code == 200, reply.text
    return reply.json()["pair"]


EVIDENCE = {"response_s": 3.2, "plays": 2, "focus_lost": 0, "input": "key"}


def answer_to(pair: dict[str, Any], answer: str = "left", label_id: str = "") -> dict[str, Any]:
    """What a browser sends for it."""
    ids = {"label_id": label_id or new_id(), "token": pair["token"], "query": pair["query"]}
    return {**ids, "answer": answer, "evidence": EVIDENCE}
