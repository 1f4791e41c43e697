"""`inferkit calls`, as a person and a program use it, on a ledger that real calls wrote."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from decimal import Decimal

import pytest

from cli.shop import ANSWER, COST, INPUT, OUTPUT, PROMPT
from command import command
from inferkit import SqliteLedger
from inferkit.ledger.amounts import Amounts, Line
from inferkit.ledger.journal import Attribution, Charge
from inferkit.ledger.sqlite import search as searching
from inferkit.runtime import clock

__all__ = ["command"]


@pytest.fixture
def calls(command, path):
    return lambda *arguments: command("calls", "--ledger", path, *arguments)


def test_calls_are_listed_newest_first_with_what_they_cost(calls):
    lines = calls().out.splitlines()
    assert lines[0].split() == ["Call", "Ended", "(UTC)", "User", "Model", "Cost", "Status"]
    found = calls("--json").json
    assert [line.split()[0] for line in lines[1:8]] == [each["call"][:16] for each in found]
    assert [each["at"] for each in found] == sorted((each["at"] for each in found), reverse=True)
    assert {each["usd"] for each in found} >= {"0.0015", "0.003"}
    assert len(found) == 7
    assert "$0.0015" in lines[1]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_is_as_wide_as_the_terminal_and_no_wider(calls, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = calls().out
    assert max(map(len, shown.splitlines())) <= columns
    assert ("Tenant" in shown) == (columns == 120)


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        (("--user", "ana"), 4),
        (("--user", "nobody"), 0),
        (("--tenant", "acme"), 3),
        (("--feature", "chat"), 1),
        (("--plan", "team"), 3),
        (("--model", "large"), 1),
        (("--model", "openai:large"), 1),
        (("--model", "smart"), 1),
        (("--model", "openai:*"), 7),
        (("--model", "openai"), 0),
        (("--status", "closed"), 1),
        (("--status", "completed", "--user", "ben"), 1),
        (("--since", "1h"), 7),
        (("--until", "2026-01-01"), 0),
        (("--since", "2026-01-01T00:00", "--user", "cleo"), 2),
        (("--limit", "2"), 2),
    ],
)
def test_calls_are_found_by_what_they_have(calls, asked, number):
    assert len(calls(*asked, "--json").json) == number


def test_the_dearest_come_first_and_those_without_a_price_last(calls, path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.record("dear", Charge(COST * 100, "x", "m", estimated=True), at=clock.time() + 9)
        ledger.record("unpriced", Charge(None, "x", "m"), at=clock.time() + 10)
    found = calls("--dearest", "--json").json
    assert [found[0]["call"], found[-1]["call"]] == ["dear", "unpriced"]
    costs = [Decimal(each["usd"]) for each in found[:-1]]
    assert costs == sorted(costs, reverse=True)
    assert [each["call"] for each in calls("--estimated", "--status", "completed", "--json").json] == []
    assert "~$0.15" in calls("--estimated").out
    assert "no price" in calls("-n", "1").out


def test_a_ledger_that_is_read_in_many_steps_gives_the_same(calls, monkeypatch):
    whole = [calls(*more, "--json").out for more in ((), ("--dearest",), ("-n", "2", "--dearest"), ("--since", "1d"))]
    monkeypatch.setattr(searching, "_RANGE", 2)
    assert [
        calls(*more, "--json").out for more in ((), ("--dearest",), ("-n", "2", "--dearest"), ("--since", "1d"))
    ] == whole


def test_one_call_is_shown_in_full(calls):
    (tried,) = [each for each in calls("--json").json if each["parts"]]
    said = calls(tried["call"][:20])
    for fact in (
        tried["call"],
        "status completed, stop",
        "served by openai:small, asked for as fast",
        "user ben",
        "tenant acme",
        "plan team",
        f"tokens {INPUT:,} in, {OUTPUT} out",
        "cost $0.0015",
        "charged to everything month:",
        "answers:ben day:",
        "pooled-allowance:acme month:",
        "1 primary openai:small error 0 0 $0",
        "2 retry openai:small completed 1,000 50 $0.0015",
    ):
        assert said.said(fact), fact
    (entry,) = calls(tried["call"], "--json").json["entries"]
    assert entry == tried
    assert entry["budgets"][0]["account"] == "everything"


def test_what_a_stream_that_was_left_cost_is_called_an_estimate(calls):
    (left,) = calls("--estimated", "--json").json
    assert left["outcome"] == "error"
    assert calls(left["call"]).said("an estimate: the provider did not report everything")


def test_a_call_that_runs_is_shown_with_what_it_holds(calls, path):
    now = clock.time()
    line, held = Line("everything", "month:2026-11-01", usd=10**12), Amounts(10**9, 100, 1)
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.reserve("runs", [line], held, held, at=now, lease_seconds=600, attribution=Attribution("ana"))
        ledger.reserve("gone", [line], held, held, at=now - 99, lease_seconds=9)
    assert calls().said("2 calls are not settled yet and held $2.00, 1 one of a process that is gone")
    assert calls("runs").said("status running", "holds $1.00, 100 tokens", "user ana", "everything month:2026-11-01")
    assert calls("gone").said("its process is gone; it is booked when the ledger is used next")
    assert calls("runs", "--json").json["held"]["usd"] == "1"
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.sweep(now)
        ledger.settle("gone", Charge(5, "x", "m"), at=now)
    both = calls("gone")
    assert both.said("expired: its process did not settle it in time", "corrected: its process settled it late")
    assert [each["kind"] for each in calls("gone", "--json").json["entries"]] == ["expired", "corrected"]
    assert len(calls("--status", "corrected", "--json").json) == 1


def test_calls_that_were_archived_are_said_to_be_elsewhere(command, tmp_path):
    path = tmp_path / "ledger.sqlite3"
    with contextlib.closing(SqliteLedger(path)) as ledger:
        for number in range(5):
            ledger.record(f"old-{number}", Charge(5, "x", "m"), at=number * 86_400 + 1)
        ledger.record("now", Charge(7), at=clock.time())
    command("ledger", "compact", "--ledger", path, "--before", "1970-01-04")
    calls = command("calls", "--ledger", path)
    assert calls.said("are archived; ask the archive, which is a ledger too: ledger-before-1970-01-04.sqlite3")
    assert not command("calls", "--ledger", path, "--since", "1d").said("archived")
    refused = command("calls", "--ledger", path, "old-1")
    assert (refused.code, refused.said("call old-1 is archived; it is in ledger-before")) == (1, True)
    archive = path.with_name("ledger-before-1970-01-04.sqlite3")
    assert command("calls", "--ledger", archive, "old-1").said("cost $0.000000005")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("zz",), 'no call in this ledger has an id that begins with "zz"'),
        (("",), 'no call in this ledger has an id that begins with ""'),
        (("0",), '7 calls have ids that begin with "0"; give one in full'),
        (("--status", "bad"), 'a status is one of completed, closed, .*corrected, degraded; got "bad"'),
        (("--since", "soon"), "an instant is written 2026-11-01 or 2026-11-01T12:00, or 2h or 7d"),
        (("--since", "2999-01-01"), "begins in the future"),
        (("--since", "2026-02-01", "--until", "2026-01-01"), "ends .* before it begins"),
        (("--zone", "Mars"), "there is no time zone 'Mars'"),
    ],
)
def test_a_mistake_is_named(calls, asked, message):
    done = calls(*asked)
    assert done.code == 1
    assert re.search(message, " ".join(done.err.split())), done.err


def test_an_empty_ledger_and_one_that_is_not_there_or_damaged_are_said(command, path):
    empty = path.with_name("empty.sqlite3")
    SqliteLedger(empty).close()
    assert command("calls", "--ledger", empty).out == "there are no calls in this ledger\n"
    assert command("calls", "--ledger", empty, "--json").json == []
    gone = command("calls", "--ledger", path.with_name("none"))
    assert (gone.code, gone.said("there is no ledger at", "--ledger")) == (1, True)
    text = path.with_name("text")
    text.write_text("These are no rows." * 99)
    assert command("calls", "--ledger", text).said("LedgerError", "is damaged")


def test_a_ledger_where_nothing_can_be_written_is_read_and_left_as_it_is(path, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    shutil.copy(path, folder / "l.sqlite3")
    before = (folder / "l.sqlite3").read_bytes()
    (folder / "l.sqlite3").chmod(0o444)
    folder.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "inferkit", "calls", "--ledger", str(folder / "l.sqlite3")],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "ascii"},
        )
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 8), done.stderr
        assert [file.name for file in folder.iterdir()] == ["l.sqlite3"]
    finally:
        folder.chmod(0o755)
    assert (folder / "l.sqlite3").read_bytes() == before


def test_no_word_of_a_prompt_or_a_reply_and_nothing_that_moves_a_terminal_is_shown(calls, path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.record(
            "odd", Charge(5, "x", "[bold]m[/]", attribution=Attribution("\x1b]0;owned\x07", feature=":smile:")),
            at=clock.time(),
        )  # fmt: skip
    shown = calls().out + calls("odd").out + calls("--json").out
    assert "[bold]m[/]" in shown
    assert ":smile:" in shown
    assert not {"\x1b", "\x07"} & set(shown)
    for secret in (PROMPT, ANSWER, "sk-secret"):
        assert secret not in shown
