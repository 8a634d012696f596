"""Where the reward model has been asked: the planes by hand and beside a slower twin, the route, and the run page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from actors.tasks import make_task
from labeling.belief import BINS, Plane, binned, plane_of, principal_plane
from labeling.server import PoolConfig, make_app
from reward_service.database import ComparisonDatabase
from tests.labeling.browsing import AXE, keep_picture, person, serious, served
from tests.labeling.paintings import TASK as PICTURES
from tests.labeling.paintings import offer_dots
from tests.labeling.pool import TASK, offer_pairs
from tests.labeling.test_run_page import publish


def test_the_small_worlds_plane_is_its_grid():
    plane = plane_of(make_task("small-world"), np.eye(25, dtype=np.float32)[[0, 7, 24]])
    assert plane.places.tolist() == [[0, 0], [2, 1], [4, 4]]
    told = binned(plane, np.array([1.0, -2.0, 0.5]))
    assert (told["bins"], told["is_grid"]) == (5, True)
    assert list(zip(told["x"], told["y"], told["paid"], strict=True)) == [(0, 0, 1.0), (2, 1, -2.0), (4, 4, 0.5)]


def test_two_numbers_are_a_plane_as_they_are():
    observations = np.array([[-1.2, 0.0], [0.6, 0.07]], np.float32)
    plane = plane_of(make_task("mountain-car"), observations)
    np.testing.assert_allclose(plane.places, observations)
    assert plane.kept == 1.0


def test_more_numbers_are_projected_as_by_a_singular_value_decomposition():
    observations = np.random.default_rng(0).normal(size=(200, 4)) @ np.random.default_rng(1).normal(size=(4, 4))
    observations[:, 3] = 2.5  # never differs
    places, kept = principal_plane(observations.astype(np.float32))
    scaled = (observations - observations.mean(0)) / np.where(observations.std(0) > 1e-9, observations.std(0), 1)
    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    expected = left[:, :2] * singular[:2]
    for axis in range(2):
        assert abs(np.corrcoef(places[:, axis], expected[:, axis])[0, 1]) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(np.abs(places), np.abs(expected), rtol=1e-4, atol=1e-4)
    assert kept == pytest.approx((singular[:2] ** 2).sum() / (singular**2).sum(), abs=1e-6)
    np.testing.assert_array_equal(principal_plane(observations.astype(np.float32))[0], places)


@pytest.mark.parametrize("width", [1, 3])
def test_observations_that_are_all_alike_are_one_place(width: int):
    places, kept = principal_plane(np.full((5, width), 3.0, np.float32))
    np.testing.assert_allclose(places, 0.0)
    assert kept == 0.0
    told = binned(Plane(places, ("a", "b")), np.arange(5.0))
    assert told["paid"] == [2.0]
    assert told["count"] == [5]


def test_bins_hold_the_mean_of_what_is_paid():
    places = np.array([[0.0, 0.0], [0.001, 0.0], [1.0, 1.0]])
    told = binned(Plane(places, ("a", "b")), np.array([1.0, 3.0, -1.0]))
    assert told["paid"] == [2.0, -1.0]
    assert told["x"] == told["y"] == [0, BINS - 1]


@pytest.fixture
def pictured(database: ComparisonDatabase) -> TestClient:
    offer_dots(database, 8)
    app = make_app(PoolConfig(database.run_id, PICTURES), database.client)
    return TestClient(app, base_url="http://127.0.0.1")


@pytest.mark.redis
def test_the_plane_has_what_the_newest_model_pays_for_what_was_asked(
    pictured: TestClient, database: ComparisonDatabase
):
    assert pictured.get("/api/belief").json() == {"has_plane": True, "plane": None}, "no model yet"
    ensemble = publish(database, 3, PICTURES)
    told: dict[str, Any] = pictured.get("/api/belief").json()["plane"]
    assert (told["reward_version"], told["clips"]) == (3, 16)
    assert sum(told["count"]) == 16 * 10
    mean = np.average(told["paid"], weights=told["count"])
    assert mean == pytest.approx(0.0, abs=0.01), "more or less than for the average of these clips"
    assert ensemble is not None


@pytest.mark.redis
def test_of_a_mujoco_task_the_clips_say_more(database: ComparisonDatabase):
    offer_pairs(database, 2)
    publish(database, 1)
    page = TestClient(make_app(PoolConfig(database.run_id, TASK), database.client), base_url="http://127.0.0.1")
    assert page.get("/api/belief").json() == {"has_plane": False, "plane": None}


@pytest.mark.redis
@pytest.mark.browser
def test_the_run_page_draws_it(browser: Any, database: ComparisonDatabase):
    offer_dots(database, 8)
    publish(database, 1, PICTURES)
    with served(database, PICTURES) as address, person(browser, address) as page:
        page.context.add_init_script(path=AXE)
        page.look_at("run")
        page.tab.wait_for_selector("#belief[data-drawn=true]", timeout=20_000)
        assert "Paid most" in (page.tab.get_attribute("#belief canvas", "aria-label") or "")
        assert "first number of the observation" in page.text("belief-axes")
        drawn = page.tab.evaluate(
            """() => { const canvas = document.querySelector("#belief canvas");
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            return new Set(pixels.filter((_, at) => at % 4 === 0)).size; }"""
        )
        assert drawn > 3, "discs and rings"
        assert serious(page) == []
        keep_picture(page, "belief")
