"""The door: `Client` for plain code, `AsyncClient` for asyncio and trio. Both drive the same coroutines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from inferkit.client.call import Call, arguments
from inferkit.client.declarations import documents
from inferkit.client.engine import Engine
from inferkit.client.options import CallOptions, RoundOptions
from inferkit.client.question import NOT_GIVEN
from inferkit.client.settings import Settings
from inferkit.client.shared import Shared
from inferkit.client.streams import AsyncStream, Run, Stream
from inferkit.runtime import imports
from inferkit.runtime.direct import directly
from inferkit.runtime.loops import current_runtime, import_loops

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self, Unpack

    from inferkit.core.messages import Messages
    from inferkit.core.reply import Reply
    from inferkit.runtime.portal import Portal

__all__ = ["AsyncClient", "Client"]

_lists_settings = documents(Settings)
_lists_options = documents(CallOptions)
_lists_round_options = documents(RoundOptions)


@_lists_settings
class AsyncClient(Shared):
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
            *arguments(self._engine, first, second, model, messages, options),
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
                *arguments(self._engine, first, second, model, messages, options),
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

        asked = arguments(self._engine, first, second, model, messages, options)
        loop = ToolLoop(self._engine, *asked, tools, options, max_rounds=max_rounds, on_tool_error=on_tool_error)
        return await loop.run(current_runtime())

    async def aclose(self) -> None:
        """Close connections, worker processes and files."""
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@_lists_settings
class Client(Shared):
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
                *arguments(self._engine, first, second, model, messages, options),
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
                *arguments(self._engine, first, second, model, messages, options),
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

        asked = arguments(self._engine, first, second, model, messages, options)
        loop = ToolLoop(self._engine, *asked, tools, options, max_rounds=max_rounds, on_tool_error=on_tool_error)
        return loop.run_here(self._run)

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
