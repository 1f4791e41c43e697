"""What a request holds of the limits that it came through: places, which are given back once, whatever comes between.

An interrupt may come anywhere, also while a place is given back. One that is dropped before it was is given back by
what ends dropped streams, so that no call keeps others waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.layers.turns import is_overload
from inferkit.layers.withdrawn import sending_of, tell

if TYPE_CHECKING:
    from inferkit.core.body import End
    from inferkit.core.request import Request
    from inferkit.layers.turns import Door, Passing
    from inferkit.runtime.protocol import Runtime

__all__ = ["Stay"]

_DROPPED = GeneratorExit()  # which says nothing of the model


class Stay:
    """The places of one request, and the hook that gives them back at the end of its reply.

    `door` is the one that it slipped through (`is_in`), without a ticket; `passing` are those where it has one.
    """

    __slots__ = ("_generation", "_request", "door", "is_in", "passing")

    def __init__(self, request: Request) -> None:
        self._request = request
        self._generation = request.runtime.endings.generation
        self.door: Door | None = None
        self.is_in = False
        self.passing: list[Passing] = []

    @property
    def owes(self) -> bool:
        """Whether there is something to give back."""
        return self.door is not None or any(one.owes for one in self.passing)

    def __call__(self, end: End) -> None:
        """Give the places back when it is known how the request ended: whoever takes them goes by that."""
        error = end.error
        if end.outcome == "error" and error is not None:
            try:
                tell(self._request, error)
            finally:
                self.end(error, end.runtime)
            return
        if end.outcome == "completed":  # without a word it is a failure, which its reader has not found out yet
            sending = sending_of(self._request)
            if sending is not None and not sending.is_known:
                sending.then(lambda failure: self.end(failure, end.runtime))
                return
        self.end(error, end.runtime)

    def end(self, error: BaseException | None, runtime: Runtime) -> None:
        """Give the places of a stream that has ended back, and say what it took."""
        self._let_out(error, runtime)
        for one in self.passing:
            one.end(error)

    def leave(self, error: BaseException) -> None:
        """Give the places of a request that came to nothing back."""
        self._let_out(error, self._request.runtime)
        for one in self.passing:
            one.leave(None, error)

    def _let_out(self, error: BaseException | None, runtime: Runtime) -> None:
        """Let out what slipped in (`Limiter.slip_in`), and go on with those who wait; what is left of it, if again."""
        door = self.door
        if door is None:
            return
        overloaded, limiter, waits = is_overload(error), door.limiter, True
        with door.lock:
            if self.is_in:
                waits = limiter.slip_out() if overloaded is False else limiter.fall_out(overloaded=overloaded)
                self.is_in = False  # at once, so that no interrupt comes between
            if waits:
                limiter.advance(runtime.now())
        self.door = None

    def __del__(self) -> None:
        if self.owes:
            endings = self._request.runtime.endings
            if self._generation == endings.generation:  # or else they are the parent's to give back
                endings.take(self._make_up)

    def _make_up(self) -> None:
        self.leave(_DROPPED)
