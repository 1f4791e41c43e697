"""The door for asyncio and trio: `AsyncClient`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from inferkit.client.declarations import documents
from inferkit.client.embed_options import EmbedOptions
from inferkit.client.options import AllOptions, CallOptions, RoundOptions
from inferkit.client.question import NOT_GIVEN, read_question
from inferkit.client.settings import Settings
from inferkit.client.shared import Shared, make_configured, make_engine
from inferkit.client.streams import AsyncStream
from inferkit.runtime import imports
from inferkit.runtime.loops import current_runtime, import_loops

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Self, Unpack

    from inferkit.client.tool_streams import AsyncToolStream
    from inferkit.core.embeddings import Embeddings
    from inferkit.core.messages import Messages
    from inferkit.core.reply import Reply, T
    from inferkit.core.tool_run import ToolRun

__all__ = ["AsyncClient"]


@documents(Settings)
class AsyncClient(Shared):
    """Makes model calls from asyncio and trio, through the whole stack.

    One client serves a whole application; it is safe in any number of tasks, threads and event loops. It takes:
    """

    def __init__(self, **settings: Unpack[Settings]) -> None:
        self._engine, self._call = make_engine(settings)
        if settings.get("preload"):
            import_loops()

    @classmethod
    def from_config(cls, path: str | os.PathLike[str] | None = None, **settings: Unpack[Settings]) -> Self:
        """Make a client that is set up by a file and by the environment; `settings` go before both.

        See `Client.from_config`.
        """
        return make_configured(lambda found: cls(**found), path, settings)

    @documents(AllOptions)
    async def complete(
        self,
        first: str | Messages = NOT_GIVEN,
        second: Messages = NOT_GIVEN,
        /,
        *,
        model: str | None = NOT_GIVEN,
        messages: Messages = NOT_GIVEN,
        schema: type[T] | Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> Reply[T]:
        """Make one call and return its whole reply: `complete("fast", "What is...?")`, or without the model's name.

        Both may be passed by name: `complete(model="fast", messages=[...])`.

        Raises the errors of `inferkit.core.errors`: `BudgetExceeded`, `ProviderError` and so on. The options are:
        """
        call = self._call(first, second, model, messages, schema, options, stream=False)
        await call.read(current_runtime())
        return call.reply

    @documents(AllOptions)
    def stream(
        self,
        first: str | Messages = NOT_GIVEN,
        second: Messages = NOT_GIVEN,
        /,
        *,
        model: str | None = NOT_GIVEN,
        messages: Messages = NOT_GIVEN,
        schema: type[T] | Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncStream[T]:
        """Make one call and read its reply as it comes: `async with client.stream("fast", "...") as reply`.

        The options are:
        """
        return AsyncStream(self._call(first, second, model, messages, schema, options, stream=True))

    @documents(AllOptions, but="tools")
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
        schema: type[T] | Mapping[str, Any] | None = None,
        **options: Unpack[RoundOptions],
    ) -> ToolRun[T]:
        """Make calls until the model has no function to ask for any more: `.text`, `.parsed`, `.cost`, `.messages`.

        `tools` are functions. Those that the model asks for at once run at once, others than coroutine functions in
        threads. What one raises is told to the model, without its traceback, or with `on_tool_error="raise"` is raised.
        `timeout=` is for everything together, and every call is charged as if it were alone. After `max_rounds` replies
        that ask for functions, `ToolRoundsExceeded` is raised. Each error has in its `run` what was done before it. The
        options are those of `complete`:
        """
        from inferkit.client.tool_loop import LoopOptions, ToolLoop

        if schema is not None:
            options["schema"] = schema  # type: ignore[typeddict-unknown-key]
        asked = read_question(self._engine.catalog, first, second, model, messages, options)
        more = LoopOptions(max_rounds, on_tool_error, stream=False, here=False)
        return await ToolLoop(self._engine, *asked, tools, options, more).run(current_runtime())

    @documents(AllOptions, but="tools")
    def stream_tools(
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
        schema: type[T] | Mapping[str, Any] | None = None,
        **options: Unpack[RoundOptions],
    ) -> AsyncToolStream[T]:
        """Do what `run_tools` does, and read it as it comes: `async with client.stream_tools(...) as stream`.

        It gives the chunks of each reply, and in between `ToolStarted` for what is about to run and `ToolEnded` for
        what has. `run` is what was done so far, and at the end the whole. It takes what `run_tools` takes:
        """
        from inferkit.client.tool_loop import LoopOptions, ToolLoop
        from inferkit.client.tool_streams import AsyncToolStream

        if schema is not None:
            options["schema"] = schema  # type: ignore[typeddict-unknown-key]
        asked = read_question(self._engine.catalog, first, second, model, messages, options)
        more = LoopOptions(max_rounds, on_tool_error, stream=True, here=False)
        return AsyncToolStream(ToolLoop(self._engine, *asked, tools, options, more))

    @documents(EmbedOptions)
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

    async def aclose(self) -> None:
        """Close connections, worker processes and files."""
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
