"""The layers of a client in their order, and what stands behind the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.core.request import Layer
    from inferkit.layers.cache import Cache
    from inferkit.layers.hedge import Hedge
    from inferkit.layers.resolve import Names
    from inferkit.layers.retry import Retry
    from inferkit.ledger.ledger import Ledger
    from inferkit.plans.subscriptions import Plans
    from inferkit.pricing.price_book import PriceBook
    from inferkit.resilience.limiter import RateLimit
    from inferkit.routing.combining import Routes
    from inferkit.telemetry.instruments import Telemetry

__all__ = ["default_stack", "for_embeddings"]

_OF_REPLIES = ("repair", "continuation")
_OF_EACH_REQUEST = ("budget", "route", "retry", "hedge", "limit", "attempt", "meter")
"""Layers that see each of the requests which a call for embeddings is parted into."""


def default_stack(
    catalog: Names,
    *,
    routes: Routes | None = None,
    prices: PriceBook | None = None,
    cache: Cache | None = None,
    ledger: Ledger | None = None,
    plans: Plans | None = None,
    retry: Retry | None = None,
    hedge: Hedge | None = None,
    limits: Mapping[str, RateLimit] | None = None,
    follow_limits: bool = True,
    telemetry: Telemetry | None = None,
    on_store_error: Literal["block", "allow"] = "block",
    estimates: Literal["strict", "learned"] = "strict",
    on_interrupt: Literal["raise", "continue"] = "raise",
) -> list[Layer]:
    """Give the layers in the right order for nearly everybody: from trace to meter.

    With a ledger, what costs nothing is counted where the trace ends. `routes` say in which order the
    candidates are asked. A layer of one's own is put in by name (see `Insert`).
    """
    from inferkit.layers.budget import BudgetLayer
    from inferkit.layers.limit import LimitLayer
    from inferkit.layers.meter import Meter
    from inferkit.layers.repair import Repair
    from inferkit.layers.resolve import Resolve
    from inferkit.layers.retry import Retry
    from inferkit.layers.route import Route
    from inferkit.layers.tally import Tallies
    from inferkit.layers.trace import Trace, TraceAttempt
    from inferkit.pricing.estimates import LearnedEstimates
    from inferkit.pricing.price_book import PriceBook
    from inferkit.telemetry.instruments import Telemetry

    retry = retry or Retry()
    telemetry, book = telemetry or Telemetry(), prices or PriceBook()
    learned = LearnedEstimates() if estimates == "learned" else None
    meter = Meter(book, learned)
    layers: list[Layer | None] = [
        Trace(telemetry, None if ledger is None else Tallies(ledger.journal, plans)),
        Resolve(catalog),
        cache,
        BudgetLayer(
            None if ledger is None else ledger.accounts,
            prices=book,
            routes=routes,
            plans=plans,
            learned=learned,
            on_store_error=on_store_error,
        ),
        Repair(),
        Route(routes, retry.failovers),
        _continuation() if on_interrupt == "continue" else None,
        retry,
        hedge,
        LimitLayer(limits, follow=follow_limits, likely=meter.likely) if limits or follow_limits else None,
        TraceAttempt(telemetry),
        meter,
    ]
    return [layer for layer in layers if layer is not None]


def _continuation() -> Layer:
    """Make the layer that few clients have."""
    imports.load("inferkit.layers.continuation")
    from inferkit.layers.continuation import Continuation

    return Continuation()


def for_embeddings(layers: Sequence[Layer], prices: PriceBook) -> list[Layer]:
    """Give the stack that calls for embeddings pass: with the layer that parts them, and none that is for replies."""
    imports.load("inferkit.layers.batches")
    from inferkit.layers.batches import Batches

    stack = [layer for layer in layers if getattr(layer, "role", None) not in _OF_REPLIES]
    inside = (place for place, layer in enumerate(stack) if getattr(layer, "role", None) in _OF_EACH_REQUEST)
    stack.insert(next(inside, len(stack)), Batches(prices))
    return stack
