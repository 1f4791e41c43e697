"""What a call turned out to cost, for the ledger: its attempts added up, and what came cheaper than it might have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit._types import Usage
from inferkit.budgets.book import Charge, Part, Payer
from inferkit.budgets.ledger import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit._record import Attempt
    from inferkit._types import Request
    from inferkit.budgets.prices import Price
    from inferkit.layers.hold import Hold

__all__ = ["charge_for", "payer_of"]


def payer_of(request: Request) -> Payer:
    """Say who caused a call, for what, and under which plan."""
    return Payer(request.user, request.tenant, request.feature, request.record.plan)


def charge_for(request: Request, hold: Hold | None, outcome: str, prices: Sequence[Price] = ()) -> Charge:
    """Add up what a call's attempts cost. Without a meter inside, what was held is all that is known.

    `prices` are those of all models that might have served the request as it was asked for.
    """
    record = request.record
    attempts = record.attempts
    payer = payer_of(request)
    if not attempts:
        held = NOTHING if hold is None else hold.held
        usd = held.usd if hold is not None and hold.counts_money else None
        return Charge(
            usd, request.provider, request.model, output_tokens=held.tokens, attempts=0, estimated=True,
            outcome=outcome, asked=request.model, payer=payer,
        )  # fmt: skip
    served = attempts[-1] if len(attempts) == 1 else _served(attempts)
    usage = served.usage
    reason = served.finish_reason
    parts: tuple[Part, ...] = ()
    if len(attempts) > 1:
        usage = sum((attempt.usage for attempt in attempts), Usage())
        parts = tuple(map(_part, attempts))
    return Charge(
        record.cost_nanos,
        served.provider,
        served.model,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        len(attempts),
        usage.estimated,
        outcome,
        "budget" if reason == "length" and record.clamped else reason,
        request.model,
        record.degraded is not None,
        prompt_cache_saved=sum(attempt.saved_nanos for attempt in attempts),
        routing_saved=_saved_by_routing(served, prices),
        parts=parts,
        payer=payer,
    )


def _served(attempts: Sequence[Attempt]) -> Attempt:
    """Give the attempt whose reply the caller got: a hedge that lost may have ended after the one that won."""
    return next((attempt for attempt in attempts if attempt.outcome == "completed"), attempts[-1])


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


def _saved_by_routing(served: Attempt, prices: Sequence[Price]) -> int:
    if served.cost_nanos is None or not prices:
        return 0
    return max(0, *(price.cost(served.usage) - served.cost_nanos for price in prices))
