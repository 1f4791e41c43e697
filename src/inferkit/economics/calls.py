"""The calls of a period as the ledger's book has them, each once: what was corrected later is corrected here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.budgets.book import Charge, Entry
    from inferkit.budgets.ledger import Ledger

__all__ = ["Share", "name_of", "recorded_calls", "served_by", "shares"]


class Share(NamedTuple):
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


def recorded_calls(ledger: Ledger, since: float, until: float) -> Iterator[Entry]:
    """Go through the calls that ended from `since` until before `until` (seconds since the epoch).

    Where a call's lease ran out and it came back, its correction is added to it; if the call itself lies before the
    period, the correction comes by itself.
    """
    corrections: dict[str, list[Entry]] = {}
    for entry in ledger.entries(since=since, kind="corrected"):
        corrections.setdefault(entry.call, []).append(entry)
    for entry in ledger.entries(since=since, until=until):
        if entry.kind == "settled":
            yield entry
        elif entry.kind == "expired":
            yield _corrected(entry, corrections.pop(entry.call, ()))
    for late in corrections.values():
        yield from (entry for entry in late if entry.at < until)


def _corrected(expired: Entry, corrections: list[Entry] | tuple[()]) -> Entry:
    entry = expired
    for correction in corrections:
        before, after = entry.charge, correction.charge
        charge = after._replace(
            usd=(before.usd or 0) + (after.usd or 0),
            input_tokens=before.input_tokens + after.input_tokens,
            output_tokens=before.output_tokens + after.output_tokens,
            payer=before.payer,
        )
        entry = dataclasses.replace(entry, kind="settled", calls=entry.calls + correction.calls, charge=charge)
    return entry


def shares(charge: Charge, calls: int) -> list[Share]:
    """Divide a call's cost by its attempts."""
    if not charge.parts:
        return [
            Share(
                charge.provider, charge.model, charge.usd or 0, charge.input_tokens, charge.output_tokens,
                charge.cache_read_tokens, charge.cache_write_tokens, charge.reasoning_tokens, calls,
            )
        ]  # fmt: skip
    served = served_by(charge)
    return [
        Share(
            part.provider, part.model, part.usd or 0, part.input_tokens, part.output_tokens,
            part.cache_read_tokens, part.cache_write_tokens, part.reasoning_tokens, calls if index == served else 0,
        )
        for index, part in enumerate(charge.parts)
    ]  # fmt: skip


def served_by(charge: Charge) -> int:
    """Give the index of the attempt whose reply the caller got."""
    completed = [index for index, part in enumerate(charge.parts) if part.outcome == "completed"]
    return completed[-1] if completed else len(charge.parts) - 1


def name_of(provider: str | None, model: str | None) -> str | None:
    """Name a model as callers do; None where it is not known, since the process died."""
    if not model:
        return None
    return f"{provider}:{model}" if provider else model
