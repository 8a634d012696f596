"""Side by side with gymnasium's own environments: observations bit for bit, and the paper's rewards by another way."""

import mujoco
import numpy as np
import pytest

from actors.environments import make_environments, make_gymnasium
from actors.mujoco import MODELS, MujocoSimulator, load_model, without_deprecation
from actors.tasks import make_task

TASKS = sorted(MODELS)
NOVEL = ("half-cheetah-one-leg", "hopper-backflip")  # theirs is in test_behaviours.py


def side_by_side(name, row=1, num_envs=3):
    """A simulator, and gymnasium's environment put into the state of its world `row`."""
    task = make_task(name)
    simulator, env = MujocoSimulator(name, num_envs, seed=0), make_gymnasium(task)
    env.reset(seed=0)
    simulator.reset(np.arange(num_envs))
    inner = env.unwrapped
    mujoco.mj_resetData(inner.model, inner.data)
    state = simulator.states()[row]
    inner.set_state(state[: inner.model.nq], state[inner.model.nq :])
    return task, simulator, inner


def paper_reward(name, env, action, before_x, reward, info):
    """The paper's true rewards, from what gymnasium reports: no torque cost, and what ended an episode is a penalty."""
    data = env.data
    x_now = data.body("torso").xpos[0] if name == "ant" else data.qpos[0]
    forward = (x_now - before_x) / env.dt
    if name in ("hopper", "walker"):
        healthy = 1.0  # the alive bonus is paid at every step: nothing terminates
        control = env._ctrl_cost_weight * np.sum(np.square(action))
        if info["reward_survive"] == 1.0:  # while gymnasium calls it healthy, its own reward is the same thing
            assert reward + control == pytest.approx(forward + healthy, abs=1e-9)
        return forward + healthy + data.qpos[1] - (1.0 if name == "hopper" else 2.0)
    if name in ("half-cheetah", "swimmer"):
        assert info["reward_forward"] == pytest.approx(forward, abs=1e-9)
        return info["reward_forward"]
    if name == "ant":
        assert info["reward_forward"] == pytest.approx(forward, abs=1e-9)
        return info["reward_forward"] + data.qpos[2] - 1.2
    if name == "reacher":
        return info["reward_dist"]
    if name == "pendulum":
        return 1.0 - data.qpos[1] ** 2
    assert name == "double-pendulum"
    standard = 10.0 + info["distance_penalty"] + info["velocity_penalty"]
    return standard + 10.0 * (data.site("tip").xpos[2] - 1.0)


@pytest.mark.parametrize("name", [name for name in TASKS if name not in NOVEL])
def test_a_world_is_gymnasiums_bit_for_bit_and_its_reward_the_papers(name):
    task, simulator, env = side_by_side(name)
    np.testing.assert_array_equal(env._get_obs(), simulator.observe()[1])
    random = np.random.default_rng(0)
    for _ in range(150):
        actions = random.uniform(-1, 1, (3, task.action.size)) * np.asarray(task.action.high)
        before_x = float(env.data.body("torso").xpos[0] if name == "ant" else env.data.qpos[0])
        rewards = simulator.step(actions)
        observation, reward, _, _, info = env.step(actions[1])
        np.testing.assert_array_equal(observation, simulator.observe()[1])
        assert rewards[1] == pytest.approx(paper_reward(name, env, actions[1], before_x, reward, info), abs=1e-9)


@pytest.mark.parametrize("name", TASKS)
def test_starts_are_distributed_like_gymnasiums(name):
    """Range, mean and spread of every coordinate of the first state over many resets."""
    simulator, env = MujocoSimulator(name, 300, seed=1), make_gymnasium(make_task(name)).unwrapped
    simulator.reset(np.arange(300))
    ours, theirs = simulator.states(), []
    for seed in range(300):
        env.reset(seed=seed)
        theirs.append(np.concatenate((env.data.qpos, env.data.qvel)))
    theirs = np.array(theirs)
    scale = theirs.std(0) + 1e-9
    assert (abs(ours.mean(0) - theirs.mean(0)) < 0.4 * scale).all()
    assert (abs(ours.std(0) - theirs.std(0)) < 0.25 * scale).all()
    assert (ours.std(0)[theirs.std(0) == 0] == 0).all()


def test_body_ids_of_the_reacher():
    model = load_model("reacher")
    assert (model.body("fingertip").id, model.body("target").id) == (3, 4)


def test_body_and_site_that_the_other_tasks_read():
    assert load_model("ant").body("torso").id == 1
    assert load_model("double-pendulum").site("tip").id == 0


@pytest.mark.parametrize("name", ["ant", "reacher", "double-pendulum"])
def test_worlds_do_not_disturb_each_other(name):
    """World 1 of three is world 0 of one that is given the same state and actions, also after neighbours' resets."""
    task = make_task(name)
    many, one = MujocoSimulator(name, 3, seed=0), MujocoSimulator(name, 1, seed=9)
    many.reset(np.arange(3))
    one.reset(np.arange(1))
    one.set_states(np.arange(1), many.states()[1:2])
    random = np.random.default_rng(0)
    for t in range(40):
        if t % 7 == 3:
            many.reset(np.array([0, 2]))
        actions = random.uniform(-1, 1, (3, task.action.size))
        rewards = many.step(actions)
        assert rewards[1] == one.step(actions[1:2])[0]
        np.testing.assert_array_equal(many.observe()[1], one.observe()[0])


def test_a_reset_leaves_nothing_of_the_last_episode():
    """Controls, warm starts, contact forces: set to the same state twice, the world goes the same way twice."""
    simulator = MujocoSimulator("double-pendulum", 1, seed=0)
    simulator.reset(np.arange(1))
    state = simulator.states()
    runs = []
    for _ in range(2):
        simulator.set_states(np.arange(1), state)
        run = [simulator.observe().copy()]
        for _ in range(60):
            simulator.step(np.ones((1, 1)))
            run.append(simulator.observe().copy())
        runs.append(run)
    np.testing.assert_array_equal(runs[0], runs[1])


@pytest.mark.parametrize("name", TASKS)
def test_nothing_ever_terminates_however_it_falls(name):
    """Full torque for 200 steps: gymnasium would have ended most of these."""
    task = make_task(name)
    world = make_environments(task, 2, seed=0, stagger=False)
    for step in range(200):
        moment = world.step(np.ones((2, task.action.size), np.float32))
        assert (len(moment.ended) == 2) == ((step + 1) % task.horizon == 0)
        assert np.isfinite(moment.observations).all()
    assert world.states().shape == (2, load_model(name).nq + load_model(name).nv)
    assert world.states().dtype == np.float32
    world.close()


def test_only_the_deprecation_of_gymnasiums_own_model_is_silenced(capsys):
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(None)
    try:
        with without_deprecation():
            warn = mujoco.get_mju_user_warning()
            warn("compiler attribute 'settotalmass' is deprecated and will be removed")
            warn("Nan, Inf or huge value in QACC")
        assert mujoco.get_mju_user_warning() is None
    finally:
        mujoco.set_mju_user_warning(before)
    assert capsys.readouterr().err == "WARNING: Nan, Inf or huge value in QACC\n"
