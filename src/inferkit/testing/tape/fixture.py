"""What a test is given that has a tape: it plays what was recorded, or records, and the test need not know which."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.testing.tape.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from inferkit.providers.http.transport import Transport
    from inferkit.testing.tape.faults import Fault
    from inferkit.testing.tape.player import Player

__all__ = ["TapedTest", "taped"]


@dataclass(frozen=True, slots=True)
class TapedTest:
    """`transport` is for clients and adapters of inferkit. `player` is what plays, or None while it is recorded.

    `url(original)` is the base URL for a client of another library: the player's while it plays.
    """

    tape: Tape
    transport: Transport
    player: Player | None

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
        yield TapedTest(tape, tape.recorder(secrets=secrets), None)
        return
    if not path.exists():
        raise AssertionError(f"there is no tape at {path}: record it with `pytest --inferkit-record`")
    tape = Tape.read(path)
    with _keys(), tape.player(speed=speed, faults=faults, in_order=in_order) as player:
        yield TapedTest(tape, player.transport(), player)
    if player.unexpected:
        asked = ", ".join(player.unexpected)
        raise AssertionError(f"not on the tape at {path}: {asked}; if the test has changed, record it anew")


@contextlib.contextmanager
def _keys() -> Iterator[None]:
    """Have a key for each provider that is known by name, since whoever plays a tape needs none."""
    from inferkit.providers.presets import PRESETS

    missing = {known.env for known in PRESETS.values() if known.env and known.env not in os.environ}
    os.environ.update(dict.fromkeys(missing, "played-from-a-tape"))
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
