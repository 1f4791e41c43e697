"""What both clients share: the catalog, the stack, and one call from the door to an open response.

It is longer than other modules, since all that a client is made of is put together in one place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from inferkit.budgets.context import current_scopes
from inferkit.budgets.known_limits import KnownLimits, with_larger
from inferkit.budgets.scope import Scope, attribute
from inferkit.client.beginning import Beginning
from inferkit.client.catalog import Catalog
from inferkit.client.home import open_cache
from inferkit.client.options import read_options
from inferkit.client.preload import preload
from inferkit.client.settings import Settings, read_settings
from inferkit.client.stack import default_stack, for_embeddings
from inferkit.client.steering import Steering
from inferkit.client.stores import open_ledger, open_plans, sweeper_of
from inferkit.core.errors import ConfigurationError, NoRoute
from inferkit.core.stack import check_order, compose, insert
from inferkit.pricing.price_book import PriceBook
from inferkit.runtime import imports
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import current_runtime

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.trace import Tracer

    from inferkit.budgets.budget import Budget
    from inferkit.client.every_call import EveryCallOptions
    from inferkit.client.inventory import ModelInfo
    from inferkit.core.record import CallRecord
    from inferkit.core.request import Handler, Layer, Request
    from inferkit.core.response import Response
    from inferkit.layers.cache import Cache
    from inferkit.ledger.ledger import Ledger
    from inferkit.plans.subscriptions import Plans
    from inferkit.providers.http.transport import Transport
    from inferkit.resilience.sharing import Sharing

GRACE = 0.1
"""Adapters keep the deadline themselves and say what they had received; this much later, in seconds, they are cut."""

_ROOMS = (
    "inferkit.caching.disk",
    "inferkit.client.share",
    "inferkit.caching.memory",
    "inferkit.layers.budget",
    "inferkit.layers.cache",
    "inferkit.layers.limit",
    "inferkit.layers.meter",
    "inferkit.layers.repair",
    "inferkit.layers.resolve",
    "inferkit.layers.retry",
    "inferkit.layers.route",
    "inferkit.layers.tally",
    "inferkit.layers.trace",
    "inferkit.ledger.sqlite.ledger",
)
"""What is imported below where it is used, since nothing of it is needed before there is a client."""
__all__ = ["Engine", "dispatch"]


class Engine:
    """A stack ready for calls. Made by a client, closed by it."""

    def __init__(self, settings: Settings) -> None:
        imports.load(*_ROOMS)
        settings = read_settings(settings)
        home = settings.get("home")
        self._prices = PriceBook(settings["prices"], on_unpriced=settings["on_unpriced"])
        self.catalog = Catalog(
            settings.get("models"),
            settings.get("providers"),
            default=settings.get("default"),
            prices=self._prices,
            transport=settings.get("transport"),
        )
        self.steering = Steering(
            self.catalog, settings.get("routes"), settings.get("failover"), settings.get("limits") or ()
        )
        self._scopes = tuple(map(Scope, cast("Sequence[Budget]", settings["budget"])))
        self._found: set[tuple[str, bool]] = set()
        budgets = [each for scope in self._scopes for each in with_larger(scope.budget)]
        self._check_smaller_models(budgets)
        self._limits = KnownLimits()
        for budget in budgets:
            self._limits.check(budget)
        self.timeout = settings.get("timeout")
        from inferkit.telemetry.instruments import Telemetry

        self._telemetry = settings.get("telemetry") or Telemetry()
        self._to_close: list[Any] = []
        self._sharing: Sharing | None = None
        if self._scopes and settings["ledger"] is False:
            raise ConfigurationError("a budget needs a ledger to keep count in; leave ledger=False out")
        self.ledger, self._own_ledger = open_ledger(settings["ledger"], home)
        self._sweeper = sweeper_of(self.ledger) if self._own_ledger else None
        try:
            self.plans = open_plans(settings.get("plans"), settings.get("default_plan"), self.ledger)
            if self.plans is not None:
                for name, allowance in self.plans.allowances.items():
                    self._check_smaller_models(list(with_larger(allowance)), f'the allowance of plan "{name}"')
            self.layers = tuple(self._stack(settings, home))
            self.steering.find_knowledge(self.layers)
            if hasattr(self._telemetry, "watch"):  # one of somebody's own may have no more than a tracer
                self._telemetry.watch(self.steering)
        except BaseException:
            self._close_ledger()
            raise
        check_order(self.layers)
        if settings["share"] and self.ledger is not None:
            self._share(self.ledger)
        self._beginning = Beginning(self.ledger if self._own_ledger else None, self._sweeper, self.plans, self._sharing)
        self._handler = compose([layer for layer in self.layers if not _is_repair(layer)], dispatch)
        self._checked: Handler | None = None
        self._embeds: Handler | None = None
        if settings["preload"]:
            self.begin()
            preload(self.catalog, self.layers)

    def _stack(self, settings: Settings, home: str | os.PathLike[str] | None) -> list[Layer]:
        from inferkit.layers.retry import Retry

        self._cache = open_cache(settings["cache"], home)
        layers = default_stack(
            self.catalog,
            prices=self._prices,
            cache=self._cache,
            ledger=self.ledger,
            plans=self.plans,
            routes=self.steering.routes,
            hedge=settings.get("hedge"),
            limits=settings.get("limits"),
            follow_limits=settings["follow_limits"],
            retry=Retry(settings["max_retries"], health=settings.get("health"), failover=self.steering.failover),
            telemetry=self._telemetry,
            on_store_error=settings["on_store_error"],
            estimates=settings["estimates"],
            on_interrupt=settings["on_interrupt"],
        )
        return insert(layers, settings["layers"])

    def _share(self, ledger: Ledger) -> None:
        from inferkit.client.share import open_sharing

        self._sharing = open_sharing(ledger, self.layers, self.steering.routes)
        if self._sharing is not None:
            self.catalog.meets = self._sharing.meet
            self.catalog.introduce()

    def read(
        self,
        options: EveryCallOptions,
        record: CallRecord,
        read: Callable[[Mapping[str, Any]], dict[str, Any]] = read_options,
    ) -> dict[str, Any]:
        """Check and convert a call's options, and say which budgets pay: the client's, those around it, its own."""
        asked = read(options) if options else {}
        asked |= attribute(asked, record, current_scopes(), self._scopes)
        asked.pop("budget", None)  # it is one of the scopes now
        plan = asked.get("plan")
        if plan is not None:
            self.known_plans().named(plan)  # also where the cache would have answered
        scopes = asked.get("scopes")
        if scopes:
            self._check_smaller_models([scope.budget for scope in scopes])
            latest = self._limits.latest
            for scope in scopes:
                budget = scope.budget
                known = latest.get((budget.name, budget.per))
                if (known is None or known() is not budget) and not scope.is_nameless:
                    self._limits.check(budget, scope.feature)
        return asked

    def _check_smaller_models(self, budgets: Sequence[Budget], first: str | None = None) -> None:
        """Raise `ConfigurationError` now where a call that one of these budgets degrades or lands has nowhere to go.

        `first` is what the first of them is called, if not by its name.
        """
        for place, budget in enumerate(budgets):
            name = budget.degrade_to or budget.land_with
            if name is None:
                continue
            verb = "degrade to" if budget.degrade_to else "land with"
            counts_money = any(each.usd is not None for each in budgets)
            if (name, counts_money) in self._found:
                continue
            try:
                for provider, model in self.catalog.names(name):
                    if counts_money:
                        self._prices.price(provider, model)
            except NoRoute as error:
                who = first if first is not None and place == 0 else f"budget {budget.name}"
                raise ConfigurationError(f"{who} cannot {verb} what is not there: {error}") from error
            self._found.add((name, counts_money))

    async def send(self, request: Request) -> Response:
        """Send a request through the stack, whoever made it. Its deadline holds until the response is there.

        Raises `NoRoute` for what cannot be a model's name, before it gets into a trace.
        """
        if not self._beginning.is_over:
            await self._beginning.before_call(request.runtime)
        if self._sharing is not None:
            self._sharing.is_called = True
            if not self._sharing.is_awake:
                self._sharing.wake()
        self.catalog.refuse_text(request.model)
        handler = self._handler if request.response_schema is None else self._checking()
        if request.operation == "embed":
            handler = self._embedding()
        if request.deadline is None:
            return await handler(request)
        return await request.runtime.within(request.deadline + GRACE, handler(request))

    def begin(self) -> None:
        """Touch the disk, which nothing does before the first call (see `beginning`). Raises `LedgerError`."""
        self._beginning.begin()

    def _checking(self) -> Handler:
        """Give the stack with the layer that checks replies, which no other call passes."""
        if self._checked is None:
            self._checked = compose(self.layers, dispatch)
        return self._checked

    def _embedding(self) -> Handler:
        """Give the stack with the layer that parts calls for embeddings, which no other call passes."""
        if self._embeds is None:
            self._embeds = compose(for_embeddings(self.layers, self._prices), dispatch)
        return self._embeds

    def tracer(self) -> Tracer:
        """Give what spans are begun with."""
        return self._telemetry.tracer

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

    def known_cache(self) -> Cache:
        """Give the cache that replies are kept in."""
        if self._cache is None:
            raise ConfigurationError("this client has no cache; leave cache=False out")
        return self._cache

    def facts(self) -> dict[str, Any]:
        """Say in a few words how this client is set up, for people."""
        return {
            "models": list(self.catalog.aliases),
            "default": self.catalog.default,
            "budgets": [scope.account for scope in self._scopes],
            "plans": None if self.plans is None else list(self.plans),
            "ledger": self.ledger or "none",
            "cache": self._cache or "none",
            "is_closed": self._beginning.is_closed,
        }

    def inventory(self) -> Mapping[str, tuple[ModelInfo, ...]]:
        """Say what stands behind each name."""
        from inferkit.client.inventory import inventory

        return inventory(self.catalog)

    @property
    def has_budgets(self) -> bool:
        """Whether budgets of the client's own pay for every call."""
        return bool(self._scopes)

    def close_too(self, transport: Transport) -> None:
        """Have a transport closed with this engine that was opened for its calls."""
        self._to_close.append(transport)

    def close(self) -> None:
        """Close what this engine opened itself; what the caller passed in stays open."""
        self._beginning.close()
        for transport in self._to_close:
            drive(transport.aclose(DirectRuntime()))
        for adapter in self.catalog.adapters_made():
            if hasattr(adapter, "close"):
                adapter.close()
        for layer in self.layers:
            if hasattr(layer, "close"):
                layer.close()
        if self._sharing is not None:
            self._sharing.close()
        self._close_ledger()

    def _close_ledger(self) -> None:
        if self._sweeper is not None and self.ledger is not None:
            self._sweeper.close()
            self.ledger.close()

    async def aclose(self) -> None:
        """Close from within an event loop."""
        for adapter in self.catalog.adapters_made():
            if hasattr(adapter, "aclose"):
                await adapter.aclose()
        for transport in self._to_close:
            await transport.aclose(current_runtime())
        await current_runtime().run_blocking(self.close)  # it writes what waits for the disk


def _is_repair(layer: Layer) -> bool:
    return getattr(layer, "role", None) == "repair"


async def dispatch(request: Request) -> Response:
    """Hand an attempt to the adapter of its target."""
    if request.target is None:
        raise ConfigurationError("no target was chosen: the stack needs a route and a retry layer")
    if request.operation != "chat" and request.operation not in getattr(request.target.adapter, "operations", ()):
        raise ConfigurationError(f"{request.target.name} cannot {request.operation}; name another model")
    return await request.target.adapter(request)
