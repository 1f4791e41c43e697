"""What matters most in a report, in a few plain sentences."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from inferkit.economics.formatting import instant, money, name, plural, share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.economics.report.customers import Customers
    from inferkit.economics.report.report import Report, Row

__all__ = ["findings"]

_WORTH_SAYING = Decimal("0.05")


def findings(report: Report) -> str:
    """Say it as one paragraph of plain text."""
    total = report.total
    if not total.calls and not total.revenue:
        return " ".join(["There are no calls in this period.", *_pending(report)])
    return " ".join(
        [
            *_result(report, total),
            *_since(report, total),
            *_customers(report.customers, total),
            *_models(report, total),
            *_waste(report, total),
            *_pending(report),
            *_gap(report),
        ]
    )


def _result(report: Report, total: Row) -> Iterator[str]:
    cost = total.cost - total.before
    if not total.revenue:
        brought = " and brought in nothing" if report.revenue_known else "; no revenue is known"
        yield f"{plural(total.calls, 'call')} cost {money(total.cost)}{brought}."
    elif total.margin < 0:
        yield (
            f"The period cost {money(-total.margin)} more than it brought in: {money(cost)} against "
            f"{money(total.revenue)}."
        )
    else:
        yield (
            f"Of {money(total.revenue)} in revenue, {money(total.margin)} ({share(total.margin_share)}) remain after "
            f"the {money(cost)} that {'calls' if total.before else plural(total.calls, 'call')} cost."
        )


def _since(report: Report, total: Row) -> Iterator[str]:
    if report.revenue_since is not None and total.before:
        yield (
            f"Revenue is known from {instant(report.revenue_since, report.period.zone)} on; what calls cost before, "
            f"{money(total.before)}, is in the cost, but in no margin."
        )


def _customers(customers: Customers, total: Row) -> Iterator[str]:
    losing, free = customers.losing, customers.free
    if losing:
        who = f"{len(losing):,} of {plural(len(customers.paying), 'paying customer')}"
        lost = money(-sum(row.margin for row in losing))
        if len(losing) == 1:
            yield f"{who} costs more than it brings in, and loses {lost}: {name(losing[0].name)}."
        else:
            yield f"{who} cost more than they bring in; together they lose {lost}."
    elif customers.paying:
        yield "No paying customer costs more than it brings in."
    if customers.below:
        leave = "leaves less than its" if len(customers.below) == 1 else "leave less than their"
        yield f"{plural(len(customers.below), 'customer')} {leave} plan's target margin."
    if free and total.revenue:
        cost = sum(row.cost for row in free)
        verb = "costs" if len(free) == 1 else "cost"
        yield (
            f"{plural(len(free), 'customer')} who {'pays' if len(free) == 1 else 'pay'} nothing {verb} {money(cost)}, "
            f"{share(Decimal(cost) / total.cost)} of the cost."
        )


def _models(report: Report, total: Row) -> Iterator[str]:
    models = report.by("model")
    if total.cost > 0 and models[0].name is not None and models[0].cost > 0:
        part = share(Decimal(models[0].cost) / total.cost, digits=0)
        only = sum(1 for model in models if model.cost) == 1
        which = f"The dearest model, {name(models[0].name)}, makes {part} of the cost."
        yield f"All of the cost comes from {name(models[0].name)}." if only else which


def _waste(report: Report, total: Row) -> Iterator[str]:
    wasted = report.waste.usd
    if total.cost > 0 and Decimal(wasted) / total.cost >= _WORTH_SAYING:
        worst = max(report.waste.kinds.items(), key=lambda kind: kind[1].usd)[0]
        part = share(Decimal(wasted) / total.cost, digits=0)
        yield f"{money(wasted)} of it ({part}) was wasted, most of that on {worst}."


def _pending(report: Report) -> Iterator[str]:
    pending = report.pending
    if pending.calls:
        verb = "holds" if pending.calls == 1 else "hold"
        yield f"{plural(pending.calls, 'call')} not settled {verb} {money(pending.usd)} more."


def _gap(report: Report) -> Iterator[str]:
    if report.unpriced:
        verbs = "has no known price and is" if report.unpriced == 1 else "have no known price and are"
        yield f"{plural(report.unpriced, 'call')} {verbs} missing from the cost."
