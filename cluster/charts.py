"""The charts of a report: pictures of metrics.jsonl, each as PNG bytes for a light and for a dark page.

A chart is a list of panels that share their x axis. Two quantities in different units never share a y axis: true and
predicted return are two panels, one above the other. What a run did not measure (a missing column, null, NaN) leaves a
gap; a chart for which no run has a single number is left out.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # draws with Agg: no display, no pyplot
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

Array = np.ndarray

MAX_POINTS = 240  # more cannot be told apart, and means of neighbours are calmer
_COLOURS = ("#4477cc", "#dd7722", "#229977", "#bb4477", "#8866cc", "#998811", "#33a0c8", "#aa5533")
_THEMES = {
    "light": {"ink": "#1d2330", "quiet": "#667085", "grid": "#e6e9ef", "page": "#ffffff"},
    "dark": {"ink": "#e8ebf2", "quiet": "#98a2b3", "grid": "#2c3442", "page": "#171c26"},
}


@dataclass(frozen=True, eq=False)
class Curves:
    """One run's metrics as columns of float64, NaN where a row has no number. `group` runs differ by seed only."""

    name: str
    group: str
    columns: dict[str, Array]
    uses_labels: bool = True

    @classmethod
    def of_rows(cls, rows: Sequence[dict[str, Any]], name: str, group: str, uses_labels: bool = True) -> Curves:
        names = dict.fromkeys(key for row in rows for key in row)
        return cls(name, group, {key: np.array([_number(row.get(key)) for row in rows]) for key in names}, uses_labels)

    def __getitem__(self, name: str) -> Array:
        found = self.columns.get(name)
        return np.full(len(self.columns.get("agent_steps", ())), np.nan) if found is None else found


