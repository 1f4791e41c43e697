"""The calls of a period as the ledger's journal has them: what was posted for a lost call and corrected later, as one.

Each entry counts in the period in which it was written, so that a report of a past period never changes, and periods
that adjoin add up.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inferkit.ledger.journal import Charge, Entry
    from inferkit.ledger.protocols import Records

__all__ = ["AttemptCost", "as_recorded", "attempt_costs", "name_of", "recorded_calls", "served_by"]


class AttemptCost(NamedTuple):
    """What one attempt of a call cost, in nano-dollars. The attempt that served the reply counts as the call."""

    provider: str | None
    model: str | None
    usd: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    calls: int


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


def attempt_costs(charge: Charge, calls: int) -> list[AttemptCost]:
    """Divide a call's cost by its attempts."""
    if not charge.parts:
        return [
            AttemptCost(
                charge.provider, charge.model, charge.usd or 0, charge.input_tokens, charge.output_tokens,
                charge.cache_read_tokens, charge.cache_write_tokens, charge.reasoning_tokens, calls,
            )
        ]  # fmt: skip
    served = served_by(charge)
    return [
        AttemptCost(
            part.provider, part.model, part.usd or 0, part.input_tokens, part.output_tokens,
            part.cache_read_tokens, part.cache_write_tokens, part.reasoning_tokens, calls if index == served else 0,
        )
        for index, part in enumerate(charge.parts)
    ]  # fmt: skip


def served_by(charge: Charge) -> int:
    """Give the index of the attempt whose reply the caller got; 0 where there was only one."""
    if not charge.parts:
        return 0
    completed = [index for index, part in enumerate(charge.parts) if part.outcome == "completed"]
    return completed[-1] if completed else len(charge.parts) - 1


def name_of(provider: str | None, model: str | None) -> str | None:
    """Name a model as callers do; None where it is not known, since the process died."""
    if not model:
        return None
    return f"{provider}:{model}" if provider else model
