"""What every expected failure is: a message that is one sentence with its remedy. Whoever prints it needs no more; all
else is a defect and keeps its traceback (`cluster.errors`)."""

from __future__ import annotations


class UsageError(Exception):
    """What was asked for cannot be; nothing was begun."""


class Failure(Exception):
    """What was begun cannot go on."""
