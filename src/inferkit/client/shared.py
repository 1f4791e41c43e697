"""What both clients offer that waits for nothing."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.client.declarations import documents
from inferkit.client.options import AllOptions
from inferkit.client.question import NOT_GIVEN
from inferkit.core.errors import ConfigurationError, NoRoute
from inferkit.core.shown import shown
from inferkit.runtime import imports
from inferkit.runtime.direct import DirectRuntime, directly

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from typing import Unpack

    from inferkit.client.call import Call
    from inferkit.client.engine import Engine
    from inferkit.client.inventory import ModelInfo
    from inferkit.client.options import CallOptions
    from inferkit.client.settings import Settings
    from inferkit.client.streams import Run
    from inferkit.core.messages import Messages
    from inferkit.core.request import Layer
    from inferkit.layers.cache import Cache
    from inferkit.ledger.ledger import Ledger
    from inferkit.plans.subscriptions import Plans
    from inferkit.resilience.health import ModelHealth
    from inferkit.routing.combining import Route
    from inferkit.routing.explanation import Explanation

__all__ = ["Shared", "engine_of", "make_configured", "make_engine", "run_of"]

C = TypeVar("C", bound="Shared")


def make_engine(settings: Settings) -> tuple[Engine, Callable[..., Call]]:
    """Make what makes the calls of a client, and what opens one.

    Both are loaded with the first client: many a program imports one that it never makes.
    """
    imports.load("inferkit.client.call", "inferkit.client.engine")
    from inferkit.client.call import call_for
    from inferkit.client.engine import Engine

    engine = Engine(settings)
    return engine, functools.partial(call_for, engine)


def make_configured(make: Callable[[Any], C], path: str | os.PathLike[str] | None, given: Mapping[str, Any]) -> C:
    """Make a client of what a file and the environment say, and of what the code says over that."""
    imports.load("inferkit.client.configuration.configuration")
    from inferkit.client.configuration.configuration import read_configuration

    found = read_configuration(path)
    settings = found.settings(given)
    try:
        client = make(settings)
    except (ConfigurationError, NoRoute) as error:
        raise found.explained(error, given) from error.__cause__
    if given.get("providers") is None:
        engine_of(client).catalog.take_over(settings.get("providers", {}).values())
    return client


def engine_of(client: Shared) -> Engine:
    """Give what makes the calls of a client. Raises `ConfigurationError` for what is none."""
    if not isinstance(client, Shared):
        raise ConfigurationError(f"pass an inferkit.Client or an inferkit.AsyncClient; got a {type(client).__name__}")
    return client._engine  # noqa: SLF001 - its own module


def run_of(client: Shared) -> Run:
    """Give what runs the stack where there is no event loop: as the client would itself, where it is for that."""
    run: Run = getattr(client, "_run", directly)
    return run


class Shared:
    """The part of a client that waits for nothing."""

    _engine: Engine
    _call: Callable[..., Call]

    def __repr__(self) -> str:
        """Say which names there are, and where replies and costs are kept."""
        return shown(self, **self._engine.facts())

    @documents(AllOptions)
    def explain(
        self,
        first: str | Messages = NOT_GIVEN,
        second: Messages = NOT_GIVEN,
        /,
        *,
        model: str | None = NOT_GIVEN,
        messages: Messages = NOT_GIVEN,
        schema: Any = None,
        **options: Unpack[CallOptions],
    ) -> Explanation:
        """Say whom such a call would be sent to, in which order, and why; nothing is sent. Takes what `complete` takes.

        Print it for a table. What a cache or a budget would say is not part of it. The options are:
        """
        call = self._call(first, second, model, messages, schema, options, stream=False)
        return self._engine.steering.explain(call.request(DirectRuntime()))

    def reroute(
        self,
        *,
        models: Mapping[str, str | Sequence[str]] | None = None,
        routes: Route | Mapping[str, Route] | None = None,
    ) -> None:
        """Have other `models=`, other `routes=` or both for all calls from now on; those that were sent go on.

        Raises `ConfigurationError` or `NoRoute` for what makes no sense, and changes nothing then. Policies start
        without what others have measured: to keep that, pass the same object again.
        """
        self._engine.steering.reroute(models, routes)

    def health(self) -> dict[str, ModelHealth]:
        """Say how each model stands that is listed here, or that lately failed, by its `provider:model` name."""
        return self._engine.steering.health()

    @property
    def ledger(self) -> Ledger:
        """The ledger that this client writes to. Raises `ConfigurationError` for a client with `ledger=False`."""
        self._engine.begin()
        return self._engine.known_ledger()

    @property
    def cache(self) -> Cache:
        """The cache of this client: `clear` forgets replies. Raises `ConfigurationError` for one with `cache=False`."""
        return self._engine.known_cache()

    @property
    def plans(self) -> Plans:
        """Who is on which plan. Raises `ConfigurationError` for a client without `plans=`."""
        self._engine.begin()
        return self._engine.known_plans()

    @property
    def models(self) -> Mapping[str, tuple[ModelInfo, ...]]:
        """What stands behind each name, best first. Of local models it says what they are and which engine runs them.

        Reads the heads of local files anew each time; starts no model, and asks no provider.
        """
        return self._engine.inventory()

    def check(self) -> tuple[ModelInfo, ...]:
        """Give the models that cannot be called, each with its `problem` and what to do about it; none if all can.

        It finds local files that are missing, damaged or of a kind that no engine here runs, and engines that are not
        installed. It starts no model, and asks no provider.
        """
        return tuple(one for candidates in self.models.values() for one in candidates if one.problem is not None)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The stack, from the outermost layer to the innermost."""
        return self._engine.layers
