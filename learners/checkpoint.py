"""Checkpoints: all that a resume needs, in one file that is written whole or not at all.

    save_checkpoint(folder, step, {"learner": learner.state_dict(), ...})
    step, state = load_checkpoint(folder)

A file is called `checkpoint-<step>-<digest>.pt`; the digest is that of its bytes, so a file that was cut short or
changed is noticed. It is an ordinary torch file of tensors and plain values, readable without twoclips by
`torch.load(path, weights_only=True)`: a dictionary with `format`, `version`, `step` and `state`.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actors.failures import Failure

FORMAT, VERSION = "twoclips checkpoint", 4
_NAME = re.compile(r"checkpoint-(\d+)-([0-9a-f]{16})\.pt")


class CheckpointError(Failure, RuntimeError):
    """A checkpoint cannot be written or read; the message says what to do."""


def save_checkpoint(folder: Path | str, step: int, state: dict[str, Any], keep: int = 3) -> Path:
    """Write one checkpoint and drop all but the newest `keep`. Raises CheckpointError where the disk refuses; what
    was there before is then untouched. Raises TypeError for what is neither a tensor nor a plain value.

    Checkpoints of later steps belong to a course of training that was abandoned: they are dropped.
    """
    folder = Path(folder)
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "version": VERSION, "step": step, "state": plain(state)}, buffer)
    contents = buffer.getvalue()
    path = folder / f"checkpoint-{step:012d}-{_digest(contents)}.pt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, contents)
        kept = [p for p in _checkpoints(folder) if p == path or _step(p) < step][:keep]
        abandoned = folder.glob("checkpoint-*.tmp")  # of a process that was killed while writing
        for old in [*abandoned, *(p for p in _checkpoints(folder) if p not in kept)]:
            old.unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            cause = "the disk is full"
            remedy = f"free at least {len(contents) * (keep + 1) // 2**20 + 1} MiB"
        else:
            cause, remedy = error.strerror or str(error), "make the folder writable"
        raise CheckpointError(
            f"the checkpoint of step {step} could not be written to {folder}: {cause}; {remedy} and resume, earlier "
            "checkpoints are whole"
        ) from error
    return path


def load_checkpoint(folder: Path | str) -> tuple[int, dict[str, Any]]:
    """Step and state of the newest checkpoint. Where it is damaged: CheckpointError that names the newest older one
    that is whole."""
    folder = Path(folder)
    paths = _checkpoints(folder)
    if not paths:
        raise CheckpointError(
            f"{folder} holds no checkpoint of twoclips; give the folder of a run that has one, or start anew"
        )
    try:
        return _read(paths[0])
    except CheckpointError as error:
        for older in paths[1:]:
            try:
                _read(older)
            except CheckpointError:
                continue
            raise CheckpointError(
                f"{error}; the older {older.name} is whole: remove {paths[0].name} to resume from it"
            ) from error
        raise CheckpointError(
            f"{error}; no older one is whole: restore the file from a backup, or start anew"
        ) from error


def _read(path: Path) -> tuple[int, dict[str, Any]]:
    """One file; raises CheckpointError with half a sentence, the remedy is the caller's."""
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"the checkpoint {path} cannot be read ({error.strerror})") from error
    if not path.name.endswith(f"-{_digest(contents)}.pt"):
        raise CheckpointError(f"the checkpoint {path} is damaged (its contents do not match the digest in its name)")
    try:
        whole = torch.load(io.BytesIO(contents), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; the digest fits, so it was never ours
        raise CheckpointError(f"the checkpoint {path} was not written by twoclips ({type(error).__name__})") from error
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise CheckpointError(f"the checkpoint {path} was not written by twoclips (it does not say so)")
    if whole["version"] != VERSION:
        raise CheckpointError(
            f"the checkpoint {path} has format version {whole['version']}, this twoclips reads {VERSION} (use the "
            "version that wrote it)"
        )
    return whole["step"], whole["state"]


def _write(path: Path, contents: bytes) -> None:
    """Whole or not at all, and still there after a power cut."""
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checkpoints(folder: Path) -> list[Path]:
    """Newest step first."""
    found = [p for p in folder.glob("checkpoint-*.pt") if _NAME.fullmatch(p.name)]
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _digest(contents: bytes) -> str:
    return hashlib.blake2b(contents, digest_size=8).hexdigest()


def plain(value: Any, where: str = "state") -> Any:
    """A copy of tensors (on the CPU, each with a storage of its own) and plain values; TypeError for anything else.

    Exact types: a numpy.float64 is a float to isinstance, but not to `weights_only`.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {_key(key, where): plain(item, f"{where}.{key}") for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item, f"{where}[{index}]") for index, item in enumerate(value))
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    raise TypeError(f"{where} is a {type(value).__name__}: a checkpoint holds tensors and plain values only")


def _key(key: Any, where: str) -> str | int:
    if type(key) in (str, int):
        return key
    raise TypeError(f"{where} has the key {key!r}: a checkpoint's keys are strings and whole numbers")
