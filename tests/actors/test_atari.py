from itertools import pairwise

import gymnasium
import numpy as np
import pytest
import torch

from actors.atari import AtariSimulator, Console, rom_path
from actors.clips import ClipCutter, cut_clips, joined
from actors.environments import make_environments
from actors.failures import UsageError
from actors.origins import Keyframe
from actors.policy import ActorCritic, PolicyConfig
from actors.replay import ReplayError, clip_frames
from actors.rollout import RolloutConfig, RolloutWorker
from actors.sights import SIZE
from actors.tasks import Task, UnknownTaskError, make_task
from actors.trajectory import Clip, Hidden, Rollout, Segment

POLICY = PolicyConfig(torso="mnih-2013")
Blocks = list[tuple[Rollout, Hidden]]


def worker(task: Task, envs: int = 2, steps: int = 40) -> tuple[RolloutWorker, ActorCritic]:
    return (
        RolloutWorker(task, POLICY, RolloutConfig(envs, steps), worker=0, seed=1),
        ActorCritic(POLICY, task.observation_shape, task.action),
    )


@pytest.fixture(scope="module")
def breakout() -> Blocks:
    """Four rollouts of an untrained policy, in which games end."""
    torch.manual_seed(0)
    task = make_task("breakout")
    acting, policy = worker(task)
    return [acting.step(policy.export(version)) for version in range(4)]


def test_a_rollout_keeps_one_picture_a_step_and_goes_on_where_the_last_one_ended(breakout: Blocks) -> None:
    (first, _), (second, _) = breakout[:2]
    assert first.observations.shape == (4 + 40, 2, SIZE, SIZE)
    assert first.observations.dtype == np.uint8
    assert first.stacks.shape == (41, 2, 4, SIZE, SIZE)
    assert np.array_equal(first.stacks[-1], second.stacks[0])
    assert (first.first_step, second.first_step) == (0, 40)


def test_the_agent_acted_on_the_stacks_that_the_rollout_shows() -> None:
    acting, policy = worker(make_task("breakout"), steps=10)
    rollout, _ = acting.step(policy.export(0))
    with torch.no_grad():
        head = policy.head(policy.normalise(torch.tensor(rollout.stacks[:-1]).flatten(0, 1)))
        log_probs = policy.log_prob(head, torch.from_numpy(rollout.actions).flatten())
    assert log_probs.numpy() == pytest.approx(rollout.log_probs.ravel(), abs=1e-5)


def test_ends_of_games_leave_no_trace_in_what_the_agent_is_given(breakout: Blocks) -> None:
    assert sum(len(hidden.games) for _, hidden in breakout if hidden.games is not None) > 0
    for rollout, _ in breakout:
        assert not rollout.terminated.any()
        assert not rollout.truncated.any()
        assert len(rollout.ends) == 0


def test_a_lost_life_costs_the_penalty_and_a_games_score_leaves_it_out(breakout: Blocks) -> None:
    rewards = np.concatenate([hidden.true_rewards for _, hidden in breakout])
    scores = np.concatenate([hidden.games for _, hidden in breakout if hidden.games is not None])[:, 2]
    assert (rewards == -5.0).sum() >= 5  # a game is five lives
    assert (scores >= 0).all()


def test_a_clip_is_played_again_picture_for_picture_across_hidden_ends(breakout: Blocks) -> None:
    task = make_task("breakout")
    clips = [clip for rollout, hidden in breakout for clip in cut_clips(rollout, hidden, 13, task.action)]
    across = [clip for clip in clips if isinstance(clip.origin, Keyframe) and (clip.origin.begun >= 0).any()]
    assert across
    for clip in [*across, *clips[:2]]:
        frames = clip_frames(task, clip)  # raises where the agent had seen anything else
        assert len(frames) == 13
        assert frames[0].shape == (210, 160, 3)
        assert np.ptp(frames[0].astype(int), axis=2).max() > 100  # in colour


@pytest.mark.parametrize("name", ["beam-rider", "qbert", "seaquest", "space-invaders", "ALE/Alien-v5"])
def test_a_clip_of_another_game_is_played_again_picture_for_picture(name: str) -> None:
    task = make_task(name)
    torch.manual_seed(0)
    acting, policy = worker(task, envs=1, steps=26)
    _, clip = cut_clips(*acting.step(policy.export(0)), 13, task.action)
    frames = clip_frames(task, clip)  # raises where the agent had seen anything else
    assert len(frames) == 13
    assert any((one != other).any() for one, other in pairwise(frames))


