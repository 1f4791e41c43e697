"""What a test is given that has a tape: it plays what was recorded, or records, and the test need not know which."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferkit.testing.tape.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from inferkit.providers.http.transport import Transport
    from inferkit.testing.tape.faults import Fault
    from inferkit.testing.tape.httpx_clients import Library
    from inferkit.testing.tape.player import Player

__all__ = ["TapedTest", "taped"]


@dataclass(frozen=True, slots=True)
class TapedTest:
    """`transport` is for clients and adapters of inferkit. `player` is what plays, or None while it is recorded.

    `http_client()` and `async_http_client()` are for the SDKs of others, which take one of httpx or httpx2.
    `url(original)` is the base URL for a client that takes nothing else: the player's while it plays.
    """

    tape: Tape
    transport: Transport
    player: Player | None
    secrets: tuple[str, ...] = ()
    made: list[Any] = field(default_factory=list, repr=False)

    def http_client(self, library: Library | None = None) -> Any:
        """Make an HTTP client for an SDK: `openai.OpenAI(http_client=inferkit_tape.http_client())`.

        It plays, or records where asked to. `library` is "httpx" or "httpx2", without which it is httpx2 where that is
        installed. It is closed after the test, if nobody did.
        """
        return self._client(library, is_async=False)

    def async_http_client(self, library: Library | None = None) -> Any:
        """Make an HTTP client for an SDK's async side; see `http_client`. It keeps no connection open."""
        return self._client(library, is_async=True)

    def _client(self, library: Library | None, *, is_async: bool) -> Any:
        from inferkit.testing.tape import httpx_clients

        def below(module: Any) -> Any:
            if self.player is None:
                return httpx_clients.recording(module, self.tape.add, self.secrets)
            return httpx_clients.redirected(module, self.player)

        client = httpx_clients.make_client(library, below, is_async=is_async)
        if not is_async:
            self.made.append(client)
        return client

    def close(self) -> None:
        """Close the clients that were made for plain code."""
        for client in self.made:
            client.close()

    def url(self, original: str) -> str:
        """Give the base URL to use in place of a provider's, which is its own while the tape is recorded."""
        if self.player is None:
            return original
        scheme, _, rest = original.partition("://")
        return f"{self.player.url}/{rest.partition('/')[2]}" if scheme else original


@contextlib.contextmanager
def taped(
    path: Path,
    *,
    record: bool,
    speed: float | None = None,
    faults: Sequence[Fault | None] = (),
    in_order: bool = False,
    secrets: Sequence[str] = (),
) -> Iterator[TapedTest]:
    """Play the tape at `path`, or record it. Raises `AssertionError` for what is not there, or not on it."""
    if record:
        tape = Tape.recording(path)
        with contextlib.closing(TapedTest(tape, tape.recorder(secrets=secrets), None, tuple(secrets))) as recorded:
            yield recorded
        return
    if not path.exists():
        raise AssertionError(f"there is no tape at {path}: record it with `pytest --inferkit-record`")
    tape = Tape.read(path)
    with (
        _keys(),
        tape.player(speed=speed, faults=faults, in_order=in_order) as player,
        contextlib.closing(TapedTest(tape, player.transport(), player)) as played,
    ):
        yield played
    if player.unexpected:
        asked = ", ".join(player.unexpected)
        raise AssertionError(f"not on the tape at {path}: {asked}; if the test has changed, record it anew")


@contextlib.contextmanager
def _keys() -> Iterator[None]:
    """Have a key for each provider that is known by name, since whoever plays a tape needs none."""
    from inferkit.providers.by_name import KEYS

    missing = {name for name in KEYS if name not in os.environ}
    os.environ.update(dict.fromkeys(missing, "played-from-a-tape"))
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
