"""`python -m benchmarks.before_after CHECKOUT`: whether a change made anything slower.

Runs blocks of two checkouts in turn, a second or less apart, so that a machine whose pace varies slows both: the
other checkout's twice, as two processes, and this one's once. How far the medians of one code are apart from themselves
says what a difference means.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

__all__ = ["Compared", "compare"]

_HERE = Path(__file__).parents[1]
_NAMES = ("miss-async", "miss-sync", "fallback", "under-sdk", "chunks", "cache-hits", "ledger")
_DRAWS = 2000
_SHARE = 0.03

_OBEYING = """
import asyncio, json, os, sys, time
from importlib import import_module
import benchmarks.suite as suite
import benchmarks.timing as timing

talk = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
left = 0.4

def say(what):
    print(json.dumps(what), file=talk, flush=True)

class Over(BaseException):
    pass

def interleave(rows, *, calls, rounds):
    for run in rows.values():
        run(calls)
    say(list(rows))
    for line in iter(sys.stdin.readline, "end\\n"):
        begun = time.process_time()
        rows[line.strip()](calls)
        time.sleep(left)
        say((time.process_time() - begun) / calls)
    raise Over

async def interleave_async(rows, *, calls, rounds, left=left):
    for run in rows.values():
        await run(calls)
    say(list(rows))
    for line in iter(sys.stdin.readline, "end\\n"):
        begun = time.process_time()
        await rows[line.strip()](calls)
        await asyncio.sleep(left)
        say((time.process_time() - begun) / calls)
    raise Over

timing.interleave, timing.interleave_async = interleave, interleave_async
module, function = suite._PLACES[sys.argv[1]]
try:
    getattr(import_module(module), function)(quick=True)
except Over:
    pass
"""


class Compared(NamedTuple):
    """A row: CPU microseconds a call before and after, and what after is of before, with where that lies by chance.

    `apart` is how far the same code lies from itself, in 95 of 100 draws.
    """

    row: str
    before: float
    after: float
    ratio: float
    apart: float

    @property
    def is_worse(self) -> bool:
        """Whether it takes longer by more than three per cent, and more than chance."""
        return self.ratio > 1 + max(_SHARE, self.apart)


class _Times(NamedTuple):
    """CPU seconds of a block in both processes of the other checkout, and in that of ours."""

    one: float
    ours: float
    other: float

    @property
    def ratio(self) -> float:
        """Ours, of what the other two take."""
        return self.ours / math.sqrt(self.one * self.other)


class _Process:
    """One checkout's benchmark, which runs a block of a row when it is told to."""

    def __init__(self, checkout: Path, name: str) -> None:
        python = checkout / ".venv" / "bin" / "python"
        self._process = subprocess.Popen(
            [str(python if python.exists() else sys.executable), "-c", _OBEYING, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )
        self.rows: list[str] = self._answer()

    def seconds(self, row: str) -> float:
        """Run a block; give the CPU seconds of a call."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{row}\n")
        self._process.stdin.flush()
        found: float = self._answer()
        return found

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a benchmark ended early in {self._process.args!r}; run it by itself to see why")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("end\n")


def compare(before: Path, after: Path, name: str, *, starts: int, rounds: int) -> list[Compared]:
    """Run the rows of one benchmark that both checkouts have, in turn, with new processes so many times."""
    times: dict[str, list[list[_Times]]] = {}
    for _ in range(starts):
        with ExitStack() as stack:
            one, ours, other = [stack.enter_context(_Process(where, name)) for where in (before, after, before)]
            rows = [row for row in ours.rows if row in one.rows]
            found: dict[str, list[_Times]] = {row: [] for row in rows}
            for number in range(rounds):
                for row in rows:
                    turn = [one, ours, other] if number % 2 else [other, ours, one]
                    took = {process: process.seconds(row) for process in turn}
                    found[row].append(_Times(took[one], took[ours], took[other]))
        for row, some in found.items():
            times.setdefault(row, []).append(some)
    return [_compared(f"{name}: {row}", some) for row, some in times.items()]


def _compared(row: str, starts: list[list[_Times]]) -> Compared:
    """Compare medians; what is drawn for chance are starts, since much of it stays with a process while it runs."""
    chance = random.Random(row)
    ratios = [statistics.median([each.ratio for each in some]) for some in starts]
    same = [statistics.median([each.one / each.other for each in some]) for some in starts]
    apart = sorted(
        abs(statistics.median([each ** chance.choice((-1, 1)) for each in chance.choices(same, k=len(same))]) - 1)
        for _ in range(_DRAWS)
    )[int(0.95 * _DRAWS)]
    every = [each for some in starts for each in some]
    before = statistics.median([time for each in every for time in (each.one, each.other)])
    after = statistics.median([each.ours for each in every])
    return Compared(row, before * 1e6, after * 1e6, statistics.median(ratios), apart)


def main() -> None:
    """Print the rows, and which of them are worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.before_after", description=__doc__)
    parser.add_argument("checkout", type=Path, help="the other checkout, with a .venv of its own where it needs one")
    parser.add_argument("--only", action="append", choices=_NAMES, help="this benchmark; may be repeated")
    parser.add_argument("--starts", type=int, default=6, help="how many times the processes are started anew")
    parser.add_argument("--rounds", type=int, default=6, help="blocks of each row that each of them runs")
    parser.add_argument("--ours", type=Path, default=_HERE, help="the checkout that is compared with it")
    options = parser.parse_args()
    print(f"{'CPU µs a call':44}{'before':>10}{'after':>10}{'change':>10}{'A/A':>9}")
    for name in options.only or _NAMES:
        for found in compare(
            options.checkout.absolute(), options.ours.absolute(), name, starts=options.starts, rounds=options.rounds
        ):
            print(
                f"{found.row:44}{found.before:10.1f}{found.after:10.1f}{100 * (found.ratio - 1):+9.1f}%"
                f"{100 * found.apart:8.1f}%{'  worse' if found.is_worse else ''}",
                flush=True,
            )


if __name__ == "__main__":
    main()
