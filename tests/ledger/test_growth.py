"""What a step of the ledger does not depend on: how many calls run, how many processes died, how much was written."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading

import anyio
import pytest

from inferkit import LedgerError
from inferkit.ledger.amounts import Amounts, Grant, Line, Refusal
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite import checkpoints, leases, opening
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.runtime import clock
from worlds import on_a_loop

W = "month:2026-11-01"
ONE = Amounts(0, 0, 1)
ROOMY, TIGHT = Line("roomy", W, calls=10**6), Line("tight", W, calls=1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        yield ledger


def hold(ledger, number, *, line=ROOMY, lease=600, name="call"):
    for each in range(number):
        answer = ledger.reserve(f"{name}-{each}", [line], ONE, ONE, at=0, lease_seconds=lease)
        assert isinstance(answer, Grant)


@contextlib.contextmanager
def traced(connection):
    statements = []
    connection.set_trace_callback(statements.append)
    try:
        yield statements
    finally:
        connection.set_trace_callback(None)


def test_refusals_read_all_holds_once_a_second_and_no_other_table(connections, ledger):
    hold(ledger, 1, line=TIGHT, name="first")
    hold(ledger, 50)

    def refused(at):
        with traced(connections[-1]) as statements:
            assert isinstance(ledger.reserve("refused", [TIGHT], ONE, ONE, at=at, lease_seconds=9), Refusal)
        assert sum(each.startswith("BEGIN") for each in statements) == 1
        asked = [each for each in statements if each.startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))]
        looks = [each for each in asked if "min(lease)" in each]
        for each in set(asked).difference(looks):
            plan = ledger.accounts.database.read(f"EXPLAIN QUERY PLAN {each}")
            scans = [row for row in plan if str(row[3]).startswith("SCAN") and "CONSTANT ROW" not in str(row[3])]
            assert not scans, (each, plan)
        return len(looks)

    assert [refused(at) for at in (1, 1.5, 1.99, 2, 2.5, 3.5)] == [1, 0, 0, 1, 0, 1]


def test_a_lease_that_runs_out_sooner_is_looked_for_in_time(ledger):
    hold(ledger, 1, line=TIGHT, name="first")
    assert isinstance(ledger.reserve("refused", [TIGHT], ONE, ONE, at=1, lease_seconds=9), Refusal)
    other = Line("other", W, calls=1)
    ledger.reserve("short", [other], ONE, ONE, at=1.1, lease_seconds=0.2, sent=False)
    assert isinstance(ledger.reserve("second", [other], ONE, ONE, at=1.4, lease_seconds=9), Grant)


@pytest.mark.parametrize(
    ("milliseconds", "together"), [(0, 100), (0.03, 100), (0.07, 58), (0.11, 37), (0.3, 14), (0.7, 6), (30, 1)]
)
def test_dead_holds_are_ended_some_at_a_time_and_fewer_where_each_takes_longer(
    connections, ledger, monkeypatch, milliseconds, together
):
    hold(ledger, 250, lease=10)
    now, move = 1000.0, leases.move

    def slow(*args):
        nonlocal now
        now += milliseconds / 1000
        move(*args)

    monkeypatch.setattr(leases, "move", slow)
    monkeypatch.setattr(clock, "now", lambda: now)
    with traced(connections[-1]) as statements:
        assert ledger.sweep(100) == 250
    steps = "\n".join(statements).split("BEGIN IMMEDIATE")[1:]
    ended = [step.count("DELETE FROM holds") for step in steps]
    assert max(ended) == together
    assert len(ended) == math.ceil(250 / together)
    assert max(ended) * milliseconds <= 4 + milliseconds
    assert ledger.balance("roomy", W).posted.calls == 250
    assert ledger.balance("roomy", W).pending == Amounts()


def test_a_refusal_ends_them_all_before_it_comes(ledger):
    full = Line("full", W, calls=250)
    for number in range(250):
        ledger.reserve(f"dead-{number}", [full], ONE, ONE, at=0, lease_seconds=10, sent=False)
    assert isinstance(
        ledger.reserve("new", [full], Amounts(0, 0, 250), Amounts(0, 0, 250), at=100, lease_seconds=9), Grant
    )
    hold(ledger, 150, lease=10)
    ledger.reserve("first", [TIGHT], ONE, ONE, at=100, lease_seconds=600)
    assert isinstance(ledger.reserve("second", [TIGHT], ONE, ONE, at=100, lease_seconds=9), Refusal)
    assert ledger.balance("roomy", W).pending == Amounts()


@on_a_loop
def test_an_extension_ends_what_it_needs(run, ledger):
    full = Line("full", W, calls=120)
    for number in range(119):
        ledger.reserve(f"dead-{number}", [full], ONE, ONE, at=0, lease_seconds=10, sent=False)
    ledger.reserve("mine", [full], ONE, ONE, at=0, lease_seconds=600)

    async def main(runtime):
        more = Amounts(0, 0, 100)
        assert isinstance(await ledger.accounts.extend(runtime, "mine", [full], more, at=9, lease_seconds=9), Refusal)
        assert isinstance(await ledger.accounts.extend(runtime, "mine", [full], more, at=100, lease_seconds=9), Grant)

    run(main)


@on_a_loop
def test_dead_holds_are_ended_beside_the_loop(run, ledger, monkeypatch):
    hold(ledger, 120, lease=10)
    hold(ledger, 1, line=TIGHT, name="first")
    threads, sweep = set(), leases.sweep
    monkeypatch.setattr(leases, "sweep", lambda *args: (threads.add(threading.get_ident()), sweep(*args))[1])

    async def main(runtime):
        answer = await ledger.accounts.reserve(runtime, "second", [TIGHT], ONE, ONE, at=100, lease_seconds=9)
        assert isinstance(answer, Refusal)
        return threading.get_ident()

    assert run(main) not in threads
    assert threads
    assert ledger.balance("roomy", W).pending == Amounts()


@on_a_loop
def test_calls_that_wait_for_a_locked_ledger_leave_the_application_its_threads(run, ledger, path):
    async def main(runtime):
        own = anyio.to_thread.current_default_thread_limiter()
        granted = []

        async def ask(number):
            call = f"call-{number}"
            granted.append(await ledger.accounts.reserve(runtime, call, [ROOMY], ONE, ONE, at=0, lease_seconds=60))

        with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as group:
                for number in range(int(own.total_tokens) + 20):
                    group.start_soon(ask, number)
                await anyio.wait_all_tasks_blocked()
                assert own.borrowed_tokens == 0
                assert await runtime.run_blocking(lambda: "served") == "served"
                assert granted == []
                other.execute("ROLLBACK")
        assert len(granted) == own.total_tokens + 20
        assert all(isinstance(answer, Grant) for answer in granted)

    run(main)


def test_the_log_begins_anew_though_writers_never_pause(path, monkeypatch):
    for module in (checkpoints, opening):
        monkeypatch.setattr(module, "LOG_BYTES", 64 * 1024)
    connect = checkpoints.connect
    with contextlib.closing(SqliteLedger(path)) as ledger:
        numbers = iter(range(10**6))

        def write(number):
            for _ in range(number):
                ledger.record(f"call-{next(numbers)}", Charge(1), at=0)

        class Overtaken:
            """Between the two steps of a checkpoint somebody writes, so that the log is never all in the file."""

            def __init__(self, path):
                self.connection = connect(path)

            def execute(self, statement):
                result = self.connection.execute(statement)
                if "PASSIVE" in statement:
                    write(1)
                return result

            def close(self):
                self.connection.close()

        monkeypatch.setattr(checkpoints, "connect", Overtaken)
        for _ in range(5):
            write(60)
            ledger.accounts.database.log.tend()
        write(1)
        assert checkpoints.log_of(path) <= 64 * 1024
        assert len(list(ledger.entries())) == 306


def test_a_log_that_somebody_reads_is_left_until_he_is_done(path, monkeypatch):
    monkeypatch.setattr(checkpoints, "LOG_BYTES", 1024)
    monkeypatch.setattr(checkpoints, "_RESTART_MILLISECONDS", 10)
    with contextlib.closing(SqliteLedger(path)) as ledger:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM entries").fetchone()
            for number in range(20):
                ledger.record(f"call-{number}", Charge(1), at=0)
            ledger.accounts.database.log.tend()
            assert reader.execute("SELECT count(*) FROM entries").fetchone() == (0,)
        assert len(list(ledger.entries())) == 20
    assert checkpoints.log_of(path) == 0


@pytest.fixture
def soon_full(monkeypatch):
    for name, value in (("FULL_BYTES", 64 * 1024), ("ROOM_SECONDS", 0.05), ("_TRY_MILLISECONDS", 1)):
        monkeypatch.setattr(checkpoints, name, value)


def write_on(ledger, number, name="call"):
    for each in range(number):
        ledger.record(f"{name}-{each}", Charge(1), at=0)


def test_who_finds_the_log_full_writes_when_it_was_moved(soon_full, ledger, path):
    largest = 0
    for number in range(130):
        write_on(ledger, 10, name=f"call-{number}")
        largest = max(largest, checkpoints.log_of(path))
    assert 64 * 1024 < largest < 8 * 64 * 1024, "of up to 64 transactions before anybody looks"
    assert len(list(ledger.entries())) == 1300


def test_the_log_of_another_process_is_waited_for_too(soon_full, ledger, path):
    log, numbers = ledger.accounts.database.log, iter(range(1000))
    with contextlib.closing(SqliteLedger(path)) as other:
        while not log.is_full:
            write_on(ledger, 1, name=f"one-{next(numbers)}")
        write_on(other, 200, name="other")  # which moves it meanwhile
        assert checkpoints.log_of(path) < 64 * 1024 or other.accounts.database.log.is_full
        write_on(ledger, 1, name="next")
        assert not log.is_full
        assert len(list(ledger.entries())) == next(numbers) + 201


def test_nobody_waits_for_ever_for_a_reader_and_not_again_at_once(soon_full, ledger, path, monkeypatch):
    log, tried = ledger.accounts.database.log, []
    begin_anew = log._begin_anew
    monkeypatch.setattr(log, "_begin_anew", lambda: tried.append(begin_anew()) or tried[-1])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        write_on(ledger, 1, name="first")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entries").fetchone()
        write_on(ledger, 400)
        assert tried == [False]
    assert checkpoints.log_of(path) > 64 * 1024
    assert len(list(ledger.entries())) == 401


@on_a_loop
def test_a_loop_goes_on_while_a_full_log_is_moved(run, soon_full, ledger, monkeypatch):
    log, threads = ledger.accounts.database.log, set()
    begin_anew = log._begin_anew
    monkeypatch.setattr(log, "_begin_anew", lambda: (threads.add(threading.get_ident()), begin_anew())[1])

    async def main(runtime):
        for number in range(300):
            await ledger.accounts.record(runtime, f"call-{number}", Charge(1), at=0)
        return threading.get_ident()

    assert run(main) not in threads
    assert threads
    assert len(list(ledger.entries())) == 300


def test_what_is_no_text_is_an_error_with_a_name(ledger):
    with pytest.raises(LedgerError, match="surrogate"):
        ledger.reserve("call", [Line("\ud800", W, calls=1)], ONE, ONE, at=0, lease_seconds=60)
