"""A game beside slow twins: emulators that are stepped frame by frame, and games that nobody hides the ends of."""

from __future__ import annotations

import ale_py
import numpy as np
import pytest
import torch

from actors.atari import AtariSimulator, rom_path
from actors.atari_games import BOXES
from actors.clips import cut_clips
from actors.environments import make_environments
from actors.policy import ActorCritic, PolicyConfig
from actors.replay import clip_frames
from actors.rollout import RolloutConfig, RolloutWorker
from actors.tasks import make_task

POLICY = PolicyConfig(torso="mnih-2013")
ENVS, STEPS = 2, 40


def raw_emulator(name: str) -> ale_py.ALEInterface:
    emulator = ale_py.ALEInterface()
    emulator.setInt("random_seed", 1)
    emulator.setFloat("repeat_action_probability", 0.0)
    emulator.loadROM(rom_path(name))
    return emulator


def shrunk(screen: np.ndarray) -> np.ndarray:
    """[210, 160] -> [84, 84]: every pixel cut into pieces that both sizes are made of, and the mean of each block."""
    return screen.repeat(2, 0).repeat(21, 1).reshape(84, 5, 84, 40).mean((1, 3))


@pytest.mark.parametrize("name", ["pong", "space_invaders"])
def test_a_step_is_four_frames_of_an_action_and_shows_the_brighter_of_the_last_two(name: str) -> None:
    simulator = AtariSimulator(rom_path(name), (), 0.0, 1, seed=0)
    simulator.reset(np.arange(1))
    emulator = raw_emulator(name)
    actions = emulator.getMinimalActionSet()
    for _ in range(int(simulator.begun()[0])):
        emulator.act(actions[0])
    rewards: list[float] = []
    differ = 0
    for action in np.random.default_rng(0).integers(len(actions), size=120):
        reward = 0
        frames: list[np.ndarray] = []
        for _ in range(4):
            reward += emulator.act(actions[action])
            frames.append(emulator.getScreenGrayscale())
        rewards += simulator.step(np.array([action])).tolist()
        assert rewards[-1] == reward
        np.testing.assert_array_equal(simulator._consoles[0].screens, frames[2:])
        assert np.abs(simulator.observe()[0] - shrunk(np.maximum(frames[2], frames[3]))).max() <= 0.51
        differ += any(np.abs(shrunk(frame) - simulator.observe()[0]).max() > 10 for frame in frames[2:])
    assert any(rewards)
    assert differ > 20, "neither of the two frames alone is what is seen"


@pytest.fixture(name="acted", scope="module")
def _acted() -> tuple[list, list[torch.Tensor]]:
    """Rollouts of breakout by a policy that only fires and goes to the right, and soon loses; and what its network was
    shown at every step."""
    torch.manual_seed(0)
    task = make_task("breakout")
    policy = ActorCritic(POLICY, task.observation_shape, task.action)
    with torch.no_grad():
        last = policy.actor[-1]
        assert isinstance(last, torch.nn.Linear)
        last.bias[1:3] += 10.0
    worker = RolloutWorker(task, POLICY, RolloutConfig(ENVS, STEPS), worker=0, seed=1)
    shown: list[torch.Tensor] = []
    normalise = worker._policy.normalise

    def noted(observations: torch.Tensor) -> torch.Tensor:
        shown.append(observations.clone())
        return normalise(observations)

    worker._policy.normalise = noted  # pyright: ignore[reportAttributeAccessIssue]
    return [worker.step(policy.export(version)) for version in range(5)], shown


def ends_of(rollouts: list) -> list[tuple[int, int]]:
    """(step, world) of every game that ended."""
    return [
        (index * STEPS + int(t), int(env)) for index, (_, hidden) in enumerate(rollouts) for t, env, _ in hidden.games
    ]


