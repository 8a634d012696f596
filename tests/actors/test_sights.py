import numpy as np
import pytest

from actors.sights import SIZE, Sights, area_weights


def test_what_is_seen_is_the_mean_of_the_area_of_the_brighter_screen() -> None:
    screens = np.random.default_rng(0).integers(0, 256, (2, 210, 160)).astype(np.uint8)
    brighter = screens.max(0)
    brighter[:20, 8:] = 0
    fine = brighter.repeat(2, 0).repeat(21, 1).astype(float)  # 420 x 3360, of which 5 x 40 are a new pixel
    slow = fine.reshape(SIZE, 5, SIZE, 40).mean((1, 3))
    seen = Sights((210, 160), ((0, 8, 20, 160),)).of(screens)
    assert np.abs(seen - slow).max() <= 0.51
    assert area_weights(250, SIZE).sum(1) == pytest.approx(1.0)  # other screens, too
