"""Whatever byte of a ledger's file is wrong, what comes of it is right, or an error that says what to do."""

from __future__ import annotations

import contextlib
import random
from datetime import UTC, datetime

import pytest

from inferkit import LedgerError, Plan, SqliteLedger
from inferkit.economics.report.report import Period, build_report
from inferkit.ledger.amounts import Amounts, Grant, Line
from inferkit.ledger.journal import Assignment, Attribution, Charge, Part, Tally

W = "month:2026-11-01"
AT = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
LINES = [Line("all", W, 10**9, warn_at=(10, 900)), Line("ana", "short:0010", 10**9, since="short:0001")]
CHARGE = Charge(
    700, "openai", "gpt", 1, 2, 3, 4, 5, 2, False, "completed", "stop", "fast", True, -6, 7, 0,
    (Part("primary", "openai", "gpt", "error", None), Part("fallback", "x", "y", "completed", 700, 1, 2, 3, 4, 5)),
    Attribution("ana", "acme", "search", "pro"),
)  # fmt: skip
PERIOD = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC), "UTC")
PLAN = Plan("pro", price="20", allowance="unlimited")
FLIPS = 160


def reserve(ledger, call, lease=600):
    wanted = Amounts(1000, 50, 1)
    return ledger.reserve(call, LINES, wanted, wanted, at=AT, lease_seconds=lease, attribution=CHARGE.attribution)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A small ledger in which there is something of everything."""
    path = tmp_path_factory.mktemp("sound") / "ledger.db"
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for number in range(8):
            assert isinstance(reserve(ledger, f"call-{number}", lease=600 if number % 2 else 1), Grant)
        for number in (1, 3, 4):
            ledger.settle(f"call-{number}", CHARGE, at=AT + 1)
        ledger.sweep(AT + 10)
        ledger.record("free", CHARGE._replace(usd=None), at=AT)
        ledger.top_up(LINES[0], Amounts(500), at=AT)
        ledger.warn(LINES)
        ledger.tally([Tally(int(AT) // 3600 * 3600, "hit", CHARGE.attribution, "fast", "openai", "gpt", usd=9)])
        ledger.assign(Assignment(AT, "ana", None, "pro"))
        ledger.define({"pro": PLAN.definition()}, at=AT)
    return path.read_bytes()


def use(path):
    """Do all that can be done with a ledger; give how often it was said that something is wrong."""
    try:
        ledger = SqliteLedger(path)
    except LedgerError:
        return 1
    steps = [
        lambda: reserve(ledger, "new"),
        lambda: ledger.extend("call-5", LINES, Amounts(10, 1), at=AT, lease_seconds=60),
        lambda: ledger.settle("call-5", CHARGE, at=AT, watched=LINES),
        lambda: ledger.settle("call-0", CHARGE, at=AT),
        lambda: ledger.void("call-7", at=AT),
        lambda: ledger.void("call-2", at=AT),
        lambda: ledger.record("other", CHARGE, at=AT),
        lambda: ledger.mark_sent("call-5"),
        lambda: ledger.warn(LINES),
        lambda: ledger.sweep(AT + 10**6),
        lambda: ledger.top_up(LINES[0], Amounts(5), at=AT),
        lambda: [ledger.balance(line.account, line.window, since=line.since) for line in LINES],
        lambda: ledger.assignment(user="ana", at=AT),
        lambda: ledger.assign(Assignment(AT + 1, "ana", None, "free")),
        lambda: ledger.tally([Tally(int(AT), "refused", scope="all")]),
        lambda: ledger.define({"pro": "{}"}, at=AT),
        lambda: list(ledger.entries()),
        lambda: list(ledger.credits()),
        lambda: list(ledger.balances()),
        lambda: list(ledger.tallies()),
        lambda: list(ledger.assignments()),
        ledger.definitions,
        lambda: build_report(ledger, PERIOD, plans=[PLAN]),
        ledger.check,
    ]
    failed = 0
    for step in steps:
        try:
            step()
        except LedgerError:
            failed += 1
    with contextlib.suppress(LedgerError):
        ledger.close()
    return failed


def places(content):
    """Give where a byte is changed: all over the first page, which says what the file is, and here and there."""
    chance = random.Random(1)
    filled = [place for place, byte in enumerate(content) if byte]
    return sorted({*range(100), *chance.sample(filled, FLIPS)})


def test_a_byte_that_is_wrong_is_an_error_with_a_name_or_does_no_harm(sound, tmp_path):
    path, told = tmp_path / "ledger.db", 0
    chance = random.Random(2)
    for place in places(sound):
        for left in tmp_path.iterdir():
            left.unlink()
        content = bytearray(sound)
        content[place] ^= chance.choice([1, 0x40, 0x80, 0xFF])
        path.write_bytes(content)
        try:
            told += use(path) > 0
        except LedgerError:
            raise
        except Exception as error:
            raise AssertionError(f"byte {place}: {type(error).__name__}: {error}") from error
    assert told > FLIPS / 10, "some of it matters"


@pytest.mark.parametrize("size", [0, 1, 100, 1024, 5000])
def test_a_file_that_was_cut_off_is_an_error_and_stays_as_it_is(sound, tmp_path, size):
    path = tmp_path / "ledger.db"
    path.write_bytes(sound[:size])
    with pytest.raises(LedgerError, match="damaged|empty"), contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.check()
    assert path.stat().st_size == size


def test_an_empty_file_is_not_taken_for_a_new_ledger(tmp_path):
    path = tmp_path / "ledger.db"
    path.touch()
    with pytest.raises(LedgerError, match=r"is empty, which no ledger ever is; restore it from a backup, or delete"):
        SqliteLedger(path)
    assert path.read_bytes() == b""
    assert list(tmp_path.iterdir()) == [path]
