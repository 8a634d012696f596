"""Evaluation: returns against a slow twin, and a command that survives a machine without GL."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest
from matplotlib.image import imread

from actors.judges import JUDGES
from actors.policy import ActorCritic, PolicyConfig
from actors.tasks import make_task
from cluster import video
from cluster.config import ConfigError
from cluster.evaluate import evaluate, evaluation_lines, standard_episodes, true_episodes
from cluster.run_folder import RunFolder
from cluster.strip import write_strip
from cluster.trained import load_policy
from cluster.video import Recording, write_video
from cluster.writing import WritingError
from learners.checkpoint import CheckpointError


def test_standard_returns_are_those_of_gymnasium(finished_run: RunFolder):
    task = make_task("cart-pole")
    _, policy = load_policy(finished_run, task)
    returns, recording = standard_episodes(task, policy, 3, seed=5)
    env = gymnasium.make("CartPole-v1")
    expected = []
    for episode in range(3):
        observation, _ = env.reset(seed=5 + episode)
        total, over = 0.0, False
        while not over:
            action = int(policy.deterministic(observation[None])[0])
            observation, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            over = terminated or truncated
        expected.append(total)
    env.close()
    assert returns.tolist() == expected
    assert len(recording.actions) == expected[0]


def test_true_returns_are_over_episodes_of_full_length(finished_run: RunFolder):
    task = make_task("cart-pole")
    _, policy = load_policy(finished_run, task)
    returns, recording, judged = true_episodes(task, policy, 3, seed=5)
    assert len(recording.actions) == task.horizon == 500
    assert judged == {}, "nobody judges how a pole stands"
    # one for each step, less ten for each time the pole fell, at most every eight steps
    assert ((500 - returns) % 10 == 0).all()
    assert (returns >= 500 - 10 * 500 / 8).all()


def test_the_json_fields(finished_run: RunFolder):
    found = evaluate(finished_run, episodes=2, seed=1, video=None)
    assert (found["task"], found["episodes"], found["video"], found["agent_steps"]) == ("cart-pole", 2, None, 1600)
    for name in ("true_return_mean", "true_return_std", "standard_return_mean", "standard_return_std"):
        assert np.isfinite(found[name])


def test_no_episode_is_no_evaluation(finished_run: RunFolder):
    with pytest.raises(ConfigError, match="at least 1"):
        evaluate(finished_run, episodes=0, seed=1, video=None)


def test_a_run_without_checkpoint_says_so(finished_run: RunFolder, tmp_path: Path):
    (tmp_path / "config.toml").write_text((finished_run.path / "config.toml").read_text())
    with pytest.raises(CheckpointError, match="no checkpoint"):
        evaluate(RunFolder.open(tmp_path), 1, 1, None)


def test_a_machine_without_gl_gets_its_returns_and_a_sentence(
    finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(video, "_PLATFORMS", ("nonsense",))
    kept = tmp_path / "old.mp4"
    kept.write_bytes(b"an earlier video")
    task = make_task("reacher")
    policy = ActorCritic(PolicyConfig(), task.observation_shape, task.action)
    _, recording, _ = true_episodes(task, policy, 1, seed=1)
    problem = write_video(task, recording, kept)
    assert "nonsense" in problem
    assert "\n" not in problem
    assert kept.read_bytes() == b"an earlier video"


def test_another_episode_is_played_again_and_drawn(finished_run: RunFolder, tmp_path: Path):
    task = make_task("cart-pole")
    _, policy = load_policy(finished_run, task)
    _, recording = standard_episodes(task, policy, 1, seed=5)
    assert write_video(task, recording, tmp_path / "episode.mp4") == ""
    frames = imageio_ffmpeg.read_frames(tmp_path / "episode.mp4")
    about = next(frames)
    frames.close()
    assert (about["size"], about["fps"]) == ((600, 400), 25)
    count, _ = imageio_ffmpeg.count_frames_and_secs(tmp_path / "episode.mp4")
    assert count == (len(recording.actions) + 1) // 2, "50 steps a second, every other of them shown"


def test_a_mujoco_episode_is_drawn_from_its_states(tmp_path: Path):
    task = make_task("reacher")
    policy = ActorCritic(PolicyConfig(), task.observation_shape, task.action)
    _, recording, _ = true_episodes(task, policy, 1, seed=1)
    short = Recording(1, recording.actions[:5], recording.states[:5])
    problem = write_video(task, short, tmp_path / "episode.mp4")
    if "no GL library" in problem:
        pytest.skip(problem)
    assert problem == ""
    frames = imageio_ffmpeg.read_frames(tmp_path / "episode.mp4")
    assert next(frames)["size"] == (400, 300)
    frames.close()


def test_a_strip_is_eight_frames_of_the_video_side_by_side(tmp_path: Path):
    """A video that grows brighter by two levels a frame: each part of the strip tells which frame it was."""
    video, strip = tmp_path / "episode.mp4", tmp_path / "strip.png"
    writer = imageio_ffmpeg.write_frames(video, (400, 40), fps=30, macro_block_size=2)
    writer.send(None)
    for index in range(60):
        writer.send(np.full((40, 400, 3), 20 + 2 * index, np.uint8))
    writer.close()
    assert write_strip(video, strip, from_s=0.5) == ""
    picture = imread(strip)[:, :, :3].reshape(40, 8, 190, 3) * 255
    frames = np.round(15 + np.linspace(0, 27, 8))
    np.testing.assert_allclose(picture.mean(axis=(0, 2, 3)), 20 + 2 * frames, atol=4)
    assert "earlier --strip-from" in write_strip(video, strip, from_s=1.5)


@pytest.mark.parametrize(("num_frames", "problem"), [(200, "earlier --strip-from"), (201, "")])
def test_a_strip_that_would_end_with_the_frame_after_the_last_is_refused(tmp_path: Path, num_frames: int, problem: str):
    """200 frames are 6.667 s, which ffmpeg tells as 6.67: a frame too many, by that."""
    video = tmp_path / "episode.mp4"
    writer = imageio_ffmpeg.write_frames(video, (32, 32), fps=30)
    writer.send(None)
    for _ in range(num_frames):
        writer.send(np.zeros((32, 32, 3), np.uint8))
    writer.close()
    found = write_strip(video, tmp_path / "strip.png", from_s=200 / 30 - 0.9)
    assert found == problem or (problem and problem in found)


def test_a_strip_without_video_is_refused(finished_run: RunFolder, tmp_path: Path):
    with pytest.raises(ConfigError, match="leave --no-video out"):
        evaluate(finished_run, 1, 1, None, tmp_path / "strip.png")


def nobody_plays(*_: object) -> None:
    raise AssertionError("it should have been refused before anything was played")


@pytest.mark.parametrize("from_s", [-0.1, 14.2, 30.0])
def test_a_strip_from_where_no_video_reaches_is_refused_before_anything_is_played(
    finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_s: float
):
    monkeypatch.setattr("cluster.evaluate.true_episodes", nobody_plays)
    with pytest.raises(ConfigError, match=r"--strip-from must be from 0 to 14\.1"):
        evaluate(finished_run, 1, 1, tmp_path / "episode.mp4", tmp_path / "strip.png", from_s)


@pytest.mark.parametrize("option", ["--video", "--strip"])
def test_a_place_that_takes_no_file_is_named_before_anything_is_played(
    finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
):
    monkeypatch.setattr("cluster.evaluate.true_episodes", nobody_plays)
    (tmp_path / "taken").write_text("")
    files = {"--video": tmp_path / "episode.mp4", "--strip": tmp_path / "strip.png"}
    files[option] = tmp_path / "taken" / "file"
    with pytest.raises(WritingError, match=f"cannot write .*taken/file .* another file with {option}"):
        evaluate(finished_run, 1, 1, files["--video"], files["--strip"])
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_video_too_short_for_the_strip_costs_no_return(finished_run: RunFolder, tmp_path: Path):
    """A pole that falls within 10 s: that is known once it has been played."""
    found = evaluate(finished_run, 1, 1, tmp_path / "episode.mp4", tmp_path / "strip.png", 12.0)
    assert np.isfinite(found["true_return_mean"])
    assert found["video"] == str(tmp_path / "episode.mp4")
    assert found["strip"] is None
    assert evaluation_lines(found)[-1].startswith("no strip: the video has no 0.9 s from 12 s on")


def test_the_judge_of_a_task_is_reported(tmp_path: Path):
    """A hopper that has learned nothing: every figure of its judge, for each episode, and no flip."""
    task = make_task("hopper-backflip")
    policy = ActorCritic(PolicyConfig(), task.observation_shape, task.action)
    _, recording, judged = true_episodes(task, policy, 2, seed=1)
    assert set(judged) == set(JUDGES["hopper-backflip"].figures)
    assert judged["flips_landed"].tolist() == [0.0, 0.0]
    alone = JUDGES["hopper-backflip"].judge(recording.states[:, None])
    assert all(alone[name][0] == values[0] for name, values in judged.items())
