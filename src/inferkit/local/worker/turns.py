"""Has a model serve several callers by turns, a few tokens each, so that nobody waits for another's whole reply."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from inferkit.local.worker.protocol import to_frame

if TYPE_CHECKING:
    from collections.abc import Generator
    from queue import SimpleQueue

    from inferkit.local.engines.interface import LoadedModel
    from inferkit.local.worker.reception import IncomingCall

__all__ = ["Turns"]


class _Turn:
    """A call that is served, the tokens of its next step and of a turn, and what is parked while others are served."""

    def __init__(self, call: IncomingCall, model: LoadedModel) -> None:
        self.call = call
        self.steps: Generator[int] = model.steps(call.request, call)
        self.pending = 0
        self.length = 0
        self.parked: Any = None


class Turns:
    """Serves the calls that come, until None does.

    Each caller in the line gets a turn of equally many tokens, the longest `model.turn` of theirs, but one step at
    least: a part of a prompt counts as its tokens. Where what a reply needs cannot be put aside, it is served to its
    end, and the others wait.
    """

    def __init__(self, model: LoadedModel, calls: SimpleQueue[IncomingCall | None]) -> None:
        self._model = model
        self._calls = calls
        self._line: deque[_Turn] = deque()
        self._holder: _Turn | None = None
        self._open = True

    def run(self) -> bool:
        """Serve; False where what the model holds can no longer be trusted, because it failed unforeseen."""
        while True:
            while self._open and (not self._line or not self._calls.empty()):
                call = self._calls.get()
                self._open = call is not None
                if call is not None:
                    self._line.append(_Turn(call, self._model))
            if not self._line:
                return True
            turn = self._line.popleft()
            try:
                ended = self._serve(turn)
            except Exception as error:
                frame = to_frame(error)
                turn.call.send(frame)
                if "fatal" in frame:
                    turn.call.close()
                    return False
                ended = True
            if ended:
                self._end(turn)
            else:
                self._line.append(turn)

    def _serve(self, turn: _Turn) -> bool:
        """Give a caller its turn; True where the reply has ended."""
        if self._holder is not turn:
            if turn.call.gone():
                return True
            self._take_over(turn)
        turn.length = self._model.turn
        left = max(turn.length, *(other.length for other in self._line), 0) - turn.pending
        stepped = turn.pending > 0
        for tokens in turn.steps:
            turn.pending = tokens
            if stepped and left < tokens and self._others_wait() and self._park(turn):
                return False
            left -= tokens
            stepped = True
        return True

    def _take_over(self, turn: _Turn) -> None:
        if turn.parked is not None:
            self._model.resume(turn.parked)
            turn.parked = None
        self._holder = turn

    def _others_wait(self) -> bool:
        return bool(self._line) or not self._calls.empty()

    def _park(self, turn: _Turn) -> bool:
        turn.parked = self._model.park()
        if turn.parked is None:
            return False
        turn.call.flush()  # who waits has what was written until now
        self._holder = None
        return True

    def _end(self, turn: _Turn) -> None:
        if turn.parked is not None:
            self._model.drop(turn.parked)
        if self._holder is turn:
            self._holder = None
        turn.steps.close()
        turn.call.close()
