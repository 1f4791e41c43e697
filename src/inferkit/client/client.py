"""The door: `Client` for plain code, `AsyncClient` for asyncio and trio. Both drive the same coroutines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.client.call import Call
from inferkit.client.declarations import documents
from inferkit.client.engine import Engine
from inferkit.client.options import CallOptions, read_options
from inferkit.client.settings import Settings
from inferkit.client.streams import AsyncStream, Run, Stream
from inferkit.core.errors import ConfigurationError
from inferkit.runtime import imports
from inferkit.runtime.direct import directly
from inferkit.runtime.loops import current_runtime, import_loops

if TYPE_CHECKING:
    from typing import Self, Unpack

    from inferkit.core.messages import Messages
    from inferkit.core.reply import Reply
    from inferkit.core.request import Layer
    from inferkit.ledger.ledger import Ledger
    from inferkit.plans.subscriptions import Plans
    from inferkit.runtime.portal import Portal

__all__ = ["AsyncClient", "Client"]

_lists_settings = documents(Settings)
_lists_options = documents(CallOptions)


class _NotGiven:
    def __repr__(self) -> str:
        return "NOT_GIVEN"


_NOT_GIVEN: Any = _NotGiven()  # where None is a mistake: a variable that nobody has set


def _arguments(
    engine: Engine, first: str | Messages, second: Messages, options: CallOptions
) -> tuple[str | None, Messages]:
    if second is _NOT_GIVEN:
        if type(first) is str and engine.catalog.is_name(first):
            raise ConfigurationError(
                f'there is nothing to ask: "{first}" is the name of a model; pass the messages second: '
                f'complete("{first}", "What is...?"); if it is the question, pass it as a message: '
                f'complete([{{"role": "user", "content": "{first}"}}])'
            )
        if first is _NOT_GIVEN:
            read_options(options)  # says what to do about a `model=` or `messages=`
            raise ConfigurationError('there is nothing to ask; pass the messages: complete("fast", "What is...?")')
        return None, first
    if second is None:
        raise ConfigurationError('the messages are None; pass them second: complete("fast", "What is...?")')
    if not isinstance(first, str):
        raise ConfigurationError('pass the model first and the messages second: complete("fast", messages)')
    return first, second


@_lists_settings
class AsyncClient:
    """Makes model calls from asyncio and trio, through the whole stack.

    One client serves a whole application; it is safe in any number of tasks, threads and event loops. It takes:
    """

    def __init__(self, **settings: Unpack[Settings]) -> None:
        self._engine = Engine(settings)
        if settings.get("preload"):
            import_loops()

    @_lists_options
    async def complete(
        self, model: str | Messages = _NOT_GIVEN, messages: Messages = _NOT_GIVEN, /, **options: Unpack[CallOptions]
    ) -> Reply:
        """Make one call and return its whole reply: `complete("fast", "What is...?")`, or without the model's name.

        Raises the errors of `inferkit.core.errors`: `BudgetExceeded`, `ProviderError` and so on. The options are:
        """
        call = Call(self._engine, *_arguments(self._engine, model, messages, options), options, stream=False)
        return await call.read(current_runtime())

    @_lists_options
    def stream(
        self, model: str | Messages = _NOT_GIVEN, messages: Messages = _NOT_GIVEN, /, **options: Unpack[CallOptions]
    ) -> AsyncStream:
        """Make one call and read its reply as it comes: `async with client.stream("fast", "...") as reply`.

        The options are:
        """
        return AsyncStream(
            Call(self._engine, *_arguments(self._engine, model, messages, options), options, stream=True)
        )

    @property
    def ledger(self) -> Ledger:
        """The ledger that this client writes to. Raises `ConfigurationError` for a client with `ledger=False`."""
        return self._engine.known_ledger()

    @property
    def plans(self) -> Plans:
        """Who is on which plan. Raises `ConfigurationError` for a client without `plans=`."""
        return self._engine.known_plans()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The stack, from the outermost layer to the innermost."""
        return self._engine.layers

    async def aclose(self) -> None:
        """Close connections, worker processes and files."""
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@_lists_settings
class Client:
    """Makes model calls from plain code, through the whole stack.

    It needs no event loop and no thread. `portal=True` runs the stack on an event loop in a thread of its own, for
    layers that wait for one. One client serves a whole application, and any number of threads. It takes also:
    """

    def __init__(self, *, portal: bool = False, **settings: Unpack[Settings]) -> None:
        self._engine = Engine(settings)
        self._portal: Portal | None = None
        if portal:
            imports.load("inferkit.runtime.portal")
            from inferkit.runtime.portal import Portal

            self._portal = Portal()
            if settings.get("preload"):
                import_loops()
        self._run: Run = self._portal.run if self._portal is not None else directly

    @_lists_options
    def complete(
        self, model: str | Messages = _NOT_GIVEN, messages: Messages = _NOT_GIVEN, /, **options: Unpack[CallOptions]
    ) -> Reply:
        """Make one call and return its whole reply: `complete("fast", "What is...?")`, or without the model's name.

        Raises the errors of `inferkit.core.errors`: `BudgetExceeded`, `ProviderError` and so on. The options are:
        """
        return self._run(
            Call(self._engine, *_arguments(self._engine, model, messages, options), options, stream=False).read
        )

    @_lists_options
    def stream(
        self, model: str | Messages = _NOT_GIVEN, messages: Messages = _NOT_GIVEN, /, **options: Unpack[CallOptions]
    ) -> Stream:
        """Make one call and read its reply as it comes: `with client.stream("fast", "...") as reply`.

        The options are:
        """
        return Stream(
            Call(self._engine, *_arguments(self._engine, model, messages, options), options, stream=True), self._run
        )

    @property
    def ledger(self) -> Ledger:
        """The ledger that this client writes to. Raises `ConfigurationError` for a client with `ledger=False`."""
        return self._engine.known_ledger()

    @property
    def plans(self) -> Plans:
        """Who is on which plan. Raises `ConfigurationError` for a client without `plans=`."""
        return self._engine.known_plans()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The stack, from the outermost layer to the innermost."""
        return self._engine.layers

    def close(self) -> None:
        """Close connections, worker processes and files."""
        if self._portal is not None:
            self._portal.run(lambda _: self._engine.aclose())
            self._portal.close()
        else:
            self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
