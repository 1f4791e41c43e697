"""A report as one HTML page that needs nothing else: no script, and nothing from anywhere."""

from __future__ import annotations

from decimal import Decimal
from importlib.resources import files
from typing import TYPE_CHECKING

from inferkit.economics.formatting import NOTHING, count, money, name, period, plural, reported, share
from inferkit.economics.render.page.customers import customers_of
from inferkit.economics.render.page.findings import findings
from inferkit.economics.render.page.markup import Section, Table, escape, render_section
from inferkit.economics.render.page.sections import sections
from inferkit.economics.render.page.tables import revenue_known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferkit.economics.render.page.customers import Customers
    from inferkit.economics.report.report import Report

__all__ = ["Section", "Table", "render_page"]


def render_page(
    report: Report, *, title: str = "What the calls cost and brought in", what_if: Sequence[Section] = ()
) -> str:
    """Write a report as HTML, to be saved as UTF-8. `what_if` are further sections, after those of the report itself.

    The page loads nothing and runs nothing; a policy in it forbids that too.
    """
    customers = customers_of(report)
    style = files("inferkit.economics.render.page").joinpath("style.css").read_text(encoding="utf-8")
    body = "\n".join(
        render_section(section, number)
        for number, section in enumerate([*sections(report, customers), *what_if], start=1)
    )
    when = escape(period(report.period))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}: {when}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header>
<h1>{escape(title)}</h1>
<p class="period">{when}</p>
</header>
<p class="findings">{escape(findings(report, customers))}</p>
{_key_figures(report, customers)}
{body}
{_notes(report, customers)}
</main>
</body>
</html>
"""


def _key_figures(report: Report, customers: Customers) -> str:
    total, saved, wasted = report.total, report.savings.usd, report.waste.usd
    known = revenue_known(report)
    tokens = total.input_tokens + total.output_tokens
    figures = (
        ("Revenue", money(total.revenue) if known else NOTHING, ""),
        ("Cost", money(total.cost), f"{money(total.cost // total.calls)} a call" if total.calls else ""),
        ("Margin", money(total.margin) if known else NOTHING, ""),
        ("Margin %", share(total.margin_share), ""),
        ("Calls", count(total.calls), f"{count(tokens)} tokens" if tokens else ""),
        ("Customers", count(customers.everyone), f"{count(customers.paying)} paying" if customers.everyone else ""),
        ("Saved", money(saved), _part(saved, total.cost + saved, "of the full price")),
        ("Wasted", money(wasted), _part(wasted, total.cost, "of the cost")),
    )
    return '<dl class="figures">' + "".join(map(_figure, figures)) + "</dl>"


def _figure(figure: tuple[str, str, str]) -> str:
    what, amount, detail = figure
    kind = ' class="below-zero"' if amount.startswith("-") else ""
    return (
        f"<div><dt>{escape(what)}</dt><dd{kind}>{escape(amount)}</dd>"
        f"{f'<dd>{escape(detail)}</dd>' if detail else ''}</div>"
    )


def _part(amount: int, whole: int, what: str) -> str:
    return f"{share(Decimal(amount) / whole)} {what}" if amount > 0 and whole > 0 else ""


def _notes(report: Report, customers: Customers) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in _said(report, customers))
    return f'<footer aria-labelledby="notes"><h2 id="notes">Notes</h2><ul>{notes}</ul></footer>'


def _said(report: Report, customers: Customers) -> Iterator[str]:
    for line in reported(report):
        yield f"{line}."
    if report.unpriced:
        yield f"Missing from the cost: {plural(report.unpriced, 'call')} whose price is not known, which is not zero."
    if report.estimated:
        yield f"The cost of {plural(report.estimated, 'call')} is estimated, since not all of it was reported."
    if report.unknown_plans:
        named = ", ".join(name(plan) for plan in report.unknown_plans)
        yield f"Missing from the revenue: what these plans bring in, whose price is not known: {named}."
    unnamed = customers.unnamed
    if unnamed is not None and unnamed.calls:
        what = f"{plural(unnamed.calls, 'call')} for {money(unnamed.cost)}"
        if unnamed.calls == 1:
            yield f"{what} names no user. It is in the sums, but not among the customers."
        else:
            yield f"{what} name no user. They are in the sums, but not among the customers."
    if report.total.revenue:
        yield (
            "What a customer pays is spread evenly over its calls, to say what features and models bring in. Of a "
            "billing period that lies only partly in this one, that part of the price is counted."
        )
    yield f"Days are those of {report.period.zone}. Amounts are in US dollars, and rounded for reading only."
