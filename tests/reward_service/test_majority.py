from __future__ import annotations

import numpy as np

from actors.trajectory import Segment
from reward_service.comparisons import Answer, Comparison, Label, Retraction
from reward_service.majority import MajorityVote

CLIP = Segment(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32))
ANSWERS = list(Answer)


def vote(name: str, answer: Answer, query: str = "q") -> Comparison:
    label = Label("0-1", name, query, f"labeler-{name}", answer, "", 0.0)
    return Comparison(label, CLIP, CLIP, 1.0, 0.0, ("left", "right"))


def take_back(name: str, query: str = "q") -> Retraction:
    return Retraction(Label("0-2", f"un-{name}", query, f"labeler-{name}", None, name, 0.0))


def test_the_winner_is_told_once_and_anew_where_it_changes() -> None:
    poll = MajorityVote()
    (first,) = poll.take(vote("a", Answer.LEFT))
    assert isinstance(first, Comparison)
    assert (first.label.answer, first.label.labeler) == (Answer.LEFT, "majority")
    assert poll.take(vote("b", Answer.LEFT)) == []
    assert poll.take(vote("c", Answer.RIGHT)) == []
    assert poll.num_votes == 3
    gone, now = poll.take(take_back("a"))  # one for each side
    assert gone.label.retracts == first.label.label_id
    assert now.label.answer is Answer.TIE


def test_who_cannot_tell_has_no_vote() -> None:
    poll, unsure = MajorityVote(), vote("a", Answer.INCOMPARABLE)
    assert poll.take(unsure) == [unsure]
    (gone,) = poll.take(take_back("a"))
    assert gone.label.retracts == "a"
    assert poll.num_votes == 0


def test_any_order_of_answers_and_retractions_ends_where_a_recount_does() -> None:
    random = np.random.default_rng(0)
    for _ in range(100):
        poll, standing, told = MajorityVote(), dict[str, Comparison](), dict[str, Comparison]()
        for n in range(30):
            if standing and random.random() < 0.4:
                name = str(random.choice(list(standing)))
                items = poll.take(take_back(name, standing.pop(name).label.query_id))
            else:
                new = vote(f"l{n}", ANSWERS[random.integers(4)], f"q{random.integers(3)}")
                standing[new.label.label_id] = new
                items = poll.take(new)
            for item in items:  # as the dataset takes them
                told.pop(item.label.retracts, None)
                if isinstance(item, Comparison):
                    assert item.label.label_id not in told
                    told[item.label.label_id] = item
        votes = [one.label for one in standing.values() if one.label.answer is not Answer.INCOMPARABLE]
        assert poll.num_votes == len(votes)
        expected = {}
        for query in {label.query_id for label in votes}:
            here = [label.answer for label in votes if label.query_id == query]
            left, right = here.count(Answer.LEFT), here.count(Answer.RIGHT)
            expected[query] = Answer.LEFT if left > right else Answer.RIGHT if right > left else Answer.TIE
        found = {one.label.query_id: one.label.answer for one in told.values() if one.label.labeler == "majority"}
        assert found == expected
