"""What `train` shows on standard error while it works: a live table on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import math
import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cluster.config import RunConfig


class Progress:
    """Call it with metrics as they come; use it as a context."""

    LINE_EVERY_S = 10.0

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        # Names and paths of anybody's are shown, which may have brackets or colons: nothing in them is a command.
        self._console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4) if self._console.is_terminal else None
        self._shown_s = -math.inf
        self._started_s = time.monotonic()
        self._first_training: tuple[float, int] | None = None

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, metrics: dict[str, Any]) -> None:
        """Show metrics, unless something was shown a moment ago."""
        now = time.monotonic()
        if now - self._shown_s < (0.25 if self._live else self.LINE_EVERY_S):
            return
        self._shown_s = now
        rows = self._rows(metrics)
        if self._live:
            self._live.update(self._table(rows))
        else:
            self._console.print("  ".join(f"{name} {value}" for name, value in rows), soft_wrap=True)

    def say(self, text: str) -> None:
        """One sentence, above whatever is live."""
        self._console.print(text, soft_wrap=True)

    def _rows(self, metrics: dict[str, Any]) -> list[tuple[str, str]]:
        def number(name: str, form: str = ",.0f") -> str:
            value = metrics.get(name)
            return "-" if value is None or (isinstance(value, float) and math.isnan(value)) else format(value, form)

        if "phase" in metrics:
            rows = [("phase", str(metrics["phase"])), ("environment steps", number("environment_steps"))]
        else:
            share = metrics["agent_steps"] / self._config.steps
            rows = [
                ("steps", f"{metrics['agent_steps']:,} of {self._config.steps:,} ({share:.0%})"),
                ("steps/s", number("steps_per_second")),
                ("true return", number("true_return", ",.1f")),
                ("policy lag", number("policy_lag", ".0f")),
                ("time left", self._time_left(metrics["agent_steps"])),
            ]
        if self._config.uses_labels:
            rows += [
                ("predicted return", number("predicted_return", ",.1f")),
                ("labels", f"{number('labels')} of {number('labels_due')} due"),
                ("reward loss", number("validation_loss", ".3f")),
                ("reward accuracy", number("validation_accuracy", ".0%")),
                ("reward version", number("reward_version")),
            ]
        return rows

    def _time_left(self, agent_steps: int) -> str:
        now = time.monotonic()
        if self._first_training is None:
            self._first_training = now, agent_steps
        begin_s, begin_steps = self._first_training
        if agent_steps <= begin_steps:
            return "-"
        left_s = max(0, self._config.steps - agent_steps) * (now - begin_s) / (agent_steps - begin_steps)
        return f"{left_s / 60:.0f} min" if left_s > 90 else f"{left_s:.0f} s"

    def _table(self, rows: list[tuple[str, str]]) -> Table:
        table = Table(title=f"twoclips: {self._config.task}", show_header=False, title_justify="left")
        table.add_column(style="dim")
        table.add_column(justify="right", min_width=24)
        for row in rows:
            table.add_row(*row)
        return table
