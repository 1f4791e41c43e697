"""Goes on with a stream that broke in the middle, where its parts can be joined with certainty.

What has been handed on stays. A server that goes on with an assistant's message which it is given (prefill) is given
what came so far. Elsewhere the model is asked to go on, and to begin with the last words of what came; these are taken
off again, and where they are not there, nothing is joined. So no character is missing and none comes twice.
"""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import InferkitError, StreamError, StreamInterrupted
from inferkit.core.messages import Message, ReasoningPart, TextPart
from inferkit.core.request import extra_for, sent_to, served_by
from inferkit.layers.bound import requests_left
from inferkit.layers.resolve import resolved
from inferkit.layers.seam import NoSeamError, Seam
from inferkit.typed.form import is_no_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.core.body import Batch
    from inferkit.core.record import CallRecord
    from inferkit.core.request import Handler, Request
    from inferkit.core.response import Response

__all__ = ["Continuation"]

_log = logging.getLogger("inferkit")
_WORDS = (TextPart, ReasoningPart)
_LAST_WORDS = 80  # characters of what came that a model repeats


class Continuation:
    """Goes on with a stream that breaks after its first chunk, at most `most` times a call.

    Each part is an attempt of the kind "continuation", within the call's budget and time, and `Reply.seams` says where
    the parts meet. A reply whose finish reason had come is whole. One that cannot be gone on with (it calls tools, or
    has nothing but reasoning yet), and one whose parts cannot be joined with certainty, end with the
    `StreamInterrupted` that they had.
    """

    role = "continuation"

    def __init__(self, most: int = 2) -> None:
        self._most = most

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Hand the reply on, to be gone on with where it breaks."""
        request = resolved(request)
        response = await call_next(request)
        return response.through(_Joined(response, request, call_next, self._most))


class _Joined:
    """A reply that goes on where it breaks. `source` is the part at hand."""

    __slots__ = ("_call_next", "_calls", "_closed", "_is_whole", "_left", "_request", "_said", "source")

    def __init__(self, source: Response, request: Request, call_next: Handler, most: int) -> None:
        self.source = source
        self._request = request
        self._call_next = call_next
        self._left = most
        self._said: list[str] = []
        self._calls = self._is_whole = False
        self._closed = False

    async def __anext__(self) -> Batch:
        try:
            batch = await self.source.next_batch()
        except StreamInterrupted as broken:
            return await self._go_on(broken)
        self._keep(batch)
        return batch

    async def aclose(self) -> None:
        """Have no other part begun, and close one that has begun since somebody looked."""
        self._closed = True
        await self.source.aclose()

    def _keep(self, batch: Batch) -> None:
        for chunk in batch:
            if chunk.text:
                self._said.append(chunk.text)
            more = chunk.tool_calls or [part for part in chunk.parts if not isinstance(part, _WORDS)]
            self._calls = self._calls or bool(more)
            self._is_whole = self._is_whole or chunk.finish_reason is not None

    async def _go_on(self, broken: StreamInterrupted) -> Batch:
        """Give the first batch of another part, from the seam on; raise what broke the last one where there is none."""
        said = "".join(self._said)
        if self._is_whole:  # its model had said so: what is missing is its usage, or nothing
            self._request.record.note("continuation", how="whole", at=len(said))
            raise StopAsyncIteration
        if said and not self._calls:
            for how, request, seam in _ways(self._request, said):
                if not self._left or self._closed or requests_left(self._request) <= 0:
                    break
                self._left -= 1
                batch = await self._joined(how, request, seam, len(said))
                if batch is not None:
                    return batch
        raise broken

    async def _joined(self, how: str, request: Request, seam: Seam, at: int) -> Batch | None:
        """Begin another part, and read on until it is known to fit; None where it does not."""
        record = self._request.record
        served, broken = (record.provider, record.model), _last_broken(record)
        response = None
        try:
            self.source = response = await self._call_next(request)
            batch = await self._from(seam, response)
        except (InferkitError, NoSeamError, StopAsyncIteration) as error:
            record.note("continuation", how=how, at=at, error=type(error).__name__)
            record.provider, record.model = served  # whose words the caller has
            if response is not None:
                await response.aclose(error=error)
            return None
        except BaseException as error:
            if response is not None:
                await response.aclose(error=error)
            raise
        record.note("continuation", how=how, at=at)
        record.seams = (*record.seams, at)
        record.gone_on = (*record.gone_on, *broken)
        _log.info("call %s: its stream broke and goes on from %s:%s", record.id, record.provider, record.model)
        self._keep(batch)
        return batch

    async def _from(self, seam: Seam, response: Response) -> Batch:
        """Read on until something comes after the seam, unless somebody closes the stream meanwhile."""
        while not self._closed:  # asked after `source` is set, at which whoever closes it looks after this
            batch = seam.fit(await response.next_batch())
            if batch:
                self._check_object(batch)
                return batch
        raise StreamError("the stream was closed while it was being read")

    def _check_object(self, batch: Batch) -> None:
        """Raise `NoSeamError` where an object would be none with what comes: the words before were too few to tell."""
        if self._request.response_schema is not None:
            said = "".join(self._said)
            if not is_no_json(said) and is_no_json(said + "".join([chunk.text for chunk in batch])):
                raise NoSeamError


def _last_broken(record: CallRecord) -> tuple[int, ...]:
    """Give the place of the attempt that has just broken, among those of the call; a hedge may have ended since."""
    served = record.provider, record.model
    return tuple([
        place for place, each in enumerate(record.attempts)
        if each.outcome == "error" and (each.provider, each.model) == served
    ][-1:])  # fmt: skip


def _ways(request: Request, said: str) -> Iterator[tuple[str, Request, Seam]]:
    """Give the requests that ask for the rest, the surest first, and how what comes has to begin."""
    record, served = request.record, served_by(request)
    others = [one for one in request.candidates if one not in served]
    written = sum(record.attempts[place].usage.output_tokens for place in {*record.gone_on, *_last_broken(record)})
    most = request.max_output_tokens
    if most is not None and written >= most:
        return
    changes: dict[str, Any] = {"attempt_kind": "continuation", "response_schema": None}
    prefill = getattr(served[0].adapter, "prefill", None) if served else None
    if prefill is not None:
        whole = said.rstrip()  # some servers refuse a message that ends with a space
        message = Message("assistant", (TextPart(whole),), extra=dict(prefill.message) or None)
        yield (
            "prefill",
            sent_to(
                request,
                served,
                messages=(*request.messages, message),
                extra={**extra_for(request, served[0].adapter), **prefill.fields},
                max_output_tokens=None if most is None else most - written,
                **changes,
            ),
            Seam(said) if prefill.echoes else Seam(said[len(whole) :], said="" if prefill.is_sure else said),
        )
    words = _last_words(said)
    asks = Message.user(
        "Your reply was cut off by a fault of the line. Go on with it from exactly where it ends, as if nothing had "
        "happened. Begin by repeating its last characters to the letter, which stand between the marks, and go on from "
        f"there, without the marks and without a word about it.\n<<<{words}>>>"
    )
    yield (
        "overlap",
        sent_to(
            request,
            [*served, *others],
            messages=(*request.messages, Message("assistant", (TextPart(said),)), asks),
            max_output_tokens=None if most is None else most - written + len(words),
            **changes,
        ),
        Seam(words, after_space=True),
    )


def _last_words(said: str) -> str:
    """Give the end of what was said, from the beginning of a word on where there is one."""
    end = said[-_LAST_WORDS:]
    start = next((place for place, (a, b) in enumerate(pairwise(end), 1) if a.isspace() and not b.isspace()), 0)
    if len(end) == len(said) and not end[0].isspace():
        start = 0  # all of it
    return end[start:]
