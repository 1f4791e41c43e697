"""One call from the caller's side: opened once, read step by step, closed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from inferkit.caching.control import CACHE, CACHE_TAGS
from inferkit.client.engine import GRACE
from inferkit.client.question import NOT_GIVEN, read_question
from inferkit.core.chunks import since_restart
from inferkit.core.errors import InferkitError, StreamError
from inferkit.core.messages import Message
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.core.request import Request
from inferkit.providers.wires.messages import as_messages
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.client.engine import Engine
    from inferkit.client.options import CallOptions
    from inferkit.client.tools import Readers
    from inferkit.core.body import Batch
    from inferkit.core.chunks import Chunk
    from inferkit.core.messages import Messages
    from inferkit.core.response import Response
    from inferkit.runtime.protocol import Runtime
    from inferkit.typed.expected import Expected

__all__ = ["Call", "call_for"]

_USUAL = frozenset({str, list})
_BLANK = Request(model="", messages=(), runtime=cast("Runtime", None), record=cast("CallRecord", None))


def call_for(  # noqa: PLR0917 - as they were passed
    engine: Engine,
    first: str | Messages,
    second: Messages,
    model: str | None,
    messages: Messages,
    schema: Any,
    options: CallOptions,
    *,
    stream: bool,
) -> Call:
    """Make the call that a client was asked for. Raises `ConfigurationError` for what makes no sense."""
    if schema is not None:
        options["schema"] = schema  # type: ignore[typeddict-unknown-key]
    if not (type(first) is str and type(second) in _USUAL and model is NOT_GIVEN and messages is NOT_GIVEN):
        first, second = read_question(engine.catalog, first, second, model, messages, options)  # type: ignore[assignment]
    return Call(engine, first, second, options, stream=stream)  # type: ignore[arg-type]


class Call:
    """One call: opened once, read step by step, closed once. What both kinds of stream are made of.

    `ready` holds what was read and the caller was not given yet, its end first: whoever takes one from it has given it.
    `fields` are of the request, and were read and checked elsewhere.
    """

    def __init__(
        self,
        engine: Engine,
        model: str | None,
        messages: Messages,
        options: CallOptions,
        *,
        stream: bool,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self.record = CallRecord(clock)
        self.ready: list[Chunk] = []
        self._received: list[Chunk] = []
        self._engine = engine
        asked = engine.read(options, self.record)  # here, in the caller's own context
        self._expected: Expected | None = None
        if "schema" in asked or "repair" in asked:
            from inferkit.typed.asking import expect

            self._expected = expect(asked)
        self._readers: Readers | None = None
        if "tools" in asked:
            from inferkit.client.tools import take

            self._readers = take(asked)
        self._asked = model, messages, {**asked, **fields} if fields else asked
        self._stream = stream
        self._response: Response | None = None
        self._turns = [None] if stream else []  # whoever takes the one that is there begins; no two can
        self._deadline: float | None = None
        self._runtime: Runtime | None = None

    @property
    def chunks(self) -> list[Chunk]:
        """Those that the caller was given."""
        return self._received[: -len(self.ready)] if self.ready else self._received

    @property
    def opened(self) -> bool:
        """Whether the reply has begun."""
        return self._response is not None

    def standing(self) -> tuple[str, ...]:
        """Say how far it is, for people."""
        if self._response is None:
            return ("not begun", f"id={self.record.id!r}")
        ended = next((chunk.finish_reason for chunk in reversed(self.chunks) if chunk.finish_reason), None)
        state = "closed" if self._response.is_closed else "open"
        model = ":".join(filter(None, (self.record.provider, self.record.model)))
        facts = [f"{len(self.chunks)} chunks", f"{sum(len(chunk.text) for chunk in self.chunks)} characters"]
        facts += [f"finish_reason={ended!r}"] if ended else []
        return (state, *facts, *([f"model={model!r}"] if model else []), f"id={self.record.id!r}")

    @property
    def reply(self) -> Reply:
        """The reply as received so far."""
        expected = self._expected
        if expected is None and self._readers is None:
            return Reply.of(self.chunks if self.ready else self._received, self.record)
        reply = Reply.of(since_restart(self.chunks), self.record, expected and expected.found)
        return reply if self._readers is None else self._readers.bind(reply)

    @property
    def text(self) -> str:
        """The text received so far."""
        chunks = self.chunks if self._expected is None else since_restart(self.chunks)
        return "".join([chunk.text for chunk in chunks])

    @property
    def partial_object(self) -> Any:
        """What the text received so far is the beginning of, as plain data; None where that is nothing yet."""
        from inferkit.typed.form import partial_of

        return partial_of(self.text)

    async def begin(self, runtime: Runtime) -> None:
        """Send the call of a stream, unless it has been sent. Raises `StreamError` where another reader does that now.

        Two that began at once would send it twice, on one record: the provider would be paid for both, and the
        ledger know of one.
        """
        if self._response is not None:
            return
        try:
            self._turns.pop()
        except IndexError:
            raise StreamError("the stream is being begun by two at once; give each reader one of its own") from None
        try:
            await self.open(runtime)
        finally:
            self._turns.append(None)

    async def open(self, runtime: Runtime) -> None:
        """Send the call, unless it has been sent."""
        if self._response is not None:
            return
        self._runtime = runtime
        try:
            request = self.request(runtime)
            self._response = await self._engine.send(request)
            self._deadline = None if request.deadline is None else request.deadline + GRACE
        except InferkitError as error:
            self.record.sign(error)
            raise
        if self._stream:
            runtime.endings.until_exit(self)

    def request(self, runtime: Runtime) -> Request:
        """Make the request as it is sent. Raises `ConfigurationError` for messages that make no sense."""
        model, messages, asked = self._asked
        fields: dict[str, Any] = {"extra": {}, "extensions": {}, **asked}  # its own, should a layer write to them
        seconds = fields.pop("timeout", self._engine.timeout)
        cache = fields.pop("cache", "use")
        tags = fields.pop("cache_tags", None)
        if tags is not None:
            fields["extensions"] = {**fields["extensions"], CACHE_TAGS: tags}
        if cache != "use":
            fields["extensions"] = {**fields["extensions"], CACHE: cache}
        question = messages if isinstance(messages, str) and messages.strip() else None  # as nearly always
        return _BLANK.replace(  # several times faster than to make one from nothing
            model=model or self._engine.catalog.default,
            messages=as_messages(messages) if question is None else (Message.user(question),),
            runtime=runtime,
            record=self.record,
            stream=self._stream,
            deadline=None if seconds is None else runtime.now() + seconds,
            **fields,
        )

    async def read_on(self) -> None:
        """Have the chunks of the next read ready; raise `StopAsyncIteration` at the end."""
        batch = await self._next_batch()
        self._received += batch
        self.ready = batch[::-1]

    async def read_batch(self) -> Batch:
        """Give the chunks of the next read, and keep them; raise `StopAsyncIteration` at the end."""
        batch = await self._next_batch()
        self._received += batch
        return batch

    @property
    def response(self) -> Response:
        """The reply that has begun."""
        assert self._response is not None
        return self._response

    async def _next_batch(self) -> Batch:
        response = self._response
        assert response is not None
        try:
            if self._deadline is None:
                return await response.next_batch()
            assert self._runtime is not None
            return await self._runtime.within(self._deadline, response.next_batch())
        except StopAsyncIteration:
            self._judge()
            raise
        except InferkitError as error:
            self.record.sign(error, self.text)
            raise

    def _judge(self) -> None:
        """Have the object of a reply that ended, wherever that came from. Raises `InvalidReply` where it is none."""
        if self._expected is not None:
            wrong = self._expected.judge(self.chunks)
            if wrong is not None:
                self.record.sign(wrong)
                raise wrong from None

    async def read(self, runtime: Runtime) -> None:
        """Send the call and read its reply to the end; `reply` has it then."""
        await self.open(runtime)
        response = self._response
        assert response is not None
        step = response.next_batch if self._deadline is None else self._next_batch
        try:
            while True:
                self._received += await step()
        except StopAsyncIteration:
            pass
        except BaseException as error:
            if isinstance(error, InferkitError):
                self.record.sign(error, self.text)
            await self.close(error)
            raise
        if self._expected is not None:
            self._judge()

    async def close(self, error: BaseException | None = None) -> None:
        """Close the reply; `error` is what made the reader leave, if anything."""
        self._received, self.ready = self.chunks, []
        if self._response is not None:
            await self._response.aclose(error=error)

    def abandon(self) -> None:
        """End a stream that is still open when the interpreter exits."""
        assert self._response is not None  # there was nothing to end before
        self._response.abandon()
