"""What both clients share: the catalog, the stack, and one call from the door to an open response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from inferkit.budgets.context import current_scopes
from inferkit.budgets.known_limits import KnownLimits, with_larger
from inferkit.budgets.scope import Scope, attribute
from inferkit.client.catalog import Catalog
from inferkit.client.home import open_cache
from inferkit.client.options import read_options
from inferkit.client.preload import preload
from inferkit.client.settings import Settings, read_settings
from inferkit.client.stack import default_stack, for_embeddings
from inferkit.client.steering import Steering
from inferkit.core.errors import ConfigurationError, NoRoute
from inferkit.core.stack import check_order, compose, insert
from inferkit.pricing.price_book import PriceBook
from inferkit.runtime import clock, imports
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
    from inferkit.layers.budget.sweeper import Sweeper
    from inferkit.ledger.ledger import Ledger
    from inferkit.plans.plan import Plan
    from inferkit.plans.subscriptions import Plans
    from inferkit.providers.http.transport import Transport

GRACE = 0.1
"""Adapters keep the deadline themselves and say what they had received; this much later, in seconds, they are cut."""

_ROOMS = (
    "inferkit.caching.disk",
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
    "inferkit.plans.file",
    "inferkit.plans.subscriptions",
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
        self.steering = Steering(self.catalog, settings.get("routes"), settings.get("failover"))
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
        self._closed = False
        self._to_close: list[Any] = []
        if self._scopes and settings["ledger"] is False:
            raise ConfigurationError("a budget needs a ledger to keep count in; leave ledger=False out")
        self.ledger, self._own_ledger = _open_ledger(settings["ledger"], home)
        self._sweeper = _sweeper(self.ledger) if self._own_ledger else None
        try:
            self.plans = _plans(settings.get("plans"), settings.get("default_plan"), self.ledger)
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
        if self._sweeper is not None:  # what processes held that are dead by now belongs in the journal
            self._sweeper.sweep(clock.time())
        self._handler = compose([layer for layer in self.layers if not _is_repair(layer)], dispatch)
        self._checked: Handler | None = None
        self._embeds: Handler | None = None
        if settings["preload"]:
            preload(self.catalog, self.layers)

    def _stack(self, settings: Settings, home: str | os.PathLike[str] | None) -> list[Layer]:
        from inferkit.layers.retry import Retry

        layers = default_stack(
            self.catalog,
            prices=self._prices,
            cache=open_cache(settings["cache"], home),
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
        """Raise `ConfigurationError` now where a call that one of these budgets degrades would have nowhere to go.

        `first` is what the first of them is called, if not by its name.
        """
        for place, budget in enumerate(budgets):
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
                who = first if first is not None and place == 0 else f"budget {budget.name}"
                raise ConfigurationError(f"{who} cannot degrade to what is not there: {error}") from error
            self._found.add((name, counts_money))

    async def send(self, request: Request) -> Response:
        """Send a request through the stack, whoever made it. Its deadline holds until the response is there.

        Raises `NoRoute` for what cannot be a model's name, before it gets into a trace.
        """
        if self._closed:
            raise RuntimeError("this client is closed; make another one")
        self.catalog.refuse_text(request.model)
        handler = self._handler if request.response_schema is None else self._checking()
        if request.operation == "embed":
            handler = self._embedding()
        if request.deadline is None:
            return await handler(request)
        return await request.runtime.within(request.deadline + GRACE, handler(request))

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
        self._closed = True
        for transport in self._to_close:
            drive(transport.aclose(DirectRuntime()))
        for adapter in self.catalog.adapters_made():
            if hasattr(adapter, "close"):
                adapter.close()
        for layer in self.layers:
            if hasattr(layer, "close"):
                layer.close()
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
    return SqliteLedger(ledger_file(home) if given is True else given), True


def _sweeper(ledger: Ledger | None) -> Sweeper | None:
    from inferkit.layers.budget.sweeper import Sweeper

    return None if ledger is None else Sweeper(ledger.accounts)


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


def _is_repair(layer: Layer) -> bool:
    return getattr(layer, "role", None) == "repair"


async def dispatch(request: Request) -> Response:
    """Hand an attempt to the adapter of its target."""
    if request.target is None:
        raise ConfigurationError("no target was chosen: the stack needs a route and a retry layer")
    if request.operation != "chat" and request.operation not in getattr(request.target.adapter, "operations", ()):
        raise ConfigurationError(f"{request.target.name} cannot {request.operation}; name another model")
    return await request.target.adapter(request)
