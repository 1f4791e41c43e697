"""How a batch is shown to those who look at every chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from inferkit.core.body import Change, ChangeAll

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.core.body import Batch

__all__ = ["Observer", "observed"]

Observer: TypeAlias = tuple[Change, ChangeAll | None]


def observed(batch: Batch, observers: Sequence[Observer]) -> tuple[Batch, Exception | None]:
    """Show a batch to observers, from the innermost one outwards: as a whole to those that can take it so.

    Gives what they made of it, and what one of them raised at the chunk that follows. Raises what one of them raises at
    the first chunk.
    """
    for depth, (_, change_all) in enumerate(observers):
        seen = None if change_all is None else change_all(batch)
        if seen is None:
            return _singly(batch, [change for change, _ in observers[depth:]])
        batch = seen
    return batch, None


def _singly(batch: Batch, changes: Sequence[Change]) -> tuple[Batch, Exception | None]:
    """Show a batch to observers chunk by chunk.

    What comes before a chunk at which one of them raises is handed over first. What comes after it was received too:
    that observer and those inside of it still see it.
    """
    seen: Batch = []
    for place, received in enumerate(batch):
        chunk = received
        for depth, change in enumerate(changes):
            try:
                chunk = change(chunk)
            except Exception as error:
                _show_rest(batch[place + 1 :], changes[: depth + 1])
                if not seen:
                    raise
                return seen, error
        seen.append(chunk)
    return seen, None


def _show_rest(rest: Batch, changes: Sequence[Change]) -> None:
    for received in rest:
        chunk = received
        for change in changes:
            try:
                chunk = change(chunk)
            except Exception:  # one is raised already
                break
