"""Measures rows against each other: a block of each in turn, round after round, in CPU time of this process.

A block is over when what it left to the background is done, which waiting takes no CPU time for.

A busy machine slows whole rounds, so two rows are compared round by round, and the median of these ratios, or of these
differences, counts.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    AsyncBlock = Callable[[int], Awaitable[object]]
    Block = Callable[[int], object]

__all__ = ["Times", "interleave", "interleave_async"]

_LEFT_SECONDS = 0.4
"""For what a block leaves to the background, which writes a quarter of a second later: it is the block's own cost."""


@dataclass
class Times:
    """CPU seconds a call, for each row and round."""

    rounds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, row: str, seconds: float) -> None:
        """Note the time of one round."""
        self.rounds.setdefault(row, []).append(seconds)

    def microseconds(self, row: str) -> float:
        """The median time of a row, in microseconds."""
        return statistics.median(self.rounds[row]) * 1e6

    def ratio(self, row: str, baseline: str) -> float:
        """The median ratio of two rows in the same round."""
        pairs = zip(self.rounds[row], self.rounds[baseline], strict=True)
        return statistics.median([one / other for one, other in pairs])

    def difference(self, row: str, baseline: str) -> float:
        """The median difference of two rows in the same round, in microseconds."""
        pairs = zip(self.rounds[row], self.rounds[baseline], strict=True)
        return statistics.median([one - other for one, other in pairs]) * 1e6


def _turns(rows: list[str], rounds: int) -> list[str]:
    """Give the order of blocks: every row once a round, and each time another one first."""
    return [rows[(turn + place) % len(rows)] for turn in range(rounds) for place in range(len(rows))]


def interleave(rows: Mapping[str, Block], *, calls: int, rounds: int) -> Times:
    """Time blocks of `calls`; a row's first block warms it up and does not count."""
    for run in rows.values():
        run(calls)
    times = Times()
    for name in _turns(list(rows), rounds):
        begun = time.process_time()
        rows[name](calls)
        time.sleep(_LEFT_SECONDS)
        times.add(name, (time.process_time() - begun) / calls)
    return times


async def interleave_async(
    rows: Mapping[str, AsyncBlock], *, calls: int, rounds: int, left: float = _LEFT_SECONDS
) -> Times:
    """Do as `interleave`, for coroutines. `left` is 0.0 where blocks leave nothing to the background."""
    for run in rows.values():
        await run(calls)
    times = Times()
    for name in _turns(list(rows), rounds):
        begun = time.process_time()
        await rows[name](calls)
        await asyncio.sleep(left)
        times.add(name, (time.process_time() - begun) / calls)
    return times
