"""The calls of a period as the ledger's journal has them: what was posted for a lost call and corrected later, as one.

Each entry counts in the period in which it was written, so that a report of a past period never changes, and periods
that adjoin add up.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Literal

from inferkit.core.attempt import LEFT, gave_the_reply
from inferkit.ledger.journal import GONE_ON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from inferkit.ledger.journal import Charge, Entry, Part
    from inferkit.ledger.protocols import Records

__all__ = [
    "Fate",
    "as_recorded",
    "attempts_of",
    "costs_by_model",
    "fates",
    "name_of",
    "recorded_calls",
]


def recorded_calls(ledger: Records, since: float, until: float) -> Iterator[Entry]:
    """Go through the calls that were entered from `since` until before `until` (seconds since the epoch)."""
    return as_recorded(ledger, ledger.entries(since=since, until=until), since, until)


def as_recorded(ledger: Records, entries: Iterable[Entry], since: float, until: float) -> Iterator[Entry]:
    """Put together what was posted for a lost call and corrected later, among `entries` of a period.

    A call whose lease ran out and that came back is given as it was. Where its lease ran out before the period, what
    was posted then is given too, taken back.
    """
    corrections: dict[str, deque[Entry]] = defaultdict(deque)
    for entry in ledger.entries(since=since, until=until, kind="corrected"):
        corrections[entry.call].append(entry)
    merged: Counter[str] = Counter()
    for entry in entries:
        waiting = corrections.get(entry.call)
        if entry.kind == "settled":
            yield entry
        elif entry.kind == "expired":
            if waiting:
                merged[entry.call] += 1
                yield from _if_anything(_corrected(entry, waiting.popleft()))
            else:
                yield entry
        elif merged[entry.call]:
            merged[entry.call] -= 1
        else:
            if waiting:
                waiting.popleft()
            yield from _corrected_later(ledger, entry)


def _corrected(expired: Entry, correction: Entry) -> Entry:
    """Give the call as it was: what was posted when its lease ran out, and the difference."""
    before, after = expired.charge, correction.charge
    charge = after._replace(
        usd=None if after.usd is None else (before.usd or 0) + after.usd,
        output_tokens=before.output_tokens + after.output_tokens,
        attribution=before.attribution,
    )
    return dataclasses.replace(expired, kind="settled", calls=expired.calls + correction.calls, charge=charge)


def _corrected_later(ledger: Records, correction: Entry) -> Iterator[Entry]:
    expired = None
    for entry in ledger.entries(call=correction.call):
        if entry.kind == "corrected" and (entry.at, entry.charge) == (correction.at, correction.charge):
            break  # a summary gives entries without their accounts
        if entry.kind == "expired":
            expired = dataclasses.replace(entry, at=correction.at)
    if expired is None:
        yield correction
        return
    posted = expired.charge
    back = posted._replace(usd=-(posted.usd or 0), output_tokens=-posted.output_tokens)
    yield dataclasses.replace(expired, calls=-expired.calls, charge=back)
    yield from _if_anything(_corrected(expired, correction))


def _if_anything(entry: Entry) -> Iterator[Entry]:
    """Leave out a call that was given back, or that goes on and has an entry to come."""
    if entry.calls or entry.charge.usd or entry.charge.tokens:
        yield entry


def attempts_of(charge: Charge) -> tuple[Sequence[Charge | Part], int]:
    """Give a call's attempts, which is itself where it was one, and the index of the one whose reply the caller got."""
    parts = charge.parts
    if not parts:
        return (charge,), 0
    gone_on = [index for index, part in enumerate(parts) if part.outcome == GONE_ON]
    return parts, gave_the_reply(parts, (charge.provider, charge.model), gone_on)


def costs_by_model(charge: Charge) -> list[tuple[str | None, str | None, int]]:
    """Give what each attempt of a call cost, with its provider and model."""
    if not charge.parts:
        return [(charge.provider, charge.model, charge.usd or 0)]
    return [(part.provider, part.model, part.usd or 0) for part in charge.parts]


Fate = Literal["given", "escalated", "repaired", "lost", "failed"]


def fates(charge: Charge, served: int) -> list[Fate]:
    """Say what became of each attempt of a call that had several, of which `served` is the one that ended its reply.

    What the caller got is "given", in all its parts. A whole reply that it did not get was not good enough
    ("escalated"), or no valid object ("repaired"). What another one was faster than is "lost".
    """
    return [
        "given" if index == served or _is_part_of_the_reply(part) else _fate(part, charge.parts[index + 1 :])
        for index, part in enumerate(charge.parts)
    ]


def _is_part_of_the_reply(part: Part) -> bool:
    return part.outcome == GONE_ON or (part.kind == "landing" and part.outcome == "completed")


def _fate(part: Part, later: Sequence[Part]) -> Fate:
    if part.outcome == "completed":
        after = next((each.kind for each in later if each.kind in _AFTER), None)
        return "lost" if after is None else _AFTER[after]
    return "lost" if part.outcome in LEFT and part.kind not in ("landing", "continuation") else "failed"


_AFTER: dict[str, Fate] = {"escalation": "escalated", "repair": "repaired"}


def name_of(provider: str | None, model: str | None) -> str | None:
    """Name a model as callers do; None where it is not known, since the process died."""
    if not model:
        return None
    return f"{provider}:{model}" if provider else model
