"""Who asks gets a result whose making began after the question, and those who ask together share one."""

from __future__ import annotations

import asyncio

import pytest

from apid.node.rounds import Rounds


class Work:
    """Each round waits until it is let go; gives its number."""

    def __init__(self) -> None:
        self.begun = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.gate.wait()
        if number == 2:
            raise ValueError("second")
        return number


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_who_ask_together_share_a_round_and_those_who_come_later_the_next() -> None:
    work = Work()
    rounds = Rounds(work)
    first = [asyncio.create_task(rounds.ask()) for _ in range(3)]
    await settle()
    later = [asyncio.create_task(rounds.ask()) for _ in range(3)]
    await settle()
    assert work.begun == 1
    work.gate.set()
    assert await asyncio.gather(*first) == [1, 1, 1]
    for task in later:
        with pytest.raises(ValueError, match="second"):
            await task
    assert await rounds.ask() == 3


async def test_one_who_gives_up_takes_nothing_from_the_others() -> None:
    work = Work()
    rounds = Rounds(work)
    gone, stays = asyncio.create_task(rounds.ask()), asyncio.create_task(rounds.ask())
    await settle()
    gone.cancel()
    work.gate.set()
    assert await stays == 1
    assert work.begun == 1
