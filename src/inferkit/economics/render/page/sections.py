"""What stands on a report's page: its sections, in the order of a reader's questions."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.economics.formatting import NOTHING, count, money, name, plural, share
from inferkit.economics.render.page.charts import columns, legend, paired_bars, series_class
from inferkit.economics.render.page.customer_sections import customer_sections
from inferkit.economics.render.page.markup import Section, Table
from inferkit.economics.render.page.tables import bars, named_rows, result, revenue_known, target_of
from inferkit.economics.render.page.timeline import timeline
from inferkit.economics.report.report import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inferkit.economics.render.page.customers import Customers
    from inferkit.economics.report.report import Report
    from inferkit.economics.report.waste import Subtotal

__all__ = ["MEANINGS", "sections"]

_PLANS_DRAWN = 8

MEANINGS = {
    "cache": "replies given again, at what they had cost",
    "coalesced": "replies shared with an identical call under way",
    "prompt cache": "the provider's discount on input it had kept, less what keeping it cost",
    "routing": "calls served by a cheaper model than the dearest behind the name",
    "degraded": "calls taken to a smaller model by a budget",
    "local models": "calls served on your own machine",
    "failed attempts": "attempts that failed before another one served the reply",
    "lost hedges": "attempts that another one was faster than",
    "abandoned streams": "replies whose reader left before the end",
    "broken streams": "calls that failed after something had been paid for",
    "truncated replies": "replies cut at their longest length or at a budget",
    "died": "calls whose process died, at the amount held for them",
}


def sections(report: Report, customers: Customers) -> Iterator[Section]:
    """Give the sections that have something to say."""
    total = report.total
    yield from _by_time(report)
    yield from _plans(report, total)
    yield from customer_sections(report, customers)
    if total.calls:
        yield _features(report, total)
        yield _models(report, total)
    if any(subtotal.calls or subtotal.usd for subtotal in report.savings.kinds.values()):
        saved = f"Without these the calls would have cost {money(report.savings.usd)} more."
        yield _kinds("What was saved", saved, ("Saved by", "Calls", "Saved"), report.savings.kinds)
    if any(subtotal.calls for subtotal in report.waste.kinds.values()):
        wasted = f"{money(report.waste.usd)} of the cost was for what was not used as it was meant to be."
        yield _kinds("What was wasted", wasted, ("Wasted on", "Times", "Cost"), report.waste.kinds)
    if report.refused:
        yield _refused(report)


def _by_time(report: Report) -> Iterator[Section]:
    line = timeline(report)
    totals = [sum(each) for each in zip(*(series.values for series in line.series), strict=True)]
    if len(totals) <= 1:  # one column says nothing that the table of models does not say
        return
    dearest = max(range(len(totals)), key=totals.__getitem__)
    summary = (
        f"Stacked columns by model, from {line.label(0)} to {line.label(len(totals) - 1)}. The dearest is "
        f"{line.label(dearest)} with {money(totals[dearest])}; the average is {money(sum(totals) // len(totals))}."
    )
    key = legend(
        (series_class(place, other=series.other), series.name, money(sum(series.values)))
        for place, series in enumerate(line.series)
    )
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
        figure=f"<figure>{columns(line, f'Cost by {line.unit}', summary)}{key}</figure>",
        folded=(f"The numbers by {line.unit}", numbers),
    )


def _plans(report: Report, total: Row) -> Iterator[Section]:
    rows = sorted(report.by("plan"), key=lambda row: -row.revenue)
    if not any(row.name for row in rows):
        return
    pairs = [
        (name(row.name, "(no plan)"), row.revenue if _known(report, row) else None, row.cost)
        for row in rows[:_PLANS_DRAWN]
    ]
    said = f"Two bars each for {plural(len(pairs), 'plan')}. The table below has the numbers."
    key = legend([("first", "Revenue", ""), ("second", "Cost", "")])
    drawn = paired_bars(pairs, ("Revenue", "Cost"), "Revenue and cost by plan", said)
    yield Section(
        "Plans",
        figure=f"<figure>{key}{drawn}</figure>",
        table=Table(
            ("Plan", "Calls", "Cost", "Revenue", "Margin", "Margin %", "Target"),
            [
                (
                    label, count(row.calls), money(row.cost),
                    *result(row, known=_known(report, row)), _target(report, row),
                )
                for label, row, _ in named_rows(rows, "(no plan)")
            ],
            total=("All", count(total.calls), money(total.cost), *result(total, known=revenue_known(report)), ""),
        ),
    )  # fmt: skip


def _known(report: Report, row: Row) -> bool:
    return bool(row.revenue) or row.name not in report.unknown_plans


def _target(report: Report, row: Row) -> str:
    target = target_of(report, [row.name])
    missed = target is not None and row.margin_share is not None and row.margin_share < target
    return f"missed {share(target)}" if missed else share(target)


def _features(report: Report, total: Row) -> Section:
    shown = named_rows(report.by("feature"), "(no feature)")
    known = revenue_known(report)
    return Section(
        "Features",
        table=Table(
            ("Feature", "Calls", "Cost", "Share", *(("Revenue", "Margin", "Margin %") if known else ())),
            [
                (label, count(row.calls), money(row.cost), _part(row, total), *(result(row) if known else ()))
                for label, row, _ in shown
            ],
            bars=bars(shown, "cost"),
        ),
    )


def _models(report: Report, total: Row) -> Section:
    shown = named_rows([row for row in report.by("model") if row.calls or row.cost], "(model not known)")
    return Section(
        "Models",
        table=Table(
            ("Model", "Calls", "Tokens in", "Tokens out", "A call", "Cost", "Share"),
            [
                (
                    label, count(row.calls), count(row.input_tokens), count(row.output_tokens),
                    money(row.cost // row.calls) if row.calls else NOTHING, money(row.cost), _part(row, total),
                )
                for label, row, _ in shown
            ],
            bars=bars(shown, "cost"),
        ),
    )  # fmt: skip


def _kinds(title: str, paragraph: str, heads: tuple[str, str, str], kinds: Mapping[str, Subtotal]) -> Section:
    ranked = sorted(kinds.items(), key=lambda kind: -kind[1].usd)
    rows = [(kind, MEANINGS.get(kind, ""), count(subtotal.calls), money(subtotal.usd)) for kind, subtotal in ranked]
    columns_ = (heads[0], "What it is", *heads[1:])
    return Section(title, paragraph, Table(columns_, rows, words=2, bars=[subtotal.usd for _, subtotal in ranked]))


def _refused(report: Report) -> Section:
    rows = [Row(budget, calls, 0, 0, 0, 0) for budget, calls in report.refused.items()]
    everything = sum(report.refused.values())
    shown = named_rows(rows)
    was = "was" if everything == 1 else "were"
    return Section(
        "Calls refused by a budget",
        f"{plural(everything, 'call')} {was} refused before anything was sent.",
        Table(("Budget", "Calls"), [(label, count(row.calls)) for label, row, _ in shown], bars=bars(shown, "calls")),
    )


def _part(row: Row, total: Row) -> str:
    return share(Decimal(row.cost) / total.cost if total.cost else None)
