"""Draws one episode as MP4, in a process of its own: where a machine has no GL library, the import of a renderer may
abort the interpreter, and must not take the command with it.

    write_video(task, recording, Path("episode.mp4"))    # -> "" or, where it cannot be done, why not

A MuJoCo episode is drawn from its states; any other is played again in gymnasium, from its seed and its actions.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actors.atari import AtariSimulator, rom_path
from actors.mujoco import load_model
from actors.replay import HEADLESS, played
from actors.tasks import Task, make_task
from cluster.writing import writing
from labeling.scenes import AZIMUTH_DEG, CAMERAS, FIXED_CAMERAS

Array = np.ndarray

MAX_FPS = 30.0
MAX_VIDEO_S = 15.0  # a software renderer draws some 20 frames a second
TIMEOUT_S = 300.0
_WIDTH, _HEIGHT = 400, 300
_PLATFORMS = ("egl", "osmesa")  # for a screen there is none to be had


@dataclass(frozen=True, eq=False)
class Recording:
    """One episode: the seed of its reset, actions [T, *A] in the environment's units, states [T, S]; S = 0 where it
    must be played again."""

    seed: int
    actions: Array
    states: Array


def write_video(task: Task, recording: Recording, path: Path) -> str:
    """Draw the episode, its first MAX_VIDEO_S at most; "" or one reason why that is impossible here. Raises
    WritingError."""
    reasons: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recording.npz"
        np.savez(file, seed=recording.seed, actions=recording.actions, states=recording.states)
        drawn = Path(folder) / "episode.mp4"
        for platform in _PLATFORMS:
            reason = _draw_apart(task, file, drawn, platform)
            if not reason:
                with writing(path, "--video"):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(drawn, path)
                return ""
            reasons.append(reason)
    return _explained(reasons[0])


def _explained(reason: str) -> str:
    if any(word in reason for word in ("EGL", "OpenGL", "GLError", "eglQuery", "OSMesa", "libGL")):
        return f"this machine has no GL library that works ({reason}): `apt-get install libegl1` gives it one"
    return reason


def _draw_apart(task: Task, file: Path, path: Path, platform: str) -> str:
    command = [sys.executable, "-P", "-m", "cluster.video", task.name, str(file), str(path)]
    environment = {**os.environ, **HEADLESS, "MUJOCO_GL": platform}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"drawing took more than {TIMEOUT_S:.0f} s"
    if done.returncode == 0 and path.exists():
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"the renderer ended with exit code {done.returncode}"


def main(task_name: str, file: str, path: str) -> None:
    """What the other process does."""
    import imageio_ffmpeg

    task = make_task(task_name)
    with np.load(file) as data:
        recording = Recording(int(data["seed"]), data["actions"], data["states"])
    # As fast as life, or slower where a step is shorter than a frame can be shown: then steps are left out.
    stride = max(1, round(1.0 / (task.step_s * MAX_FPS)))
    fps = 1.0 / (task.step_s * stride)
    if task.atari_rom is not None:
        frames = _atari_frames(task.atari_rom, recording)
    else:
        frames = _mujoco_frames(task, recording) if recording.states.shape[1] else _gymnasium_frames(task, recording)
    writer: Any = None
    library: Any = imageio_ffmpeg  # which says that a rate is whole, and takes any
    for index, frame in enumerate(frames):
        if index >= MAX_VIDEO_S / task.step_s:
            break
        if index % stride:
            continue
        if writer is None:
            size = frame.shape[1], frame.shape[0]
            writer = library.write_frames(
                path, size, fps=fps, macro_block_size=2, output_params=["-movflags", "faststart"]
            )
            writer.send(None)
        writer.send(np.ascontiguousarray(frame))
    if writer is not None:
        writer.close()


def _mujoco_frames(task: Task, recording: Recording) -> Iterator[Array]:
    import mujoco

    assert task.mujoco_model is not None
    model = load_model(task.mujoco_model)
    library: Any = mujoco
    data = library.MjData(model)
    model.vis.global_.offwidth, model.vis.global_.offheight = _WIDTH, _HEIGHT
    renderer = library.Renderer(model, _HEIGHT, _WIDTH)
    camera = library.MjvCamera()
    distance, elevation, height = CAMERAS[task.mujoco_model]
    camera.azimuth, camera.elevation, camera.distance = AZIMUTH_DEG, elevation, distance
    camera.lookat[2] = height
    follow = slice(0, 0 if task.mujoco_model in FIXED_CAMERAS else 2)
    for flag in (library.mjtRndFlag.mjRND_SHADOW, library.mjtRndFlag.mjRND_REFLECTION):
        renderer.scene.flags[flag] = False  # half of a software renderer's time
    try:
        for state in recording.states:
            data.qpos[:], data.qvel[:] = state[: model.nq], state[model.nq :]
            library.mj_forward(model, data)
            camera.lookat[follow] = data.subtree_com[1, follow]
            renderer.update_scene(data, camera)
            yield renderer.render()
    finally:
        renderer.close()


def _atari_frames(rom: str, recording: Recording) -> Iterator[Array]:
    """The first world of that seed again, in colour."""
    simulator = AtariSimulator(rom_path(rom), (), 0.0, 1, recording.seed, colour=True)
    simulator.reset(np.arange(1))
    for action in recording.actions:
        yield simulator.picture(0)
        simulator.step(action[None])


def _gymnasium_frames(task: Task, recording: Recording) -> Iterator[Array]:
    for _, draw in played(task, [recording.seed], recording.actions):
        frame = draw()
        yield frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]  # as the codec wants it


if __name__ == "__main__":
    main(*sys.argv[1:])
