"""Calls done together: nobody gets another's result, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest

from labeling.together import Together

UNLUCKY = 1313


class Doubling:
    """Doubles numbers, slowly enough for more to come in meanwhile; remembers what was done together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()

    def __call__(self, numbers: list[int]) -> list[int | Exception]:
        self.batches.append(numbers)
        assert self.gate.wait(10)
        if UNLUCKY in numbers:
            raise ConnectionError("nobody answers")
        return [ValueError(str(number)) if number < 0 else 2 * number for number in numbers]


async def _ask(work: Doubling, numbers: list[int]) -> list[int | BaseException]:
    together = Together(work)
    calls = [asyncio.create_task(together(number)) for number in numbers]
    while not work.batches:
        await asyncio.sleep(0.001)
    work.gate.set()
    return await asyncio.gather(*calls, return_exceptions=True)


def test_what_comes_in_while_another_call_is_under_way_is_done_as_one() -> None:
    work = Doubling()

    async def main() -> list[int]:
        together = Together(work)
        first = asyncio.create_task(together(0))
        while not work.batches:
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(together(number)) for number in range(1, 100)]
        await asyncio.sleep(0)
        work.gate.set()
        return await asyncio.gather(first, *rest)

    assert asyncio.run(main()) == [2 * number for number in range(100)]
    assert [len(batch) for batch in work.batches] == [1, Together.MOST, 99 - Together.MOST]


def test_an_error_of_one_is_that_ones_alone() -> None:
    results = asyncio.run(_ask(Doubling(), [1, -2, 3]))
    assert [results[0], results[2]] == [2, 6]
    assert isinstance(results[1], ValueError)
    assert str(results[1]) == "-2"


def test_an_error_of_the_call_is_everybodys_and_the_next_call_is_made_all_the_same() -> None:
    async def main() -> None:
        work = Doubling()
        work.gate.set()
        together = Together(work)
        for lost in await asyncio.gather(together(UNLUCKY), together(1), return_exceptions=True):
            assert isinstance(lost, ConnectionError)
        assert await together(2) == 4

    asyncio.run(main())


def test_a_caller_who_has_gone_holds_up_nobody() -> None:
    async def main() -> None:
        work = Doubling()
        together = Together(work)
        gone, stays = asyncio.create_task(together(1)), asyncio.create_task(together(2))
        while not work.batches:
            await asyncio.sleep(0.001)
        gone.cancel()
        await asyncio.sleep(0)
        work.gate.set()
        assert await stays == 4
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await together(3) == 6

    asyncio.run(main())
