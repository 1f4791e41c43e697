"""What a report says, section by section, in the order of a reader's questions."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.economics.formatting import NOTHING, count, money, name, plural, share
from inferkit.economics.render.customer_sections import customer_sections
from inferkit.economics.render.tables import SHOWN, Pairs, Section, Table, bars, named_rows, result
from inferkit.economics.render.timeline import timeline
from inferkit.economics.report.customers import target_of
from inferkit.economics.report.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from inferkit.economics.report.report import Report
    from inferkit.economics.report.rows import Dimension
    from inferkit.economics.report.waste import Subtotal

__all__ = ["MEANINGS", "MORE_REQUESTS", "sections", "tables_by"]

_PLANS_DRAWN = 8

MEANINGS = {
    "cache": "replies given again, at what they had cost",
    "coalesced": "replies shared with an identical call under way",
    "prompt cache": "the provider's discount on input it had kept, less what keeping it cost",
    "routing": "calls served by a cheaper model than the dearest behind the name",
    "escalated": "replies of a smaller model that were not good enough: what they cost",
    "degraded": "calls taken to a smaller model by a budget",
    "local models": "calls served on your own machine",
    "failed attempts": "attempts that failed before another one served the reply",
    "lost hedges": "attempts that another one was faster than",
    "repaired replies": "replies that were no valid object, and were asked for again",
    "abandoned streams": "replies whose reader left before the end",
    "broken streams": "calls that failed after something had been paid for",
    "truncated replies": "replies cut at their longest length or at a budget",
    "died": "calls whose process died, at the amount held for them",
}
"""What each kind of saving and of waste is."""

MORE_REQUESTS = {
    "retry": "the same model again, after a failure",
    "fallback": "another model, after a failure",
    "hedge": "a second one beside one that was slow",
    "repair": "the same model again, since its reply was no valid object",
    "escalation": "a larger model, since a smaller one's reply was not good enough",
    "continuation": "went on with a stream that broke",
    "landing": "a local model ended a reply that a budget cut",
}
"""What each kind of attempt is for."""


def sections(report: Report, shown: int = SHOWN) -> Iterator[Section]:
    """Give the sections that have something to say, with so many rows of each table."""
    yield from _by_time(report)
    yield from _plans(report, shown)
    yield from customer_sections(report, shown)
    if report.total.calls:
        yield _features(report, shown)
        yield _models(report, shown)
    yield from savings_and_waste(report, shown)


def tables_by(report: Report, by: Sequence[Dimension], shown: int) -> Iterator[Section]:
    """Give the same for a reader who says what to group by, with one table for each of it."""
    yield from (_plain(report, dimension, shown) for dimension in by)
    yield from customer_sections(report, shown)
    yield from savings_and_waste(report, shown)


def savings_and_waste(report: Report, shown: int) -> Iterator[Section]:
    """Say what was saved, wasted and refused, and what requests beyond the first were for."""
    if any(subtotal.calls or subtotal.usd for subtotal in report.savings.kinds.values()):
        usd = report.savings.usd
        saved = f"Without these the calls would have cost {money(abs(usd))} {'less' if usd < 0 else 'more'}."
        yield _kinds("What was saved", saved, ("Saved by", "Calls", "Saved"), report.savings.kinds)
    if any(subtotal.calls for subtotal in report.waste.kinds.values()):
        wasted = f"{money(report.waste.usd)} of the cost was for what was not used as it was meant to be."
        yield _kinds("What was wasted", wasted, ("Wasted on", "Times", "Cost"), report.waste.kinds)
    more = report.more_requests.kinds
    if any(subtotal.calls for subtotal in more.values()):
        what = "Why calls took more than one request, and what the others cost. It is in the cost of these calls."
        yield _kinds("Requests beyond the first", what, ("Kind", "Requests", "Cost"), more)
    if report.refused:
        yield _refused(report, shown)


def _by_time(report: Report) -> Iterator[Section]:
    line = timeline(report)
    totals = line.totals
    if len(totals) <= 1:  # one column says nothing that the table of models does not say
        return
    numbers = Table(
        (line.unit.capitalize(), "All", *(series.name for series in line.series)),
        [
            (line.label(index), money(totals[index]), *(money(series.values[index]) for series in line.series))
            for index in range(len(totals))
        ],
    )
    yield Section(
        f"Cost by {line.unit}",
        "Weeks begin on Monday. The first and the last may not be whole." if line.unit == "week" else "",
        chart=line,
        folded=(f"The numbers by {line.unit}", numbers),
    )


def _plain(report: Report, dimension: Dimension, shown: int) -> Section:
    lines = named_rows(report.by(dimension), shown=shown)
    known = report.revenue_known
    return Section(
        f"By {dimension}",
        table=Table(
            (dimension.capitalize(), "Calls", "Cost", *(("Revenue", "Margin", "Margin %") if known else ())),
            [
                (line.label, count(line.row.calls), money(line.row.cost), *(_result(report, line.row) if known else ()))
                for line in lines
            ],
        ),
    )


def _result(report: Report, row: Row) -> tuple[str, str, str]:
    """Write what came of a row; nothing where all that it may bring in comes from plans of unknown price."""
    return result(row, known=bool(row.revenue) or not set(row.plans).intersection(report.unknown_plans))


def _plans(report: Report, shown: int) -> Iterator[Section]:
    total = report.total
    rows = sorted(report.by("plan"), key=lambda row: -row.revenue)
    if not any(row.name for row in rows):
        return
    pairs = [
        (name(row.name, "(no plan)"), row.revenue if _known(report, row) else None, row.cost)
        for row in rows[:_PLANS_DRAWN]
    ]
    yield Section(
        "Plans",
        chart=Pairs(("Revenue", "Cost"), pairs),
        table=Table(
            ("Plan", "Calls", "Cost", "Revenue", "Margin", "Margin %", "Target"),
            [
                (
                    label, count(row.calls), money(row.cost),
                    *result(row, known=_known(report, row)), _target(report, row),
                )
                for label, row, _ in named_rows(rows, "(no plan)", shown)
            ],
            total=("All", count(total.calls), money(total.cost), *result(total, known=report.revenue_known), ""),
        ),
    )  # fmt: skip


def _known(report: Report, row: Row) -> bool:
    return bool(row.revenue) or row.name not in report.unknown_plans


def _target(report: Report, row: Row) -> str:
    target = target_of(report.plans, [row.name])
    missed = target is not None and row.margin_share is not None and row.margin_share < target
    return f"missed {share(target)}" if missed else share(target)


def _features(report: Report, shown: int) -> Section:
    lines = named_rows(report.by("feature"), "(no feature)", shown)
    known, total = report.revenue_known, report.total
    return Section(
        "Features",
        table=Table(
            ("Feature", "Calls", "Cost", "Share", *(("Revenue", "Margin", "Margin %") if known else ())),
            [
                (label, count(row.calls), money(row.cost), _part(row, total), *(result(row) if known else ()))
                for label, row, _ in lines
            ],
            bars=bars(lines, "cost"),
        ),
    )


def _models(report: Report, shown: int) -> Section:
    lines = named_rows([row for row in report.by("model") if row.calls or row.cost], "(model not known)", shown)
    total = report.total
    return Section(
        "Models",
        table=Table(
            ("Model", "Calls", "Tokens in", "Tokens out", "A call", "Cost", "Share"),
            [
                (
                    label, count(row.calls), count(row.input_tokens), count(row.output_tokens),
                    money(row.cost // row.calls) if row.calls else NOTHING, money(row.cost), _part(row, total),
                )
                for label, row, _ in lines
            ],
            bars=bars(lines, "cost"),
        ),
    )  # fmt: skip


def _kinds(title: str, paragraph: str, heads: tuple[str, str, str], kinds: Mapping[str, Subtotal]) -> Section:
    some = [(kind, subtotal) for kind, subtotal in kinds.items() if subtotal.calls or subtotal.usd]
    ranked = sorted(some, key=lambda kind: -kind[1].usd)
    rows = [
        (kind, (MEANINGS | MORE_REQUESTS).get(kind, ""), count(subtotal.calls), money(subtotal.usd))
        for kind, subtotal in ranked
    ]
    columns = (heads[0], "What it is", *heads[1:])
    return Section(title, paragraph, Table(columns, rows, words=2, bars=[subtotal.usd for _, subtotal in ranked]))


def _refused(report: Report, shown: int) -> Section:
    lines = named_rows([Row(budget, calls, 0, 0, 0, 0) for budget, calls in report.refused.items()], shown=shown)
    everything = sum(report.refused.values())
    was = "was" if everything == 1 else "were"
    return Section(
        "Calls refused by a budget",
        f"{plural(everything, 'call')} {was} refused before anything was sent.",
        Table(("Budget", "Calls"), [(label, count(row.calls)) for label, row, _ in lines], bars=bars(lines, "calls")),
    )


def _part(row: Row, total: Row) -> str:
    return share(Decimal(row.cost) / total.cost if total.cost else None)
