"""What a worker says of one call, as the body of a response: waited for through the runtime only."""

from __future__ import annotations

from base64 import b64decode
from collections import deque
from typing import TYPE_CHECKING, Any

from inferkit.core import record
from inferkit.core.chunks import Chunk, TokenLogprob, ToolCallDelta
from inferkit.core.embeddings import VectorPart, vectors_chunk
from inferkit.core.errors import DeadlineExceeded, StreamError
from inferkit.core.usage import Usage, UsageDetails

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.local.worker.supervisor import WorkerCall
    from inferkit.runtime.protocol import Runtime

__all__ = ["Frames", "ReplyBody", "VectorBody"]


class Frames:
    """Reads the frames of one call, waiting through the runtime only."""

    def __init__(self, call: WorkerCall, runtime: Runtime, deadline: float | None) -> None:
        self._call = call
        self._runtime = runtime
        self._deadline = deadline
        self._frames: deque[dict[str, Any]] = deque()
        self._ended = False
        self._closed = False

    async def frame(self) -> dict[str, Any]:
        """Give the next frame. Raises `DeadlineExceeded` when the request's time is up."""
        while not self._frames:
            if self._closed:
                raise StreamError("the stream was closed while it was being read")
            left = None if self._deadline is None else self._deadline - self._runtime.now()
            if left is not None and left <= 0:
                raise DeadlineExceeded(
                    "the local model did not finish in time; pass a longer timeout= or a lower max_output_tokens="
                )
            found = self._call.receive()
            if found:
                self._frames.extend(found)
                continue
            pause = self._call.interval if left is None else min(self._call.interval, left)
            if not await self._runtime.wait_readable(self._call.sock, pause) and pause == self._call.interval:
                self._call.look()
        return self._frames.popleft()

    def end(self) -> None:
        """Take note that the last frame came."""
        self._ended = True
        self._call.close()

    async def aclose(self) -> None:
        """Hang up, which stops the model before its next token; from any task or thread."""
        if not self._closed:
            self._closed = True
            if not self._ended:
                self._runtime.wake(self._call.sock)
            self._call.close()


class ReplyBody(Frames):
    """The reply to a request as it comes. How a draft did is noted on the request's record."""

    def __init__(self, call: WorkerCall, request: Request) -> None:
        super().__init__(call, request.runtime, request.deadline)
        self._record = request.record

    async def start(self) -> dict[str, Any]:
        """Wait for the first frame, which comes once the prompt was accepted."""
        frame = await self.frame()
        start: dict[str, Any] = frame["start"]
        return start

    async def __anext__(self) -> Chunk:
        if self._ended:
            raise StopAsyncIteration
        frame = await self.frame()
        if "text" in frame:
            told = frame.get("logprobs", ())
            return Chunk(text=frame["text"], logprobs=tuple([_logprob(*one) for one in told]))
        if "call" in frame:
            name, arguments = frame["call"]
            return Chunk(tool_calls=(ToolCallDelta(0, f"call_{record.entropy(8).hex()}", name, arguments),))
        self.end()
        if "draft" in frame:
            self._record.note("draft", **{name: value for name, value in frame["draft"].items() if value is not None})
        details = UsageDetails(prompt_nanoseconds=frame["prompt_ns"], reply_nanoseconds=frame["reply_ns"])
        usage = Usage(frame["prompt"], frame["output"], cache_read_tokens=frame["cached"], details=details)
        return Chunk(finish_reason=frame["end"], usage=usage, event=frame)


class VectorBody(Frames):
    """Vectors as they come."""

    async def __anext__(self) -> Chunk:
        if self._ended:
            raise StopAsyncIteration
        frame = await self.frame()
        if "vector" in frame:
            return vectors_chunk([VectorPart(frame["place"], b64decode(frame["vector"]))])
        self.end()
        return Chunk(usage=Usage(frame["prompt"], details=UsageDetails(prompt_nanoseconds=frame["prompt_ns"])))


def _logprob(token: str, logprob: float, likeliest: list[tuple[str, float]]) -> TokenLogprob:
    return TokenLogprob(token, logprob, tuple([(text, value) for text, value in likeliest]))
