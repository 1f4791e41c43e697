"""Results of simulations as text for a terminal, and as JSON for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inferkit.core.money import to_usd
from inferkit.economics.formatting import NOTHING, count, money, share
from inferkit.simulation.results import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from inferkit.simulation.results import PlanResult, Result
    from inferkit.simulation.scenario import Simulation

__all__ = ["as_json", "as_text"]

_NEVER = ("late", "failed", "refused", "shed")


def as_text(scenario: Simulation, results: Sequence[Result]) -> str:
    """Write the results side by side: first all calls under each policy, then each policy by plan and by model."""
    first = results[0].total
    title = f"{scenario.name}: {count(first.calls)} calls in {scenario.days:g} days from {scenario.start:%Y-%m-%d}"
    parts = [
        f"{title}, seed {scenario.seed}",
        _table(
            ["policy", *_HEADINGS],
            [[result.policy.name, *_cells(result.total, requests=result.requests)] for result in results],
        ),
    ]
    for result in results:
        said = f": {result.policy.says}" if result.policy.says else ""
        parts.append(f"{result.policy.name}{said}")
        parts.append(_table(["plan", *_HEADINGS], [[plan.plan or "", *_cells(plan)] for plan in result.plans]))
        parts.append(
            _table(
                ["model", "requests", "refused", "failed", "calls served"],
                [[one.name, *map(count, (one.received, one.refused, one.failed, one.served))] for one in result.models],
            )
        )
    return "\n\n".join(parts)


_HEADINGS = [
    "calls", "answered", "good", "kept", "late", "failed", "refused", "shed", "first token, s", "whole, s", "requests",
    "cost", "revenue", "margin",
]  # fmt: skip


def _cells(of: PlanResult, requests: int | None = None) -> list[str]:
    return [
        count(of.calls),
        _percent(of.answered),
        _percent(of.goodput),
        _percent(of.kept / of.calls) if of.kept else "",
        *(count(of.fates.get(fate, 0)) for fate in _NEVER),  # type: ignore[call-overload]
        _seconds(of.first),
        _seconds(of.whole),
        "" if requests is None else count(requests),
        money(of.cost),
        money(of.revenue),
        f"{money(of.margin)} ({_share(of.margin_share)})" if of.revenue else money(of.margin),
    ]


def _percent(value: float) -> str:
    return f"{value:.2%}"


def _share(value: Decimal | None) -> str:
    return share(value).replace("\N{NO-BREAK SPACE}", "")


def _seconds(quantiles: tuple[float, ...]) -> str:
    """Write the median and the 95th per cent."""
    return f"{quantiles[0]:.2f} / {quantiles[1]:.2f}" if quantiles else NOTHING


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write columns: names to the left, numbers to the right. One that is empty everywhere is left out."""
    kept = [place for place in range(len(headings)) if any(row[place] for row in rows)]
    lines = [[headings[place] for place in kept], *([row[place] for place in kept] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(kept))]
    return "\n".join(
        "  "
        + "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_json(scenario: Simulation, results: Sequence[Result]) -> str:
    """Write all results. Money is in dollars, as text, to the last digit; times are in seconds."""
    return json.dumps(
        {
            "scenario": scenario.name,
            "seed": scenario.seed,
            "start": scenario.start.isoformat(),
            "days": scenario.days,
            "policies": [
                {
                    "policy": result.policy.name,
                    "says": result.policy.says,
                    "requests": result.requests,
                    "total": _plan(result.total),
                    "plans": [_plan(plan) for plan in result.plans],
                    "models": [vars(model) for model in result.models],
                    "answered_by_priority": {str(each): of for each, of in result.priorities.items()},
                }
                for result in results
            ],
        },
        indent=2,
    )


def _plan(plan: PlanResult) -> dict[str, Any]:
    margin_share = plan.margin_share
    return {
        "plan": plan.plan,
        "calls": plan.calls,
        "answered": plan.fates.get("answered", 0),
        "good": plan.good,
        "kept": plan.kept,
        **{fate: plan.fates.get(fate, 0) for fate in _NEVER},  # type: ignore[call-overload]
        "first_token": {f"p{q * 100:g}": value for q, value in zip(QUANTILES, plan.first, strict=False)},
        "whole": {f"p{q * 100:g}": value for q, value in zip(QUANTILES, plan.whole, strict=False)},
        "cost": f"{to_usd(plan.cost):f}",
        "revenue": f"{to_usd(plan.revenue):f}",
        "margin": f"{to_usd(plan.margin):f}",
        "margin_share": None if margin_share is None else f"{margin_share:.6f}",
    }
