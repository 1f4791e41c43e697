"""Lets no more through to a model than its limits allow: the rest waits its turn, within its deadline."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from inferkit.core.errors import (
    DeadlineExceeded,
    Overloaded,
    ProviderError,
    RateLimited,
    Unavailable,
    mark_never_written,
)
from inferkit.pricing.likely import LikelyTokens
from inferkit.resilience.limiter import Limiter, Ticket
from inferkit.runtime import clock
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.body import End
    from inferkit.core.request import Handler, Request, Target
    from inferkit.core.response import Response
    from inferkit.resilience.limiter import RateLimit
    from inferkit.runtime.protocol import Lock

__all__ = ["LimitLayer"]

_NEAR = 1e-9
_MOST_MODELS = 1024


class LimitLayer:
    """Keeps to `limits`, which are by "provider:model" or by "provider:*" for all models of a provider together.

    A call that has to wait does so before it is sent, in the order of `Request.priority`, and of its tenant's turn. One
    whose turn cannot come before its deadline is not waited for, and one that a full queue has no place for is turned
    away: `Overloaded`, and the next candidate is asked.
    """

    role = "limit"

    def __init__(self, limits: Mapping[str, RateLimit]) -> None:
        self._likely = LikelyTokens()
        self._doors = {name: _Door(name, limit) for name, limit in limits.items()}
        self._known: dict[str, tuple[_Door, ...]] = {}

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Wait for the turn of a request, and send it."""
        target = request.target
        if target is None:
            return await call_next(request)
        doors = self._known.get(target.name)
        if doors is None:
            doors = self._doors_of(target)
        if not doors:
            return await call_next(request)
        tokens = 0
        if any(door.counts_tokens for door in doors):
            tokens = self._likely.input(request) + (request.max_output_tokens or 0)
        passing = [_Passing(door, request, tokens) for door in doors]
        try:
            for each in passing:
                await each.enter(target)
            response = await call_next(request)
        except BaseException as error:
            for each in passing:
                each.leave(None, error)
            raise

        def leave(end: End) -> None:
            taken = _taken(request) if tokens else None
            for each in passing:
                each.leave(taken, end.error)

        return response.map(on_close=leave)

    def _doors_of(self, target: Target) -> tuple[_Door, ...]:
        """Find the limits of a model, and remember them: some models, as their names may come from outside."""
        found = (self._doors.get(name) for name in (target.name, f"{target.provider}:*"))
        doors = tuple([door for door in found if door is not None])
        if len(self._known) < _MOST_MODELS:
            self._known[target.name] = doors
        return doors


class _Door:
    """One limit, and the lock around its state."""

    def __init__(self, name: str, limit: RateLimit) -> None:
        self.name = name
        self.counts_tokens = limit.tokens_per_minute is not None
        self._limit = limit
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Start afresh in a forked child, where nobody runs or waits."""
        self.lock = threading.Lock()
        self.limiter = Limiter(self._limit, clock.now())


class _Passing:
    """One request before a door, and within."""

    __slots__ = ("_door", "_left", "_request", "_ticket", "_turn")

    def __init__(self, door: _Door, request: Request, tokens: int) -> None:
        self._door = door
        self._request = request
        self._turn: Lock | None = None
        self._left = True
        self._ticket = Ticket(request.priority, request.tenant or "", tokens, self._wake)

    async def enter(self, target: Target) -> None:
        """Wait until it may go. Raises `Overloaded` where it may not, or not in time."""
        self._left = False
        turn = self._ask()
        if turn is not None:
            await self._wait(target, turn)

    def _ask(self) -> Lock | None:
        """Go in, or give what to wait at."""
        runtime, ticket = self._request.runtime, self._ticket
        with self._door.lock:
            self._door.limiter.enter(ticket, runtime.now())
            if ticket.is_in:
                return None
            turn = self._turn = runtime.lock()  # nobody can wake it before the door's lock is given back
            turn.acquire_nowait()
            return turn

    async def _wait(self, target: Target, turn: Lock) -> None:
        request, ticket, limiter = self._request, self._ticket, self._door.limiter
        runtime, began = request.runtime, request.runtime.now()
        while not ticket.is_in:
            if ticket.is_turned_away:
                self._left = True
                raise self._refused(target, f"{len(limiter)} calls wait for it already")
            with self._door.lock:
                seconds = limiter.seconds_left(ticket, runtime.now())
                if seconds is not None and seconds <= _NEAR:
                    limiter.advance(runtime.now())
                    continue
            until = None if seconds is None else runtime.now() + seconds
            if request.deadline is not None and (until is None or until > request.deadline):
                if until is not None:
                    raise self._refused(target, f"its turn comes in {seconds:.3g} s, after the call's deadline")
                until = request.deadline
            try:
                await turn.acquire(until)
            except DeadlineExceeded:
                if request.deadline is not None and runtime.now() >= request.deadline:
                    raise
        request.record.note("limit", target=target.name, waited=runtime.now() - began)

    def _wake(self) -> None:
        """Have it look, wherever it waits: most are where this runs."""
        turn, runtime = self._turn, self._request.runtime
        if turn is None:
            return
        if runtime.blocking:
            with contextlib.suppress(RuntimeError):  # it looks already
                turn.release()
            return

        async def step() -> None:
            turn.release()

        runtime.call_later_from_anywhere(step)

    def leave(self, tokens: int | None, error: BaseException | None) -> None:
        """Give up the place; once."""
        if self._left:
            return
        self._left = True
        overloaded = isinstance(error, RateLimited | Unavailable) if error is None or _tells(error) else None
        with self._door.lock:
            self._door.limiter.leave(self._ticket, self._request.runtime.now(), tokens=tokens, overloaded=overloaded)

    def _refused(self, target: Target, why: str) -> Overloaded:
        error = Overloaded(
            f"{target.name} is held to its limit ({self._door.name}) here, and {why}; nothing was sent; raise its "
            "limits=, send fewer calls, or list another model behind it",
            provider=target.provider,
            code="limited",
        )
        mark_never_written(error)
        return error


def _taken(request: Request) -> int | None:
    """Give the tokens that an attempt took, which the meter, further in, has put on the record by now."""
    attempts = request.record.attempts
    return next((one.usage.total_tokens for one in attempts if one.number == request.attempt), None)


def _tells(error: BaseException) -> bool:
    return isinstance(error, ProviderError)
