"""A report as JSON, for other programs. Money is in dollars, as text, to the last digit."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from inferkit.core.money import to_usd
from inferkit.economics.render.document import notes
from inferkit.economics.render.findings import findings
from inferkit.economics.report.report import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.economics.report.report import Report, Row
    from inferkit.economics.report.waste import Subtotal
    from inferkit.economics.what_if.what_if import WhatIf

__all__ = ["as_json"]


def as_json(report: Report, what_if: WhatIf | None = None) -> str:
    """Write all of a report, and of a what-if, whose report is in "after"."""
    document = _report(report)
    if what_if is not None:
        document["what_if"] = {
            "scenario": what_if.scenario.name,
            "users": what_if.users,
            "refused_users": what_if.refused_users,
            "refused_calls": what_if.refused,
            "saved": _usd(what_if.saved),
            "limits": {
                name: {
                    "refused_calls": effect.refused,
                    "cut_calls": effect.cut,
                    "degraded_calls": effect.degraded,
                    "refused_users": len(effect.users),
                    "saved": _usd(effect.saved),
                }
                for name, effect in what_if.effects.items()
            },
            "changes": [
                {
                    "change": change.what,
                    "saved": _usd(change.saved),
                    "revenue": _usd(change.revenue),
                    "users": change.met,
                    "refused_users": change.refused_users,
                    "refused_calls": change.refused,
                }
                for change in what_if.changes
            ],
            "sentences": what_if.sentences,
            "after": _report(what_if.after),
        }
    return json.dumps(document, indent=2)


def _report(report: Report) -> dict[str, Any]:
    since, until, zone = report.period
    known = report.revenue_since
    return {
        "period": {"since": since.isoformat(), "until": until.isoformat(), "zone": zone},
        "findings": findings(report),
        "total": _row(report.total),
        "by": {dimension: [_row(row) for row in report.by(dimension)] for dimension in DIMENSIONS},
        "unprofitable": [_row(row) for row in report.unprofitable],
        "below_target": [_row(row) for row in report.below_target],
        "paying_nothing": [_row(row) for row in report.customers.free],
        "revenue_not_known": [_row(row) for row in report.customers.unclear],
        "cost_by_day": {
            day: {model or "": _usd(cost) for model, cost in costs.items()} for day, costs in report.days.items()
        },
        "savings": _subtotals(report.savings.kinds),
        "waste": _subtotals(report.waste.kinds),
        "requests_beyond_the_first": {
            kind: {"requests": subtotal.calls, "usd": _usd(subtotal.usd)}
            for kind, subtotal in report.more_requests.kinds.items()
        },
        "refused": dict(report.refused),
        "unpriced_calls": report.unpriced,
        "estimated": {"calls": report.estimated.calls, "usd": _usd(report.estimated.usd)},
        "held": {
            "calls": report.pending.calls,
            "usd": _usd(report.pending.usd),
            "lapsed_calls": report.pending.lapsed_calls,
            "lapsed_usd": _usd(report.pending.lapsed_usd),
        },
        "overrun": {"calls": report.overrun.calls, "usd": _usd(report.overrun.usd)},
        "reported": {
            "calls": report.reported.calls,
            "usd": _usd(report.reported.usd),
            "booked": _usd(report.reported.booked),
        },
        "revenue_since": None if known is None else datetime.fromtimestamp(known, ZoneInfo(zone)).isoformat(),
        "unknown_plans": list(report.unknown_plans),
        "notes": list(notes(report)),
    }


def _row(row: Row) -> dict[str, Any]:
    margin_share = row.margin_share
    return {
        "name": row.name,
        "calls": row.calls,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost": _usd(row.cost),
        "revenue": _usd(row.revenue),
        "cost_before_revenue_was_known": _usd(row.before),
        "margin": _usd(row.margin),
        "margin_share": None if margin_share is None else f"{margin_share:.6f}",
        "plans": list(row.plans),
    }


def _subtotals(kinds: Mapping[str, Subtotal]) -> dict[str, Any]:
    return {name: {"calls": subtotal.calls, "usd": _usd(subtotal.usd)} for name, subtotal in kinds.items()}


def _usd(nanos: int) -> str:
    return f"{to_usd(nanos):.9f}"
