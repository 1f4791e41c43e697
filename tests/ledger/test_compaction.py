"""Archived entries are in the archive, and what else the ledger knows of them stays: balances, and their ids."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from inferkit import LedgerError, SqliteLedger
from inferkit.core.usage import UsageDetails
from inferkit.ledger.amounts import Amounts, Grant, Line
from inferkit.ledger.journal import Attribution, Charge, Part
from inferkit.ledger.sqlite import archive, compaction
from inferkit.ledger.sqlite.checkup import check_up
from inferkit.ledger.sqlite.compaction import compact
from inferkit.ledger.sqlite.journal import SqliteRecords
from inferkit.ledger.unwritten import Unwritten
from ledger.test_sqlite_kills import in_child

DAY = 86_400
W = "month:1970-01-01"
LINES = [Line("all", W, usd=10**9), Line("ana", W, usd=10**9)]
WANTED = Amounts(1000, 50, 1)
PARTS = (Part("primary", "x", "m", "error", 5), Part("fallback", "y", "n", "completed", 7, 2, 2))
CHARGES = [
    Charge(700 + number, "x", f"m{number % 2}", 3, 4, details=UsageDetails(reported_nanos=number or None))
    for number in range(9)
]


def days(before):
    return lambda at: [*range(int(at // DAY) * DAY, before, DAY), before]


def compacted(path, before=3 * DAY):
    return list(compact(path, before, f"day-{before // DAY}", days(before)))


def settled(ledger, call, charge, at):
    assert isinstance(ledger.reserve(call, LINES, WANTED, WANTED, at=at, lease_seconds=60), Grant)
    assert ledger.settle(call, charge, at=at)


def fill(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for number, charge in enumerate(CHARGES):
            settled(ledger, f"call-{number}", charge, at=number * DAY / 2)
        settled(ledger, "several", Charge(12, "y", "n", 2, 2, parts=PARTS, attempts=2), at=DAY)
        ledger.record("free", Charge(None, "x", "m0", 1, 1, attribution=Attribution("ana", None, "chat")), at=DAY)
        ledger.record("newest", Charge(1), at=5 * DAY)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.db"
    fill(path)
    return path


def entries(path, **asked):
    records = SqliteRecords(path)
    found = list(records.entries(**asked))
    records.close()
    return found


def about(path, what, level="ok"):
    return [each.found for each in check_up(path, 0) if (each.about, each.level) == (what, level)]


def is_sound(path):
    return {each.level for each in check_up(path, 6 * DAY)} == {"ok"}


def test_what_is_archived_is_in_the_archive_with_all_of_its_time(path):
    before = entries(path)
    (done,) = compacted(path)
    assert (done.entries, done.archive.name, done.stay) == (7, "ledger-before-day-3.db", 1)
    assert [entry.call for entry in entries(path, since=3 * DAY)] == ["call-6", "call-7", "call-8", "newest"]
    assert entries(done.archive, until=3 * DAY) == [entry for entry in before if entry.at < 3 * DAY]
    assert done.archive.stat().st_mode & 0o222 == 0
    (later,) = compacted(path, 4 * DAY)
    assert [entry.call for entry in entries(later.archive, since=3 * DAY, until=4 * DAY)] == ["call-6", "call-7"]
    assert is_sound(path)


def test_what_budgets_have_left_does_not_change(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        before = list(ledger.balances())
        compacted(path)
        assert list(ledger.balances()) == before
        assert before
    assert is_sound(path)


def test_an_archived_call_is_never_charged_again(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        balances = list(ledger.balances())
        compacted(path)
        assert not ledger.settle("call-1", CHARGES[1], at=DAY)
        assert not ledger.record("free", Charge(5), at=DAY)
        assert not ledger.accounts.enter(Unwritten("settle", "call-1", DAY, CHARGES[1]))
        assert not ledger.accounts.enter(Unwritten("record", "call-0", DAY, CHARGES[1]))
        assert not ledger.void("call-1", at=DAY)
        for amounts in (WANTED, Amounts(10**12)):  # one would be granted, one refused
            with pytest.raises(LedgerError, match="call call-1 was reserved before"):
                ledger.reserve("call-1", LINES, amounts, amounts, at=DAY, lease_seconds=60)
        assert list(ledger.balances()) == balances
        assert ledger.settle("call of a process that was away", CHARGES[0], at=DAY), "and what was never entered is"
    assert is_sound(path)


def test_who_has_the_ledger_open_looks_among_archived_calls_from_then_on(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for call in ("call-1", "call-2"):
            with pytest.raises(LedgerError, match=f"call {call} was reserved before"):
                ledger.reserve(call, LINES, WANTED, WANTED, at=DAY, lease_seconds=60)
            compacted(path)


def test_a_call_that_runs_or_was_lost_is_settled_after_it_all_the_same(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for call in ("runs", "lost"):
            ledger.reserve(call, LINES, WANTED, WANTED, at=DAY, lease_seconds=60 if call == "lost" else 10 * DAY)
        ledger.sweep(2 * DAY)
        compacted(path)
        assert ledger.settle("runs", Charge(5, output_tokens=1), at=4 * DAY)
        assert ledger.settle("lost", Charge(6, output_tokens=1), at=4 * DAY)
        assert not ledger.settle("lost", Charge(6, output_tokens=1), at=4 * DAY)
        assert ledger.balance("ana", W).posted.usd == sum(charge.usd for charge in CHARGES) + 12 + 5 + 6
    assert is_sound(path)


def test_a_call_with_an_entry_that_stays_stays_with_all_of_them(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.reserve("back", LINES, WANTED, WANTED, at=DAY, lease_seconds=60)
        ledger.sweep(DAY + 61)
        ledger.extend("back", LINES, Amounts(1, 1, 0), at=DAY + 62, lease_seconds=60)
        ledger.settle("back", Charge(9), at=DAY + 63)
        ledger.record("newest of all", Charge(1), at=6 * DAY)
        compacted(path)
        assert [entry.kind for entry in ledger.entries(call="back")] == ["expired", "corrected", "settled"]
    assert is_sound(path)


def test_the_newest_entry_stays_so_that_no_number_is_given_twice(path):
    (done,) = compacted(path, 9 * DAY)
    assert done.stay == 2, "it, and the call of several attempts"
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.record("after", Charge(1), at=10 * DAY)
        assert [entry.call for entry in ledger.entries(since=9 * DAY)] == ["after"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT max(id) FROM entries").fetchone() == (len(CHARGES) + 4,)


def test_nothing_is_done_where_there_is_nothing_to_do(path, tmp_path):
    assert compacted(path, 0) == []
    assert list(tmp_path.glob("*before*")) == list(tmp_path.glob("*compacting*")) == []
    (done,) = compacted(path)
    assert compacted(path) == compacted(path, DAY) == []
    with pytest.raises(LedgerError, match="is an archive itself"):
        compacted(done.archive)


def test_one_compaction_at_a_time(path):
    running = compact(path, 3 * DAY, "one", days(3 * DAY))
    next(running)
    with pytest.raises(LedgerError, match="another process is compacting"):
        compacted(path)
    running.close()
    assert compacted(path) == []


def test_an_archive_that_cannot_be_written_leaves_the_ledger_as_it_was(path, monkeypatch):
    before = entries(path)

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "_sync", fail)
    with pytest.raises(LedgerError, match=r"cannot be written \(No space left on device\); the ledger is as it was"):
        compacted(path)
    assert entries(path) == before
    assert about(path, "archived", "open")
    monkeypatch.undo()
    (done,) = compacted(path)
    assert done.entries == 7
    assert is_sound(path)


def test_an_archive_that_is_not_what_was_written_is_not_used(path, monkeypatch):
    before = entries(path)
    monkeypatch.setattr(archive, "_COPY", archive._COPY + " AND call != 'call-2'")
    with pytest.raises(LedgerError, match="is not what was written"):
        compacted(path)
    assert entries(path) == before


def test_a_database_that_fails_is_explained(path, monkeypatch):
    monkeypatch.setattr(archive, "_COPY", "no SQL ? ? ? ?")
    with pytest.raises(LedgerError, match=r"ledger\.db failed"):
        compacted(path)


def test_one_that_cannot_be_begun_leaves_nothing(path, tmp_path, monkeypatch):
    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(archive, "migrate", fail)
    with pytest.raises(LedgerError, match=r"ledger\.db failed: disk I/O error"):
        compacted(path)
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.db"]


def test_an_archive_that_is_gone_while_entries_are_taken_there_is_missed(path, monkeypatch):
    def fail(*_):
        raise LedgerError("something else")

    monkeypatch.setattr(compaction, "_move", fail)
    with pytest.raises(LedgerError, match="something else"):
        compacted(path)
    monkeypatch.undo()
    place = path.with_name("ledger-before-day-3.db")
    elsewhere = place.rename(path.with_name("elsewhere.db"))
    with pytest.raises(LedgerError, match=r"before-day-3\.db is gone, which holds what is being taken out of"):
        compacted(path)
    elsewhere.rename(place)
    assert [each.entries for each in compacted(path)] == [7]
    assert is_sound(path)


def test_a_lock_whose_owner_has_just_gone_is_taken_anew(path, monkeypatch):
    same, answers = os.path.samestat, iter([False])
    monkeypatch.setattr(os.path, "samestat", lambda one, other: next(answers, True) and same(one, other))
    assert [each.entries for each in compacted(path)] == [7]


def test_where_nothing_can_be_written_beside_the_ledger_that_is_said(path, monkeypatch):
    def fail(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(compaction, "_locked", fail)
    with pytest.raises(LedgerError, match=r"nothing can be written beside .* \(Permission denied\)"):
        compacted(path)


def test_doctor_says_what_became_of_archives(path):
    (done,) = compacted(path)
    assert about(path, "archived") == [
        "what was entered before 1970-01-04 00:00 UTC (7 entries) is in ledger-before-day-3.db"
    ]
    assert about(path, "balances")
    assert about(done.archive, "archive") == ["it is an archive of ledger.db, with 8 entries and without balances"]
    done.archive.chmod(0o644)
    with contextlib.closing(sqlite3.connect(done.archive)) as connection, connection:
        connection.execute("DELETE FROM entries WHERE call IN ('call-2', 'call-3')")
    assert about(path, "archived", "wrong")
    assert about(done.archive, "archive", "wrong")
    done.archive.unlink()
    assert "not beside the ledger" in about(path, "archived")[0]
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE rollups SET usd = usd + 1 WHERE cell = (SELECT min(cell) FROM rollups)")
    assert about(path, "archived", "wrong") == ["the sums of archived entries are not what these add to balances"]


def test_doctor_says_that_it_came_in_the_middle(path, connections):
    findings = check_up(path, 0)
    assert next(findings).about == "file"
    connections[-1].set_trace_callback(lambda each: "GROUP BY accounts" in each and compacted(path))
    assert ("open", "balances") in {(each.level, each.about) for each in findings}
    assert is_sound(path)


def kill_at(monkeypatch, number):
    """Kill this process before so many statements and other steps that reach the disk."""
    connect, rename, left = sqlite3.connect, Path.rename, iter(range(number, -1, -1))

    def step(_=None):
        return next(left) or os.kill(os.getpid(), signal.SIGKILL)

    def traced(*arguments, **options):
        connection = connect(*arguments, **options)
        if "ledger" in str(arguments[0]):  # and not what measures the tests' coverage
            connection.set_trace_callback(step)
        return connection

    def renamed(place, target):
        step()
        found = rename(place, target)
        step()
        return found

    monkeypatch.setattr(sqlite3, "connect", traced)
    monkeypatch.setattr(os, "fsync", step)
    monkeypatch.setattr(Path, "rename", renamed)


def summed(path):
    records = SqliteRecords(path)
    found = [list(each) for each in records.summary([0, DAY, 2 * DAY, 3 * DAY, 6 * DAY])]
    records.close()
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks while some test's threads still run
def test_a_kill_at_any_point_loses_nothing_and_doubles_nothing(path, tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "_BATCH", 4)
    before, sums = entries(path), summed(path)
    for number in itertools.count():
        folder = tmp_path / str(number)
        folder.mkdir()
        copy = folder / "ledger.db"
        shutil.copy(path, copy)

        def run(copy=copy, number=number):
            kill_at(monkeypatch, number)
            compacted(copy)

        code = in_child(run)
        assert code in (0, -signal.SIGKILL)
        assert summed(copy) == sums, f"after a kill at step {number}"
        assert {each.level for each in check_up(copy, 6 * DAY)} <= {"ok", "open"}
        again = compacted(copy)
        assert not again or again[0].entries == 7
        assert summed(copy) == sums
        assert is_sound(copy)
        assert entries(folder / "ledger-before-day-3.db", until=3 * DAY) == [
            each for each in before if each.at < 3 * DAY
        ]
        assert sorted(each.name for each in folder.iterdir()) == ["ledger-before-day-3.db", "ledger.db"]
        if code == 0:
            break
        assert number < 1000, "it must come to its end"
    assert number > 100, "there were so many steps"
