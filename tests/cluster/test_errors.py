"""How what goes wrong ends: an exit code, and one sentence."""

from __future__ import annotations

import errno
import os

import pytest
import redis
import torch
from ray import exceptions

from actors.failures import Failure, UsageError
from cluster.errors import exit_code, sentence
from cluster.settings import ConfigError
from learners.checkpoint import CheckpointError


class Refused(UsageError, ValueError):
    """As those of ours are, which keep the kind that others expect of them."""


def raised_elsewhere(error: Exception) -> Exception:
    """As Ray brings it from another process."""
    return exceptions.RayTaskError("step", "Traceback", error, "ray", 1, "127.0.0.1").as_instanceof_cause()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("no"), 2),
        (Refused("no"), 2),
        (CheckpointError("no"), 1),
        (Failure("no"), 1),
        (redis.ConnectionError("refused"), 1),
        (OSError(errno.EACCES, "Permission denied"), 1),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), 1),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), 1),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), 1),
        (exceptions.OutOfMemoryError("Task was killed due to the node running low on memory.\nMemory on"), 1),
        (exceptions.GetTimeoutError("Get timed out"), 1),
        (exceptions.RayError("Exception of ours isn't serializable"), None),
        (raised_elsewhere(KeyError("a defect")), None),
        (RuntimeError("a defect"), None),
        (ValueError("a defect"), None),
        (KeyError("a defect"), None),
    ],
    ids=lambda value: f"{type(value).__name__}: {value}"[:40] if isinstance(value, Exception) else "",
)
def test_what_is_expected_has_an_exit_code_and_a_defect_keeps_its_traceback(error: Exception, code: int | None) -> None:
    assert exit_code(error) == code
    assert code is None or "\n" not in sentence(error)


@pytest.mark.parametrize(("number", "remedy"), [(errno.ENOSPC, "free some space"), (errno.EACCES, "mend that")])
def test_a_file_that_fails_is_named_with_what_to_do(number: int, remedy: str) -> None:
    said = sentence(OSError(number, os.strerror(number), "runs/one/metrics.jsonl"))
    assert said.startswith(
        f"{os.strerror(number)} (runs/one/metrics.jsonl); {remedy}, then give the same command again"
    )


def test_what_ray_says_of_its_failures_is_cut_to_its_first_sentence() -> None:
    said = sentence(exceptions.OutOfMemoryError("Task was killed since memory is short.\nMemory on the node (IP: ...)"))
    assert said.startswith("Ray failed (Task was killed since memory is short); see that memory")
    assert said.endswith("--resume")
