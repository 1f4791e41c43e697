"""A provider that plays scripts, and what else tests of code that uses inferkit need."""

from __future__ import annotations

import math
import random
import threading
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from inferkit.core.chunks import Chunk
from inferkit.core.embeddings import BatchLimits, VectorPart, vectors_chunk
from inferkit.core.messages import Message, TextPart
from inferkit.core.record import CallRecord
from inferkit.core.request import Request
from inferkit.core.response import Response
from inferkit.core.usage import Usage
from inferkit.providers.wires.chat.fields import COST_RULES
from inferkit.runtime import writer
from inferkit.runtime.direct import DirectRuntime
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from inferkit.core.body import Batch
    from inferkit.runtime.protocol import Runtime

__all__ = ["FakeProvider", "Script", "make_request", "settled"]

Piece: TypeAlias = str | Chunk | list[str | Chunk] | BaseException | Callable[[], object]
Played: TypeAlias = str | Chunk | BaseException | Sequence[Piece]
Script: TypeAlias = Played | Callable[[Request], Played]


class FakeProvider:
    """A provider that plays scripts, one a call, and the last one again when they run out.

    A script is a text (sent word by word), an exception (raised instead of a reply), or a list of pieces: texts,
    chunks, lists of texts and chunks that come with one read, exceptions (which break the stream there), and functions,
    which are called when the stream gets there, and awaited if they return something to await. A list without a finish
    reason gets `"stop"` at its end, with a usage if it has none. A function of the request gives a script for it.
    Fields of `extra=` cost what they do on the Chat Completions wire.

    Asked for embeddings, it gives each text a vector of its own, of `dimensions` numbers and length 1, and the same one
    each time, at a token a word; a script that is an exception, or gives one, is raised, and one that is a list is
    played. `batch` is how many texts it takes in one request.

    `requests` holds what was asked, `sent` counts the chunks that were read, and `open_streams` the streams that nobody
    has closed or read to their end.
    """

    operations = ("embed",)

    def __init__(self, *scripts: Script, name: str = "fake", dimensions: int = 8, batch: int | None = None) -> None:
        self._scripts: deque[Script] = deque(scripts or ("A reply.",))
        self.renew()
        renew_after_fork(self)
        self.name = name
        self.dimensions = dimensions
        self.batch = batch
        self.fingerprint = name
        self.cost_rules = COST_RULES
        self.requests: list[Request] = []
        self.sent = 0
        self.open_streams = 0

    def renew(self) -> None:
        """Renew the lock in a forked child."""
        self._lock = threading.Lock()

    async def __call__(self, request: Request) -> Response:
        """Play the next script."""
        with self._lock:
            self.requests.append(request)
            script = self._scripts.popleft() if len(self._scripts) > 1 else self._scripts[0]
        if callable(script):
            script = script(request)
        if isinstance(script, BaseException):
            raise script
        if request.operation == "embed" and isinstance(script, str):
            script = _vectors(request, request.dimensions or self.dimensions)
        body = _Playing(self, _pieces(script, request))
        return Response(body, runtime=request.runtime, model=request.model)

    def play(self, *scripts: Script) -> None:
        """Have these played from the next call on, in place of those that are left."""
        with self._lock:
            self._scripts = deque(scripts)

    def batch_limits(self, dimensions: int | None) -> BatchLimits:  # noqa: ARG002 - they do not matter here
        """Say how many texts one request may have."""
        return BatchLimits(self.batch)

    def count(self, *, streams: int = 0, chunks: int = 0) -> None:
        """Count a stream that opened or ended, and what was read of one."""
        with self._lock:
            self.open_streams += streams
            self.sent += chunks


class _Playing:
    def __init__(self, provider: FakeProvider, pieces: Sequence[object]) -> None:
        self._provider = provider
        self._pieces = deque(pieces)
        self._open = True
        provider.count(streams=+1)

    async def __anext__(self) -> Batch:
        while self._pieces:
            piece = self._pieces.popleft()
            if isinstance(piece, str | Chunk | list):
                batch = [_chunk(each) for each in (piece if isinstance(piece, list) else [piece])]
                self._provider.count(chunks=len(batch))
                return batch
            if isinstance(piece, BaseException):
                await self.aclose()
                raise piece
            assert callable(piece)
            waiting = piece()
            if hasattr(waiting, "__await__"):
                await waiting
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            self._provider.count(streams=-1)


def _pieces(script: Played, request: Request) -> list[object]:
    if isinstance(script, str):
        words = script.split(" ")
        pieces: list[object] = [word if place == 0 else f" {word}" for place, word in enumerate(words)]
    elif isinstance(script, Chunk):
        pieces = [script]
    else:
        assert not isinstance(script, BaseException)
        pieces = list(script)
    flat = [each for piece in pieces for each in (piece if isinstance(piece, list) else [piece])]
    ended = any(isinstance(piece, BaseException) or _finishes(piece) for piece in flat)
    if not ended and request.operation != "embed":
        usage = None
        if not any(isinstance(piece, Chunk) and piece.usage for piece in flat):
            output = sum(1 for piece in flat if isinstance(piece, str | Chunk))
            usage = Usage(sum(len(message.text.split()) for message in request.messages), output)
        pieces.append(Chunk(finish_reason="stop", usage=usage))
    return pieces


def _vectors(request: Request, dimensions: int) -> Chunk:
    """Give each text numbers that its hash is the seed of: other texts have others, in every process."""
    vectors = []
    for place, message in enumerate(request.messages):
        chance = random.Random(message.text)  # noqa: S311 - no secret
        values = [chance.gauss(0.0, 1.0) for _ in range(dimensions)]
        length = math.hypot(*values)
        vectors.append(VectorPart(place, array("f", [value / length for value in values]).tobytes()))
    return vectors_chunk(vectors, Usage(sum(len(message.text.split()) for message in request.messages)))


def _chunk(piece: str | Chunk) -> Chunk:
    return Chunk(text=piece) if isinstance(piece, str) else piece


def _finishes(piece: object) -> bool:
    return isinstance(piece, Chunk) and piece.finish_reason is not None


def make_request(text: str = "Hello", *, model: str = "fake:any", runtime: Runtime | None = None) -> Request:
    """Make a request as a layer receives it, for tests of layers."""
    runtime = runtime or DirectRuntime()
    message = Message("user", (TextPart(text),))
    return Request(model=model, messages=(message,), runtime=runtime, record=CallRecord(runtime))


def settled(timeout: float = 30.0) -> None:
    """Wait until every stream that was dropped so far has been ended and settled.

    Raises `AssertionError` if that takes longer than `timeout` seconds.
    """
    if not writer.endings.flush(timeout):
        raise AssertionError(f"dropped streams were not settled within {timeout} seconds")