def test_after_a_hidden_end_the_policy_still_sees_the_old_games_last_three_pictures(acted: tuple) -> None:
    rollouts, shown = acted
    assert len(shown) == 5 * STEPS
    stored = np.concatenate([rollout.stacks[:-1] for rollout, _ in rollouts])
    np.testing.assert_array_equal(torch.stack(shown).numpy(), stored)
    ends = [(t, env) for t, env in ends_of(rollouts) if t + 3 < len(shown)]
    assert ends
    for t, env in ends:
        old, *new = (shown[t + after][env].numpy() for after in range(4))
        assert not np.array_equal(new[0][3], old[3]), "another game has begun"
        for after, stack in enumerate(new, start=1):
            np.testing.assert_array_equal(stack[: 4 - after], old[after:])


def test_each_colour_picture_of_a_replay_is_what_the_screen_showed_at_that_step(acted: tuple) -> None:
    """Across ends of games, too. The twin keeps colours while it plays."""
    rollouts, _ = acted
    task = make_task("breakout")
    live = AtariSimulator(rom_path("breakout"), BOXES[task.environment_id], 0.0, ENVS, seed=1, colour=True)
    live.reset(np.arange(ENVS))
    pictures: list[list[np.ndarray]] = []
    for rollout, _ in rollouts:
        for seen, actions in zip(rollout.stacks[:-1, :, -1], rollout.actions, strict=True):
            np.testing.assert_array_equal(live.observe(), seen)
            pictures.append([live.picture(env) for env in range(ENVS)])
            live.step(actions)
    ends = ends_of(rollouts)
    across = 0
    for index in sorted({t // STEPS for t, _ in ends}):
        clips = iter(cut_clips(*rollouts[index], 13, task.action))
        for env in range(ENVS):
            for first in range(index * STEPS, index * STEPS + 39, 13):
                clip = next(clips)
                begun = [t for t, where in ends if where == env and first <= t < first + 12]
                if first % STEPS == 0 or begun:
                    across += len(begun)
                    shown = np.stack([pictures[t][env] for t in range(first, first + 13)])
                    assert (shown[1:] != shown[:-1]).any((1, 2, 3)).sum() > 6
                    np.testing.assert_array_equal(clip_frames(task, clip), shown)
    assert across


def until_over(simulator: AtariSimulator, action: int) -> np.ndarray:
    """What each step of a game cost beside its score."""
    simulator.reset(np.arange(1))
    costs: list[float] = []
    while not len(simulator.games()):
        reward = simulator.step(np.array([action]))
        costs.append(float(simulator.scored()[0] - reward[0]))
        assert len(costs) < 3000
    return np.array(costs)


def test_a_game_without_lives_loses_the_penalty_once_when_it_is_over() -> None:
    costs = until_over(AtariSimulator(rom_path("pong"), (), 7.0, 1, seed=0), action=0)
    assert costs[-1] == 7.0
    assert not costs[:-1].any()


def test_a_game_with_lives_loses_the_penalty_with_each_and_not_once_more_at_its_end() -> None:
    costs = until_over(AtariSimulator(rom_path("breakout"), (), 7.0, 1, seed=0), action=1)
    assert costs[costs > 0].tolist() == [7.0] * 5
    assert costs[-1] == 7.0


def test_the_penalty_of_a_life_is_the_tasks_and_pong_has_none() -> None:
    costs: dict[str, list[float]] = {}
    for name, steps in (("pong", 60), ("qbert", 260)):
        task = make_task(name)
        simulator = make_environments(task, 1, seed=0).emulator
        assert simulator is not None
        console = simulator._consoles[0]
        simulator.reset(np.arange(1))
        costs[name] = []
        for step in range(steps):
            before = console._ale.lives()
            reward = simulator.step(np.array([(2, 3, 4, 5)[step % 4] % console.num_actions]))
            cost = float(simulator.scored()[0] - reward[0])
            costs[name].append(cost)
            over = len(simulator.games()) > 0
            assert cost == (task.end_penalty if over or console._ale.lives() < before else 0.0)
            if over:
                break
    assert not any(costs["pong"])
    assert any(costs["qbert"])
