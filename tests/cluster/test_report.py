"""Reports: of one run, of several, and of runs that measured little."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cluster.chart_list import CHARTS
from cluster.charts import Chart, Curves, Line, Panel, draw, legend, mean_over_seeds, thinned
from cluster.report import _group_names, write_report
from cluster.run_folder import RunFolder
from cluster.settings import replaced
from cluster.writing import WritingError

PNG = b"\x89PNG"


def copy_of(run: RunFolder, path: Path, rows: list[dict[str, object]], **changes: object) -> RunFolder:
    """A run with the same configuration but for `changes`, and other metrics."""
    path.mkdir()
    text = (run.path / "config.toml").read_text()
    for name, value in changes.items():
        text = re.sub(rf"^{name} = .*$", f"{name} = {json.dumps(value)}", text, count=1, flags=re.MULTILINE)
    (path / "config.toml").write_text(text)
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RunFolder.open(path)


def test_one_run_gives_one_file_and_its_charts(finished_run: RunFolder):
    page = write_report([finished_run]).read_text()
    assert "cart-pole" in page
    assert "20 comparisons" in page
    assert "seed = 1" in page, "the settings"
    assert "torch 2" in page, "the versions"
    assert not re.search(r'(src|href)="(?!data:)', page), "self-contained"
    names = {path.name for path in (finished_run.path / "charts").iterdir()}
    shown = "reward-loss reward-accuracy segment-correlation disagreement throughput entropy kl"
    assert {f"{name}{theme}.png" for name in shown.split() for theme in ("", "-dark")} <= names
    assert (finished_run.path / "charts" / "kl.png").read_bytes().startswith(PNG)


def test_a_baseline_has_no_charts_of_a_reward_model(baseline_run: RunFolder):
    page = write_report([baseline_run]).read_text()
    assert "the true reward" in page
    assert "Reward model" not in page
    assert "Throughput" in page


def test_runs_that_differ_by_seed_are_one_group_with_a_mean(finished_run: RunFolder, tmp_path: Path):
    rows = [{"agent_steps": 100 * n, "true_return": 1.0 * n, "wall_s": n, "labels": 5 * n} for n in range(1, 9)]
    runs = [copy_of(finished_run, tmp_path / f"s{seed}", rows, seed=seed) for seed in (1, 2)]
    page = write_report(runs, tmp_path / "seeds.html").read_text()
    assert 'class="legend"' not in page
    for axis in ("steps", "labels"):
        assert (tmp_path / "seeds-charts" / f"return-by-{axis}.png").exists()
    other = copy_of(finished_run, tmp_path / "other", rows, algorithm="trpo")
    page = write_report([*runs, other], tmp_path / "seeds.html").read_text()
    assert "algorithm trpo" in page, "a legend that names what differs"


@pytest.mark.parametrize(
    ("setting", "value", "group"),
    [
        ("redis", "redis://two:6380", "cart-pole"),
        ("store", "s3://bucket/runs", "cart-pole"),
        ("metrics.port", 9108, "cart-pole"),
        ("labeling.host", "127.0.0.2", "cart-pole"),
        ("labeling.port", 8766, "cart-pole"),
        ("supervision.stuck_s", 60.0, "cart-pole"),
        ("labeling.overlap", 2, "labeling.overlap 2"),
        ("loop.checkpoint_steps", 500, "loop.checkpoint_steps 500"),
        ("ppo.target_kl", 0.1, "ppo.target_kl 0.1"),
    ],
)
def test_where_a_run_is_served_does_not_make_it_another_experiment(
    finished_run: RunFolder, tmp_path: Path, setting: str, value: object, group: str
):
    config = replaced(finished_run.config, {setting: value})
    assert _group_names([finished_run, RunFolder.create(tmp_path / "other", config)])[1] == group


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"agent_steps": 100}],
        [{"agent_steps": 100, "true_return": None, "kl": float("nan"), "labels": "many"}],
        [{"agent_steps": 100, "true_return": 3.0}, {"agent_steps": 200, "learn_s": 1.0, "wall_s": 0.0}],
    ],
    ids=["nothing", "one column", "no numbers", "changing columns"],
)
def test_survives_runs_that_measured_little(finished_run: RunFolder, tmp_path: Path, rows: list[dict[str, object]]):
    assert "<html" in write_report([copy_of(finished_run, tmp_path / "run", rows)]).read_text()


def test_a_page_that_cannot_be_written_is_told_with_the_option_for_another(baseline_run: RunFolder, tmp_path: Path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(
        WritingError, match=r"cannot write .*taken/seeds.html .* another file with `twoclips report --out`"
    ):
        write_report([baseline_run], tmp_path / "taken" / "seeds.html")


def test_a_chart_without_a_number_is_left_out():
    chart = Chart("x", "X", "", (Panel("y", (Line(lambda run: run["missing"]),)),))
    assert draw(chart, [Curves.of_rows([{"agent_steps": 1}], "a", "a")], "light") is None


@pytest.mark.parametrize(
    ("chart", "theme"),
    [*((chart, "light") for chart in CHARTS), (CHARTS[0], "dark")],  # reports above have those that they show in both
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_chart_draws_several_groups(chart: Chart, theme: str):
    names = "true_return predicted_return labels train_loss validation_loss train_accuracy validation_accuracy entropy"
    names += " segment_correlation disagreement_asked disagreement_unasked wall_s gather_wait_s relabel_s learn_s kl"
    rows = [{"agent_steps": n, **dict.fromkeys([*names.split(), "value_loss"], 0.1 * n)} for n in (1, 2, 3)]
    runs = [Curves.of_rows(rows, str(n), group) for n, group in enumerate("aab")]
    png = draw(chart, runs, theme)
    assert png is not None
    assert png.startswith(PNG)
    assert [group for group, _ in legend(runs)] == ["a", "b"]


def test_thinning_keeps_the_mean_and_leaves_out_what_is_no_number():
    x = np.arange(1000.0)
    few_x, few_y = thinned(x, np.where(x == 5, np.nan, 2 * x), 10)
    assert len(few_x) == len(few_y) == 10
    np.testing.assert_allclose(few_y, 2 * few_x)


def test_the_mean_over_seeds_covers_what_all_seeds_cover():
    x, y = mean_over_seeds(
        [(np.array([0.0, 10.0]), np.array([0.0, 10.0])), (np.array([4.0, 20.0]), np.array([2.0, 2.0]))]
    )
    assert (x[0], x[-1]) == (4.0, 10.0)
    np.testing.assert_allclose(y, (x + 2.0) / 2)
    assert not len(mean_over_seeds([(np.array([0.0]), np.array([0.0])), (np.array([1.0]), np.array([1.0]))])[0])
