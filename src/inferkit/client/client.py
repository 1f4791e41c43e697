"""The door: `Client` for plain code, `AsyncClient` for asyncio and trio. Both drive the same coroutines.

The two are the same methods twice, with and without `await`, and are easier to compare in one place: hence its length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from inferkit.client.call import Call
from inferkit.client.declarations import documents
from inferkit.client.embed_options import EmbedOptions
from inferkit.client.engine import Engine
from inferkit.client.options import CallOptions, RoundOptions
from inferkit.client.question import NOT_GIVEN, read_question
from inferkit.client.settings import Settings
from inferkit.client.streams import AsyncStream, Run, Stream
from inferkit.runtime import imports
from inferkit.runtime.direct import directly
from inferkit.runtime.loops import current_runtime, import_loops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Self, Unpack

    from inferkit.core.embeddings import Embeddings
    from inferkit.core.messages import Messages
    from inferkit.core.reply import Reply
    from inferkit.core.request import Layer
    from inferkit.ledger.ledger import Ledger
    from inferkit.plans.subscriptions import Plans
    from inferkit.runtime.portal import Portal

__all__ = ["AsyncClient", "Client"]

_lists_settings = documents(Settings)
_lists_options = documents(CallOptions)
_lists_round_options = documents(RoundOptions)
_lists_embed_options = documents(EmbedOptions)
_USUAL = frozenset({str, list})


def _arguments(  # noqa: PLR0917 - as they were passed
    engine: Engine,
    first: str | Messages,
    second: Messages,
    model: str | None,
    messages: Messages,
    options: Mapping[str, Any],
) -> tuple[str | None, Messages]:
    if type(first) is str and type(second) in _USUAL and model is NOT_GIVEN and messages is NOT_GIVEN:
        return first, second
    return read_question(engine.catalog, first, second, model, messages, options)


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
        self,
        first: str | Messages = NOT_GIVEN,
        second: Messages = NOT_GIVEN,
        /,
        *,
        model: str | None = NOT_GIVEN,
        messages: Messages = NOT_GIVEN,
        **options: Unpack[CallOptions],
    ) -> Reply:
        """Make one call and return its whole reply: `complete("fast", "What is...?")`, or without the model's name.

        Both may be passed by name: `complete(model="fast", messages=[...])`.

        Raises the errors of `inferkit.core.errors`: `BudgetExceeded`, `ProviderError` and so on. The options are:
        """
        call = Call(
            self._engine,
            *_arguments(self._engine, first, second, model, messages, options),
            options,
            stream=False,
        )
        return await call.read(current_runtime())

    @_lists_options
    def stream(
        self,
        first: str | Messages = NOT_GIVEN,
        second: Messages = NOT_GIVEN,
        /,
        *,
        model: str | None = NOT_GIVEN,
        messages: Messages = NOT_GIVEN,
        **options: Unpack[CallOptions],
    ) -> AsyncStream:
        """Make one call and read its reply as it comes: `async with client.stream("fast", "...") as reply`.

        The options are:
        """
        return AsyncStream(
            Call(
                self._engine,
                *_arguments(self._engine, first, second, model, messages, options),
                options,
                stream=True,
            )
        )

    @_lists_round_options
    async def run_tools(
        self,
        first: str | Messages = NOT_GIVEN,
        second: Messages = NOT_GIVEN,
        /,
        *,
        tools: Sequence[Callable[..., Any]],
        model: str | None = NOT_GIVEN,
        messages: Messages = NOT_GIVEN,
        max_rounds: int = 10,
        on_tool_error: Literal["tell", "raise"] = "tell",
        **options: Unpack[RoundOptions],
    ) -> Reply:
        """Make calls until the model has no function to ask for any more, and return the last reply.

        `tools` are functions. Those that the model asks for at once run at once, others than coroutine functions in
        threads. What one raises is told to the model, without its traceback, or with `on_tool_error="raise"` is raised.
        `timeout=` is for everything together, and every call is charged as if it were alone. After `max_rounds` replies
        that ask for functions, `ToolRoundsExceeded` is raised. `reply.conversation` is what to go on with. The options
        are those of `complete`:
        """
        from inferkit.client.tool_loop import ToolLoop

        asked = _arguments(self._engine, first, second, model, messages, options)
        loop = ToolLoop(self._engine, *asked, tools, options, max_rounds=max_rounds, on_tool_error=on_tool_error)
        return await loop.run(current_runtime())

    @_lists_embed_options
    async def embed(self, model: str, texts: str | Iterable[str], **options: Unpack[EmbedOptions]) -> Embeddings:
        """Give a vector for each text: `embed("docs", ["...", "..."]).vectors`, in the order of the texts.

        Equal texts are asked for once, those in the cache not at all, and the others in as few requests as the server
        takes, some of them at once. Each request is held for, tried again and charged alone. Where one fails for good,
        the error has the vectors that came as `.embedded`.

        Raises the errors of `inferkit.core.errors`; `ConfigurationError` also for a name that stands for several
        models, whose vectors cannot be compared. The options are:
        """
        imports.load("inferkit.client.embedding")
        from inferkit.client.embedding import EmbeddingCall

        return await EmbeddingCall(self._engine, model, texts, options).run(current_runtime())

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
        self,
        first: str | Messages = NOT_GIVEN,
        second: Messages = NOT_GIVEN,
        /,
        *,
        model: str | None = NOT_GIVEN,
        messages: Messages = NOT_GIVEN,
        **options: Unpack[CallOptions],
    ) -> Reply:
        """Make one call and return its whole reply: `complete("fast", "What is...?")`, or without the model's name.

        Both may be passed by name: `complete(model="fast", messages=[...])`.

        Raises the errors of `inferkit.core.errors`: `BudgetExceeded`, `ProviderError` and so on. The options are:
        """
        return self._run(
            Call(
                self._engine,
                *_arguments(self._engine, first, second, model, messages, options),
                options,
                stream=False,
            ).read
        )

    @_lists_options
    def stream(
        self,
        first: str | Messages = NOT_GIVEN,
        second: Messages = NOT_GIVEN,
        /,
        *,
        model: str | None = NOT_GIVEN,
        messages: Messages = NOT_GIVEN,
        **options: Unpack[CallOptions],
    ) -> Stream:
        """Make one call and read its reply as it comes: `with client.stream("fast", "...") as reply`.

        The options are:
        """
        return Stream(
            Call(
                self._engine,
                *_arguments(self._engine, first, second, model, messages, options),
                options,
                stream=True,
            ),
            self._run,
        )

    @_lists_round_options
    def run_tools(
        self,
        first: str | Messages = NOT_GIVEN,
        second: Messages = NOT_GIVEN,
        /,
        *,
        tools: Sequence[Callable[..., Any]],
        model: str | None = NOT_GIVEN,
        messages: Messages = NOT_GIVEN,
        max_rounds: int = 10,
        on_tool_error: Literal["tell", "raise"] = "tell",
        **options: Unpack[RoundOptions],
    ) -> Reply:
        """Make calls until the model has no function to ask for any more, and return the last reply.

        `tools` are functions, which run one after another, here. What one raises is told to the model, without its
        traceback, or with `on_tool_error="raise"` is raised. `timeout=` is for everything together, and every call is
        charged as it would be alone. After `max_rounds` replies that ask for functions, `ToolRoundsExceeded` is raised.
        `reply.conversation` is what to go on with. The options are those of `complete`:
        """
        from inferkit.client.tool_loop import ToolLoop

        asked = _arguments(self._engine, first, second, model, messages, options)
        loop = ToolLoop(self._engine, *asked, tools, options, max_rounds=max_rounds, on_tool_error=on_tool_error)
        return loop.run_here(self._run)

    @_lists_embed_options
    def embed(self, model: str, texts: str | Iterable[str], **options: Unpack[EmbedOptions]) -> Embeddings:
        """Give a vector for each text: `embed("docs", ["...", "..."]).vectors`, in the order of the texts.

        Equal texts are asked for once, those in the cache not at all, and the others in as few requests as the server
        takes, some of them at once. Each request is held for, tried again and charged alone. Where one fails for good,
        the error has the vectors that came as `.embedded`.

        Raises the errors of `inferkit.core.errors`; `ConfigurationError` also for a name that stands for several
        models, whose vectors cannot be compared. The options are:
        """
        imports.load("inferkit.client.embedding")
        from inferkit.client.embedding import EmbeddingCall

        return self._run(EmbeddingCall(self._engine, model, texts, options).run)

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
