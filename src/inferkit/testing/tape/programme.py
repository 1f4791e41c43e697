"""What is played next, and how: which exchange answers a request, and the steps in which its body goes out."""

from __future__ import annotations

import enum
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from inferkit.testing.tape.faults import CutOff, Fault, Refused, ResetAt, Stalled
from inferkit.testing.tape.secrets import masked, secrets_in, shown_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from inferkit.testing.tape.recorded import Recorded

__all__ = ["NOT_ON_TAPE", "Finale", "Pause", "Play", "Programme", "body_steps"]

NOT_ON_TAPE = Refused(
    404,
    {"x-should-retry": "false"},
    b'{"error": {"message": "this request is not on the tape", "code": "not_on_tape"}}',
)


class Finale(enum.Enum):
    """What becomes of the connection when a body has gone out as far as it goes."""

    WHOLE = "whole"
    CLOSED = "closed"
    RESET = "reset"
    OPEN = "open"  # nothing more comes, until the client goes


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing for so many seconds; as a fault where `stalled`."""

    seconds: float
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Play:
    """What a request is answered with: an exchange, and what goes wrong with it; or a refusal alone."""

    exchange: Recorded | None
    fault: Fault | None


class Programme:
    """Finds what answers a request. May be asked by several threads.

    `unexpected` are the requests, as method and path, that were not on the tape.
    """

    def __init__(self, exchanges: Sequence[Recorded], faults: Sequence[Fault | None], *, in_order: bool) -> None:
        self._left = list(exchanges)
        self._faults = list(faults)
        self._in_order = in_order
        self._lock = threading.Lock()
        self.unexpected: list[str] = []

    @property
    def left(self) -> list[Recorded]:
        """What was not played yet."""
        return list(self._left)

    def next(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Play:
        """Give what is played for a request; `target` is its path, with its query."""
        secrets = secrets_in(target, headers)
        asked = _identity(method, target, masked(body, secrets))
        with self._lock:
            fault = self._faults.pop(0) if self._faults else None
            if isinstance(fault, Refused):
                return Play(None, fault)
            for exchange in self._left:
                if self._in_order or _identity(exchange.method, exchange.url, exchange.body) == asked:
                    if not isinstance(fault, CutOff | ResetAt | Stalled):  # what went wrong may be asked for again
                        self._left.remove(exchange)
                    return Play(exchange, fault)
            self.unexpected.append(f"{method} {urlsplit(target).path}")
        return Play(None, NOT_ON_TAPE)


def body_steps(exchange: Recorded, fault: Fault | None, speed: float | None) -> Iterator[bytes | Pause | Finale]:
    """Give what happens to a body, from the end of its head on; the last of it is an `Finale`."""
    at = fault.at if isinstance(fault, CutOff | ResetAt | Stalled) else None
    sent = 0
    for piece in exchange.pieces:
        if speed is not None:
            yield Pause(piece.after / speed)
        data = piece.data
        if at is not None and sent + len(data) >= at:
            if data[: at - sent]:
                yield data[: at - sent]
            ending = _broken(fault)
            yield ending
            if isinstance(ending, Finale):
                return
            data, sent, at = data[at - sent :], at, None
        if data:
            yield data
        sent += len(data)
    if at is not None:
        ending = _broken(fault)
        yield ending
        if isinstance(ending, Finale):
            return
    yield {"complete": Finale.WHOLE, "broke": Finale.CLOSED, "left": Finale.OPEN}[exchange.end]


def _broken(fault: Fault | None) -> Finale | Pause:
    if isinstance(fault, Stalled):
        return Finale.OPEN if fault.seconds is None else Pause(fault.seconds, stalled=True)
    return Finale.RESET if isinstance(fault, ResetAt) else Finale.CLOSED


def _identity(method: str, url: str, body: bytes) -> tuple[str, str, str, Any]:
    shown = urlsplit(shown_url(url))
    try:
        said: Any = json.loads(body)
    except ValueError:
        said = body
    return method, shown.path, shown.query, said
