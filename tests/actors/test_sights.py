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


@pytest.mark.parametrize("height", [210, 250])
def test_a_mean_between_two_bytes_is_the_upper_one_on_any_processor(height: int) -> None:
    """A replay on another machine must find the same bytes: sums in another order may not tell."""
    black = np.zeros((2, height, 160), np.uint8)
    halves = 0
    for seed in range(20):
        black[0] = np.random.default_rng(seed).choice([0, 74, 142, 214], size=(height, 160))
        exact = np.kron(black[0].astype(np.int64), np.ones((42, 21), np.int64))
        exact = exact.reshape(SIZE, height * 42 // SIZE, SIZE, 40).sum((1, 3))  # of so many parts a mean is made of
        parts = height * 42 // SIZE * 40
        halves += int((2 * exact % (2 * parts) == parts).sum())
        assert np.array_equal(Sights((height, 160), ()).of(black), (2 * exact + parts) // (2 * parts))
    assert halves > 20
