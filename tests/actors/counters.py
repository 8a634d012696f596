"""The Counter world: what is seen of it says what was done to it. Here other processes find it, too."""

from __future__ import annotations

import time

import gymnasium
import numpy as np


class Counter(gymnasium.Env):
    """Observes how often it was stepped, and in which episode; pays the step's number; ends when told to.

    end_at: terminates itself at that step. break_at: does `breaking` there: "raise", "nan observation", "nan reward";
    from its episode `from_episode` on. step_s: how long each of its steps takes at least, asleep.
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-2, 6, (1,))
    instances: list[Counter]

    def __init__(self, end_at=0, break_at=0, breaking="", from_episode=0, step_s=0.0):
        self.end_at, self.break_at, self.breaking, self.from_episode = end_at, break_at, breaking, from_episode
        self.step_s = step_s
        self.count, self.episode, self.actions = 0, 0, []
        Counter.instances.append(self)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count, self.episode = 0, self.episode + 1
        return np.array([0, self.episode], np.float32), {}

    def step(self, action):
        time.sleep(self.step_s)
        self.count += 1
        self.actions.append(action)
        broken = self.count == self.break_at and self.episode >= self.from_episode
        if broken and self.breaking == "raise":
            raise ArithmeticError("the wheel fell off")
        observation = np.array([np.nan if broken and "observation" in self.breaking else self.count, self.episode])
        reward = np.nan if broken and "reward" in self.breaking else float(self.count)
        return observation.astype(np.float32), reward, self.count == self.end_at, False, {}


class Drawn(Counter):
    """Draws itself in a grey that says the step's number; or cannot, `lacking` something that this takes."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - gymnasium's own form

    def __init__(self, render_mode: str | None = None, lacking: str = "") -> None:
        super().__init__()
        self.render_mode, self.lacking = render_mode, lacking

    def render(self):
        if self.lacking:
            raise ImportError(f"no module named {self.lacking!r}; pip install {self.lacking}")
        return np.full((20, 30, 3), self.count % 256, np.uint8)


Counter.instances = []
COUNTERS = {
    "Counter": {},
    "CounterEndsAt3": {"end_at": 3},
    "CounterEndsAt8": {"end_at": 8},
    "CounterRaises": {"break_at": 5, "breaking": "raise"},
    "CounterRaisesLate": {"break_at": 5, "breaking": "raise", "from_episode": 400},
    "CounterNanObservation": {"break_at": 5, "breaking": "nan observation"},
    "CounterNanLast": {"break_at": 8, "breaking": "nan observation"},
    "CounterNanReward": {"break_at": 5, "breaking": "nan reward"},
    "CounterUnhurried": {"step_s": 0.001},
}
DRAWN = {"CounterDrawn": {}, "CounterUndrawable": {"lacking": "paint"}}
for kind, worlds in ((Counter, COUNTERS), (Drawn, DRAWN)):
    for name, kwargs in worlds.items():
        gymnasium.register(f"Twoclips{name}-v0", f"{__name__}:{kind.__name__}", max_episode_steps=8, kwargs=kwargs)
