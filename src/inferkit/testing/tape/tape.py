r"""`Tape`: recorded exchanges in a file of lines of JSON, which can be read, compared and kept with the tests.

The first line says what the file is. Of each exchange there is a line for the request, one for the reply's head, one
for each piece as it came, with the seconds since the line before, and one for how it ended:

    {"tape": 1}
    {"request": "POST", "url": "https://api.openai.com/v1/chat/completions", "headers": {}, "body": "{...}"}
    {"status": 200, "headers": [["content-type", "text/event-stream"]], "after": 0.412}
    {"piece": "data: {...}\\n\\n", "after": 0.021}
    {"end": "complete", "after": 0.0}

A piece that is no UTF-8 stands as "base64" instead.
"""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.testing.tape.recorded import Piece, Recorded

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from typing import Self

    from inferkit.providers.http.settings import Http, Library
    from inferkit.providers.http.transport import Transport
    from inferkit.testing.tape.faults import Fault
    from inferkit.testing.tape.player import Player
    from inferkit.testing.tape.recorder import Recorder

__all__ = ["Tape"]

VERSION = 1
_NO_END: dict[str, Any] = {"end": None}


@dataclass(slots=True)
class Tape:
    """Exchanges in the order in which they ended.

    `Tape.read(path)` reads a file and `Tape.recording(path)` begins one, to which each exchange is added as it ends.
    """

    exchanges: list[Recorded] = field(default_factory=list)
    path: Path | None = None
    _lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def recording(cls, path: str | os.PathLike[str]) -> Self:
        """Begin a file, in place of one that is there."""
        tape = cls(path=Path(path))
        assert tape.path is not None
        tape.path.parent.mkdir(parents=True, exist_ok=True)
        tape.path.write_text(_line({"tape": VERSION}), encoding="utf-8")
        return tape

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file. Raises `ConfigurationError` for one that is no tape, or was cut short."""
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        try:
            return cls(list(_exchanges(json.loads(line) for line in lines)), Path(path))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{path} is no tape that can be played: record it again ({error})") from None

    def add(self, exchange: Recorded) -> None:
        """Add an exchange, to the file too if there is one. May be called from any thread."""
        with self._lock:
            self.exchanges.append(exchange)
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.writelines(map(_line, _lines(exchange)))

    def recorder(self, transport: Library | Http | Transport | None = None, *, secrets: Iterable[str] = ()) -> Recorder:
        """Make a transport that sends through `transport`, which is whatever a client takes, and records what comes.

        `secrets` are masked besides those that stand in the requests' headers.
        """
        from inferkit.providers.http.choosing import make_transport
        from inferkit.testing.tape.recorder import Recorder

        return Recorder(self.add, make_transport(transport), secrets=secrets)

    def player(
        self, *, speed: float | None = None, faults: Sequence[Fault | None] = (), in_order: bool = False
    ) -> Player:
        """Make a server on the loopback that answers with what is on the tape.

        It goes as fast as it can, or `speed` times as fast as it was recorded. The faults are for the first requests,
        one each; None is none. What went wrong stays on the tape, for when it is asked for again. Unless the tape is
        played `in_order`, a request is answered with what was recorded for it: its path and its body decide.
        """
        from inferkit.testing.tape.player import Player

        return Player(self.exchanges, speed=speed, faults=faults, in_order=in_order)

    def httpx_transport(
        self,
        library: Any = None,
        *,
        speed: float | None = None,
        faults: Sequence[Fault | None] = (),
        in_order: bool = False,
    ) -> Any:
        """Make what plays the tape as a transport of httpx, or of `library`, which may be httpx2; see `player`."""
        from inferkit.testing.tape.httpx_player import playing

        return playing(library, self.exchanges, speed=speed, faults=faults, in_order=in_order)


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(", ", ": ")) + "\n"


def _text(name: str, data: bytes) -> dict[str, str]:
    try:
        return {name: data.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode("ascii")}


def _bytes(name: str, line: dict[str, Any]) -> bytes:
    packed = line.get(f"{name}_base64")
    return line[name].encode("utf-8") if packed is None else base64.b64decode(packed, validate=True)


def _lines(exchange: Recorded) -> Iterable[dict[str, Any]]:
    yield {
        "request": exchange.method,
        "url": exchange.url,
        "headers": exchange.request_headers,
        **_text("body", exchange.body),
    }
    yield {"status": exchange.status, "headers": [list(each) for each in exchange.headers], "after": exchange.after}
    for piece in exchange.pieces:
        yield {**_text("piece", piece.data), "after": piece.after}
    yield {"end": exchange.end, "after": exchange.end_after}


def _exchanges(lines: Iterable[dict[str, Any]]) -> Iterable[Recorded]:
    lines = iter(lines)
    if next(lines, {}).get("tape") != VERSION:
        raise ValueError(f"its first line is not that of a tape of version {VERSION}")
    for first in lines:
        head = next(lines, {})
        pieces: list[Piece] = []
        while "end" not in (line := next(lines, _NO_END)):
            pieces.append(Piece(_bytes("piece", line), float(line["after"])))
        if line["end"] not in {"complete", "broke", "left"}:
            raise ValueError("its last exchange has no end")
        yield Recorded(
            first["request"],
            first["url"],
            dict(first["headers"]),
            _bytes("body", first),
            head["status"],
            tuple((name, value) for name, value in head["headers"]),
            float(head["after"]),
            tuple(pieces),
            line["end"],
            float(line["after"]),
        )
