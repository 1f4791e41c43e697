"""`inferkit ledger compact`, as a person uses it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest

from inferkit import LedgerError, SqliteLedger
from inferkit.cli.compacting import compact_ledger
from inferkit.core.errors import ConfigurationError
from inferkit.ledger.journal import Charge
from inferkit.runtime import clock

DAY = 86_400


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for number in range(5):
            ledger.record(f"call-{number}", Charge(5, "x", "m"), at=number * DAY + 1)
        ledger.record("now", Charge(7), at=clock.time())
    return path


def inferkit(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "inferkit", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_days_that_are_over_are_archived_and_the_report_is_the_same(path, tmp_path):
    asked = ("report", "--ledger", path, "--since", "1970-01-01", "--until", "1970-02-01", "--format", "json")
    before = inferkit(*asked)
    done = inferkit("ledger", "compact", "--ledger", path, "--before", "1970-01-04")
    archive = tmp_path / "ledger-before-1970-01-04.sqlite3"
    assert (done.returncode, done.stdout) == (0, f"3 entries archived in {archive}\n"), done.stderr
    assert before.returncode == 0
    assert inferkit(*asked).stdout == before.stdout
    assert inferkit("doctor", "--ledger", path).returncode == 0
    refused = inferkit("report", "--ledger", path, "--since", "1970-01-02T12:00", "--until", "1970-02-01")
    assert refused.returncode == 1
    assert "are archived" in refused.stderr
    assert (
        inferkit("report", "--ledger", archive, "--since", "1970-01-02T12:00", "--until", "1970-01-04").returncode == 0
    )
    more = inferkit("ledger", "compact", "--ledger", path, "--before", "1970-01-05", "--json")
    assert json.loads(more.stdout) == [
        {"archive": str(tmp_path / "ledger-before-1970-01-05.sqlite3"), "archived": 1, "stay": 0}
    ]


def test_what_stays_is_said_and_so_is_that_nothing_was_left(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.record("large", Charge(2**50), at=DAY)
        ledger.record("now", Charge(7), at=clock.time())
        ledger.record("newest", Charge(7), at=clock.time())
    (said,) = compact_ledger(ledger=str(path), before="1970-01-03", zone="Europe/Berlin")
    assert said.startswith("2 entries archived in ")
    assert said.endswith("; 1 of that time stay, which reports look at one by one")
    assert list(compact_ledger(ledger=str(path), before="1970-01-02", zone="UTC")) == [
        "nothing before 1970-01-02 is left to archive"
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"before": "next week"}, 'before is a date, written 2026-11-01; got "next week"'),
        ({"before": "2999-01-01"}, "2999-01-01 has not begun in UTC"),
        ({"ledger": "/nowhere"}, "there is no ledger at /nowhere"),
        ({"zone": "Nowhere"}, "there is no time zone 'Nowhere'"),
    ],
)
def test_a_mistake_is_named(path, options, message):
    with pytest.raises(ConfigurationError, match=message.replace("(", r"\(")):
        list(compact_ledger(**{"ledger": str(path), "before": "1970-01-03", "zone": "UTC"} | options))


def test_what_is_no_ledger_is_left_alone(tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("not a ledger, but some text")
    with pytest.raises(LedgerError):
        list(compact_ledger(ledger=str(other), before="1970-01-03", zone="UTC"))
    assert other.read_text() == "not a ledger, but some text"
