"""The seven Atari games of the paper, and Enduro's level mode: what a labeler is told, what an end costs, and what of
the screen is painted black.

Black is what tells the score, so that neither agent nor reward model can read it off (Christiano et al. 2017, appendix
A.2): of BeamRider the ship count too, of Enduro the speedometer. `tests/actors/test_atari_games.py` changes the score
in the emulator's memory and finds no trace of it in what the agent sees. Of Space Invaders that hides the command ship
too, which flies across where the score was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from actors.enduro import level_reward

Array = np.ndarray

Box = tuple[int, int, int, int]
"""top, left, bottom, right in pixels of the 210 x 160 screen; bottom and right are the first outside."""


ScriptedJudge = Callable[[Array, Array], float]
"""The console's memory [128] uint8 before and after a step -> what the step is worth to a synthetic labeler."""


@dataclass(frozen=True)
class AtariGame:
    """end_penalty: points that a synthetic labeler takes off for each life lost, or for the end of a game without
    lives; a few good strokes' worth. scripted_judge: of a novel behaviour, in place of the score."""

    environment_id: str
    boxes: tuple[Box, ...]
    end_penalty: float
    instruction: str
    scripted_judge: ScriptedJudge | None = None


GAMES = {
    "beam-rider": AtariGame(
        "ALE/BeamRider-v5",
        ((0, 0, 31, 160), (183, 0, 193, 160)),
        200.0,
        "Hit enemy ships, and do not be hit.",
    ),
    "breakout": AtariGame("ALE/Breakout-v5", ((0, 0, 17, 160),), 5.0, "Hit the ball; the more bricks the better."),
    "enduro": AtariGame(
        "ALE/Enduro-v5", ((160, 0, 210, 160),), 10.0, "Pass as many cars as possible, and do not be passed."
    ),
    "pong": AtariGame("ALE/Pong-v5", ((0, 0, 24, 160),), 0.0, "Win points; do not lose any."),
    "qbert": AtariGame("ALE/Qbert-v5", ((0, 0, 15, 160),), 100.0, "Colour as many cubes as possible, and do not fall."),
    "seaquest": AtariGame(
        "ALE/Seaquest-v5",
        ((0, 0, 20, 160),),
        60.0,
        "Shoot fish and submarines, fetch divers, and come up for air in time.",
    ),
    "space-invaders": AtariGame("ALE/SpaceInvaders-v5", ((0, 0, 22, 160),), 50.0, "Hit invaders, and do not be hit."),
}

# A level driver never passes the 200 cars that a second day asks for: its game ends with the first, whatever it does.
GAMES["enduro-level"] = replace(
    GAMES["enduro"],
    end_penalty=0.0,
    instruction="Drive level with the other cars: neither pass nor be passed.",
    scripted_judge=level_reward,
)

BOXES = {game.environment_id: game.boxes for game in GAMES.values()}
