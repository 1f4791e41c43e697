"""The page of a report needs nothing but itself, and says what the report says."""

import dataclasses
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest

from economics.render.page.made_reports import DOLLAR, PLANS, START, report
from economics.render.page.pages import Page
from inferkit.economics.render import Section, Table, render_page
from inferkit.economics.render.sections import MEANINGS
from inferkit.economics.report.report import Period, build_report
from inferkit.economics.report.waste import Savings, Subtotal, Waste
from inferkit.ledger.journal import Attribution, Charge, Tally
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.plans.subscriptions import Plans

EVIL = '"><script>alert("x")</script>\' & \x1b[2J\u202e\ud800'
USUAL = report(
    [
        ("ana", "pro", "openai:gpt-5", 1, 31 * DOLLAR),
        ("ben", "pro", "openai:gpt-5-mini", 2, 8 * DOLLAR),
        ("cleo", "free", "openai:gpt-5", 3, 2 * DOLLAR),
        ("dan", "pro", "openai:gpt-5-mini", 4, DOLLAR),
    ],
    revenue=[(user, "pro", 20 * DOLLAR) for user in ("ana", "ben", "dan")],
)
MANY = report(
    [
        (
            f"user-{number}",
            ("free", "pro")[number % 2],
            f"model-{number % 9}",
            number % 400,
            (number + 1) * DOLLAR // 100,
        )
        for number in range(10_000)
    ],
    revenue=[(f"user-{number}", "pro", 20 * DOLLAR) for number in range(1, 10_000, 2)],
    days=400,
)
REPORTS = {
    "empty": report(),
    "usual": USUAL,
    "one day": report([("ana", "pro", "openai:gpt-5", 0, DOLLAR)], days=1),
    "free models": report([("ana", None, "local:embedded", day, 0) for day in range(5)]),
    "paid without calls": report(revenue=[("ana", "pro", 20 * DOLLAR)]),
    "a loss": report([("ana", "pro", "m", 0, 90 * DOLLAR)], revenue=[("ana", "pro", 20 * DOLLAR)]),
    "a correction": report([("ana", "pro", "m", 0, -DOLLAR), ("ana", "pro", "m", 1, 3 * DOLLAR)]),
    "no plans": report([(None, None, None, day, day) for day in range(9)], plans=()),
    "many": MANY,
    "evil": report([(EVIL, EVIL, EVIL, day, DOLLAR) for day in range(3)], refused={EVIL: 2}, unknown_plans=(EVIL,)),
}


@pytest.fixture(params=REPORTS.values(), ids=REPORTS)
def html(request):
    return render_page(request.param)


def test_a_page_is_one_file_that_loads_and_runs_nothing(html):
    page = Page(html)
    assert "://" not in html
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(page.tags)
    assert not {"src", "href", "style"} & {name for _, name, _ in page.attributes}
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'; style-src 'unsafe-inline'" in page.values("content")
    assert html.encode("utf-8")


def test_a_page_can_be_read_without_seeing_it(html):
    page = Page(html)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {each for labels in page.values("aria-labelledby") for each in labels.split()} <= set(ids)
    assert ("html", "lang", "en") in page.attributes
    pictures = re.findall(r'<svg class="chart .*?</svg>', html, re.DOTALL)
    for picture in pictures:
        drawn = ET.fromstring(picture)  # well-formed, as pictures must be
        assert drawn.get("role") == "img"
        assert [drawn[0].tag, drawn[1].tag] == ["title", "desc"]
        assert drawn[0].text
        assert drawn[1].text
    cells = [(tag, value) for tag, name, value in page.attributes if name == "scope"]
    assert len(cells) == page.tags.count("th")
    assert {value for _, value in cells} <= {"col", "row"}
    assert not re.search(r"\bnan\b|\binf\b|None", page.text)


def test_every_column_of_a_table_has_its_heading(html):
    for rows in Page(html).tables.values():
        assert {len(row) for row in rows} == {len(rows[0])}


def test_names_from_outside_are_shown_and_can_do_nothing():
    what_if = Section(EVIL, EVIL, Table((EVIL,), [(EVIL,)]))
    html = render_page(REPORTS["evil"], title=EVIL, what_if=[what_if])
    assert "<script" not in html
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e\ud800]", html)
    page = Page(html)
    shown = '"><script>alert("x")</script>\' & \\x1b[2J\\u202e\\ud800'
    assert page.text.count(shown) > 8
    assert shown in [row[0] for row in page.tables["Models"]]
    assert set(page.values("class")) <= set(Page(render_page(MANY)).values("class")) | {"number", "bar"}


def test_the_key_figures_are_those_of_the_period():
    page = Page(render_page(USUAL, title="Acme"))
    assert page.text.startswith("Acme: November 2026 (UTC) Acme November 2026 (UTC)")
    for figure in (
        "Revenue $60.00", "Cost $42.00 $10.50 a call", "Margin $18.00", "Margin % 30.0 %", "Calls 4 480 tokens",
        "Customers 4 3 paying", "Saved $0.00", "Wasted $0.00",
    ):  # fmt: skip
        assert figure in page.text


def test_customers_that_lose_money_are_told_from_those_that_pay_nothing_and_those_below_the_target():
    tables = Page(render_page(USUAL)).tables
    assert tables["Paying customers who cost more than they bring in"] == [
        ["Customer", "Plan", "Calls", "Cost", "Revenue", "Margin"],
        ["ana", "pro", "1", "$31.00", "$20.00", "-$11.00"],
    ]
    assert tables["Customers below their plan's target margin"] == [
        ["Customer", "Plan", "Cost", "Revenue", "Margin", "Margin %", "Target"],
        ["ben", "pro", "$8.00", "$20.00", "$12.00", "60.0 %", "70.0 %"],
    ]
    assert tables["Customers who pay nothing"][1:] == [["cleo", "free", "1", "$2.00"]]


