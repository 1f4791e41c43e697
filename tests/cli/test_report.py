"""`inferkit report`, as a person or a cron job uses it."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from economics.bookkeeping import USD, assign, at, enter
from inferkit.cli import app
from inferkit.cli.reporting import period_of
from inferkit.core.errors import ConfigurationError, InferkitError, LedgerError
from inferkit.economics.formatting import NOTHING
from inferkit.economics.report.report import DIMENSIONS
from inferkit.ledger.amounts import Amounts, Line
from inferkit.ledger.journal import Attribution, Tally
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.plans.plan import Plan
from ledger.test_migration import VERSION_1

OCTOBER = ("--month", "2025-10")
PLAN = """
[plans.pro]
price = "40"
allowance = { usd = "5" }
[[limits]]
usd = "1"
each = "user"
"""


@pytest.fixture
def book(tmp_path):
    """A ledger's file, with some calls of October 2025."""
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    pro = Plan("pro", price="31", target_margin="0.9")
    ledger.define({"pro": pro.definition()}, at=at("2025-09-01"))
    assign(ledger, "2025-09-01", "pro", user="ana")
    enter(ledger, 12 * USD, "2025-10-05", user="ana", plan="pro", feature="chat", model="big")
    enter(ledger, 2 * USD, "2025-10-06", user="guest", feature="mail", outcome="abandoned")
    enter(ledger, 1, "2025-10-07", feature="mail", provider="local")
    enter(ledger, None, "2025-10-07")
    hour = int(at("2025-10-05"))
    ledger.tally(
        [
            Tally(hour, "hit", Attribution("ana"), "smart", "x", "big", calls=3, usd=3 * USD),
            Tally(hour, "refused", Attribution("ana"), "smart", scope="all", calls=2),
        ]
    )
    ledger.close()
    return path


def ask(book, *arguments):
    """Run the command in this process; give what it writes, or raise its error."""
    done = CliRunner().invoke(app, ["report", "--ledger", str(book), *arguments], env={"COLUMNS": "120"})
    if isinstance(done.exception, InferkitError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "inferkit", "report", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "120", "TERM": "dumb", **environment},
    )


def words(text):
    return [line.replace("\N{NO-BREAK SPACE}", " ").split() for line in text.splitlines() if line.strip()]


def test_the_tables_say_what_was_spent_earned_saved_and_wasted(book):
    lines = words(ask(book, *OCTOBER))
    assert lines[0] == ["October", "2025", "(UTC)"]
    text = " ".join(" ".join(line) for line in lines)
    assert "Of $31.00 in revenue, $17.00 (54.8 %) remain after the $14.00 that 4 calls cost." in text
    assert "Revenue $31.00 Cost $14.00 Margin $17.00 Margin % 54.8 % Calls 4" in text
    assert "note: Missing from the cost: 1 call whose price is not known, which is not zero." in text
    for line in (
        "pro 1 $12.00 $31.00 $19.00 61.3 %",
        "guest 1 $2.00 $0.00 -$2.00 \N{EN DASH}",
        "mail 2 $2.00 $0.00 -$2.00 \N{EN DASH}",
        "x:big 1 $12.00 $31.00 $19.00 61.3 %",
        "Customers below their plan's target margin",
        "ana pro $12.00 $31.00 $19.00 61.3 % 90.0 %",
        "Customers who pay nothing",
        "guest \N{EN DASH} 1 $2.00",
        "cache replies given again, at what they had cost 3 $3.00",
        "abandoned streams replies whose reader left before the end 1 $2.00",
        "all 2",
    ):
        assert line.split() in lines, line


def test_only_the_tables_that_are_asked_for_and_their_first_rows_are_shown(book):
    shown = ask(book, *OCTOBER, "--by", "user, user", "--top", "1")
    assert shown.count("By user") == 1
    assert "By plan" not in shown
    assert ["2", "others", "3", "$2.00", "$0.00", "-$2.00", NOTHING] in words(shown)


