"""A doctor for ledgers: what is in order is said to be, and what is not is named with what to do."""

from __future__ import annotations

import contextlib
import os
import sqlite3

import pytest

from inferkit import SqliteLedger
from inferkit.ledger.amounts import Amounts, Line
from inferkit.ledger.journal import Charge
from inferkit.ledger.spill import Spill
from inferkit.ledger.sqlite import checkpoints
from inferkit.ledger.sqlite.checkup import check_up
from inferkit.ledger.unwritten import Unwritten

W = "month:2026-11-01"
LINES = [Line("all", W, 10**9), Line("ana", "rolling-60s:000000000000010", 10**9, since="rolling-60s:000000000000001")]
WANTED = Amounts(1000, 50, 1)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.db"
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for number in range(6):
            ledger.reserve(f"call-{number}", LINES, WANTED, WANTED, at=0, lease_seconds=600 if number % 2 else 10)
        ledger.settle("call-1", Charge(700, input_tokens=3, output_tokens=4), at=1)
        ledger.void("call-3", at=1)
        ledger.settle("call-0", Charge(None), at=1)
        ledger.top_up(LINES[0], Amounts(500), at=0)
        ledger.sweep(15)
        ledger.settle("call-2", Charge(1), at=16)
    return path


def change(path, *statements):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def found(path, at=20):
    return [(each.level, each.about) for each in check_up(path, at)]


def about(path, what, at=20):
    (finding,) = (each for each in check_up(path, at) if each.about == what)
    return finding


SOUND = [("ok", "file"), ("ok", "balances"), ("ok", "holds"), ("ok", "credits")]


def test_a_ledger_in_order_is_said_to_be(path):
    assert found(path) == [*SOUND, ("ok", "leases")]
    assert not any(each.remedy for each in check_up(path, 20))


def test_nothing_is_written(path):
    before = path.read_bytes()
    list(check_up(path, 20))
    assert path.read_bytes() == before


def test_it_looks_at_a_ledger_that_is_in_use(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.reserve("more", LINES, WANTED, WANTED, at=0, lease_seconds=600)
        assert found(path) == [*SOUND, ("ok", "leases")]
        assert "2 running calls" in about(path, "leases").found


def test_calls_whose_processes_died_are_named_with_what_they_hold(path):
    finding = about(path, "leases", at=600 + 120)
    assert finding.level == "open"
    assert "1 calls that hold $0.000001 ran out, the first 2 minutes ago" in finding.found
    assert "llm.ledger.sweep" in finding.remedy


@pytest.mark.parametrize(
    ("statement", "what", "said"),
    [
        (
            "UPDATE balances SET usd = usd + 5 WHERE account = 'all'",
            "balances",
            "in month:2026-11-01: $0.000001706",
        ),
        ("DELETE FROM entries WHERE call = 'call-1'", "balances", "rather than"),
        ("UPDATE balances SET calls_held = 9 WHERE account = 'ana'", "holds", "9 calls rather than"),
        ("DELETE FROM holds", "holds", "0 calls"),
        ("UPDATE balances SET usd_extra = 0", "credits", "$0.00, 0 tokens"),
    ],
)
def test_what_does_not_add_up_is_wrong(path, statement, what, said):
    change(path, statement)
    finding = about(path, what)
    assert finding.level == "wrong"
    assert said in finding.found
    assert "backup" in finding.remedy


def test_of_many_accounts_that_do_not_add_up_some_are_named(path):
    change(path, *(f"INSERT INTO balances (account, window, usd, tokens, calls, usd_held, tokens_held, calls_held) "
                   f"VALUES ('user-{number}', '{W}', 1, 0, 0, 0, 0, 0)" for number in range(5)))  # fmt: skip
    assert "user-2" in about(path, "balances").found
    assert about(path, "balances").found.endswith("and 2 more")


def test_parts_of_a_rolling_window_that_were_forgotten_are_not_missed(path):
    change(path, "DELETE FROM balances WHERE account = 'ana'", "DELETE FROM holds")
    assert about(path, "balances").level == "ok"


@pytest.mark.parametrize("content", [b"", b"my shopping list" * 99])
def test_a_file_that_is_no_ledger_is_wrong(tmp_path, content):
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    assert found(path) == [("wrong", "file")]
    assert path.read_bytes() == content


def test_a_file_that_is_not_there_is_wrong_and_stays_so(tmp_path):
    assert found(tmp_path / "none.db") == [("wrong", "file")]
    assert list(tmp_path.iterdir()) == []


def test_damage_within_the_file_is_wrong(path):
    content = bytearray(path.read_bytes())
    for page in range(6, len(content) // 1024):
        content[page * 1024 : page * 1024 + 32] = b"\xff" * 32
    path.write_bytes(content)
    finding = next(iter(check_up(path, 20)))
    assert (finding.level, finding.about) == ("wrong", "file")
    assert "damaged" in finding.found


def test_a_row_that_nobody_can_have_written_is_wrong(path):
    change(path, "UPDATE entries SET accounts = 'no JSON' WHERE call = 'call-1'")
    assert ("wrong", "file") in found(path)


def test_an_older_format_is_said_to_be_one(path):
    change(path, "PRAGMA user_version = 1")
    assert found(path) == [("ok", "file")]
    assert "format 1" in about(path, "file").found


def test_what_is_left_beside_the_ledger_is_named_with_who_enters_it(path):
    spill = Spill(path)
    spill.keep(Unwritten("settle", "call-5", 5.0, Charge(42)))
    finding = about(path, "unwritten")
    assert finding.found.endswith("holds 1 calls of $0.000000042")
    assert "its process enters them" in finding.remedy
    place = spill.close()
    assert "whoever opens the ledger next" in about(path, "unwritten").remedy
    place.write_bytes(b"what?\n")
    assert about(path, "unwritten").level == "wrong"
    assert place.read_bytes() == b"what?\n"


def test_a_log_that_cannot_begin_anew_is_named(path, monkeypatch):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.record("other", Charge(1), at=0)
        monkeypatch.setattr("inferkit.ledger.sqlite.checkup.LOG_BYTES", 100)
        assert checkpoints.log_of(path) > 400
        assert about(path, "log").level == "open"


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is unreadable for root")
def test_a_file_that_may_not_be_read_is_wrong(path):
    path.chmod(0)
    assert found(path) == [("wrong", "file")]
