"""The clips that queries name, within a budget that refuses clips and never labels."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import redis

from actors.trajectory import Clip
from reward_service.codec import CodecError, decode_clip, encode_clip
from reward_service.keys import checked_id, load_script, text

_BATCH = 64
_UNBOUNDED = 1 << 52

_log = logging.getLogger(__name__)


class ClipStore:
    """Of one run; part of its ComparisonDatabase."""

    def __init__(self, client: redis.Redis, prefix: str, budget_bytes: int) -> None:
        self._redis: Any = client
        self._prefix = prefix
        self.budget_bytes = budget_bytes
        self._put = load_script(client, Path(__file__).with_name("put_clip.lua"))

    def put(self, clips: Iterable[Clip]) -> list[bool]:
        """Stores the clips; False for each one refused because queries name all that the budget holds, or since Redis
        itself is full (its maxmemory).

        When the budget is full the oldest clips that no query names are dropped, and counted."""
        stored: list[bool] = []
        encoded = [(checked_id("clip id", clip.clip_id), encode_clip(clip)) for clip in clips]
        for start in range(0, len(encoded), _BATCH):
            with self._redis.pipeline(transaction=False) as pipe:
                for clip_id, blob in encoded[start : start + _BATCH]:
                    self._put([self._prefix], [clip_id, blob, self.budget_bytes], pipe)
                stored += [reply == 1 for reply in pipe.execute()]
        return stored

    def put_in(self, pipe: Any, clip: Clip) -> None:
        """Stores a clip with what else the pipeline does, whatever the budget says: for what a label names."""
        self._put([self._prefix], [checked_id("clip id", clip.clip_id), encode_clip(clip), _UNBOUNDED], pipe)

    def one(self, clip_id: str) -> Clip | None:
        """The clip, or None when it was never stored or was dropped."""
        return self.get([clip_id]).get(clip_id)

    def get(self, clip_ids: Iterable[str]) -> dict[str, Clip]:
        """Those of the clips that are there, by id. Each is fetched and decoded once. Raises CodecError."""
        return {clip_id: decode_clip(blob) for clip_id, blob in self._encoded(clip_ids)}

    def readable(self, clip_ids: Iterable[str]) -> dict[str, Clip]:
        """`get` without those that are damaged, or of a newer version than this."""
        return self.read(clip_ids)[0]

    def read(self, clip_ids: Iterable[str]) -> tuple[dict[str, Clip], set[str]]:
        """`readable`, and which of the clips are there and cannot be read."""
        clips: dict[str, Clip] = {}
        unreadable: set[str] = set()
        for clip_id, blob in self._encoded(clip_ids):
            try:
                clips[clip_id] = decode_clip(blob)
            except CodecError as error:
                _log.warning("clip %s cannot be read: %s", clip_id, error)
                unreadable.add(clip_id)
        return clips, unreadable

    def newest(self, limit: int) -> list[str]:
        """Ids of the clips that were stored last, the newest first."""
        return [text(clip_id) for clip_id in self._redis.zrevrange(f"{self._prefix}clips", 0, limit - 1)]

    def _encoded(self, clip_ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        ids = list(dict.fromkeys(clip_ids))
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            blobs = self._redis.mget([f"{self._prefix}clip:{checked_id('clip id', clip_id)}" for clip_id in batch])
            yield from ((clip_id, blob) for clip_id, blob in zip(batch, blobs, strict=True) if blob)
