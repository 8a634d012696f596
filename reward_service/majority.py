"""MajorityVote: of all answers about one query, what most say. The baseline of learned reliabilities.

It stands between the log and the dataset: labels of many go in, at most one comparison a query comes out, and a
retraction before it where the majority has changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from reward_service.comparisons import Answer, Comparison, Retraction

LABELER = "majority"


@dataclass
class _Poll:
    """One query: its votes by label id, and what the dataset was last told of it (None: nothing)."""

    votes: dict[str, Comparison] = field(default_factory=dict)
    told: Comparison | None = None

    def winner(self, query_id: str) -> Comparison | None:
        """As many for the left as for the right side is a tie; ties are votes for neither."""
        if not self.votes:
            return None
        answers = [vote.label.answer for vote in self.votes.values()]
        balance = answers.count(Answer.LEFT) - answers.count(Answer.RIGHT)
        answer = Answer.TIE if balance == 0 else Answer.LEFT if balance > 0 else Answer.RIGHT
        vote = next(iter(self.votes.values()))
        name = f"{query_id}:{LABELER}"
        return replace(vote, label=replace(vote.label, label_id=name, labeler=LABELER, answer=answer))


class MajorityVote:
    """The polls of a run. Who cannot tell has no vote; that answer is passed on as it is."""

    def __init__(self) -> None:
        self._polls: dict[str, _Poll] = {}
        self.num_votes = 0

    def take(self, item: Comparison | Retraction) -> list[Comparison | Retraction]:
        """What the dataset is to be told after this entry of the log, in order."""
        label = item.label
        poll = self._polls.setdefault(label.query_id, _Poll())
        if isinstance(item, Comparison) and label.answer is not Answer.INCOMPARABLE:
            poll.votes[label.label_id] = item
            self.num_votes += 1
        elif poll.votes.pop(label.retracts, None):
            self.num_votes -= 1
        else:
            return [item]
        before, now = poll.told, poll.winner(label.query_id)
        if before and now and before.label.answer is now.label.answer:
            return []
        poll.told = now
        taken_back = [Retraction(replace(label, answer=None, retracts=before.label.label_id))] if before else []
        return [*taken_back, now] if now else [*taken_back]
