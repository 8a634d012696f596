"""The Counter world (counters.py) shows the step's number and the episode's, pays the number, and has a time limit
of its own of 8 steps."""

import gymnasium
import numpy as np
import pytest

from actors.environments import make_environments, make_gymnasium
from actors.simulators import EnvironmentFailure
from actors.tasks import Preset, make_task, register


def world_of(name, horizon=8, num_envs=2, stagger=False, end_penalty=10.0):
    register("counter", f"Twoclips{name}-v0", Preset(horizon=horizon, clip_steps=2, end_penalty=end_penalty))
    return make_environments(make_task("counter"), num_envs, seed=0, stagger=stagger)


def idle(world):
    return world.step(np.zeros((world.num_envs, 1), np.float32))


def test_an_episode_has_exactly_the_horizon_and_its_final_observation_is_from_before_the_reset(counters):
    world = world_of("Counter")
    for episode in (1, 2, 3):
        for count in range(1, 8):
            moment = idle(world)
            assert moment.observations.tolist() == [[count, episode]] * 2
            assert moment.ended.tolist() == []
            assert moment.final_observations.shape == (0, 2)
        moment = idle(world)
        assert moment.ended.tolist() == [0, 1]
        assert moment.final_observations.tolist() == [[8, episode]] * 2
        assert moment.true_rewards.tolist() == [8, 8]
        assert moment.observations.tolist() == [[0, episode + 1]] * 2
        assert (world.observations == moment.observations).all()


def test_the_environments_own_time_limit_is_not_in_the_way(counters):
    """Horizon 20, though gymnasium's registration says 8."""
    world = world_of("Counter", horizon=20)
    seen = [idle(world).observations[0, 0] for _ in range(19)]
    assert seen == list(range(1, 20))


def test_an_end_is_hidden_costs_the_penalty_and_the_world_goes_on(counters):
    world = world_of("CounterEndsAt3", horizon=8)
    moments = [idle(world) for _ in range(8)]
    assert [m.true_rewards[0] for m in moments] == [1, 2, 3 - 10, 1, 2, 3 - 10, 1, 2]
    assert [m.observations[0].tolist() for m in moments[:4]] == [[1, 1], [2, 1], [0, 2], [1, 2]]
    assert [len(m.ended) for m in moments] == [0] * 7 + [2]
    assert moments[7].final_observations[0].tolist() == [2, 3]


def test_a_negative_penalty_rewards_an_end(counters):
    world = world_of("CounterEndsAt3", end_penalty=-100.0)
    assert [idle(world).true_rewards[0] for _ in range(3)] == [1, 2, 103]


def test_first_episodes_are_staggered(counters):
    world = world_of("Counter", horizon=8, num_envs=4, stagger=True)
    ended = [idle(world).ended.tolist() for _ in range(16)]
    assert [(t + 1, ids) for t, ids in enumerate(ended) if ids] == [
        (2, [3]),
        (4, [2]),
        (6, [1]),
        (8, [0]),
        (10, [3]),
        (12, [2]),
        (14, [1]),
        (16, [0]),
    ]


def test_actions_reach_the_environment_clipped_and_in_its_own_units(counters):
    """The Counter's action space is [-2, 6]."""
    world = world_of("Counter", num_envs=1)
    for sampled in (-1.0, 0.0, 1.0, 30.0):
        world.step(np.array([[sampled]], np.float32))
    made = [counter for counter in counters if counter.actions]
    assert [action.tolist() for action in made[0].actions] == [[-2], [2], [6], [6]]
    assert made[0].actions[0].dtype == np.float32


def test_cart_pole_never_terminates():
    """Always pushed to the left it falls after about ten steps; the agent only sees the pole stand again."""
    task = make_task("CartPole-v1")
    world = make_environments(task, 3, seed=0, stagger=False)
    moments = [world.step(np.zeros(3, np.int64)) for _ in range(500)]
    assert [len(m.ended) for m in moments] == [0] * 499 + [3]
    rewards = np.array([m.true_rewards for m in moments])
    assert set(np.unique(rewards)) == {1.0, 1.0 - task.end_penalty}
    assert (rewards < 0).sum(0).min() > 25
    angles = np.array([m.observations[:, 2] for m in moments])
    assert abs(angles[rewards < 0]).max() <= 0.05  # already the next episode's
    world.close()


def test_discrete_actions_that_start_elsewhere():
    class FromFive(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-9, 9, (1,))
        action_space = gymnasium.spaces.Discrete(3, start=5)

        def reset(self, seed=None, options=None):
            return np.zeros(1, np.float32), {}

        def step(self, action):
            assert self.action_space.contains(action)
            return np.array([action], np.float32), 0.0, False, False, {}

    gymnasium.register("TwoclipsFromFive-v0", FromFive, max_episode_steps=8)
    world = make_environments(make_task("TwoclipsFromFive-v0"), 3, seed=0)
    assert world.step(np.array([0, 1, 2])).observations.ravel().tolist() == [5, 6, 7]


def test_seeds_are_repeatable_and_each_environment_has_its_own():
    task = make_task("CartPole-v1")
    first, again, other = (make_environments(task, 3, seed=seed).observations for seed in (4, 4, 5))
    assert (first == again).all()
    assert len(np.unique(np.concatenate((first, other)), axis=0)) == 6


def test_an_environment_that_raises_is_named(counters):
    world = world_of("CounterRaises")
    for _ in range(4):
        idle(world)
    with pytest.raises(
        EnvironmentFailure, match=r"TwoclipsCounterRaises-v0 raised ArithmeticError: the wheel fell off\."
    ):
        idle(world)


@pytest.mark.parametrize("wrong_at", [0, 3], ids=["at a start", "at a step"])
def test_an_observation_of_another_shape_than_its_space_says_is_told(wrong_at):
    class Column(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-9, 9, (3,))
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, seed=None, options=None):
            self.count = 0
            return self.seen(), {}

        def step(self, action):
            self.count += 1
            return self.seen(), 0.0, False, False, {}

        def seen(self):
            return np.zeros((3, 1) if self.count == wrong_at else 3, np.float32)

    gymnasium.register(f"TwoclipsColumn{wrong_at}-v0", Column, max_episode_steps=8)
    task = make_task(f"TwoclipsColumn{wrong_at}-v0")
    says = r"TwoclipsColumn\d-v0 gave an observation of shape \(3, 1\), and its space says \(3,\)\."
    if wrong_at == 0:
        with pytest.raises(EnvironmentFailure, match=says):
            make_environments(task, 2, seed=0)
        return
    world = make_environments(task, 2, seed=0)
    for _ in range(wrong_at - 1):
        world.step(np.zeros(2, np.int64))
    with pytest.raises(EnvironmentFailure, match=says):
        world.step(np.zeros(2, np.int64))


def test_gymnasiums_own_environment_keeps_its_time_limit():
    env = make_gymnasium(make_task("CartPole-v1"))
    assert env.spec is not None
    assert env.spec.max_episode_steps == 500
    env.close()
