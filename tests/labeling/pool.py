"""A run with pairs of real half-cheetah clips to label, for tests of server and page."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from actors.mujoco import MujocoSimulator
from actors.trajectory import Clip, Segment
from labeling.desk import Desk, Given, Pair
from labeling.practice import Practice
from labeling.queue import Completion, raised
from reward_service.comparisons import Query
from reward_service.database import START, ComparisonDatabase

TASK = "half-cheetah"
HEADERS = {"x-twoclips": "1"}
STEPS = 12


def run_out(database: ComparisonDatabase, *tokens: str | bytes) -> None:
    """The deadlines of these leases have passed."""
    deadlines: Any = dict.fromkeys(tokens, 1.0)  # redis-py's own type for a name of either kind is narrower
    database.client.zadd(f"{database.prefix}leases", deadlines)


def seen_at(database: ComparisonDatabase) -> float:
    """When the person of the one session there is was last seen."""
    redis: Any = database.client
    [session] = redis.hvals(f"{database.prefix}sessions")
    return float(session.split(b" ")[1])


def leave_alone(database: ComparisonDatabase, for_s: float) -> float:
    """The person of the one session there is was last seen so long ago; when that was."""
    redis: Any = database.client
    sessions = f"{database.prefix}sessions"
    [(digest, session)] = redis.hgetall(sessions).items()
    begun, _, rest = session.split(b" ", 2)
    redis.hset(sessions, digest, b" ".join([begun, b"%.6f" % (float(begun) - for_s), rest]))
    return seen_at(database)


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


def one_step_clip(clip_id: str, true_return: float = 0.0, late_return: float | None = None) -> Clip:
    """The least that is a clip, where only its return matters."""
    step = Segment(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32))
    return Clip(clip_id, step, np.zeros((1, 0), np.float32), true_return, 0, None, late_return)


def offer_pairs(database: ComparisonDatabase, count: int, seed: int = 0, overlap: int = 1) -> list[str]:
    """Stores 2 x count clips and offers `count` queries about them; their ids, the most wanted first."""
    clips = clips_of(2 * count, seed)
    database.clips.put(clips)
    pairs = [(clips[2 * index].clip_id, clips[2 * index + 1].clip_id) for index in range(count)]
    queries = [
        Query(hashlib.sha256(f"{left} {right}".encode()).hexdigest()[:32], left, right, 1.0 - index / count, 1, 0.0)
        for index, (left, right) in enumerate(pairs)
    ]
    assert all(database.offer(queries, overlap=overlap))
    return [query.query_id for query in queries]


def claim(desk: Desk, labeler: str, token: str = "") -> Pair | None:
    """The pair that the desk gives this labeler."""
    return desk.claim_all([(labeler, token or new_id())])[0]


def answer(desk: Desk, given: Given, evidence: Mapping[str, Any] = MappingProxyType({})) -> Completion:
    """What becomes of an answer; raises what the desk says it failed by."""
    return raised(desk.answer_all([(given, evidence)])[0])


def damage(database: ComparisonDatabase, clip_id: str, bytes_: bytes = b"2CLP") -> None:
    """The stored clip can be read no longer."""
    database.client.set(f"{database.prefix}clip:{clip_id}", bytes_)


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
