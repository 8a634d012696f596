"""Which failures are expected, and how they end: one sentence with a remedy, and an exit code.

Ours say so themselves (`actors.failures`); here are those of the libraries below. Anything else is a defect and keeps
its traceback.
"""

from __future__ import annotations

import errno

from actors.failures import Failure, UsageError


def exit_code(error: BaseException) -> int | None:
    """2 for bad usage, 1 for a failure that we know how to name, None for a defect."""
    if isinstance(error, UsageError):
        return 2
    if isinstance(error, Failure):
        return 1
    if type(error).__module__.startswith("redis.") or is_out_of_device_memory(error) or _is_of_ray(error):
        return 1
    if isinstance(error, OSError):
        return 1
    return None


_DEVICE_REFUSED = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine to execute this computation",  # cuDNN, where no way's own memory fits
)


def is_out_of_device_memory(error: BaseException) -> bool:
    """Torch's own error, or what a library below it says where another process has taken the memory. Ray's own is of
    the same name."""
    if (type(error).__module__, type(error).__name__) == ("torch", "OutOfMemoryError"):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _DEVICE_REFUSED)


def _is_of_ray(error: BaseException) -> bool:
    """Whether Ray itself failed: what it only brings from another process may be a defect."""
    if type(error).__module__ != "ray.exceptions":
        return False
    from ray.exceptions import RayError, RayTaskError  # here, not above: whoever raised it has imported it

    return not isinstance(error, RayTaskError) and type(error) is not RayError


def sentence(error: BaseException) -> str:
    """What to print."""
    if type(error).__module__.startswith("redis."):
        return (
            f"Redis failed ({error}); what was labelled is in its append-only file. Check the server, then continue "
            "with --resume"
        )
    if is_out_of_device_memory(error):  # where no part of a run has said what to lower: cluster.device_memory
        first = first_line(error).partition(". ")[0]
        return (
            f"the GPU's memory does not suffice ({first}); end what else is using it, or do without it: --device cpu, "
            'or loop.device = "cpu" for a run, which --resume continues'
        )
    if _is_of_ray(error):
        return (
            f"Ray failed ({first_line(error)}); see that memory and disk suffice and that its nodes are there, then "
            "continue with --resume"
        )
    if isinstance(error, OSError) and not isinstance(error, UsageError | Failure):
        what = f"{error.strerror or error} ({error.filename or 'no file'})"
        remedy = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend that"
        return f"{what}; {remedy}, then give the same command again, for a run that has begun with --resume"
    return str(error)


def first_line(error: BaseException) -> str:
    """Of its message, without a full stop; the error's name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
