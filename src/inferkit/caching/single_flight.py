"""Identical calls in flight share one stream.

The first call leads: it opens the stream. The others wait for the opening, then everybody reads the same buffer, and
whoever needs the next chunk first pulls it for all. The leader has no other part: if it leaves early, the rest read
on, and the stream is closed when the last reader leaves.

Joining waits for the lock that a pull holds. So nobody joins in the middle of a pull, and a pull by a lone reader,
which its cancellation breaks off, breaks off nobody else's.

Every pull that others may wait for is followed by a new lock. So those who waited for one chunk are let through one
by one, while somebody quicker already pulls the next.
"""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import BudgetExceeded, DeadlineExceeded, InferkitError, ProviderError, StreamInterrupted
from inferkit.core.response import Response
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from inferkit.core.body import Batch, End
    from inferkit.core.chunks import Chunk
    from inferkit.core.record import CallRecord
    from inferkit.core.request import Request

__all__ = ["Flights"]

_WAITING, _OPEN, _PRIVATE, _REFUSED, _BROKEN, _LANDED = range(6)


class Flights:
    """The calls in flight that others may join. They are kept apart by event loop; all plain threads count as one."""

    def __init__(self) -> None:
        self.landed = 0
        self._flights: dict[tuple[bytes, Any], _Flight] = {}
        self._guard = threading.Lock()
        renew_after_fork(self)

    def __len__(self) -> int:
        return len(self._flights)

    async def join(
        self,
        key: bytes,
        request: Request,
        lead: Callable[[], Awaitable[Response]],
    ) -> tuple[Response, CallRecord | None]:
        """Open a stream with `lead`, or share the one that an identical call opened: then with that call's record.

        Followers get a call of their own where the leader's is not theirs to share: it was cut to fit the leader's
        budget, or taken to a smaller model by a budget that does not pay for theirs, or has less than half of their own
        time left. A `ProviderError` at the opening is shared by all who waited for it; after any other failure, the
        next one leads.
        """
        place = (key, request.runtime.place)
        while True:
            flight = self._board(place, request)
            if flight is None:
                return await lead(), None
            try:
                joined = await self._enter(flight, request, lead)
            except BaseException:
                await self._leave(flight, None)
                raise
            if joined is not None:
                return joined
            await self._leave(flight, None)
            if flight.state == _PRIVATE or not _shares_budget(flight.record, request):
                return await lead(), None

    async def _enter(
        self,
        flight: _Flight,
        request: Request,
        lead: Callable[[], Awaitable[Response]],
    ) -> tuple[Response, CallRecord | None] | None:
        """Lead the flight or read along; None where there is nothing to share."""
        lock = flight.lock
        await lock.acquire(request.deadline)
        try:
            if flight.state == _WAITING:
                return await self._lead(flight, request, lead), None
        finally:
            lock.release()
        if flight.state == _REFUSED:
            raise flight.error_for_reader()
        if flight.state in (_OPEN, _LANDED) and _shares_budget(flight.record, request):
            return self._reader(flight, request.deadline), flight.record
        return None

    async def _lead(self, flight: _Flight, request: Request, lead: Callable[[], Awaitable[Response]]) -> Response:
        flight.record, flight.deadline = request.record, request.deadline
        try:
            source = await lead()
        except ProviderError as error:
            flight.failure_raised = True
            self._retire(flight, _REFUSED, error)
            raise
        if request.record.clamped:
            self._retire(flight, _PRIVATE)
            await self._leave(flight, None)
            return source
        flight.source = source
        flight.state = _OPEN
        return self._reader(flight, None, leads=True)  # the leader's deadline is kept where the stream comes from

    def _reader(self, flight: _Flight, deadline: float | None, *, leads: bool = False) -> Response:
        source = flight.source
        assert source is not None
        return Response(
            _Reader(flight, deadline, leads=leads),
            runtime=flight.runtime,
            on_close=lambda end: self._leave(flight, end),
            model=source.model,
            id=source.id,
            headers=source.headers,
        )

    def _board(self, place: tuple[bytes, Any], request: Request) -> _Flight | None:
        with self._guard:
            flight = self._flights.get(place)
            if flight is None:
                flight = self._flights[place] = _Flight(self, place, request)
            elif not _leaves_time(flight.deadline, request.deadline, request.runtime.now):
                return None
            flight.members += 1
            return flight

    async def _leave(self, flight: _Flight, end: End | None) -> None:
        with self._guard:
            flight.members -= 1
            if flight.members > 0:
                return
            self._forget(flight)
        if flight.state == _OPEN and flight.source is not None:
            if end is not None and end.outcome == "abandoned":
                flight.source.abandon()
            else:
                await flight.source.aclose(error=end.error if end is not None else None)

    def _retire(self, flight: _Flight, state: int, failure: BaseException | None = None) -> None:
        """Let nobody join any more."""
        with self._guard:
            flight.state, flight.failure = state, failure
            self._forget(flight)

    def _forget(self, flight: _Flight) -> None:
        if self._flights.get(flight.place) is flight:
            del self._flights[flight.place]
            self.landed += 1

    def renew(self) -> None:
        """Forget the parent's calls in a forked child: nobody reads them here."""
        self._flights.clear()
        self._guard = threading.Lock()