def test_the_score_is_on_a_persons_picture_and_not_on_the_agents(breakout: Blocks) -> None:
    task = make_task("breakout")
    clip = cut_clips(*breakout[0], 13, task.action)[0]
    assert clip_frames(task, clip)[0][:17].any()
    assert not clip.segment.observations[:, :6].any()


def test_a_clip_that_was_changed_is_found_out(breakout: Blocks) -> None:
    task = make_task("breakout")
    clip = cut_clips(*breakout[0], 13, task.action)[0]
    actions = (clip.segment.actions + 1) % 4
    other = Clip("other", Segment(clip.segment.observations, actions), clip.states, 0.0, 0, clip.origin)
    with pytest.raises(ReplayError, match="looks otherwise"):
        clip_frames(task, other)
    with pytest.raises(ReplayError, match="no state of the emulator"):
        clip_frames(task, Clip("none", clip.segment, clip.states, 0.0, 0))
    foreign = Keyframe(np.zeros(7, np.uint8), np.zeros(0, np.int64), np.full(13, -1))
    with pytest.raises(ReplayError, match="not a state of this game"):
        clip_frames(task, Clip("foreign", clip.segment, clip.states, 0.0, 0, foreign))


def test_a_console_goes_on_from_a_state_of_another_one_that_never_ran() -> None:
    rom = rom_path("qbert")  # the game that draws a fresh emulator's first frame otherwise
    first, second = Console(rom), Console(rom)
    first.begin(10)
    for action in (1, 2, 3, 4, 5) * 6:
        first.step(action)
    first.keep = True
    first.step(2)
    second.resume(first.kept)
    for action in (1, 2, 3, 4, 5) * 6:
        assert first.step(action) == second.step(action)
        assert np.array_equal(first.screens, second.screens)


def test_short_rollouts_are_joined_into_clips() -> None:
    """A2C's five steps: the same clips as from one rollout of all steps."""
    task = make_task("pong")
    torch.manual_seed(0)
    acting, policy = worker(task, envs=1, steps=5)
    cutter = ClipCutter(25, task.action)
    parts = [acting.step(policy.export(0)) for _ in range(11)]
    cut = [cutter.cut(*part) for part in parts]
    assert [len(clips) for clips in cut] == [0, 0, 0, 0, 1] * 2 + [0]
    clip = cut[4][0]
    whole, hidden = joined(parts[:5])
    assert np.array_equal(clip.segment.stacks, whole.stacks[:25, 0])
    assert clip.true_return == hidden.true_rewards.sum()
    clip_frames(task, cut[9][0])


def test_rollouts_that_do_not_follow_each_other_are_not_joined() -> None:
    task = make_task("pong")
    acting, policy = worker(task, envs=1, steps=5)
    cutter = ClipCutter(10, task.action)
    first, _, third, fourth = [acting.step(policy.export(0)) for _ in range(4)]
    assert not cutter.cut(*first)
    assert not cutter.cut(*third)  # the second was dropped
    assert len(cutter.cut(*fourth)) == 1
    assert not cutter.cut(*first)
    cutter.forget()
    assert not cutter.cut(*third)


def test_no_ops_at_a_start_are_2_to_30_and_differ_between_worlds() -> None:
    simulator = AtariSimulator(rom_path("pong"), (), 0.0, 8, seed=3)
    simulator.reset(np.arange(8))
    noops = simulator.begun()
    assert noops.min() >= 2
    assert noops.max() <= 30
    assert len(set(noops.tolist())) > 3


def test_any_other_game_is_a_task_with_a_caution_and_one_that_is_none_is_refused() -> None:
    assert "painted black" in make_task("ALE/Alien-v5").caution
    assert make_task("ALE/Pong-v5").caution == make_task("pong").caution == ""
    with pytest.raises(UnknownTaskError, match="did you mean"):
        make_task("ALE/NoSuchGame-v5")


def test_a_game_without_a_rom_is_bad_usage() -> None:
    gymnasium.register("NoSuchGame-v0", entry_point="ale_py.env:AtariEnv", kwargs={"game": "no_such_game"})
    try:
        with pytest.raises(UsageError, match="no ROM called no_such_game"):
            make_task("NoSuchGame-v0")
    finally:
        del gymnasium.registry["NoSuchGame-v0"]


def test_after_the_clocks_end_the_agent_sees_a_new_game() -> None:
    task = make_task("pong")
    world = make_environments(task, 2, seed=1)
    world._age_steps[:] = task.horizon - 1
    moment = world.step(np.zeros(2, np.int64))
    assert moment.ended.tolist() == [0, 1]
    assert moment.final_observations.dtype == np.uint8
    assert world.emulator is not None
    assert (world.emulator.begun() >= 2).all()
