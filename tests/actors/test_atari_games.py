import numpy as np
import pytest

from actors.atari import Console, rom_path
from actors.atari_games import GAMES
from actors.sights import Sights
from actors.tasks import make_task

SCORE_BYTES = {  # of the console's 128, those that hold the score; of BeamRider the ships left, of Enduro the cars, too
    "beam-rider": (5, 9, 10, 11),
    "breakout": (76, 77),
    "enduro": (39, 40, 41, 42, 43, 44),
    "pong": (13, 14),
    "qbert": (90, 91),
    "seaquest": (56, 57, 58),
    "space-invaders": (102, 103, 104, 105),
}
SCORE_BYTES["enduro-level"] = SCORE_BYTES["enduro"]


class Played:
    """A game in the midst of play, from which one may go on with another number in the console's memory."""

    def __init__(self, name: str) -> None:
        rom = make_task(name).atari_rom
        assert rom is not None
        self.console = Console(rom_path(rom))
        self.console.begin(10)
        self.first = self.console.screens.copy()
        random = np.random.default_rng(0)
        for _ in range(75):
            self.console.step(int(random.integers(self.console.num_actions)))
        self._state = self.console._ale.cloneState()

    def screens(self, changed: int | None = None) -> list[np.ndarray]:
        """[2, H, W] of each of the next three steps."""
        self.console._ale.restoreState(self._state)
        if changed is not None:
            self.console._ale.setRAM(changed, int(self.console._ale.getRAM()[changed]) ^ 0x11)
        screens = []
        for _ in range(3):
            self.console.step(0)
            screens.append(self.console.screens.copy())
        return screens


@pytest.mark.parametrize("name", GAMES)
def test_the_agent_cannot_see_the_score_change(name: str) -> None:
    game = Played(name)
    sights = Sights(game.console.screens.shape[1:], GAMES[name].boxes)
    before = game.screens()
    for changed in SCORE_BYTES[name]:
        after = game.screens(changed)
        assert any((a != b).any() for a, b in zip(before, after, strict=True)), f"byte {changed} shows nowhere"
        for one, other in zip(before, after, strict=True):
            assert np.array_equal(sights.of(one), sights.of(other)), f"byte {changed} shows through"


@pytest.mark.parametrize("name", GAMES)
def test_the_rest_of_the_game_is_seen(name: str) -> None:
    game = Played(name)
    sights = Sights(game.console.screens.shape[1:], GAMES[name].boxes)
    seen = sights.of(game.first)
    assert (seen > 0).mean() > 0.05
    assert not np.array_equal(seen, sights.of(game.screens()[0]))