def test_json_has_every_figure_exactly(book):
    found = json.loads(ask(book, *OCTOBER, "--format", "json"))
    assert json.loads(ask(book, *OCTOBER, "--json")) == found
    assert found["period"] == {
        "since": "2025-10-01T00:00:00+00:00",
        "until": "2025-11-01T00:00:00+00:00",
        "zone": "UTC",
    }
    assert found["total"] == {
        "name": None, "calls": 4, "input_tokens": 40, "output_tokens": 20, "cost": "14.000000001",
        "cost_before_revenue_was_known": "0.000000000", "revenue": "31.000000000", "margin": "16.999999999",
        "margin_share": "0.548387", "plans": ["pro"],
    }  # fmt: skip
    assert set(found["by"]) == set(DIMENSIONS)
    for rows in found["by"].values():
        assert sum(Decimal(row["cost"]) for row in rows) == Decimal("14.000000001")
        assert sum(Decimal(row["revenue"]) for row in rows) == 31
    assert found["unprofitable"] == []
    assert [row["name"] for row in found["paying_nothing"]] == ["guest"]
    assert [row["name"] for row in found["below_target"]] == ["ana"]
    assert found["cost_by_day"]["2025-10-05"] == {"x:big": "12.000000000"}
    assert found["savings"]["cache"] == {"calls": 3, "usd": "3.000000000"}
    assert found["waste"]["abandoned streams"] == {"calls": 1, "usd": "2.000000000"}
    assert (found["refused"], found["unpriced_calls"], found["unknown_plans"]) == ({"all": 2}, 1, [])
    assert "what_if" not in found


def test_a_what_if_is_shown_beside_what_was(book, tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN)
    shown = ask(book, *OCTOBER, "--what-if", str(file))
    assert ["In", "all", "$14.00", "$2.00", "$31.00", "$40.00", "$17.00", "$38.00"] in words(shown)
    sentence = "A limit of $1.00 per month for each user would have refused 0.0 % of users (0 of 2) and saved $5.00"
    assert sentence in " ".join(shown.split())
    found = json.loads(ask(book, *OCTOBER, "--what-if", str(file), "--format", "json"))["what_if"]
    assert (found["users"], found["refused_calls"], found["saved"]) == (2, 0, "12.000000000")
    assert found["limits"]["limit-1"] == {
        "refused_calls": 0, "cut_calls": 2, "degraded_calls": 0, "refused_users": 0, "saved": "5.000000000",
    }  # fmt: skip
    assert found["after"]["total"]["revenue"] == "40.000000000"
    assert any(sentence in each for each in found["sentences"])


def test_plans_of_a_file_come_before_those_of_the_ledger(book, tmp_path):
    file = tmp_path / "plans.toml"
    file.write_text('[plans.pro]\nprice = 62\nallowance = "unlimited"')
    assert (
        json.loads(ask(book, *OCTOBER, "--plans", str(file), "--format", "json"))["total"]["revenue"] == "62.000000000"
    )


def test_a_price_that_is_raised_later_changes_no_past_month(book):
    ledger = SqliteLedger(book)
    for price, when in (("62", "2025-10-31"), ("93", "2025-11-01"), ("124", "2025-12-01")):
        ledger.define({"pro": Plan("pro", price=price, allowance="unlimited").definition()}, at=at(when))
    ledger.close()
    for month, revenue in (
        ("2025-08", "0"),
        ("2025-09", "31"),
        ("2025-10", "62"),
        ("2025-11", "93"),
        ("2025-12", "124"),
    ):
        found = json.loads(ask(book, "--month", month, "--format", "json"))
        assert Decimal(found["total"]["revenue"]) == Decimal(revenue), month
    assert json.loads(ledger.definitions()["pro"])["price"] == "124"
    assert json.loads(ledger.definitions(before=0)["pro"])["price"] == "31"
    ledger.close()


def test_a_baseline_says_what_local_models_saved(book):
    found = json.loads(ask(book, *OCTOBER, "--baseline", "openai:gpt-4o", "--format", "json"))
    assert found["savings"]["local models"] == {"calls": 1, "usd": "0.000074999"}


def test_a_file_is_written_in_place_of_the_terminal(book, tmp_path):
    for form in ("table", "json"):
        file = tmp_path / form
        assert ask(book, *OCTOBER, "--format", form, "--output", str(file)) == ""
        assert "14.0" in file.read_text("utf-8")


