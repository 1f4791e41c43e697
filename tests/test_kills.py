"""Processes that are killed in the middle of their calls leave a ledger that covers what they are billed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from billing import Billing
from inferkit import SqliteLedger
from inferkit.ledger.amounts import Amounts
from wire import Wire

WORKER = Path(__file__).with_name("billed_worker.py")
ROUNDS, TOGETHER = 10, 4
A_DAY = 86400.0  # longer than any lease


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_40_killed_processes_are_billed_is_always_covered_by_what_is_posted_and_held(tmp_path):
    path, chance = tmp_path / "ledger.sqlite3", random.Random(4)
    provider = Billing()
    with Wire(provider) as wire, contextlib.ExitStack() as running:
        command = [sys.executable, WORKER, wire.url, path, "fork", "1000"]
        parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.enter_context(parent)
        alive = []
        running.callback(lambda: [os.kill(pid, signal.SIGKILL) for pid in alive])
        for _ in range(ROUNDS):
            for _ in range(TOGETHER):
                parent.stdin.write("\n")
                parent.stdin.flush()
                alive.append(int(parent.stdout.readline()))
            while alive:
                provider.wait_until_billed(str(alive[0]), chance.randrange(1, 30))
                os.kill(alive.pop(0), signal.SIGKILL)
                billed = provider.invoice  # before the ledger is looked at, since the others go on
                assert total(path) >= billed
        parent.stdin.close()
    with contextlib.closing(SqliteLedger(path)) as ledger:
        assert ledger.sweep(time.time() + A_DAY) <= ROUNDS * TOGETHER
        (balance,) = [balance for _, _, balance in ledger.balances()]
        entries = list(ledger.entries())
    assert balance.pending == Amounts()
    assert balance.posted.usd >= provider.invoice
    assert balance.posted.usd == sum(entry.charge.usd for entry in entries)
    assert len(entries) >= len(provider.billed)
    assert len({entry.call for entry in entries}) == len(entries), "a call is charged once"


def total(path):
    """Look into the ledger as another process would; give what is posted and held."""
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.check()
        return sum(balance.posted.usd + balance.pending.usd for _, _, balance in ledger.balances())
