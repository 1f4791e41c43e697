"""The door for plain code: `Client`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from inferkit.client.declarations import documents
from inferkit.client.embed_options import EmbedOptions
from inferkit.client.options import AllOptions, CallOptions, RoundOptions
from inferkit.client.question import NOT_GIVEN, read_question
from inferkit.client.settings import Settings
from inferkit.client.shared import Shared, make_configured, make_engine
from inferkit.client.streams import Run, Stream
from inferkit.runtime import imports
from inferkit.runtime.direct import directly

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Self, Unpack

    from inferkit.client.tool_streams import ToolStream
    from inferkit.core.embeddings import Embeddings
    from inferkit.core.messages import Messages
    from inferkit.core.reply import Reply, T
    from inferkit.core.tool_run import ToolRun
    from inferkit.runtime.portal import Portal

__all__ = ["Client"]


@documents(Settings)
class Client(Shared):
    """Makes model calls from plain code, through the whole stack.

    It needs no event loop and no thread. `portal=True` runs the stack on an event loop in a thread of its own, for
    layers that wait for one. One client serves a whole application, and any number of threads. It takes also:
    """

    def __init__(self, *, portal: bool = False, **settings: Unpack[Settings]) -> None:
        self._engine, self._call = make_engine(settings)
        self._portal: Portal | None = None
        if portal:
            imports.load("inferkit.runtime.portal")
            from inferkit.runtime.portal import Portal

            self._portal = Portal()
            if settings.get("preload"):
                from inferkit.runtime.loops import import_loops

                import_loops()
        self._run: Run = self._portal.run if self._portal is not None else directly

    @classmethod
    def from_config(
        cls, path: str | os.PathLike[str] | None = None, *, portal: bool = False, **settings: Unpack[Settings]
    ) -> Self:
        """Make a client that is set up by a file and by the environment; `settings` go before both.

        The file is the one at `path`, or else the one that `INFERKIT_CONFIG` names, or an `inferkit.toml` or a
        `pyproject.toml` with `[tool.inferkit]`, in the working folder or the closest above it. Its settings have the
        names of the arguments, and so have variables: `INFERKIT_TIMEOUT` goes before `timeout`. Where there is nothing,
        the defaults hold. Raises `ConfigurationError` for a variable that makes no sense, and for a file
        `ConfigurationFileError`, which says where.
        """
        return make_configured(lambda found: cls(portal=portal, **found), path, settings)

    @documents(AllOptions)
    def complete(
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
        self._run(call.read)
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
    ) -> Stream[T]:
        """Make one call and read its reply as it comes: `with client.stream("fast", "...") as reply`.

        The options are:
        """
        return Stream(
            self._call(first, second, model, messages, schema, options, stream=True),
            self._run,
        )

    @documents(AllOptions, but="tools")
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
        schema: type[T] | Mapping[str, Any] | None = None,
        **options: Unpack[RoundOptions],
    ) -> ToolRun[T]:
        """Make calls until the model has no function to ask for any more: `.text`, `.parsed`, `.cost`, `.messages`.

        `tools` are functions, which run one after another, here. What one raises is told to the model, without its
        traceback, or with `on_tool_error="raise"` is raised. `timeout=` is for everything together, and every call is
        charged as it would be alone. After `max_rounds` replies that ask for functions, `ToolRoundsExceeded` is raised.
        Each error has in its `run` what was done before it. The options are those of `complete`:
        """
        from inferkit.client.tool_loop import LoopOptions, ToolLoop

        if schema is not None:
            options["schema"] = schema  # type: ignore[typeddict-unknown-key]
        asked = read_question(self._engine.catalog, first, second, model, messages, options)
        more = LoopOptions(max_rounds, on_tool_error, stream=False, here=True)
        return ToolLoop(self._engine, *asked, tools, options, more).run_here(self._run)

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
    ) -> ToolStream[T]:
        """Do what `run_tools` does, and read it as it comes: `with client.stream_tools(...) as stream`.

        It gives the chunks of each reply, and in between `ToolStarted` for what is about to run and `ToolEnded` for
        what has. `run` is what was done so far, and at the end the whole. It takes what `run_tools` takes:
        """
        from inferkit.client.tool_loop import LoopOptions, ToolLoop
        from inferkit.client.tool_streams import ToolStream

        if schema is not None:
            options["schema"] = schema  # type: ignore[typeddict-unknown-key]
        asked = read_question(self._engine.catalog, first, second, model, messages, options)
        more = LoopOptions(max_rounds, on_tool_error, stream=True, here=True)
        return ToolStream(ToolLoop(self._engine, *asked, tools, options, more), self._run)

    @documents(EmbedOptions)
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
