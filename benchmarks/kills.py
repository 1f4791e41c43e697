"""What a thousand killed processes leave behind: a ledger that is whole and covers all that the provider has billed."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure
from benchmarks.killed import STEP
from benchmarks.server import serving
from inferkit import LedgerError, SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["kills"]

_TOGETHER = 4
_LONGEST_SECONDS = 0.03  # that a process is left alone
_STEP_SECONDS = 0.00015  # a little more than a step of the ledger takes
_HANG_SECONDS = 30.0
_A_DAY = 86400.0  # longer than any lease


class _Victims:
    """Processes that call until they are killed."""

    def __init__(self, parent: subprocess.Popen[str], pipe: int, chance: random.Random) -> None:
        self._parent = parent
        self._pipe = pipe
        self._chance = chance
        self._alive: dict[int, int] = {}
        self._within: dict[int, bool] = {}
        self.killed_within = 0

    def fork(self, number: int) -> None:
        """Have so many more of them."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        for _ in range(number):
            self._parent.stdin.write("\n")
            self._parent.stdin.flush()
            pid = int(self._parent.stdout.readline())
            self._alive[pid] = os.pidfd_open(pid)

    def kill(self, *, within: bool) -> None:
        """Kill one after a random time, or `within` a step of the ledger: a random time after one has begun it."""
        if within:
            pid = self._next_step()
            end = time.perf_counter() + self._chance.uniform(0, _STEP_SECONDS)
            while time.perf_counter() < end:
                pass
        else:
            time.sleep(self._chance.uniform(0, _LONGEST_SECONDS))
            pid = self._chance.choice(list(self._alive))
        handle = self._alive.pop(pid)
        assert not select.select([handle], [], [], 0)[0], "a process ended by itself"
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [])  # until it is dead
        os.close(handle)
        self._read()
        self.killed_within += self._within.pop(pid, False)

    def kill_all(self) -> None:
        """Leave none alive."""
        for handle in self._alive.values():
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)

    def _next_step(self) -> int:
        self._read()
        while True:
            assert select.select([self._pipe], [], [], _HANG_SECONDS)[0], "nobody calls"
            pid, begins = STEP.unpack(os.read(self._pipe, STEP.size))
            self._within[pid] = begins
            if begins and pid in self._alive:
                return int(pid)

    def _read(self) -> None:
        """Take note of what was told so far."""
        while select.select([self._pipe], [], [], 0)[0]:
            for pid, begins in STEP.iter_unpack(os.read(self._pipe, 1000 * STEP.size)):
                self._within[pid] = begins


@contextlib.contextmanager
def _victims(server: str, ledger: Path, chance: random.Random) -> Iterator[_Victims]:
    told, telling = os.pipe()
    command = [sys.executable, "-m", "benchmarks.killed", server, str(ledger), str(telling)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[telling]
    ) as parent:
        victims = _Victims(parent, told, chance)
        try:
            yield victims
        finally:
            victims.kill_all()
            parent.kill()
            os.close(told)
            os.close(telling)


def _billed(book: Path) -> Counter[str]:
    """Give what was billed for each call so far, in nano-dollars."""
    billed: Counter[str] = Counter()
    for line in book.read_text().splitlines():
        call, nanos = line.split()
        billed[call] += int(nanos)
    return billed


def _covered(path: Path) -> int:
    """Look into the whole ledger, as a process that comes later would, and give what is posted and held."""
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.check()
        return sum(balance.posted.usd + balance.pending.usd for _, _, balance in ledger.balances())


def _look(path: Path, book: Path) -> int | None:
    """Give how much more is posted and held than was billed, in nano-dollars; None for a damaged ledger."""
    billed = _billed(book).total()  # before, since calls go on
    try:
        return _covered(path) - billed
    except LedgerError:
        return None


def kills(*, quick: bool) -> list[Figure]:
    """Kill processes in the middle of their calls, every other one in a step of the ledger, and look after each."""
    number = 40 if quick else 1000
    margins: list[int | None] = []
    with tempfile.TemporaryDirectory() as folder:
        path, book = Path(folder) / "ledger.sqlite3", Path(folder) / "book"
        with serving(book) as server, _victims(server, path, random.Random(1)) as victims:
            for kill in range(number):
                if kill % _TOGETHER == 0:
                    victims.fork(_TOGETHER)
                victims.kill(within=kill % 2 == 0)
                margins.append(_look(path, book))
            within = victims.killed_within
        billed = _billed(book)
        posted: Counter[str] = Counter()
        with contextlib.closing(SqliteLedger(path)) as ledger:
            left = ledger.sweep(time.time() + _A_DAY)
            balances = [balance for _, _, balance in ledger.balances()]
            for entry in ledger.entries():
                posted[entry.charge.attribution.user or ""] += entry.charge.usd or 0
    whole = [margin for margin in margins if margin is not None]
    return [
        Figure("kills, processes killed in the middle of their calls", number, "kills"),
        Figure("kills, in the middle of a step of the ledger", within, "kills"),
        Figure("kills, calls billed", len(billed), "calls"),
        Figure("kills, looks that found the ledger damaged", margins.count(None), "looks", at_most=0),
        Figure(
            "kills, looks that found less posted and held than billed", sum(m < 0 for m in whole), "looks", at_most=0
        ),
        Figure("kills, shortest margin of posted and held over billed", min(whole), "nano$", at_least=0),
        Figure("kills, calls that held something when they died", left, "calls"),
        Figure(
            "kills, held after all leases ran out",
            sum(balance.pending.usd for balance in balances),
            "nano$",
            at_most=0,
        ),
        Figure(
            "kills, entries and balances apart in the end",
            abs(posted.total() - sum(balance.posted.usd for balance in balances)),
            "nano$",
            at_most=0,
        ),
        Figure(
            "kills, calls for which less was posted than billed in the end",
            sum(posted[call] < nanos for call, nanos in billed.items()),
            "calls",
            at_most=0,
        ),
    ]
