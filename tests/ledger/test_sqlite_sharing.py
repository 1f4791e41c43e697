"""Threads, processes and forks share a ledger exactly, and a killed process takes nothing with it."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from inferkit.core.errors import LedgerError
from inferkit.ledger.amounts import Amounts, Grant, Line
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite.database import Database
from inferkit.ledger.sqlite.failures import LedgerBusy
from inferkit.ledger.sqlite.ledger import SqliteLedger
from ledger.test_sqlite_kills import in_child
from worlds import in_threads

W = "month:2026-11-01"
WORKER = Path(__file__).with_name("ledger_worker.py")
posix_only = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def start(*arguments):
    return subprocess.Popen([sys.executable, WORKER, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_64_threads_spend_a_budget_to_the_last_call_and_no_further(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    together = threading.Barrier(64)
    granted = []

    def work(number):
        together.wait(30)
        for turn in range(5):
            call, line = f"{number}-{turn}", Line("a", W, 100 * 10)
            if isinstance(ledger.reserve(call, [line], Amounts(10), Amounts(10), at=0, lease_seconds=60), Grant):
                granted.append(call)
                ledger.settle(call, Charge(10), at=0)

    in_threads(work, range(64))
    assert len(granted) == 100
    assert ledger.balance("a", W).posted.usd == 1000
    assert ledger.balance("a", W).pending.usd == 0
    ledger.close()


@pytest.mark.parametrize(("durability", "processes"), [("normal", 4), ("full", 2)])  # the disk is slow for more
def test_processes_of_threads_never_overspend(tmp_path, durability, processes):
    path, limit = tmp_path / "ledger.db", 10_000 * processes
    workers = [start(path, "spend", 8, 20, limit, durability) for _ in range(processes)]
    spent = sum(int(worker.communicate(timeout=120)[0]) for worker in workers)
    ledger = SqliteLedger(path)
    balance = ledger.balance("free:alice", W)
    assert balance.posted.usd == spent
    assert balance.pending == Amounts()
    assert limit - 1000 < spent <= limit
    assert sum(entry.charge.usd for entry in ledger.entries()) == spent
    ledger.close()


def test_a_share_of_the_limit_is_told_to_one_of_four_processes(tmp_path):
    workers = [start(tmp_path / "ledger.db", "warned", 100, 500) for _ in range(4)]
    told = [worker.communicate(timeout=120)[0].split() for worker in workers]
    assert sorted(share for shares in told for share in shares) == ["250", "500", "750"]


def test_a_killed_process_loses_nothing_that_was_spent(tmp_path):
    path, billed = tmp_path / "ledger.db", tmp_path / "billed"
    ledger = SqliteLedger(path)
    chance = random.Random(7)
    for _ in range(12):
        workers = [start(path, "forever", billed) for _ in range(2)]
        target = chance.randrange(20, 400) + (billed.stat().st_size if billed.exists() else 0)
        while not billed.exists() or billed.stat().st_size < target:
            assert all(worker.poll() is None for worker in workers)
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
        balance = ledger.balance("free:alice", W)
        assert balance.posted.usd + balance.pending.usd >= sum(map(int, billed.read_text().split()))
        assert balance.pending.calls <= 2 * 12
    ledger.check()
    ledger.sweep(10**6)
    balance = ledger.balance("free:alice", W)
    assert balance.pending == Amounts()
    assert balance.posted.usd == sum(entry.charge.usd for entry in ledger.entries())
    ledger.close()


@posix_only
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking with threads about is what is tested
def test_a_fork_goes_on_with_a_connection_of_its_own(connections, tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    line = [Line("a", W, 1000)]
    ledger.reserve("parent", line, Amounts(10), Amounts(10), at=0, lease_seconds=60)

    inherited = connections[-1]

    def child():
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            inherited.execute("SELECT 1")
        assert isinstance(ledger.reserve("child", line, Amounts(5), Amounts(5), at=0, lease_seconds=60), Grant)
        ledger.settle("child", Charge(3), at=0)

    assert in_child(child) == 0
    ledger.settle("parent", Charge(7), at=0)
    assert ledger.balance("a", W).posted.usd == 10
    ledger.check()
    ledger.close()


@posix_only
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("durability", ["normal", "full"])
def test_a_fork_in_the_middle_of_other_threads_calls_works(tmp_path, durability):
    ledger = SqliteLedger(tmp_path / "ledger.db", durability)
    line = [Line("a", W)]
    stop = threading.Event()

    def busy():
        turn = 0
        while not stop.is_set():
            turn += 1
            ledger.reserve(f"busy-{turn}", line, Amounts(1), Amounts(1), at=0, lease_seconds=60)
            ledger.settle(f"busy-{turn}", Charge(1), at=0)

    def child():
        signal.alarm(60)  # a child that hangs is killed
        while True:
            with contextlib.suppress(LedgerBusy):  # the parent may have the file for seconds, where the disk is slow
                return ledger.record(f"child-{os.getpid()}", Charge(1), at=0)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        codes = [in_child(child) for _ in range(20)]
    finally:
        stop.set()
        thread.join()
    assert codes == [0] * 20
    assert sum(entry.call.startswith("child") for entry in ledger.entries()) == 20
    ledger.check()
    ledger.close()


def test_a_process_forked_behind_pythons_back_opens_the_file_anew(connections, tmp_path, monkeypatch):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.record("1", Charge(1), at=0)
    inherited = connections[-1]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    ledger.record("2", Charge(1), at=0)
    assert connections[-1] is not inherited
    assert inherited.execute("SELECT count(*) FROM entries").fetchone() == (2,), "the inherited one must stay open"
    inherited.close()
    ledger.close()


def test_a_transaction_that_an_interrupt_left_open_is_undone_by_the_next(connections, tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    connections[-1].execute("BEGIN IMMEDIATE")
    connections[-1].execute("DELETE FROM balances")
    ledger.record("1", Charge(1), at=0)
    assert [entry.call for entry in ledger.entries()] == ["1"]
    ledger.close()


@pytest.fixture
def locked(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield ledger, other
    other.close()
    ledger.close()


def test_whoever_must_not_wait_is_told_at_once_that_the_ledger_is_locked(locked):
    ledger, _ = locked
    with pytest.raises(LedgerBusy):
        ledger.accounts.database.write(lambda cursor: None, wait=False)


def test_reading_needs_no_lock(locked):
    ledger, _ = locked
    assert ledger.balance("a", W).posted == Amounts()


def test_a_ledger_locked_for_long_is_an_error_that_says_by_whom(locked, monkeypatch):
    monkeypatch.setattr("inferkit.ledger.sqlite.database.PATIENCE", 0.05)
    ledger, _ = locked
    with pytest.raises(LedgerError, match="locked by another process") as caught:
        ledger.reserve("1", [], Amounts(), Amounts(), at=0, lease_seconds=60)
    assert "ledger.db" in str(caught.value)


def test_a_waiting_writer_gets_its_turn(locked):
    ledger, other = locked
    waiting = threading.Event()
    thread = threading.Thread(target=lambda: (waiting.set(), ledger.record("1", Charge(1), at=0)))
    thread.start()
    waiting.wait(10)
    other.execute("COMMIT")
    thread.join(10)
    assert [entry.call for entry in ledger.entries()] == ["1"]


def test_what_was_written_reaches_the_file_without_any_call_waiting_for_it(tmp_path):
    from inferkit.runtime import writer

    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    small = path.stat().st_size
    for number in range(1100):
        ledger.record(str(number), Charge(1), at=0)
    assert writer.disk.flush(10)
    assert path.stat().st_size > small
    assert isinstance(ledger.accounts.database, Database)
    ledger.close()