def test_plans_have_their_margin_and_whether_it_is_what_was_planned():
    assert Page(render_page(USUAL)).tables["Plans"] == [
        ["Plan", "Calls", "Cost", "Revenue", "Margin", "Margin %", "Target"],
        ["pro", "3", "$40.00", "$60.00", "$20.00", "33.3 %", "missed 70.0 %"],
        ["free", "1", "$2.00", "$0.00", "-$2.00", "\N{EN DASH}", "\N{EN DASH}"],
        ["All", "4", "$42.00", "$60.00", "$18.00", "30.0 %", ""],
    ]


def test_of_thousands_of_customers_the_twenty_worst_are_shown_and_the_rest_is_one_line_that_adds_up():
    rows = Page(render_page(MANY)).tables["Paying customers who cost more than they bring in"]
    losing = [row for row in MANY.unprofitable if row.revenue]
    assert len(rows) == 1 + 20 + 1
    assert rows[1][0] == "user-9999"
    assert rows[-1][0] == f"{len(losing) - 20:,} others"
    shown = sum(round(float(row[5].replace("$", "").replace(",", "")) * 100) for row in rows[1:])
    assert shown == sum(row.margin for row in losing) * 100 // DOLLAR


def test_a_plan_whose_price_is_not_known_makes_nobody_unprofitable():
    gold = report([("ana", "gold", "m", 1, DOLLAR)], unknown_plans=("gold",))
    page = Page(render_page(gold))
    assert page.tables["Customers whose revenue is not known"][1] == ["ana", "gold (price not known)", "1", "$1.00"]
    assert page.tables["Plans"][1][3:6] == ["\N{EN DASH}"] * 3
    assert "Missing from the revenue: what these plans bring in, whose price is not known: gold." in page.text
    assert "Revenue \N{EN DASH}" in page.text


def test_what_is_missing_or_estimated_is_noted():
    page = Page(render_page(dataclasses.replace(USUAL, unpriced=12, estimated=Subtotal(1, DOLLAR))))
    assert "12 calls have no known price and are missing from the cost." in page.text
    assert "Missing from the cost: 12 calls whose price is not known, which is not zero." in page.text
    assert "$1.00 of the cost is an estimate, of 1 call for which" in page.text
    assert "spread evenly over its calls" in page.text
    nobody = Page(render_page(report([(None, None, "m", 1, DOLLAR), ("ana", "free", "m", 1, DOLLAR)])))
    assert "1 call for $1.00 names no user." in nobody.text
    assert "Customers 1 0 paying" in nobody.text


def test_each_kind_of_savings_and_waste_is_explained():
    assert MEANINGS.keys() == Savings().kinds.keys() | Waste().kinds.keys()
    savings, waste = Savings(), Waste()
    savings.cache.add(3, 2 * DOLLAR)
    savings.prompt_cache.add(1, -DOLLAR)
    waste.lost_hedges.add(1234, DOLLAR)
    tables = Page(render_page(dataclasses.replace(USUAL, savings=savings, waste=waste, refused={"team": 7}))).tables
    assert tables["What was saved"][1] == ["cache", MEANINGS["cache"], "3", "$2.00"]
    assert tables["What was saved"][-1] == ["prompt cache", MEANINGS["prompt cache"], "1", "-$1.00"]
    assert tables["What was wasted"][1] == ["lost hedges", MEANINGS["lost hedges"], "1,234", "$1.00"]
    assert tables["Calls refused by a budget"] == [["Budget", "Calls"], ["team", "7"]]


def test_what_if_sections_stand_at_the_end():
    what_if = Section("What if", "All of it cheaper.", Table(("Plan", "Then"), [("pro", "$5.00")]))
    page = Page(render_page(USUAL, what_if=[what_if]))
    assert page.tables["What if"] == [["Plan", "Then"], ["pro", "$5.00"]]
    assert list(page.tables)[-1] == "What if"
    assert "All of it cheaper." in page.text


def test_a_page_shows_what_a_ledger_has(tmp_path, monkeypatch):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    at = START.timestamp()
    monkeypatch.setattr("inferkit.runtime.clock.time", lambda: at)
    Plans(PLANS, ledger).assign("pro", user="ana", at=at - 1)
    for hour in range(48):
        attribution = Attribution("ana", None, "search", "pro")
        charge = Charge(DOLLAR // 4, "openai", "gpt-5", 1000, 100, outcome="completed", attribution=attribution)
        ledger.record(f"call-{hour}", charge, at=at + hour * 3600)
    ledger.tally([Tally(int(at), "hit", Attribution("ana"), "fast", "openai", "gpt-5", "", 5, DOLLAR)])
    period = Period(START, datetime(2026, 12, 1, tzinfo=UTC))
    page = Page(render_page(build_report(ledger, period, plans=PLANS)))
    ledger.close()
    assert "Of $20.00 in revenue, $8.00 (40.0 %) remain after the $12.00 that 48 calls cost." in page.text
    assert page.tables["Features"][1] == ["search", "48", "$12.00", "100.0 %", "$20.00", "$8.00", "40.0 %"]
    assert page.tables["Models"][1] == ["openai:gpt-5", "48", "48,000", "4,800", "$0.25", "$12.00", "100.0 %"]
    assert page.tables["The numbers by day"][1:3] == [
        [f"{day.day} November 2026", "$6.00", "$6.00"] for day in (START, START + timedelta(days=1))
    ]
    assert page.tables["What was saved"][1][2:] == ["5", "$1.00"]
