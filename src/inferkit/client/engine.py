"""What both clients share: the catalog, the stack, and one call from the door to an open response."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Literal, TypedDict, cast

from inferkit.budgets.budget import Budget
from inferkit.budgets.context import current_scopes
from inferkit.budgets.scope import Scope
from inferkit.client.catalog import Catalog
from inferkit.client.checks import are_layers, check_settings
from inferkit.client.options import CallOptions, Payers, build_request
from inferkit.core.errors import ConfigurationError, InferkitError, NoRoute
from inferkit.core.stack import check_order, compose
from inferkit.pricing.prices import Price, PriceBook

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from inferkit.core.messages import Messages
    from inferkit.core.record import CallRecord
    from inferkit.core.request import Handler, Layer, Request
    from inferkit.core.response import Response
    from inferkit.layers.cache import Cache
    from inferkit.layers.retry import Retry
    from inferkit.ledger.ledger import Ledger
    from inferkit.plans.plan import Plan
    from inferkit.plans.subscriptions import Plans
    from inferkit.runtime.protocol import Runtime
    from inferkit.telemetry.instruments import Telemetry

GRACE = 0.1
"""Adapters keep the deadline themselves and say what they had received; this much later, in seconds, they are cut."""

__all__ = ["Engine", "Settings", "default_stack", "sign"]


def default_stack(
    catalog: Catalog,
    *,
    prices: PriceBook | None = None,
    cache: Cache | None = None,
    ledger: Ledger | None = None,
    plans: Plans | None = None,
    retry: Retry | None = None,
    telemetry: Telemetry | None = None,
    on_store_error: Literal["block", "allow"] = "block",
    estimates: Literal["strict", "learned"] = "strict",
) -> list[Layer]:
    """Give the layers in the order that is right for nearly everybody: trace, cache, budget, route, retry, meter.

    With a ledger, what costs nothing is counted between the trace and the cache.

    A layer of your own goes where its work belongs: after the trace it sees each call once, after the retry each
    attempt.
    """
    from inferkit.layers.budget import BudgetLayer
    from inferkit.layers.meter import Meter
    from inferkit.layers.retry import Retry
    from inferkit.layers.route import Route
    from inferkit.layers.tally import TallyLayer
    from inferkit.layers.trace import Trace
    from inferkit.layers.trace_attempt import TraceAttempt
    from inferkit.pricing.estimates import LearnedEstimates
    from inferkit.telemetry.instruments import Telemetry

    telemetry = telemetry or Telemetry()
    book = prices or PriceBook()
    learned = None
    if estimates == "learned":
        learned = LearnedEstimates(
            lambda request: [(target.provider, target.model) for target in catalog.resolve(request.model)]
        )
    layers: list[Layer | None] = [
        Trace(telemetry),
        None if ledger is None else TallyLayer(ledger.journal, plans),
        cache,
        BudgetLayer(
            None if ledger is None else ledger.accounts,
            quote=lambda request: quote(catalog, book, request),
            plans=plans,
            learned=learned,
            on_store_error=on_store_error,
        ),
        Route(catalog),
        retry or Retry(),
        TraceAttempt(telemetry),
        Meter(book, learned),
    ]
    return [layer for layer in layers if layer is not None]


def quote(catalog: Catalog, prices: PriceBook, request: Request) -> list[Price]:
    """Give the prices of all candidates of a request."""
    return [prices.price(target.provider, target.model) for target in catalog.resolve(request.model)]


async def dispatch(request: Request) -> Response:
    """Hand an attempt to the adapter of its target."""
    if request.target is None:
        raise ConfigurationError("no target was chosen: the stack needs a route and a retry layer")
    return await request.target.adapter(request)


class Settings(TypedDict, total=False):
    """The keyword arguments of `Client` and `AsyncClient`.

    - `models`: aliases, each to `"provider:model"` or a list of them in order of preference; `"local"` is the
      embedded model. `default` is the alias used where a call names none (the first one).
    - `providers`: adapters of your own, by name.
    - `prices`: a `Price` for each model that the price list does not know, or that has your own rates; keys are
      `"provider:model"`, `"model"` or `"provider:*"`. `on_unpriced` says what a call under a budget does without a
      price: "block" (the default) or a `Price` to assume.
    - `budget`: one `Budget` or several that every call is charged to; `each="user"` makes it one for each user.
    - `plans`: what customers pay and may use (see `Plan`), or the TOML file that says so; `default_plan` is that of
      users and tenants who were assigned none. `client.plans` assigns.
    - `cache`: True (memory and disk), False, or a `Cache`.
    - `ledger`: True (SQLite in the user's data folder), False, a path, or a ledger. `on_store_error` says what a call
      under a budget does while the ledger is down: "block" (the default) or "allow".
    - `estimates`: how a budget counts input before it is sent. "strict" (the default) is an upper bound, four
      times what English takes; "learned" goes by the model's recent calls, and a call that comes to more than they
      did may then overspend by the difference.
    - `max_retries`: requests after the first one, in all. `timeout`: seconds for a whole call, if it names none.
    - `layers`: layers of your own, seen once by each call, after the trace and before the cache.
    - `stack`: a function that is given the layers (see `default_stack`) and returns those to use, in order.
    - `home`: the folder for cache and ledger (default: `INFERKIT_HOME`, or the user's own folders).
    - `telemetry`: where spans and metrics go (default: OpenTelemetry's global providers).
    """

    models: Mapping[str, str | Sequence[str]]
    default: str
    providers: Mapping[str, Handler]
    prices: Mapping[str, Price]
    on_unpriced: Literal["block"] | Price
    budget: Budget | Sequence[Budget]
    plans: Sequence[Plan] | str | os.PathLike[str]
    default_plan: str
    cache: bool | Cache
    ledger: bool | str | os.PathLike[str] | Ledger
    on_store_error: Literal["block", "allow"]
    estimates: Literal["strict", "learned"]
    max_retries: int
    timeout: float
    layers: Sequence[Layer]
    stack: Callable[[list[Layer]], Sequence[Layer]]
    home: str | os.PathLike[str]
    telemetry: Telemetry


class Engine:
    """A stack ready for calls. Made by a client, closed by it."""

    def __init__(self, settings: Settings) -> None:
        check_settings(settings, Settings.__annotations__)
        settings = cast("Settings", {name: value for name, value in settings.items() if value is not None})
        home = settings.get("home")
        self.catalog = Catalog(settings.get("models"), settings.get("providers"), default=settings.get("default"))
        budget = settings.get("budget", ())
        self._scopes = tuple(Scope(one) for one in ((budget,) if isinstance(budget, Budget) else budget))
        self._prices = PriceBook(settings.get("prices", {}), on_unpriced=settings.get("on_unpriced", "block"))
        self._found: set[tuple[str, bool]] = set()
        self._check_smaller_models([each for scope in self._scopes for each in _with_larger(scope.budget)])
        self._timeout = settings.get("timeout")
        self._closed = False
        self.ledger, self._own_ledger = _open_ledger(settings.get("ledger", True), home)
        try:
            self.plans = _plans(settings.get("plans"), settings.get("default_plan"), self.ledger)
            if self.plans is not None:
                for allowance in self.plans.allowances:
                    self._check_smaller_models(list(_with_larger(allowance)))
            self.layers = tuple(self._stack(settings, home))
        except BaseException:
            self._close_ledger()
            raise
        check_order(self.layers)
        self._handler = compose(self.layers, dispatch)

    def _stack(self, settings: Settings, home: str | os.PathLike[str] | None) -> Sequence[Layer]:
        layers = self._default_layers(settings, home)
        if "stack" not in settings:
            return layers
        chosen = settings["stack"](layers)
        if not are_layers(chosen):
            raise ConfigurationError("stack= is a function that returns the layers to use; its result is not layers")
        return chosen

    def _default_layers(self, settings: Settings, home: str | os.PathLike[str] | None) -> list[Layer]:
        from inferkit.layers.retry import Retry

        trace, *others = default_stack(
            self.catalog,
            prices=self._prices,
            cache=_cache(settings.get("cache", True), self.catalog, home),
            ledger=self.ledger,
            plans=self.plans,
            retry=Retry(settings.get("max_retries", 2)),
            telemetry=settings.get("telemetry"),
            on_store_error=settings.get("on_store_error", "block"),
            estimates=settings.get("estimates", "strict"),
        )
        return [trace, *settings.get("layers", ()), *others]

    def payers(self, options: CallOptions) -> Payers:
        """Say which budgets pay for a call: the client's, those of `@budgeted` functions, and the call's own."""
        payers = Payers.of(options, current_scopes(), self._scopes)
        plan = options.get("plan")
        if plan is not None:
            self.known_plans().named(plan)  # also where the cache would have answered
        if payers.scopes:
            self._check_smaller_models([scope.budget for scope in payers.scopes])
        return payers

    def _check_smaller_models(self, budgets: Sequence[Budget]) -> None:
        """Raise `ConfigurationError` now where a call that one of these budgets degrades would have nowhere to go."""
        for budget in budgets:
            name = budget.degrade_to
            if name is None:
                continue
            counts_money = any(each.usd is not None for each in budgets)
            if (name, counts_money) in self._found:
                continue
            try:
                for provider, model in self.catalog.names(name):
                    if counts_money:
                        self._prices.price(provider, model)
            except NoRoute as error:
                raise ConfigurationError(
                    f"budget {budget.name} cannot degrade to what is not there: {error}"
                ) from error
            self._found.add((name, counts_money))

    async def open(
        self,
        model: str | None,
        messages: Messages,
        options: CallOptions,
        *,
        runtime: Runtime,
        record: CallRecord,
        stream: bool,
        payers: Payers,
    ) -> tuple[Response, float | None]:
        """Send one call through the stack; give its response and its deadline."""
        if self._closed:
            raise RuntimeError("this client is closed; make another one")
        name = model or self.catalog.default
        self.catalog.refuse_text(name)
        request = build_request(
            name,
            messages,
            options,
            runtime=runtime,
            record=record,
            stream=stream,
            payers=payers,
            timeout=self._timeout,
        )
        deadline = request.deadline
        if deadline is None:
            return await self._handler(request), None
        return await runtime.within(deadline + GRACE, self._handler(request)), deadline + GRACE

    def known_ledger(self) -> Ledger:
        """Give the ledger that calls are entered in."""
        if self.ledger is None:
            raise ConfigurationError("this client keeps no ledger; leave ledger=False out")
        return self.ledger

    def known_plans(self) -> Plans:
        """Give the plans that were passed in."""
        if self.plans is None:
            raise ConfigurationError('this client knows no plans; pass plans=[Plan("pro", price="99", ...)]')
        return self.plans

    def close(self) -> None:
        """Close what this engine opened itself; what the caller passed in stays open."""
        self._closed = True
        for adapter in self.catalog.adapters_made():
            if hasattr(adapter, "close"):
                adapter.close()
        for layer in self.layers:
            if hasattr(layer, "close"):
                layer.close()
        self._close_ledger()

    def _close_ledger(self) -> None:
        if self._own_ledger and self.ledger is not None:
            self.ledger.close()

    async def aclose(self) -> None:
        """Close from within an event loop."""
        for adapter in self.catalog.adapters_made():
            if hasattr(adapter, "aclose"):
                await adapter.aclose()
        self.close()


def _with_larger(budget: Budget | None) -> Iterator[Budget]:
    while budget is not None:
        yield budget
        budget = budget.within


def sign(error: InferkitError, record: CallRecord, partial: str = "") -> None:
    """Say on an error which call it belongs to, what was tried, and what had been received."""
    error.request_id = record.id
    error.attempts = tuple(record.attempts)
    if partial and getattr(error, "partial", None) == "":
        with contextlib.suppress(AttributeError):
            error.partial = partial  # type: ignore[attr-defined]


def _open_ledger(
    given: bool | str | os.PathLike[str] | Ledger, home: str | os.PathLike[str] | None
) -> tuple[Ledger | None, bool]:
    from inferkit.client.home import ledger_file
    from inferkit.ledger.ledger import Ledger
    from inferkit.ledger.sqlite.ledger import SqliteLedger

    if given is False:
        return None, False
    if isinstance(given, Ledger):
        return given, False
    ledger = SqliteLedger(ledger_file(home) if given is True else given)
    ledger.sweep(time.time())  # what processes held that are dead by now belongs in the journal
    return ledger, True


def _plans(
    given: Sequence[Plan] | str | os.PathLike[str] | None, default: str | None, ledger: Ledger | None
) -> Plans | None:
    import os

    from inferkit.plans.file import read_plans
    from inferkit.plans.subscriptions import Plans

    if given is None:
        if default is not None:
            raise ConfigurationError("default_plan names one of the plans; pass them too: plans=[Plan(...)]")
        return None
    if ledger is None:
        raise ConfigurationError("plans need a ledger to keep count in; leave ledger=False out")
    return Plans(read_plans(given) if isinstance(given, str | os.PathLike) else given, ledger, default=default)


def _cache(given: bool | Cache, catalog: Catalog, home: str | os.PathLike[str] | None) -> Cache | None:
    from inferkit.caching.disk import DiskTier
    from inferkit.caching.memory import MemoryTier
    from inferkit.client.home import cache_folder
    from inferkit.layers.cache import Cache

    if given is False:
        return None
    cache = Cache(MemoryTier(), DiskTier(cache_folder(home))) if given is True else given
    return cache.identified_by(lambda request: catalog.identity(request.model))
