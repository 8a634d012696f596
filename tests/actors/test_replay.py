"""What was acted is played again, exactly: on gymnasium's own cart-pole, and on a dot that draws itself in NumPy."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from actors.clips import cut_clips
from actors.policy import ActorCritic, PolicyConfig
from actors.replay import DrawingError, ReplayError, clip_frames, drawing_problem, played
from actors.rollout import RolloutConfig, RolloutWorker
from actors.tasks import Preset, make_task, register
from actors.trajectory import Clip, Hidden, Rollout
from tests.labeling import paintings
from tests.labeling.paintings import dot_clips

COUNTERS = "tests.actors.counters"  # without torch: a task is tried out in a process of its own


@pytest.fixture(autouse=True)
def _dot(registered_tasks: None) -> None:
    register("dot", "TwoclipsDot-v0", Preset(40, paintings.CLIP_STEPS))


def blocks(name: str, rollouts: int, steps: int = 60) -> list[tuple[Rollout, Hidden]]:
    task = make_task(name)
    worker = RolloutWorker(task, PolicyConfig(), RolloutConfig(num_envs=3, steps=steps), worker=0, seed=2)
    weights = ActorCritic(PolicyConfig(), task.observation_shape, task.action).export(0)
    return [worker.step(weights) for _ in range(rollouts)]


@pytest.mark.parametrize("name", ["cart-pole", "mountain-car", "dot"])
def test_every_clip_shows_the_same_observations_again(name: str) -> None:
    task = make_task(name)
    clip_steps = 20 if name != "mountain-car" else 50
    clips = [clip for block in blocks(name, 4) for clip in cut_clips(*block, clip_steps, task.action)]
    assert len(clips) >= 12
    for clip in clips:
        assert clip.origin is not None
        done = np.concatenate((clip.origin.lead, clip.segment.actions))
        shown = [each for each, _ in played(task, clip.origin.seeds, task.action.to_environment(done))]
        np.testing.assert_array_equal(shown[len(clip.origin.lead) :], clip.segment.observations)
    restarts = [len(clip.origin.seeds) - 1 for clip in clips if clip.origin]
    leads = [len(clip.origin.lead) for clip in clips if clip.origin]
    if name == "mountain-car":
        assert max(leads) > 60, "a clip of a later rollout begins in the first"
    else:
        assert max(restarts) > 0, "an environment ended by itself within a clip"
        assert 0 < max(leads) < 60, "and the lead goes back to its latest start, not farther"


def test_origins_say_for_every_step_what_a_slow_twin_counts() -> None:
    """Seeds change where, and only where, the age is 0; a world that ends by itself begins with age 0."""
    earlier: list[np.ndarray] = []
    for rollout, hidden in blocks("dot", 3, steps=23):
        origins = hidden.origins
        assert origins is not None
        done = [*earlier, *rollout.actions]
        for env in range(3):
            for t in range(23):
                age, seed = int(origins.ages[t, env]), int(origins.seeds[t, env])
                if t:
                    begun_anew = seed != origins.seeds[t - 1, env]
                    assert age == (0 if begun_anew else origins.ages[t - 1, env] + 1)
                    assert begun_anew or not rollout.truncated[t - 1, env]
                reach = np.concatenate((origins.earlier, rollout.actions))[len(origins.earlier) + t - age :][:age, env]
                expected = [actions[env] for actions in done[len(earlier) + t - age : len(earlier) + t]]
                assert reach.tolist() == expected
        earlier = done
        assert origins.ages.max() < 40


def test_runs_with_the_same_seed_start_alike_and_no_start_comes_twice() -> None:
    first, again = ([hidden.origins for _, hidden in blocks("dot", 2)] for _ in range(2))
    seeds: list[int] = []
    for one, other in zip(first, again, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.seeds, other.seeds)
        seeds += one.seeds[one.ages == 0].tolist()
    assert len(seeds) > 10
    assert len(set(seeds)) == len(seeds)


def test_mujoco_keeps_no_origins() -> None:
    assert blocks("reacher", 1)[0][1].origins is None


def test_a_clip_is_drawn_step_by_step() -> None:
    clip = dot_clips()[4]
    frames = clip_frames(make_task("dot"), clip)
    assert len(frames) == len(clip.segment)
    for frame, (place, _) in zip(frames, clip.segment.observations, strict=True):
        columns = np.flatnonzero((frame == (30, 110, 200)).all(-1).any(0))
        assert columns.mean() == pytest.approx(240 + 200 * np.clip(place, -1, 1), abs=1.0)


def test_an_environment_that_does_otherwise_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = dot_clips()[0]
    monkeypatch.setattr(paintings, "DRIFTED", [1e-3])
    with pytest.raises(ReplayError, match="does not do the same again: step 0"):
        clip_frames(make_task("dot"), clip)


def test_a_clip_without_origin_is_refused() -> None:
    clip: Clip = dataclasses.replace(dot_clips()[0], origin=None)
    with pytest.raises(ReplayError, match="does not say"):
        clip_frames(make_task("dot"), clip)


def test_what_cannot_be_drawn_here_is_no_fault_of_the_clip() -> None:
    register("dot", "TwoclipsBroken-v0", Preset(40, paintings.CLIP_STEPS))
    with pytest.raises(DrawingError, match="pip install paint"):
        clip_frames(make_task("dot"), dot_clips()[0])


def test_a_task_is_tried_out_before_people_are_asked() -> None:
    assert drawing_problem(make_task("hopper")) == ""
    blind = f"{COUNTERS}:TwoclipsCounter-v0"
    assert drawing_problem(make_task(blind)).startswith(f"people cannot see {blind}: the environment has no")
    problem = drawing_problem(make_task(f"{COUNTERS}:TwoclipsCounterUndrawable-v0"))
    assert "pip install paint" in problem
    assert problem.endswith("mend that, or use --labeler synthetic")
    assert drawing_problem(make_task(f"{COUNTERS}:TwoclipsCounterDrawn-v0")) == ""
    assert drawing_problem(make_task("cart-pole")) == "", "pygame draws without a screen"


PACKAGE = """
import atexit
import os
import sys

import gymnasium

from tests.actors.counters import Drawn

print("Hello from my_pkg, and its community")
print("my_pkg is deprecated", file=sys.stderr)
if sys.argv[0].endswith("replay.py"):
    atexit.register(print, "my_pkg says goodbye", file=sys.stderr)


class Loud(Drawn):
    def render(self):
        print("drawing, silently:", os.environ.get("PYGAME_HIDE_SUPPORT_PROMPT"))
        if self.lacking == "legs":
            os._exit(7)
        return super().render()


for name, lacking in (("Loud", ""), ("Undrawable", "paint"), ("Fatal", "legs")):
    gymnasium.register(f"My{name}-v0", Loud, max_episode_steps=8, kwargs={"lacking": lacking})
"""


def test_what_an_environment_prints_is_not_taken_for_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_pkg.py").write_text(PACKAGE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])]))
    monkeypatch.syspath_prepend(tmp_path)
    assert drawing_problem(make_task("my_pkg:MyLoud-v0")) == ""
    problem = drawing_problem(make_task("my_pkg:MyUndrawable-v0"))
    assert problem.startswith("people cannot see my_pkg:MyUndrawable-v0: my_pkg:MyUndrawable-v0 cannot draw itself: I")
    fatal = drawing_problem(make_task("my_pkg:MyFatal-v0"))
    assert "its renderer ended with 7 (my_pkg is deprecated); mend that" in fatal
