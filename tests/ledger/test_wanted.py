"""Calls that are found beside who goes through them are those that he would have read himself."""

from __future__ import annotations

import threading

import pytest

from inferkit import LedgerError, SqliteLedger
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite import hours, wanted
from inferkit.ledger.sqlite.compaction import compact
from inferkit.ledger.sqlite.journal import SqliteRecords
from inferkit.runtime import yielding

DAY = 86_400.0
AT = [number * DAY / 7 for number in range(3, 45)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    for number, at in enumerate(reversed(AT)):
        ledger.record(str(number), Charge(number, "x", "m", number, 1), at=at)
    ledger.record("of several", Charge(None), at=AT[4])
    ledger.close()
    return path


@pytest.fixture
def beside(monkeypatch):
    """Have a second thread find calls, as where a command plays what-ifs over many; give those that it was."""
    begun, begin = [], wanted._Finding.begin

    def noted(finding):
        begin(finding)
        begun.append(finding._thread)

    monkeypatch.setattr(hours, "_MANY", 0)
    monkeypatch.setattr(yielding, "is_alone", lambda: True)
    monkeypatch.setattr(wanted._Finding, "begin", noted)
    return begun


def calls_of(path):
    records = SqliteRecords(path)
    keys = [total.key for total in records.summary([0.0, 10 * DAY]).totals if total.provider == "x"]
    return records.calls(keys, 0.0, 10 * DAY)


def read(path):
    return [(call.at, call.amounts[:3]) for call in calls_of(path)]


EXPECTED = [(at, (1, number, number)) for number, at in reversed(list(enumerate(reversed(AT))))]


def test_a_second_thread_finds_the_same_calls(path, beside):
    assert read(path) == EXPECTED
    assert beside
    assert all(thread.join(20) is None and not thread.is_alive() for thread in beside)


def test_no_second_thread_finds_calls_beside_those_of_an_application(path, beside, monkeypatch):
    monkeypatch.setattr(yielding, "is_alone", lambda: False)
    assert read(path) == EXPECTED
    assert beside == []


def test_what_a_second_thread_cannot_find_is_read_all_the_same(path, beside, monkeypatch):
    monkeypatch.setattr(wanted, "_FIND", "SELECT nothing FROM nowhere")
    assert read(path) == EXPECTED
    assert beside


def test_what_was_found_before_a_fork_is_read_again(path, beside, monkeypatch):
    begin, forked = wanted._Finding.begin, []

    def forks(finding):
        begin(finding)
        finding._thread.join(20)
        if not forked:
            finding._reader.hold()  # as a fork does: its table is gone
            finding._reader.release()
        forked.append(finding)

    monkeypatch.setattr(wanted._Finding, "begin", forks)
    assert read(path) == EXPECTED
    assert len(forked) > 2


def test_calls_that_are_archived_once_they_were_found_are_not_given(path, beside):
    calls = calls_of(path)
    first = next(calls)
    assert first.at == AT[0]
    beside[0].join(20)
    done = list(compact(path, 6 * DAY, "days", lambda at: [*(day * DAY for day in range(int(at // DAY), 7))]))
    assert done
    with pytest.raises(LedgerError, match="are archived"):
        list(calls)


def test_who_stops_reading_leaves_no_thread(path, beside):
    calls = calls_of(path)
    next(calls)
    calls.close()
    del calls
    assert all(thread.join(20) is None and not thread.is_alive() for thread in beside)
    assert [each for each in threading.enumerate() if each in beside] == []
