"""A report's rows as CSV, for a spreadsheet. Money is in dollars, to the last digit."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from inferkit.core.money import to_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.economics.report.report import Report
    from inferkit.economics.report.rows import Dimension, Row

__all__ = ["as_csv"]

_COLUMNS = (
    "by", "name", "plans", "calls", "input_tokens", "output_tokens", "cost_usd", "revenue_usd", "margin_usd",
    "margin_share",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(report: Report, by: Sequence[Dimension]) -> str:
    """Write a line for each plan, customer, ... of each of `by`, and one for the total, under one line of names.

    A line for each kind of waste and of requests beyond the first of a call follows: a part of the cost each.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerow(_cells("total", report.total, named=""))
    for dimension in by:
        for row in report.by(dimension):
            writer.writerow(_cells(dimension, row, named=_plain(row.name or "")))
    for by_kind, kinds in (("waste", report.waste.kinds), ("request beyond the first", report.more_requests.kinds)):
        for kind, subtotal in kinds.items():
            if subtotal.calls or subtotal.usd:
                usd = f"{to_usd(subtotal.usd):.9f}"
                writer.writerow([by_kind, kind, "", str(subtotal.calls), "", "", usd, "", "", ""])
    return text.getvalue()


def _cells(by: str, row: Row, *, named: str) -> list[str]:
    share = row.margin_share
    return [
        by, named, _plain(" ".join(row.plans)), str(row.calls), str(row.input_tokens), str(row.output_tokens),
        *(f"{to_usd(amount):.9f}" for amount in (row.cost, row.revenue, row.margin)),
        "" if share is None else f"{share:.6f}",
    ]  # fmt: skip


def _plain(name: str) -> str:
    """Write a name that a spreadsheet would take for a formula so that it does not."""
    return f"'{name}" if name.startswith(_FORMULA) else name
