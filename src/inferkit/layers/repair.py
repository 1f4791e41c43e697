"""Checks a reply against the form that its call asks for, and has the model mend one that does not fit.

Inside the cache, which keeps only what fits; inside the budget, which the repairs are charged to; outside of the retry,
which sees each repair like any other request. Only calls with a `schema=` pass here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from inferkit.core.chunks import Restart
from inferkit.core.errors import DeadlineExceeded, InferkitError, StreamError
from inferkit.core.messages import Message
from inferkit.core.reply import parts_of
from inferkit.core.request import sent_to, served_by
from inferkit.layers.resolve import resolved
from inferkit.typed.expected import EXPECTED

if TYPE_CHECKING:
    from inferkit.core.body import Batch
    from inferkit.core.errors import InvalidReply
    from inferkit.core.request import Handler, Request
    from inferkit.core.response import Response
    from inferkit.typed.expected import Expected

__all__ = ["Repair"]

_log = logging.getLogger("inferkit")


class Repair:
    """Ends a reply that is no valid object with `InvalidReply`, or asks the model that gave it for another one.

    It is asked with what it said and what is wrong with that, as often as the call allows, within its budget and its
    deadline. What came before a repair is void, which a chunk that `restarts` says. A reply that was cut, filtered or
    refused is not mended.
    """

    role = "repair"

    def __repr__(self) -> str:
        return "Repair()"

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Hand the reply on, to be checked at its end."""
        expected = EXPECTED.get(request)
        if expected is None:
            return await call_next(request)
        request = resolved(request)
        response = await call_next(request)
        return response.through(_Checked(response, request, call_next, expected))


class _Checked:
    """A reply that is checked when it is over, and then perhaps goes on with another one. `source` is the one at hand.

    What comes from its finish reason on is held back until it was checked, so that nobody takes a void reply for whole.
    """

    __slots__ = (
        "_call_next",
        "_closed",
        "_expected",
        "_failure",
        "_held",
        "_left",
        "_over",
        "_request",
        "_said",
        "source",
    )

    def __init__(self, source: Response, request: Request, call_next: Handler, expected: Expected) -> None:
        self.source = source
        self._request = request
        self._call_next = call_next
        self._expected = expected
        self._left = expected.repair
        self._said: Batch = []
        self._held: Batch = []
        self._failure: InvalidReply | None = None
        self._over = self._closed = False

    async def __anext__(self) -> Batch:
        while not self._over:
            try:
                batch = await self.source.next_batch()
            except StopAsyncIteration:
                return await self._at_end()
            self._said += batch
            if self._held:
                self._held += batch
                continue
            ends = [place for place, chunk in enumerate(batch) if chunk.finish_reason is not None]
            if not ends or batch[ends[0]].finish_reason == "budget":  # who cuts it stands further out
                return batch
            self._held = batch[ends[0] :]
            if ends[0]:
                return batch[: ends[0]]
        failure, self._failure = self._failure, None
        if failure is None:
            raise StopAsyncIteration
        try:
            raise failure
        finally:
            failure = None  # its traceback holds this frame: a cycle that would keep the reply alive

    async def aclose(self) -> None:
        """Have no other reply begun, and close one that has begun since somebody looked."""
        self._closed = True
        await self.source.aclose()

    async def _at_end(self) -> Batch:
        """Give what was held back of a reply that is valid or final, or the beginning of another one."""
        wrong = self._expected.judge(self._said)
        if wrong is not None and self._left and self._expected.can_be_repaired(wrong):
            return await self._repaired(wrong)
        self._failure, self._over = wrong, True
        return self._held

    async def _repaired(self, wrong: InvalidReply) -> Batch:
        request = self._request
        record, deadline = request.record, request.deadline
        record.note("repair", repairs_left=self._left, problems=len(wrong.problems))
        self._left -= 1
        if deadline is not None and request.runtime.now() >= deadline:
            raise DeadlineExceeded(partial=wrong.partial) from wrong
        _log.info(
            "call %s: %s:%s is asked again, since its reply was no valid object",
            record.id,
            record.provider,
            record.model,
        )
        try:
            response = await self._call_next(_again(request, self._said, wrong))
        except InferkitError as error:
            if getattr(error, "partial", None) == "":
                error.partial = wrong.partial  # type: ignore[attr-defined]  # as a deadline has it, just above
            raise error from wrong
        self.source, self._said, self._held = response, [], []
        if self._closed:  # after `source` is set: whoever closes it looks there after this
            await response.aclose()
            raise StreamError("the stream was closed while it was being read")
        return [Restart()]


def _again(request: Request, said: Batch, wrong: InvalidReply) -> Request:
    """Give the request that asks the model that gave a reply for a better one."""
    parts = tuple(parts_of(said))
    asks = Message.user(
        f"That does not fit the schema:\n{wrong.detail}\nReply with the whole object once more, corrected, and with "
        "nothing else."
    )
    answer = (Message("assistant", parts),) if parts else ()
    messages = (*request.messages, *answer, asks)
    return sent_to(request, served_by(request) or request.candidates, messages=messages, attempt_kind="repair")
