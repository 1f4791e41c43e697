"""What every store decides alike, given what is used: grants, what is carried over, which shares were passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from inferkit.ledger.amounts import Amounts, Crossing, Grant, Line, Refusal, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from inferkit.ledger.amounts import Balance

__all__ = ["ALL_SHARES", "UNITS", "Shortage", "carried", "crossed", "grant", "limits_of", "refused"]

UNITS: tuple[Unit, ...] = ("usd", "tokens", "calls")
ALL_SHARES = 2**31
"""In thousandths: more than any share that somebody wants to be told of."""


class Shortage(NamedTuple):
    """The line that does not cover the least that a call needs, and the unit that it lacks."""

    line: Line
    unit: int


def limits_of(line: Line) -> tuple[int | None, int | None, int | None]:
    """Give a line's limits, unit by unit."""
    return line.usd, line.tokens, line.calls


def grant(
    lines: Sequence[Line], wanted: Amounts, minimum: Amounts, used: Callable[[Line], Sequence[int]]
) -> Grant | Shortage:
    """Find what every line can spare. The same amount is held on all lines, so the scarcest decides.

    `used` gives what is posted and pending on a line, less what was added to its limit.
    """
    granted: list[int] = list(wanted)
    free: list[int | None] = [None, None, None]
    for line in lines:
        taken = used(line)
        limits = limits_of(line)
        for unit in range(3):
            limit = limits[unit]
            if limit is None:
                continue
            left = limit + line.grace[unit] - taken[unit]
            if left < minimum[unit] and wanted[unit]:  # what costs nothing is free, also after the limit
                return Shortage(line, unit)
            granted[unit] = min(granted[unit], max(0, left))
            known = free[unit]
            free[unit] = left if known is None else min(known, left)
    remaining = tuple(None if left is None else left - granted[unit] for unit, left in enumerate(free))
    return Grant(Amounts(*granted), remaining)  # type: ignore[arg-type]


def refused(shortage: Shortage, balance: Balance, oldest: str | None) -> Refusal:
    """Say why a line cannot spare what is needed. `oldest` is the first window that counts with any use."""
    line, unit = shortage
    limit = (limits_of(line)[unit] or 0) + line.grace[unit] + balance.extra[unit]
    return Refusal(
        line, UNITS[unit], limit, balance.posted[unit], balance.pending[unit], oldest if line.since else None
    )


def carried(line: Line, before: Balance, credit: Amounts) -> tuple[Amounts, Amounts]:
    """Give what goes into a line's window from the one `before`, and how much of it was topped up.

    That is what was topped up (`credit`) and is not used, and of the rest what `line.carry` allows.
    """
    moved, kept = [0, 0, 0], [0, 0, 0]
    for unit, limit in enumerate(limits_of(line)):
        if limit is None:
            kept[unit] = moved[unit] = credit[unit]
            continue
        left = max(0, limit + before.extra[unit] - before.posted[unit] - before.pending[unit])
        kept[unit] = min(credit[unit], left)
        rest = 0 if line.carry is None else min(line.carry[unit], left - kept[unit])
        moved[unit] = kept[unit] + rest
    return Amounts(*moved), Amounts(*kept)


def crossed(line: Line, balance: Balance, told: int) -> Iterator[Crossing]:
    """Give the shares of a line's limits that what is posted has passed, above the last one that somebody was told."""
    limits, posted, extra = limits_of(line), balance.posted, balance.extra
    for share in line.warn_at:
        if share <= told:
            continue
        for unit in range(3):
            limit = limits[unit]
            if limit is not None and posted[unit] * 1000 >= (limit + extra[unit]) * share:
                yield Crossing(line, UNITS[unit], share, posted[unit], limit + extra[unit])
                break
