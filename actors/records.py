"""What the records that travel have in common: they refuse what does not fit together."""

from __future__ import annotations


class TrajectoryError(ValueError):
    """A record was built from arrays that do not fit together."""


def require(condition: bool, message: str) -> None:
    """Raises TrajectoryError with `message` unless `condition` holds."""
    if not condition:
        raise TrajectoryError(message)