def test_names_from_outside_do_nothing_to_a_terminal(book):
    ledger = SqliteLedger(book)
    for user in ("[bold red]eve[/]", "\x1b]0;owned\x07", "leo:smile:", "back\\", "a" * 500, "\u202eevil", "-1e99"):
        enter(ledger, USD, "2025-10-09", user=user, feature=user, model=user)
    ledger.close()
    shown = ask(book, *OCTOBER, "--by", "user,feature,model", "--top", "99")
    assert "[bold red]eve[/]" in shown
    assert "\\x1b]0;owned\\x07" in shown
    assert "leo:smile:" in shown
    assert "back\\ " in shown
    assert "\\u202eevil" in shown
    assert "".join(shown.split()).count("a" * 40) >= 3
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert json.loads(ask(book, *OCTOBER, "--format", "json"))["total"]["calls"] == 11


def test_an_empty_ledger_is_reported(tmp_path):
    SqliteLedger(tmp_path / "ledger.db").close()
    lines = words(ask(tmp_path / "ledger.db", *OCTOBER))
    assert lines[1] == ["There", "are", "no", "calls", "in", "this", "period."]
    assert lines[2][:4] == ["Revenue", NOTHING, "Cost", "$0.00"]


def test_a_ledger_of_the_first_format_is_reported(tmp_path):
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(VERSION_1)
    connection.close()
    found = json.loads(ask(path, "--since", "1970-01-01", "--until", "1970-01-02", "--format", "json"))
    assert (found["total"]["calls"], found["total"]["cost"]) == (2, "0.000000085")
    assert found["waste"]["died"] == {"calls": 1, "usd": "0.000000060"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--month", "2025-13"], 'a month is written 2026-11; got "2025-13"'),
        (["--month", "October"], 'a month is written 2026-11; got "October"'),
        (["--month", "9999-12"], "a month is written"),
        (["--month", "2025-10", "--since", "2025-10-01"], "give a month, or since and until, not both"),
        (["--since", "yesterday"], "an instant is written 2026-11-01 or 2026-11-01T12:00; got"),
        (["--since", "0001-01-01", "--zone", "Asia/Tokyo"], "an instant is written"),
        (["--until", "9999-12-31", "--zone", "America/New_York"], "an instant is written"),
        (["--since", "2025-10-02", "--until", "2025-10-01"], r"ends \(2025-10-01 00:00\) before it begins"),
        (["--since", "2025-10-02", "--until", "2025-10-02"], "before it begins"),
        (["--since", "2999-01-01"], "begins in the future"),
        (["--month", "2999-01"], "begins in the future"),
        (["--zone", "Mars"], "there is no time zone 'Mars'"),
        (["--zone", "../../etc/passwd"], "there is no time zone"),
        (["--by", "plan,colour"], 'a report is by customer, .*; got "colour"'),
        (["--by", ""], 'a report is by customer, .*; got ""'),
        (["--baseline", "gpt-5"], 'written "provider:model"; got "gpt-5"'),
        (["--baseline", "x:unheard-of"], 'baseline is "x:unheard-of", which has no known price'),
        (["--plans", "none.toml"], "none.toml cannot be read: No such file"),
        (["--what-if", "none.toml"], "none.toml cannot be read: No such file"),
        (["--output", "none/report.txt"], "none/report.txt cannot be written: No such file"),
        (["--output", "."], ". cannot be written: Is a directory"),
    ],
)
def test_what_is_wrong_is_said(book, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        ask(book, *arguments)


def test_a_what_if_that_is_wrong_writes_nothing(book, tmp_path):
    file, output = tmp_path / "plan.toml", tmp_path / "report.json"
    file.write_text('[users]\nana = "gone"')
    with pytest.raises(ConfigurationError, match='puts customers on plan "gone"'):
        ask(book, *OCTOBER, "--what-if", str(file), "--format", "json", "--output", str(output))
    assert not output.exists()


@pytest.mark.parametrize("name", ["ledger", "what-if", "plans"])
def test_what_is_read_is_never_written_over(book, tmp_path, name):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN if name == "what-if" else PLAN.partition("[[")[0])
    given = book if name == "ledger" else file
    before = given.read_bytes()
    (tmp_path / "link").symlink_to(given)
    with pytest.raises(ConfigurationError, match=f"is what --{name} names; write to another file"):
        ask(book, *([] if name == "ledger" else [f"--{name}", str(file)]), "--output", str(tmp_path / "link"))
    assert given.read_bytes() == before


def test_a_ledger_that_is_not_there_or_is_none_is_said(tmp_path):
    for path in (tmp_path / "none.db", tmp_path):
        with pytest.raises(ConfigurationError, match="there is no ledger at .*--ledger"):
            ask(path)
    (tmp_path / "text.db").write_text("These are no rows." * 99)
    with pytest.raises(LedgerError, match="is damaged"):
        ask(tmp_path / "text.db")


def test_a_period_is_a_month_of_the_zone_or_ends_now():
    found = period_of(None, None, "2025-10", "Europe/Zurich")
    assert (found.since.isoformat(), found.until.isoformat()) == (
        "2025-10-01T00:00:00+02:00",
        "2025-11-01T00:00:00+01:00",
    )
    before = datetime.now(UTC)
    running = period_of(None, None, None, "UTC")
    ahead = period_of("2025-10-01T12:00+05:30", "2999-01-01", None, "UTC")
    assert running.since == before.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert ahead.since == datetime(2025, 10, 1, 6, 30, tzinfo=UTC)
    for period in (running, ahead):
        assert before <= period.until <= datetime.now(UTC)
    assert period_of(None, None, f"{before:%Y-%m}", "UTC").until <= datetime.now(UTC)


def test_the_command_ends_well_and_badly_as_a_script_expects(book):
    done = run("--ledger", book, *OCTOBER)
    assert (done.returncode, done.stderr) == (0, "")
    assert "October 2025 (UTC)" in done.stdout
    failed = run("--ledger", book, "--month", "soon")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == 'ConfigurationError: a month is written 2026-11; got "soon"\n'
    assert run("--format", "pdf").returncode == 2


def test_the_users_own_ledger_is_the_default(book, tmp_path):
    failed = run(INFERKIT_HOME=str(tmp_path / "home"))
    assert failed.returncode == 1
    assert "there is no ledger at" in failed.stderr
    assert not (tmp_path / "home").exists()


def test_a_terminal_without_unicode_and_a_narrow_one_are_served(book):
    done = run("--ledger", book, *OCTOBER, PYTHONIOENCODING="ascii", COLUMNS="20")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= 20
    place = lines.index("guest")
    assert lines[place + 1 : place + 4] == ["  Calls: 1", "  Cost: $2.00", "  Revenue: $0.00"], "one below the other"


