"""What limits do to a call that is replayed: let it through, cut it short, take it to a smaller model, or refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from inferkit.economics.what_if.repricing import cost_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit.economics.what_if.balances import Room
    from inferkit.ledger.journal import Charge

__all__ = ["Limit", "Note", "Verdict", "judge"]


class Limit(NamedTuple):
    """A limit by its name, what it leaves, and the model that it takes calls to rather than refuse them."""

    name: str
    room: Room
    degrade_to: str | None = None

    def after_degrading(self) -> Limit:
        """Give what holds the call on the smaller model: the money alone."""
        return Limit(self.name, self.room._replace(tokens=None, calls=None))


class Note(NamedTuple):
    """What the limit of this name did to a call, and the nano-dollars that it saved."""

    limit: str
    did: Literal["refused", "cut", "degraded"]
    saved: int


class Verdict(NamedTuple):
    """The call as it goes ahead, or None where it is refused, and what was done to it."""

    charge: Charge | None
    notes: tuple[Note, ...] = ()


def judge(charge: Charge, calls: int, limits: Sequence[Limit], smaller: Callable[[str, Charge], Charge]) -> Verdict:
    """Hold a call to all limits. `smaller` gives it as another model would have served it."""
    whole, notes = charge, []
    for place, limit in enumerate(limits):
        fitting = _fitting(charge, calls, limit.room)
        if fitting is charge:
            continue
        if limit.degrade_to is not None:
            taken = smaller(limit.degrade_to, whole)
            verdict = judge(taken, calls, [*limits[:place], limit.after_degrading(), *limits[place + 1 :]], smaller)
            if verdict.charge is None:
                return Verdict(None, (verdict.notes[0]._replace(saved=cost_of(whole)),))
            note = Note(limit.name, "degraded", cost_of(whole) - cost_of(taken))
            return Verdict(verdict.charge, (note, *verdict.notes))
        if fitting is None:
            return Verdict(None, (Note(limit.name, "refused", cost_of(whole)),))
        notes.append(Note(limit.name, "cut", cost_of(charge) - cost_of(fitting)))
        charge = fitting
    return Verdict(charge, tuple(notes))


def _fitting(charge: Charge, calls: int, room: Room) -> Charge | None:
    """Give the call itself where there is room for it, or as much of it as there is room for; None for none of it."""
    if room.calls is not None and calls > max(0, room.calls):
        return None
    for fits in (_within_money, _within_tokens):
        fitting = fits(charge, room)
        if fitting is None:
            return None
        charge = fitting
    return charge


def _within_money(charge: Charge, room: Room) -> Charge | None:
    cost = cost_of(charge)
    if room.usd is None or cost <= max(0, room.usd):  # what costs nothing is free, also after the limit
        return charge
    return None if room.usd <= 0 else _cut(charge, room.usd, charge.output_tokens * room.usd // cost)


def _within_tokens(charge: Charge, room: Room) -> Charge | None:
    if room.tokens is None or charge.tokens <= max(0, room.tokens):
        return charge
    output = room.tokens - charge.input_tokens
    return None if output <= 0 else _cut(charge, cost_of(charge) * room.tokens // charge.tokens, output)


def _cut(charge: Charge, usd: int, output: int) -> Charge:
    return charge._replace(
        usd=usd,
        output_tokens=output,
        reasoning_tokens=min(charge.reasoning_tokens, output),
        finish_reason="budget",
        parts=(),
    )
