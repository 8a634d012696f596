"""ComparisonFeed: the ordered log of comparisons, read into a dataset from a cursor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from reward_service.comparisons import Comparison, Label, LogItem, Unreadable
from reward_service.dataset import ComparisonDataset, NotFiniteError, RewardDataError
from reward_service.keys import START
from reward_service.majority import MajorityVote

_READ_AT_ONCE = 512


class ComparisonLog(Protocol):
    """The calls of ComparisonDatabase that a feed needs. Their second implementation is the tests' list."""

    def comparisons_since(self, cursor: str, limit: int = ...) -> tuple[Sequence[LogItem], str]: ...

    def labels_since(self, cursor: str, limit: int = ...) -> tuple[list[Label], str]: ...


class ComparisonFeed:
    """Keeps `dataset` at what the log says, or, with `majority`, at what most say of each query. `unpublished` counts
    what came in since its reader last set it to 0."""

    def __init__(
        self, log: ComparisonLog, make_dataset: Callable[[], ComparisonDataset], majority: bool = False
    ) -> None:
        self._log, self._make_dataset, self._majority = log, make_dataset, majority
        self.begin()

    @property
    def num_labels(self) -> int:
        """Labels that the dataset stands for: as many as its rows, unless several were made one by majority."""
        return self._vote.num_votes if self._vote else len(self.dataset)

    @property
    def num_left_out(self) -> int:
        """Labels of clips that cannot be read, or with values that are not finite. Nothing can be learned from them,
        nor may they keep what comes after them in the log from being read."""
        return len(self._left_out)

    @property
    def cursor(self) -> str:
        """Up to where the log has been read."""
        return self._cursor

    def begin(self) -> None:
        """A new dataset with nothing in it, and the log from its start."""
        self.dataset = self._make_dataset()
        self._vote = MajorityVote() if self._majority else None
        self._left_out: set[str] = set()
        self.unpublished = 0
        self._cursor = START
        self.num_read = 0
        """Entries of the log so far: answers and retractions that count, whatever has become of them."""

    def read(self) -> None:
        """Take in what is new, at most 512 entries of the log. Where the connection is lost nothing has changed."""
        items, cursor = self._log.comparisons_since(self._cursor, _READ_AT_ONCE)
        for item in items:
            self._apply(item)
        self._cursor = cursor
        self.num_read += len(items)
        self.unpublished += len(items)

    def has_news(self) -> bool:
        """Whether the log has gone on since it was read."""
        return self._log.labels_since(self._cursor, 1)[1] != self._cursor

    def state_dict(self) -> dict[str, Any]:
        return {"cursor": self._cursor, "items_read": self.num_read, "unpublished_items": self.unpublished}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Fill a new dataset from the log's first `items_read` entries. Raises RewardDataError for a log that is
        shorter than it was."""
        self.begin()
        cursor, read, num_items = START, 0, state["items_read"]
        while read < num_items:
            before = cursor
            items, cursor = self._log.comparisons_since(cursor, _READ_AT_ONCE)
            if cursor == before:
                raise RewardDataError(
                    f"the comparison log holds {read} entries, but the checkpoint has read {num_items}: this is not "
                    "the database of that run, or it has lost labels; resume with the run's own Redis"
                )
            items = items[: num_items - read]
            for item in items:
                self._apply(item)
            read += len(items)
        self._cursor = state["cursor"]
        self.num_read = num_items
        self.unpublished = state["unpublished_items"]

    def _apply(self, entry: LogItem) -> None:
        if isinstance(entry, Unreadable):
            self._left_out.add(entry.label.label_id)
            return
        for item in self._vote.take(entry) if self._vote else [entry]:
            if item.label.retracts:
                self.dataset.retract(item.label.retracts)
                self._left_out.discard(item.label.retracts)
            if isinstance(item, Comparison):
                try:
                    self.dataset.add(item)
                except NotFiniteError:
                    self._left_out.add(item.label.label_id)
