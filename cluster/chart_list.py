"""Which charts a report has, in the order of the page, and what each says."""

from __future__ import annotations

import numpy as np

from cluster.charts import Array, Chart, Curves, Line, Panel


def _column(name: str, label: str = "", dashed: bool = False) -> Line:
    return Line(lambda run: run[name], label, dashed)


def _speed(run: Curves) -> Array:
    """Agent steps per second between two lines of metrics.jsonl."""
    steps, wall_s = np.diff(run["agent_steps"], prepend=np.nan), np.diff(run["wall_s"], prepend=np.nan)
    return np.divide(steps, wall_s, out=np.full(len(steps), np.nan), where=wall_s > 0)


def _share(name: str, label: str) -> Line:
    """Part of an update's time that a column of seconds takes; "rest" is what no column names."""

    def values(run: Curves) -> Array:
        named = run["gather_wait_s"] + run["relabel_s"] + run["learn_s"]
        whole = np.fmax(np.diff(run["wall_s"], prepend=np.nan), named)
        part = whole - named if name == "rest" else run[name]
        return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)

    return Line(values, label)


_RETURNS = (
    Panel("true return", (_column("true_return"),)),
    Panel("predicted return", (_column("predicted_return"),), of_labels=True),
)
_LOSSES = (_column("train_loss", "training"), _column("validation_loss", "held out", True))
_ACCURACIES = (_column("train_accuracy", "training"), _column("validation_accuracy", "held out", True))
_DISAGREEMENTS = (_column("disagreement_asked", "asked"), _column("disagreement_unasked", "not asked", True))
_TIMES = (
    _share("learn_s", "learning"),
    _share("relabel_s", "relabelling"),
    _share("gather_wait_s", "waiting for rollouts"),
    _share("rest", "rest"),
)

CHARTS = (
    Chart(
        "return-by-steps",
        "Return against agent steps",
        "Mean of the last 20 episodes. The agent is trained on the prediction, in log-odds of being preferred; the "
        "true return, in the task's own units, is hidden from it.",
        _RETURNS,
    ),
    Chart(
        "return-by-labels",
        "Return against labels",
        "The same, against the comparisons answered by then.",
        tuple(Panel(panel.y, panel.lines, of_labels=True) for panel in _RETURNS),
        "labels",
        "labels",
    ),
    Chart(
        "reward-loss",
        "Reward model: loss",
        "Mean over members: on the comparisons that a member trains on, and on those that it never sees.",
        (Panel("loss", _LOSSES, low=0.0, of_labels=True),),
    ),
    Chart(
        "reward-accuracy",
        "Reward model: accuracy",
        "How often the clip with the higher predicted return is the one preferred; 50 % is guessing.",
        (Panel("accuracy", _ACCURACIES, percent=True, high=1.0, of_labels=True),),
    ),
    Chart(
        "segment-correlation",
        "Predicted against true return of segments",
        "Pearson correlation over the segments of the latest rollouts.",
        (Panel("correlation", (_column("segment_correlation"),), low=0.0, high=1.0, of_labels=True),),
    ),
    Chart(
        "disagreement",
        "Disagreement of the ensemble",
        "Variance over members of the preference: of the pairs that were asked, and of the candidates that were not.",
        (Panel("disagreement", _DISAGREEMENTS, low=0.0, of_labels=True),),
    ),
    Chart(
        "throughput",
        "Throughput",
        "Agent steps per second of wall time.",
        (Panel("steps per second", (Line(_speed),), low=0.0),),
    ),
    Chart(
        "time",
        "Where the time goes",
        "Share of each policy update in the driver. Rollouts are collected meanwhile. Of several runs, the first.",
        (Panel("share of time", _TIMES, percent=True, low=0.0, high=1.0, stacked=True),),
    ),
    Chart(
        "entropy",
        "Policy: entropy",
        "How much the policy still explores.",
        (Panel("entropy [nats]", (_column("entropy"),)),),
    ),
    Chart(
        "kl",
        "Policy: KL per update",
        "From the policy that acted to the updated one.",
        (Panel("KL [nats]", (_column("kl"),), low=0.0),),
    ),
    Chart(
        "value-loss",
        "Policy: value loss",
        "Of the critic, in units of its targets' scale.",
        (Panel("value loss", (_column("value_loss"),), low=0.0),),
    ),
)
