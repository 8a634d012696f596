"""The pages' sources: what several pages say is written in one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import labeling

WEB = Path(labeling.__file__).parent / "web"


@pytest.mark.parametrize("fact", ['["left", "right", "tie", "incomparable"]', '"not at work now"'])
def test_what_several_pages_say_is_written_once(fact: str):
    assert sum(path.read_text(encoding="utf-8").count(fact) for path in WEB.glob("*.js")) == 1
