"""What a call turned out to cost, for the ledger: its attempts added up, and what came cheaper than it might have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.usage import Usage
from inferkit.ledger.amounts import NOTHING
from inferkit.ledger.journal import Attribution, Charge, Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.core.attempt import Attempt
    from inferkit.core.request import Request
    from inferkit.layers.budget.hold import Hold
    from inferkit.pricing.prices import Price

__all__ = ["attribution_of", "charge_for"]


def attribution_of(request: Request) -> Attribution:
    """Say who caused a call, for what, and under which plan. For reports alone, so a key may stand for the user."""
    record = request.record
    return Attribution(request.user or record.key, request.tenant, request.feature, record.plan)


def charge_for(request: Request, hold: Hold | None, outcome: str, prices: Sequence[Price] = ()) -> Charge:
    """Add up what a call's attempts cost; those that somebody left running count as what they may cost at most.

    Without a meter inside, what was held is all that is known. `prices` are those of all models that might have served
    the request as it was asked for.
    """
    record = request.record
    attempts, running, served = record.attempts, record.running, record.served
    attribution = attribution_of(request)
    if served is None and not running:
        held = NOTHING if hold is None else hold.held
        usd = held.usd if hold is not None and hold.counts_money else None
        return Charge(
            usd, request.provider, request.model, output_tokens=held.tokens, attempts=0, estimated=True,
            outcome=outcome, asked=request.model, attribution=attribution,
        )  # fmt: skip
    usage = served.usage if served is not None and len(attempts) == 1 else _together(attempts)
    cost, output = record.cost_nanos, usage.output_tokens
    parts: tuple[Part, ...] = ()
    if running:
        cost = None if cost is None else cost + sum(nanos for nanos, _ in running.values())
        output += sum(tokens for _, tokens in running.values())
    if len(attempts) + len(running) > 1:
        parts = (*map(_part, attempts), *(_unfinished(nanos, tokens) for nanos, tokens in running.values()))
    reason = None if served is None else served.finish_reason
    return Charge(
        cost,
        request.provider if served is None else served.provider,
        request.model if served is None else served.model,
        usage.input_tokens,
        output,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        len(attempts) + len(running),
        usage.estimated or bool(running),
        outcome,
        "budget" if reason == "length" and hold is not None and hold.sets_length else reason,
        request.model,
        record.degraded is not None,
        sum([attempt.saved_nanos for attempt in attempts]),
        _saved_by_routing(served, prices) if served is not None and prices else 0,
        0 if cost is None or hold is None or not hold.counts_money else max(0, cost - hold.held.usd),
        parts,
        attribution,
    )


def _together(attempts: Sequence[Attempt]) -> Usage:
    usage = Usage()
    for attempt in attempts:
        usage += attempt.usage
    return usage


def _part(attempt: Attempt) -> Part:
    usage = attempt.usage
    return Part(
        attempt.kind,
        attempt.provider,
        attempt.model,
        attempt.outcome,
        attempt.cost_nanos,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )


def _unfinished(nanos: int, tokens: int) -> Part:
    return Part("hedge", "", "", "abandoned", nanos, 0, tokens)


def _saved_by_routing(served: Attempt, prices: Sequence[Price]) -> int:
    if served.cost_nanos is None or not served.usage.total_tokens:  # nothing was served, and nothing saved
        return 0
    return max([0, *[price.cost(served.usage) - served.cost_nanos for price in prices]])
