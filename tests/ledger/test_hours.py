"""Entries of a time are found wherever they were written, and without reading those of other times."""

from __future__ import annotations

import contextlib
import itertools
import math
import sqlite3

import pytest
from hypothesis import given, settings, strategies as st

from inferkit import SqliteLedger
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite import reader
from inferkit.ledger.sqlite.checkup import check_up
from inferkit.ledger.sqlite.hours import ids_between
from inferkit.ledger.sqlite.journal import SqliteRecords

HOUR = 3600.0
EDGES = [HOUR * number + step for number in range(-2, 6) for step in (-1e-7, 0.0, 1e-7, 1800.0)]
instants = st.sampled_from(EDGES) | st.floats(-3 * HOUR, 6 * HOUR)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


def hours(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT first, hour FROM hours ORDER BY first").fetchall()


@settings(deadline=None, max_examples=60)
@given(written=st.lists(instants, max_size=40), bounds=st.lists(instants, min_size=2, max_size=5, unique=True))
def test_clocks_may_go_as_they_like(tmp_path_factory, written, bounds):
    path = tmp_path_factory.mktemp("hours") / "ledger.db"
    bounds = sorted(bounds)
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for number, at in enumerate(written):
            ledger.record(f"call-{number}", Charge(1, attempts=1), at=at)
        for since, until in [*itertools.pairwise(bounds), (-math.inf, math.inf), (-math.inf, bounds[0])]:
            among = [f"call-{number}" for number, at in enumerate(written) if since <= at < until]
            assert [entry.call for entry in ledger.entries(since=since, until=until)] == among
        summary = ledger.journal.summary(bounds)
        totals = list(summary.totals)
        assert sum(total.calls for total in totals) == sum(bounds[0] <= at < bounds[-1] for at in written)
        per_stretch = [sum(stretch.spent.values()) for stretch in summary.stretches]
        assert per_stretch == [
            sum(since <= at < until for at in written) for since, until in itertools.pairwise(bounds)
        ]
        found = ledger.journal.calls([total.key for total in totals], bounds[0], bounds[-1])
        assert [call.at for call in found] == sorted(at for at in written if bounds[0] <= at < bounds[-1])
    assert all(each.about != "hours" for each in check_up(path, 0))


def test_an_hour_is_noted_once_and_what_is_written_late_twice(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for number in range(300):
            ledger.record(f"call-{number}", Charge(1), at=HOUR * (1 + number // 100))
        assert hours(path) == [(1, 1), (101, 2), (201, 3)]
        ledger.record("late", Charge(1), at=HOUR)
        ledger.record("next", Charge(1), at=3 * HOUR)
    assert hours(path) == [(1, 1), (101, 2), (201, 3), (301, 1), (302, 3)]


def test_ranges_that_are_near_one_another_are_read_as_one(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for number in range(10):
            ledger.record(f"call-{number}", Charge(1), at=HOUR * (1 + number % 2))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert ids_between(connection, HOUR, 2 * HOUR) == [(1, 9)]
        assert ids_between(connection, HOUR, 3 * HOUR) == [(1, 10)]
        assert ids_between(connection, 3 * HOUR, 4 * HOUR) == []
        for first in (2000, 4000):  # far behind one another
            connection.execute("INSERT INTO hours VALUES (?, 1)", (first,))
        assert ids_between(connection, HOUR, 2 * HOUR) == [(1, 9), (2000, 10)]


def test_the_last_hour_takes_as_many_steps_however_many_entries_there_are(path):
    def steps(read):
        with contextlib.closing(SqliteRecords(path)) as records:
            taken = 0

            def step():
                nonlocal taken
                taken += 1

            records.reader.run(lambda connection: connection.set_progress_handler(step, 10))
            list(read(records))
            return taken

    def last_hour(records):
        return records.entries(since=100 * HOUR, until=101 * HOUR)

    def lost(records):
        return records.entries(since=100 * HOUR, until=101 * HOUR, kind="corrected")

    counted = []
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for size in (50, 1500):
            for number in range(size):
                ledger.record(f"{size}-{number}", Charge(1), at=number)
            for number in range(20):
                ledger.record(f"last {size}-{number}", Charge(1), at=100 * HOUR + number)
            counted.append((steps(last_hour), steps(lost)))
    (few, few_lost), (many, many_lost) = counted
    assert many <= 2 * few + 100, "twice as many were written in that hour by now"
    assert many_lost <= few_lost + 10


def test_a_report_of_many_hours_reads_each_entry_a_few_times_and_no_more(path, monkeypatch):
    taken, opened = 0, reader._open

    def step():
        nonlocal taken
        taken += 1

    def open_counted(*args):
        connection = opened(*args)
        connection.set_progress_handler(step, 10)
        return connection

    def steps(hours):
        nonlocal taken
        taken = 0
        bounds = [HOUR * 24 * day for day in range(hours // 24 + 1)]
        with contextlib.closing(SqliteRecords(path)) as records:
            summary = records.summary(bounds)
            totals, stretches = list(summary.totals), list(summary.stretches)
            assert sum(sum(each.spent.values()) for each in stretches) == 5 * hours
            assert [each.apart for each in stretches] == [[]] * len(stretches)
            keys = [total.key for total in totals]
            assert len(list(records.calls(keys, 0, bounds[-1]))) == 5 * hours
            assert sum(total.calls for totals in records.by_model(keys, bounds) for total in totals) == 5 * hours
        return taken

    monkeypatch.setattr(reader, "_open", open_counted)
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for number in range(5 * 24 * 20):
            ledger.record(f"call-{number}", Charge(1), at=HOUR / 5 * number)
    one, twenty = steps(24), steps(24 * 20)
    assert one * 10 < 1000 * 5 * 24, "a thousand of SQLite's steps for each entry, in five queries"
    assert twenty <= 25 * one


def test_a_doctor_sees_that_entries_would_not_be_found(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for number in range(5):
            ledger.record(f"call-{number}", Charge(1), at=HOUR * number)
    assert all(each.about != "hours" for each in check_up(path, 0))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM hours WHERE hour = 3")
    (finding,) = (each for each in check_up(path, 0) if each.about == "hours")
    assert (finding.level, finding.found[:9]) == ("wrong", "1 entries")
