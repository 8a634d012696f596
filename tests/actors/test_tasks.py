import sys

import gymnasium
import numpy as np
import pytest

from actors.spaces import UnsupportedSpaceError
from actors.tasks import Preset, UnknownTaskError, make_task, register, task_names

PAPER = {  # observation, action, clip steps, horizon
    "hopper": (11, 3, 60, 1000),
    "walker": (17, 6, 45, 1000),
    "half-cheetah": (17, 6, 30, 1000),
    "swimmer": (8, 2, 60, 1000),
    "ant": (27, 8, 30, 1000),
    "reacher": (10, 2, 15, 50),
    "pendulum": (4, 1, 15, 1400),
    "double-pendulum": (9, 1, 15, 1000),
}
NOVEL = {"hopper-backflip": (12, 3, 60, 1000), "half-cheetah-one-leg": (17, 6, 30, 1000)}


@pytest.mark.parametrize("name", [*PAPER, *NOVEL])
def test_the_papers_tasks(name):
    task = make_task(name)
    assert name in task_names()
    assert (task.observation_shape[0], task.action.size, task.preset.clip_steps, task.horizon) == {**PAPER, **NOVEL}[
        name
    ]
    assert task.mujoco_model == task.name == name
    assert task.preset.instruction


@pytest.mark.parametrize("name", ["hopper", "walker", "half-cheetah", "swimmer", "ant"])
def test_the_papers_clips_last_one_and_a_half_seconds_or_what_the_paper_gives_in_steps(name):
    task = make_task(name)
    assert 0.35 <= task.step_s * task.preset.clip_steps <= 2.5


def test_any_registered_environment_by_its_id():
    task = make_task("Pendulum-v1")
    assert (task.name, task.environment_id, task.horizon) == ("Pendulum-v1", "Pendulum-v1", 200)
    assert task.preset.clip_steps < task.horizon
    assert task.mujoco_model is None
    np.testing.assert_allclose(task.action.high, [2.0])


def test_an_id_that_has_presets_gets_them():
    assert make_task("CartPole-v1").preset == make_task("cart-pole").preset
    assert make_task("CartPole-v1").action.num_choices == 2
    assert make_task("CartPole-v1").native_action(np.int64(1)) == 1


def test_a_task_is_registered_in_a_few_lines():
    register("swing", "Pendulum-v1", Preset(horizon=100, clip_steps=20, instruction="Swing it up."))
    task = make_task("swing")
    assert (task.name, task.horizon, task.preset.instruction) == ("swing", 100, "Swing it up.")
    assert "swing" in task_names()


def test_an_environment_of_somebodys_own_package(tmp_path, monkeypatch):
    (tmp_path / "their_pkg.py").write_text(
        """
import gymnasium, numpy
class Theirs(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,))
    action_space = gymnasium.spaces.Discrete(2)
    def reset(self, seed=None, options=None):
        return numpy.zeros(3, numpy.float32), {}
    def step(self, action):
        return numpy.zeros(3, numpy.float32), 0.0, False, False, {}
gymnasium.register("TheirEnv-v0", Theirs)
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    task = make_task("their_pkg:TheirEnv-v0")
    assert (task.observation_shape, task.action.num_choices, task.horizon) == ((3,), 2, 1000)
    sys.modules.pop("their_pkg")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("half_cheetah", "half-cheetah"), ("hoper", "hopper"), ("CartPol-v1", "CartPole-v1"), ("no_such_pkg:Env-v0", "")],
)
def test_an_unknown_task_is_answered_with_the_nearest_names(wrong, right):
    with pytest.raises(UnknownTaskError, match=f"{wrong!r}.*did you mean .*{right}.*`twoclips tasks` lists them"):
        make_task(wrong)


@pytest.mark.parametrize(
    "text", ["Preset(horizn=5)", "not python", "from actors.tasks import regster", "import a_simulator_that_is_missing"]
)
def test_a_module_that_fails_when_it_is_imported_is_told_apart_from_a_name_that_nobody_knows(
    tmp_path, monkeypatch, text
):
    (tmp_path / "mistyped_pkg.py").write_text(f"from actors.tasks import Preset\n{text}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownTaskError, match=r"module mistyped_pkg of the task .* cannot be imported") as caught:
        make_task("mistyped_pkg:Their-v0")
    assert "\n" not in str(caught.value)


def test_unsupported_spaces_are_refused_with_a_remedy():
    with pytest.raises(UnsupportedSpaceError, match=r"observation space Discrete\(16\) is not supported"):
        make_task("FrozenLake-v1")


def test_an_environment_that_cannot_be_made_is_named():
    def broken() -> gymnasium.Env:
        raise RuntimeError("install the simulator first")

    gymnasium.register("Broken-v0", entry_point=broken)
    try:
        with pytest.raises(UnknownTaskError, match="Broken-v0 cannot be made: RuntimeError: install the simulator"):
            make_task("Broken-v0")
    finally:
        del gymnasium.registry["Broken-v0"]
