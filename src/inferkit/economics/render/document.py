"""A report in words and tables: the one text that the terminal and the page show, and JSON repeats."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from inferkit.economics.formatting import NOTHING, count, instant, money, name, period, plural, share
from inferkit.economics.render.findings import findings
from inferkit.economics.render.sections import sections, tables_by
from inferkit.economics.render.tables import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferkit.economics.render.tables import Section
    from inferkit.economics.report.report import Report
    from inferkit.economics.report.rows import Dimension

__all__ = ["Document", "Figure", "document_of", "notes"]


class Figure(NamedTuple):
    """One of the figures that matter most, and a remark."""

    what: str
    amount: str
    detail: str = ""


@dataclass(frozen=True)
class Document:
    """All of it is plain text."""

    title: str
    when: str
    findings: str
    figures: Sequence[Figure]
    sections: Sequence[Section]
    notes: Sequence[str]


def document_of(
    report: Report,
    *,
    title: str = "What the calls cost and brought in",
    by: Sequence[Dimension] | None = None,
    shown: int = SHOWN,
    what_if: Sequence[Section] = (),
) -> Document:
    """Say what a report says, with so many rows of each table; `by` groups it another way than a page does."""
    own = sections(report, shown) if by is None else tables_by(report, by, shown)
    return Document(
        title, period(report.period), findings(report), list(_figures(report)), [*own, *what_if], list(notes(report))
    )


def _figures(report: Report) -> Iterator[Figure]:
    total, saved, wasted, customers = report.total, report.savings.usd, report.waste.usd, report.customers
    tokens = total.input_tokens + total.output_tokens
    everyone = len(customers.everyone)
    yield Figure("Revenue", money(total.revenue) if report.revenue_known else NOTHING)
    yield Figure("Cost", money(total.cost), f"{money(total.cost // total.calls)} a call" if total.calls else "")
    yield Figure("Margin", money(total.margin) if report.revenue_known else NOTHING)
    yield Figure("Margin %", share(total.margin_share))
    yield Figure("Calls", count(total.calls), f"{count(tokens)} tokens" if tokens else "")
    yield Figure("Customers", count(everyone), f"{count(len(customers.paying))} paying" if everyone else "")
    yield Figure("Saved", money(saved), _part(saved, total.cost + saved, "of the full price"))
    yield Figure("Wasted", money(wasted), _part(wasted, total.cost, "of the cost"))
    if report.estimated.usd:
        yield Figure("Estimated", money(report.estimated.usd), _part(report.estimated.usd, total.cost, "of the cost"))
    if report.overrun.usd:
        yield Figure("Overrun", money(report.overrun.usd), f"of {plural(report.overrun.calls, 'call')}")
    if report.pending.calls:
        yield Figure("Still held", money(report.pending.usd), f"by {plural(report.pending.calls, 'call')}")


def _part(amount: int, whole: int, what: str) -> str:
    return f"{share(Decimal(amount) / whole)} {what}" if amount > 0 and whole > 0 else ""


def notes(report: Report) -> Iterator[str]:
    """Say what the figures leave out, and what they are made of."""
    if report.unpriced > 0:
        yield f"Missing from the cost: {plural(report.unpriced, 'call')} whose price is not known, which is not zero."
    reported = report.reported
    if reported.calls > 0:
        yield (
            f"{plural(reported.calls, 'call')} cost {money(reported.usd)} as providers say, and "
            f"{money(reported.booked)} as booked."
        )
    estimated = report.estimated
    if estimated.calls > 0 or estimated.usd:
        yield (
            f"{money(estimated.usd)} of the cost is an estimate, of {plural(estimated.calls, 'call')} for which the "
            "provider did not report everything."
        )
    if report.overrun.usd:
        yield (
            f"Overrun: {plural(report.overrun.calls, 'call')} cost {money(report.overrun.usd)} more than was held, "
            "since the provider wrote more than it was allowed to. It is in the cost."
        )
    yield from _held(report)
    if report.revenue_since is not None:
        yield (
            f"Revenue is known from {instant(report.revenue_since, report.period.zone)} on, when somebody was first on "
            f"a plan. The {money(report.total.before)} that calls cost before is in no margin. Where customers paid "
            "before that, assign their plans from that date."
        )
    if report.unknown_plans:
        named = ", ".join(name(plan) for plan in report.unknown_plans)
        yield (
            f"Missing from the revenue: what these plans bring in, whose price is not known: {named}. "
            "A file of plans says it (--plans)."
        )
    unnamed = report.customers.unnamed
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


def _held(report: Report) -> Iterator[str]:
    pending = report.pending
    if not pending.calls:
        return
    one = pending.calls == 1
    yield (
        f"{plural(pending.calls, 'call')} {'is' if one else 'are'} not settled; {money(pending.usd)} "
        f"{'is' if one else 'are'} held for {'it' if one else 'them'}, which is not in the cost."
    )
    if pending.lapsed_calls:
        yield (
            f"{money(pending.lapsed_usd)} of that is held for {plural(pending.lapsed_calls, 'call')} whose process is "
            "gone. It is booked, as an estimate, as soon as a program uses the ledger again."
        )