@dataclass(frozen=True)
class Line:
    """One quantity of a panel. `label` names it where a panel has several; `dashed` sets the second one apart."""

    values: Callable[[Curves], Array]
    label: str = ""
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One y axis. `of_labels`: baselines, which learn from the true reward, have nothing to show in it."""

    y: str
    lines: tuple[Line, ...]
    percent: bool = False
    low: float | None = None
    high: float | None = None
    stacked: bool = False
    of_labels: bool = False


@dataclass(frozen=True)
class Chart:
    """`name` is that of its file; `x` a column; `note` one sentence for the page."""

    name: str
    title: str
    note: str
    panels: tuple[Panel, ...]
    x: str = "agent_steps"
    x_label: str = "agent steps"


def draw(chart: Chart, runs: Sequence[Curves], theme: str) -> bytes | None:
    """The chart as a PNG of 800 pixels across, or None where no run has anything to show in it."""
    shown = {panel: [run for run in runs if _has_numbers(run, chart, panel)] for panel in chart.panels}
    panels = [panel for panel in chart.panels if shown[panel]]
    if not panels:
        return None
    colour_of = dict(legend(runs))
    colours = _THEMES[theme]
    figure = Figure(figsize=(5.0, 3.1 if len(panels) == 1 else 4.4), dpi=160, layout="constrained")
    figure.set_facecolor(colours["page"])
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for ax, panel in zip(axes, panels, strict=True):
        _style(ax, colours)
        if panel.stacked:
            _stack(ax, chart, panel, shown[panel][0], colours)
        else:
            _lines(ax, chart, panel, shown[panel], colour_of, colours)
        _finish(ax, panel)
    if chart.x == "agent_steps":
        drawn = shown[panels[0]][:1] if panels[0].stacked else runs
        axes[-1].set_xlim(0, max(1.0, *(float(np.nanmax(run[chart.x], initial=1.0)) for run in drawn)))
    axes[-1].set_xlabel(chart.x_label)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def legend(runs: Sequence[Curves]) -> list[tuple[str, str]]:
    """(group, colour) in the order in which they are drawn."""
    return [(group, _COLOURS[index % len(_COLOURS)]) for index, group in enumerate(_groups(runs))]


def _lines(
    ax: Axes, chart: Chart, panel: Panel, runs: Sequence[Curves], colour_of: dict[str, str], colours: dict[str, str]
) -> None:
    for group, members in _groups(runs).items():
        for number, line in enumerate(panel.lines):
            # One group: colours tell the lines apart. Several: colours tell the groups apart, dashes the lines.
            colour = colour_of[group] if len(colour_of) > 1 else _COLOURS[number]
            style = "--" if line.dashed and len(colour_of) > 1 else "-"
            curves = [_curve(run, chart, line) for run in members]
            curves = [(x, y) for x, y in curves if len(x)]
            for x, y in curves:
                ax.plot(
                    x, y, style, color=colour, lw=1.0 if len(curves) > 1 else 1.7, alpha=0.4 if len(curves) > 1 else 1
                )
            if len(curves) > 1:
                ax.plot(*mean_over_seeds(curves), style, color=colour, lw=2.2)
    if len(panel.lines) > 1:
        for number, line in enumerate(panel.lines):
            single = len(colour_of) == 1
            colour = _COLOURS[number] if single else colours["ink"]
            ax.plot([], [], "--" if line.dashed and not single else "-", color=colour, lw=1.7, label=line.label)
        _legend(ax, colours)


def _stack(ax: Axes, chart: Chart, panel: Panel, run: Curves, colours: dict[str, str]) -> None:
    curves = [thinned(run[chart.x], np.nan_to_num(line.values(run)), 60) for line in panel.lines]
    ax.stackplot(
        curves[0][0], *[y for _, y in curves], colors=_COLOURS, labels=[line.label for line in panel.lines], lw=0
    )
    _legend(ax, colours)


def _curve(run: Curves, chart: Chart, line: Line) -> tuple[Array, Array]:
    return thinned(run[chart.x], line.values(run))


def thinned(x: Array, y: Array, points: int = MAX_POINTS) -> tuple[Array, Array]:
    """At most `points` points: means of neighbours, of those that are numbers."""
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    if len(x) <= points:
        return x, y
    parts = np.array_split(np.arange(len(x)), points)
    return np.array([x[part].mean() for part in parts]), np.array([y[part].mean() for part in parts])


def mean_over_seeds(curves: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """The mean of curves over the x range that all of them cover, on a common grid."""
    begin, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    if end < begin:
        return np.empty(0), np.empty(0)
    grid = np.linspace(begin, end, MAX_POINTS)
    return grid, np.mean([np.interp(grid, x, y) for x, y in curves], axis=0)


def _groups(runs: Sequence[Curves]) -> dict[str, list[Curves]]:
    groups: dict[str, list[Curves]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    return groups


def _has_numbers(run: Curves, chart: Chart, panel: Panel) -> bool:
    visible = run.uses_labels or not panel.of_labels
    return visible and any(len(_curve(run, chart, line)[0]) for line in panel.lines)


def _style(ax: Axes, colours: dict[str, str]) -> None:
    ax.set_facecolor(colours["page"])
    ax.grid(color=colours["grid"], lw=0.8)
    ax.set_axisbelow(True)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(colors=colours["quiet"], length=0, labelsize=10)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(color=colours["ink"], fontsize=11)


def _finish(ax: Axes, panel: Panel) -> None:
    ax.set_ylabel(panel.y)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    if panel.percent:
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    else:
        ax.yaxis.set_major_formatter(EngFormatter(sep="") if _is_large(ax) else ax.yaxis.get_major_formatter())
        ax.yaxis.set_major_locator(MaxNLocator(5))
    # A limit only where the data do not go beyond it: a correlation below 0 must stay in sight.
    bottom, top = ax.get_ylim()
    if panel.low is not None:
        ax.set_ylim(bottom=panel.low if ax.dataLim.y0 >= panel.low else bottom)
    if panel.high is not None:
        ax.set_ylim(top=panel.high if ax.dataLim.y1 <= panel.high else top)


def _is_large(ax: Axes) -> bool:
    return max(map(abs, ax.get_ylim())) >= 10_000


def _legend(ax: Axes, colours: dict[str, str]) -> None:
    columns = 2 if ax.collections else 4  # areas have longer names
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 0.98), "borderaxespad": 0.2}
    ax.legend(
        frameon=False,
        labelcolor=colours["ink"],
        fontsize=10,
        ncols=columns,
        handlelength=1.3,
        columnspacing=1.2,
        **place,
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan
