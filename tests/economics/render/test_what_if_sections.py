"""The page says what would have been."""

from __future__ import annotations

from datetime import UTC, datetime

from economics.render.page.pages import Page
from inferkit import Budget, Price
from inferkit.economics import Period, Scenario, build_report, play
from inferkit.economics.render import render_page, what_if_sections
from inferkit.ledger.journal import Attribution, Charge
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.plans.plan import Plan

MONTH = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
DOLLAR = 10**9


def page_of(tmp_path, scenario):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    for number in range(4):
        attribution = Attribution("<b>ana</b>", plan="pro")
        charge = Charge(
            2 * DOLLAR, "openai", "big", 1_000_000, attribution=attribution, finish_reason="stop", outcome="completed"
        )
        ledger.record(str(number), charge, at=MONTH.since.timestamp() + number)
    report = build_report(ledger, MONTH, plans=[Plan("pro", price="10", allowance="unlimited")])
    html = render_page(report, what_if=what_if_sections(play(ledger, report, scenario)))
    ledger.close()
    return html


def test_the_page_compares_plans_and_models_and_says_what_each_limit_does(tmp_path):
    scenario = Scenario(
        "<dearer>.toml",
        plans={"pro": Plan("pro", price="30", allowance="unlimited")},
        limits=(Budget(usd="5", each="user", name="limit-1"),),
        prices={"openai:big": Price(input="3", output="0")},
    )
    page = Page(page_of(tmp_path, scenario))
    assert "would have refused 100.0 % of users (1 of 1) and saved $7.00: 2 calls refused, 1 cut short." in page.text
    plans = rows(page, "What if: <dearer>.toml")
    assert plans["pro"] == ["$8.00", "$5.00", "$10.00", "$30.00", "$2.00", "$25.00"]
    assert rows(page, "What if: models")["openai:big"][:2] == ["$8.00", "$5.00"]
    limits = rows(page, "What if: limits")
    assert limits == {"A limit of $5.00 per month for each user": ["1", "2", "1", "$7.00"]}


def rows(page, title):
    return {name: cells for name, *cells in page.tables[title][1:]}


def test_without_limits_or_prices_only_plans_are_compared(tmp_path):
    page = Page(page_of(tmp_path, Scenario("same.toml")))
    assert [title for title in page.tables if title.startswith("What if")] == ["What if: same.toml"]