def test_a_ledger_is_reported_while_another_process_writes_to_it(tmp_path):
    path = tmp_path / "ledger.db"
    SqliteLedger(path).close()
    writer = """
import itertools, sys, time
from inferkit.ledger.journal import Charge, Attribution
from inferkit.ledger.sqlite.ledger import SqliteLedger
ledger = SqliteLedger(sys.argv[1])
for number in itertools.count():
    ledger.record(f"call-{number}", Charge(10**9, "x", "m", 10, 5, attribution=Attribution("ana")), at=time.time())
    print(number, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", writer, path], stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(50):
            process.stdout.readline()
        reader = threading.Thread(target=process.stdout.read)  # so that it never waits for us
        reader.start()
        since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        calls = []
        for _ in range(5):
            found = json.loads(ask(path, "--since", since, "--format", "json"))
            assert Decimal(found["total"]["cost"]) == found["total"]["calls"]
            assert found["by"]["user"][0]["calls"] == found["total"]["calls"]
            calls.append(found["total"]["calls"])
        assert calls == sorted(calls)
        assert calls[0] >= 50
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(20)
    reader.join(20)
    process.stdout.close()


def test_csv_has_a_line_for_every_row_and_no_formulas(book):
    ledger = SqliteLedger(book)
    enter(ledger, USD, "2025-10-09", user="=HYPERLINK(1)", plan="+pro")
    ledger.close()
    rows = list(csv.DictReader(io.StringIO(ask(book, *OCTOBER, "--format", "csv", "--by", "user,plan"))))
    assert rows[0]["by"] == "total"
    assert {row["by"] for row in rows[1:]} == {"user", "plan", "waste"}
    for dimension in ("user", "plan"):
        assert sum(Decimal(row["cost_usd"]) for row in rows if row["by"] == dimension) == Decimal(rows[0]["cost_usd"])
    assert "'=HYPERLINK(1)" in [row["name"] for row in rows]
    assert "'+pro" in [row["name"] for row in rows]
    ana = next(row for row in rows if row["name"] == "ana")
    assert (ana["revenue_usd"], ana["margin_share"], ana["plans"]) == ("31.000000000", "0.612903", "pro")


def test_a_terminal_is_never_written_wider_than_it_is(book, tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN)
    for columns in ("30", "60", "79"):
        done = run("--ledger", book, *OCTOBER, "--what-if", file, COLUMNS=columns)
        assert done.returncode == 0
        assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= int(columns)


def test_what_is_held_for_a_process_that_is_gone_is_said(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    amounts = Amounts(5 * USD, 10, 1)
    now = datetime.now(UTC).timestamp()
    ledger.reserve("gone", [Line("all", "total", usd=10**15)], amounts, amounts, at=now - 99, lease_seconds=9)
    ledger.close()
    text = " ".join(ask(path).split())
    assert "1 call not settled holds $5.00 more." in text
    assert "Still held $5.00" in text
    assert "$5.00 of that is held for 1 call whose process is gone. It is booked, as an estimate," in text
    found = json.loads(ask(path, "--format", "json"))["held"]
    assert found == {"calls": 1, "usd": "5.000000000", "lapsed_calls": 1, "lapsed_usd": "5.000000000"}


def test_a_first_report_says_since_when_revenue_is_known(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    ledger.define({"pro": Plan("pro", price="31", allowance="unlimited").definition()}, at=at("2025-10-31"))
    enter(ledger, 900 * USD, "2025-10-03", user="ana")
    assign(ledger, "2025-10-31", "pro", user="ana")
    ledger.close()
    text = " ".join(ask(path, *OCTOBER).split())
    assert "Of $1.00 in revenue, $1.00 (100.0 %) remain after the $0.00 that calls cost." in text
    assert "Revenue is known from 31 October 2025, 00:00 on; what calls cost before, $900.00, is in the cost" in text
    assert "assign their plans from that date" in text
    assert json.loads(ask(path, *OCTOBER, "--format", "json"))["revenue_since"] == "2025-10-31T00:00:00+00:00"


def test_the_terminal_the_page_and_json_name_the_same_customers(book):
    page, found = ask(book, *OCTOBER, "--format", "html"), json.loads(ask(book, *OCTOBER, "--format", "json"))
    shown = ask(book, *OCTOBER)
    for title in ("Customers who pay nothing", "Customers below their plan&#39;s target margin"):
        assert title in page
        assert title.replace("&#39;", "'") in shown
    assert " ".join(found["findings"].split()) in " ".join(shown.split())
    for note in found["notes"]:
        assert note in " ".join(shown.split())


@pytest.mark.parametrize("width", [24, 60, 80, 120])
def test_the_figures_break_between_each_other_and_never_within(book, width):
    done = CliRunner().invoke(app, ["report", "--ledger", str(book), *OCTOBER], env={"COLUMNS": str(width)})
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    first = next(place for place, line in enumerate(lines) if line.startswith("Revenue $"))
    lines = lines[first : lines.index("", first)]
    figures = [figure for line in lines for figure in line.split("   ")]
    assert figures[:5] == [
        "Revenue $31.00",
        "Cost $14.00",
        "Margin $17.00",
        "Margin % 54.8\N{NO-BREAK SPACE}%",
        "Calls 4",
    ]
    assert all(figure[0].isalpha() for figure in figures)
    assert max(map(len, lines)) <= width
