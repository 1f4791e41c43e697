"""`inferkit budgets`, as an operator uses it, on a ledger that real calls wrote."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from cli.shop import EVERYTHING, PROMPT, Provider, shop
from command import command
from inferkit import Budget, BudgetExceeded, SqliteLedger
from inferkit.budgets.windows import end_of_label, window
from inferkit.ledger.amounts import Amounts, Line
from inferkit.ledger.journal import Charge
from inferkit.runtime import clock
from wire import Wire

__all__ = ["command"]

WORKER = Path(__file__).with_name("top_up_worker.py")


@pytest.fixture
def budgets(command, path):
    return lambda *arguments: command("budgets", *arguments, "--ledger", path)


def one(found):
    (only,) = found.json
    return only


def test_each_budget_says_what_is_used_and_left_and_when_it_begins_anew(budgets):
    shown = budgets()
    for line in (
        "answers ana $0.0045 $0.0455 $0.05",
        "pooled-allowance acme $0.0032 $0.9968 $1.00",
        "pooled-allowance acme 3 calls 197 calls 200 calls",
        "allowance ana $0.0075 $4.99 $5.00",
        "rolling ana $0.0015 $0.9985 $1.00 any 1 h rolls",
        "everything $0.0107 $199.99 $200.00 month",
    ):
        assert shown.said(line), line
    assert not shown.said("block-")
    assert not shown.said("booked")
    names = [line.split()[0] for line in shown.out.splitlines()[1:]]
    assert names[:2] == ["answers", "answers"]  # the scarcest first
    found = one(budgets("--name", "answers", "--key", "ana", "--json"))
    assert found["used"] == {"usd": "0.0045", "tokens": 2100, "calls": 2}
    assert (found["limit"]["usd"], found["left"]["usd"], found["period"]) == ("0.05", "0.0455", "day")
    tomorrow = datetime.fromtimestamp(clock.time(), UTC).date() + timedelta(days=1)
    assert datetime.fromisoformat(found["resets"]).date() in (tomorrow, tomorrow - timedelta(days=1))


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal(budgets, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for more in ((), ("--all",)):
        assert max(map(len, budgets(*more).out.splitlines())) <= columns


def test_a_name_that_is_no_budget_is_answered_with_those_that_are(budgets):
    assert budgets("--name", "answer").said(
        "the budgets are: allowance, answers, everything, pooled-allowance, rolling"
    )


def test_many_budgets_are_read_in_one_pass_and_one_without_the_others(budgets, path):
    window = EVERYTHING.line("everything", clock.time()).window
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO balances (account, window, usd, tokens, calls, usd_held, tokens_held, calls_held) "
            "VALUES (?, ?, 5, 5, 1, 0, 0, 0)",
            [(f"{name}:{number}", window) for name in ("many", "many-more", "many!") for number in range(2000)],
        )
    connection.close()
    assert len(budgets("--name", "many", "-n", "9999", "--json").json) == 2000
    assert len(budgets("-n", "9999", "--json").json) == 6006


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (("--name", "answers"), ["answers:ana", "answers:ben"]),
        (("--key", "ana"), ["allowance:ana", "answers:ana", "rolling:ana"]),
        (("--key", "nobody"), []),
        (("--name", "everything"), ["everything"]),
        (("--used", "5"), ["answers:ana"]),
        (("-n", "1"), ["answers:ana"]),
    ],
)
def test_budgets_are_found_by_name_key_and_use(budgets, asked, names):
    assert sorted(each["account"] for each in budgets(*asked, "--json").json) == names


def test_what_is_held_and_what_is_used_up_is_shown(budgets, path):
    line = EVERYTHING.line("everything", clock.time())
    spent = Budget(calls=1, per="total", name="trial").line("trial", clock.time())
    with contextlib.closing(SqliteLedger(path)) as ledger:
        amounts = Amounts(10**9, 10, 1)
        ledger.reserve("runs", [line], amounts, amounts, at=clock.time(), lease_seconds=60)
        ledger.reserve("one", [spent], amounts, amounts, at=clock.time(), lease_seconds=60)
        ledger.settle("one", Charge(5), at=clock.time())
    shown = budgets()
    assert shown.said("everything $0.0107 $1.00 $198.99 $200.00")
    assert shown.said("trial 1 calls 0 calls 1 calls total never")
    assert one(budgets("--name", "everything", "--json"))["held"] == {"usd": "1", "tokens": 10, "calls": 1}


def test_a_limit_that_was_changed_is_the_one_that_is_shown(budgets, path):
    for usd in ("300", "250"):
        line = Budget(usd=usd, per="month", name="everything").line("everything", clock.time())
        with contextlib.closing(SqliteLedger(path)) as ledger:
            for call in ("a", "b"):
                ledger.reserve(f"{call}-{usd}", [line], Amounts(1), Amounts(1), at=clock.time(), lease_seconds=60)
        assert one(budgets("--name", "everything", "--json"))["limit"]["usd"] == usd


def test_periods_that_are_over_are_shown_when_asked_for(budgets, path):
    old = Line("everything", "month:2026-01-01", usd=10**12)
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.reserve("old", [old], Amounts(7), Amounts(7), at=0, lease_seconds=1)
        ledger.reserve("gone", [old._replace(account="gone")], Amounts(7), Amounts(7), at=0, lease_seconds=1)
    assert len(budgets("--name", "everything", "--json").json) == 1
    assert {each["window"] for each in budgets("--name", "everything", "--all", "--json").json} > {"month:2026-01-01"}
    assert budgets("--name", "gone").said("nothing of it was used in the running period; --all shows those before")
    assert budgets("--all").said("block-")


def test_a_top_up_is_added_and_confirmed_and_calls_go_on(command, tmp_path):
    day = Budget(usd="0.0015", per="day", name="tight", each="user")
    with Wire(Provider()) as wire, shop(wire, tmp_path, budget=day, plans=None, cache=False) as llm:
        llm.complete("fast", PROMPT, user="ana", max_output_tokens=50)
        with pytest.raises(BudgetExceeded):
            llm.complete("fast", PROMPT, user="ana", max_output_tokens=50)
        done = command("budgets", "top-up", "tight", "ana", "1.50", "--ledger", tmp_path / "ledger.sqlite3")
        assert (done.code, done.said("added $1.50 to tight:ana", "$0.0015 $1.50 $0.0015 $1.50 day")) == (0, True)
        llm.complete("fast", PROMPT, user="ana", max_output_tokens=50)
        assert day.remaining("ana", ledger=llm.ledger).usd == Decimal("1.4985")
        (credit,) = llm.ledger.credits("tight:ana")
        assert (credit.kind, credit.amounts) == ("topped up", Amounts(usd=1_500_000_000))


def test_what_is_added_in_a_period_that_is_over_is_there_in_the_next(command, tmp_path):
    path = tmp_path / "ledger.sqlite3"
    budget = Budget(usd="1", per="day", name="daily")
    yesterday = clock.time() - 86_400
    with contextlib.closing(SqliteLedger(path)) as ledger:
        amounts = Amounts(9 * 10**8, 1, 1)
        ledger.reserve("a", [budget.line("daily", yesterday)], amounts, amounts, at=yesterday, lease_seconds=9)
        ledger.settle("a", Charge(9 * 10**8), at=yesterday)
        assert command("budgets", "top-up", "daily", "2", "--ledger", path).code == 0
        ledger.reserve("b", [budget.line("daily", clock.time())], amounts, amounts, at=clock.time(), lease_seconds=9)
        assert budget.remaining(ledger=ledger).usd == Decimal("2.1")  # 1 + 2 - 0.9


@pytest.mark.parametrize(
    ("asked", "account", "added"),
    [
        (("everything", "$10"), "everything", Amounts(usd=10 * 10**9)),
        (("rolling", "ana", "0.5"), "rolling:ana", Amounts(usd=5 * 10**8)),
        (("pooled-allowance", "acme", "50", "--unit", "calls"), "pooled-allowance:acme", Amounts(calls=50)),
        (("answers", "zoe", "1", "--new"), "answers:zoe", Amounts(usd=10**9)),
    ],
)
def test_shares_units_rolling_budgets_and_new_keys_are_topped_up(budgets, path, asked, account, added):
    found = one(budgets("top-up", *asked, "--json"))
    assert (found["account"], Decimal(found["added"]["usd"])) == (account, Decimal(added.usd) / 10**9)
    assert found["added"]["calls"] == added.calls
    with contextlib.closing(SqliteLedger(path)) as ledger:
        assert [credit.amounts for credit in ledger.credits(account)] == [added]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("answrs", "ana", "5"), r'no budget "answrs" has paid .* \(did you mean answers\?\)'),
        (("answers", "anna", "5"), r'"anna" has used nothing of budget answers yet \(did you mean ana\?\); with --new'),
        (("answers", "5"), "kept by key; say whose share: inferkit budgets top-up answers KEY AMOUNT"),
        (("everything", "ana", "5"), "budget everything has no shares; leave the key out"),
        (("everything", "five"), "the amount is a plain number of dollars"),
        (("everything", "0"), "the amount is above zero"),
        (("everything", "1e99"), "at most a billion dollars"),
        (("everything", "5", "--unit", "calls"), "budget everything does not limit calls; it limits usd"),
        (("everything", "5", "--unit", "euros"), 'a unit is one of usd, tokens, calls; got "euros"'),
        (("everything", "1.5", "--unit", "tokens"), 'a whole number of tokens or calls; got "1.5"'),
        (("everything", "5", "--per", "week"), 'everything is kept per month; got --per "week"'),
    ],
)
def test_a_wrong_top_up_is_refused_and_nothing_is_added(budgets, path, asked, message):
    done = budgets("top-up", *asked)
    assert done.code == 1
    assert re.search(message, " ".join(done.err.split())), done.err
    with contextlib.closing(SqliteLedger(path)) as ledger:
        assert list(ledger.credits()) == []


def test_of_budgets_of_several_periods_with_one_name_the_period_says_which(budgets, path):
    day = Budget(usd="9", per="day", name="everything").line("everything", clock.time())
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.reserve("day", [day], Amounts(7), Amounts(7), at=clock.time(), lease_seconds=9)
    refused = budgets("top-up", "everything", "5")
    assert refused.said("everything is kept per day and per month; say which: --per day")
    assert one(budgets("top-up", "everything", "5", "--per", "day", "--json"))["period"] == "day"


def test_top_ups_of_several_processes_beside_one_that_calls_all_count(path):
    budget = Budget(usd="200", per="month", name="everything")
    arguments = [sys.executable, "-m", "inferkit", "budgets", "top-up", "everything", "1", "--ledger", str(path)]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    with contextlib.closing(SqliteLedger(path)) as ledger:
        calls, window = 0, budget.line("everything", clock.time()).window
        before = ledger.balance("everything", window).posted.usd
        while any(process.poll() is None for process in running):
            line = budget.line("everything", clock.time())
            ledger.reserve(f"c{calls}", [line], Amounts(1000), Amounts(1000), at=clock.time(), lease_seconds=60)
            ledger.settle(f"c{calls}", Charge(1000), at=clock.time())
            calls += 1
        assert [process.communicate()[1] for process in running] == [b""] * 2
        balance = ledger.balance("everything", window)
        assert balance.extra == Amounts(usd=2 * 10**9)
        assert balance.posted.usd == before + 1000 * calls


def test_a_full_disk_is_said_and_nothing_is_half_added(path):
    command = [sys.executable, WORKER, 100, "budgets", "top-up", "everything", "5", "--ledger", path]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1, said
    assert "LedgerError" in said
    assert "Traceback" not in said
    with contextlib.closing(SqliteLedger(path)) as ledger:
        assert list(ledger.credits()) == []
        ledger.check()


def test_an_empty_ledger_and_one_that_is_not_there_are_said(command, tmp_path):
    SqliteLedger(tmp_path / "l").close()
    assert command("budgets", "--ledger", tmp_path / "l").said("no budget has paid for a call in this ledger")
    for more in ((), ("top-up", "a", "1")):
        gone = command("budgets", *more, "--ledger", tmp_path / "none")
        assert (gone.code, gone.said("there is no ledger at")) == (1, True)
        assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("per", ["hour", "day", "week", "month", "year"])
@pytest.mark.parametrize("anchor", [1, 15, 30, 31])
def test_a_label_says_when_its_window_ends(per, anchor):
    anchor = anchor if per == "month" else 1
    at = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    for _ in range(40):
        found = window(per, at, "UTC", anchor)
        assert end_of_label(found.label, anchor).replace(tzinfo=None) == found.end.replace(tzinfo=None)
        at = found.end.timestamp()
    assert end_of_label("total") is None
    assert end_of_label("rolling-60s:5") is None