class _Flight:
    """One call and what came of it so far. `members` counts those who wait for the opening and those who read."""

    __slots__ = (
        "chunks",
        "deadline",
        "failure",
        "failure_raised",
        "flights",
        "lock",
        "members",
        "place",
        "record",
        "runtime",
        "source",
        "state",
    )

    def __init__(self, flights: Flights, place: tuple[bytes, Any], request: Request) -> None:
        self.flights = flights
        self.place = place
        self.runtime = request.runtime
        self.lock = request.runtime.lock()
        self.record = request.record
        self.deadline = request.deadline
        self.state = _WAITING
        self.members = 0
        self.source: Response | None = None
        self.chunks: list[Chunk] = []
        self.failure: BaseException | None = None
        self.failure_raised = False

    async def pull(self, deadline: float | None) -> None:
        """Read on where others may wait for it, too; otherwise as `read`."""
        runtime = self.runtime
        if deadline is not None and runtime.now() >= deadline:
            self.lock.release()
            raise DeadlineExceeded
        step = runtime.shield(self.read) if self.members > 1 else self.read()
        return await (step if deadline is None or runtime.blocking else runtime.within(deadline, step))

    async def read(self) -> None:
        """Take what a read brings; the lock, which is held, is given back when that is over, however this ends."""
        assert self.source is not None
        try:
            self.chunks += await self.source.next_batch()
        except StopAsyncIteration:
            self.flights._retire(self, _LANDED)  # noqa: SLF001 - its own module
        except BaseException as error:
            self.flights._retire(self, _BROKEN, error)  # noqa: SLF001
            if not isinstance(error, Exception):
                raise
        finally:
            lock = self.lock
            if self.members > 1:
                self.lock = self.runtime.lock()
            lock.release()

    def error_for_reader(self, *, leads: bool = False) -> BaseException:
        """Give the failure to the first who asks, and to the others a copy: each call adds its own facts to it.

        The leader's cancellation and the end of its budget are not the others', nor is whose budget that is.
        """
        failure = self.failure
        if not isinstance(failure, Exception) or (isinstance(failure, BudgetExceeded) and not leads):
            return StreamInterrupted(
                "the call that this one shared was broken off",
                provider=self.record.provider,
            )
        if self.failure_raised and isinstance(failure, InferkitError):
            twin = copy.copy(failure)
            twin.__cause__ = failure
            return twin
        self.failure_raised = True
        return failure


class _Reader:
    """Reads a flight's buffer from its beginning."""

    __slots__ = ("_deadline", "_flight", "_leads", "_next")

    def __init__(self, flight: _Flight, deadline: float | None, *, leads: bool) -> None:
        self._flight = flight
        self._leads = leads
        self._deadline = deadline
        self._next = 0

    async def __anext__(self) -> Batch:
        flight, index = self._flight, self._next
        chunks = flight.chunks
        while index >= len(chunks) and flight.state == _OPEN:
            lock = flight.lock
            if not lock.acquire_nowait():
                await lock.acquire(self._deadline)
            if index >= len(chunks) and flight.state == _OPEN and lock is flight.lock:
                alone = flight.members == 1 and self._deadline is None
                await (flight.read() if alone else flight.pull(self._deadline))
            else:
                lock.release()
        if index >= len(chunks):
            if flight.state == _LANDED:
                raise StopAsyncIteration
            raise flight.error_for_reader(leads=self._leads)
        batch = chunks[index:]
        self._next = index + len(batch)  # and no further: another thread may have put more there by now
        return batch


def _shares_budget(leader: CallRecord, request: Request) -> bool:
    """Whether a call of this follower's own would fare no better: a smaller model may be for the leader alone."""
    return leader.degraded is None or any(scope.account == leader.degraded for scope in request.scopes)


def _leaves_time(leader: float | None, follower: float | None, now: Callable[[], float]) -> bool:
    if leader is None:
        return True
    if follower is None:
        return False
    return leader >= follower or leader - now() >= (follower - now()) / 2
