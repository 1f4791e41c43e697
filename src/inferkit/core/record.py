"""What has happened to one call so far: the facts that layers leave for each other and for the caller.

The request is frozen; this is the one thing about a call that grows. It is written by the layers of that call alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from os import urandom
from typing import TYPE_CHECKING, Any, Literal

from inferkit.core.attempt import gave_the_reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from inferkit.core.attempt import Attempt
    from inferkit.core.errors import InferkitError
    from inferkit.runtime.protocol import Clock

__all__ = ["CacheResult", "CallRecord", "Event", "cost_of"]

CacheResult = Literal["hit", "partial", "coalesced", "miss", "bypass"]


def cost_of(attempts: Iterable[Attempt]) -> int | None:
    """Give what attempts cost together, in nano-dollars; None if one of them has no known price."""
    total = 0
    for attempt in attempts:
        if attempt.cost_nanos is None:
            return None
        total += attempt.cost_nanos
    return total


@dataclass(frozen=True, slots=True)
class Event:
    """Something a layer decided, for the trace: `time_ns` is since the epoch."""

    time_ns: int
    name: str
    attributes: Mapping[str, Any]


entropy = urandom
"""Gives random bytes for ids. A simulation puts its own here, so that it can be repeated."""


def _new_id(at: float) -> str:
    """Give an id that sorts by time, so that the ledger's index grows at one end: milliseconds, then chance."""
    return (int(at * 1000).to_bytes(6, "big") + entropy(8)).hex()


@dataclass(slots=True)
class CallRecord:
    """The facts of one call, whose times `clock` gives.

    `id` identifies the call in the ledger and in traces. `attempts` holds those that ended, `running` what each of
    those in flight may cost at most (nano-dollars, tokens; zero where nothing is held for it). `provider` and `model`
    name what served the reply. `plan` is the name of the plan that the call is under, `key` the outermost key of
    the budgeted functions around it, which reports take for a user where nobody says who that is. `hold` is the budget
    layer's reservation while there is one, `clamped` says that it lowered the output tokens, `degraded` names the
    budget (its account) that took the call to a smaller model. `saved_nanos` is what a cache hit would have cost,
    `names` what the resolve layer found behind the model names of this call. `left_out` names what of the request was
    not sent, since it is for another provider alone. `seams` are where in the text a stream broke and went on,
    `gone_on` the places in `attempts` of those that broke there: what they gave was handed on. `landed` is where a
    local model's words begin that end a reply which its budget cut. `was_not_good_enough` says that a cascade handed on
    what it had judged so, for want of a better one, `is_settled` that what it cost was added up: no other attempt
    begins.

    Of its requests: `sent` is how many were, `most` how many may be (see `Retry`), `numbered` the number of the last
    one. `questions` is how many things were asked, a repair or an escalation being another one than what came before.
    `asked` names the models that were asked the last of them, `answered` says that one of them began to answer, and
    `sending` is the request under way, or that of a race which answers.
    """

    clock: Clock
    id: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    running: dict[Any, tuple[int, int]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    provider: str = ""
    model: str = ""
    cache: CacheResult | None = None
    cache_tier: str | None = None
    saved_nanos: int = 0
    plan: str | None = None
    key: str | None = None
    names: Any = None
    hold: Any = None
    clamped: bool = False
    degraded: str | None = None
    trace_id: str | None = None
    attempt_spans: list[Any] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    seams: tuple[int, ...] = ()
    gone_on: tuple[int, ...] = ()
    landed: int | None = None
    was_not_good_enough: bool = False
    is_settled: bool = False
    sent: int = 0
    most: int = 0
    numbered: int = 0
    questions: int = 0
    asked: tuple[str, ...] = ()
    answered: bool = False
    sending: Any = None

    def __post_init__(self) -> None:
        self.id = self.id or _new_id(self.clock.time())

    def note(self, name: str, /, **attributes: Any) -> None:
        """Leave an event for the trace."""
        self.events.append(Event(int(self.clock.time() * 1e9), name, attributes))

    def leave_out(self, what: str) -> None:
        """Say that something of the request is not sent."""
        if what not in self.left_out:
            self.left_out = (*self.left_out, what)

    def sign(self, error: InferkitError, partial: str = "") -> None:
        """Say on an error which call it belongs to, what was tried, and the text that its caller was given."""
        error.request_id = self.id
        error.attempts = tuple(self.attempts)
        if partial and getattr(error, "partial", None) == "":
            error.partial = partial  # type: ignore[attr-defined]  # those that may come in the middle of a reply have it

    @property
    def served(self) -> Attempt | None:
        """The attempt that gave the reply, or its last part (see `gave_the_reply`)."""
        return self.served_among(self.attempts)

    def served_among(self, attempts: Sequence[Attempt]) -> Attempt | None:
        """Give the one of these attempts that gave the reply."""
        if not attempts:
            return None
        place = 0 if len(attempts) == 1 else gave_the_reply(attempts, (self.provider, self.model), self.gone_on)
        return attempts[place] if attempts[place].kind != "landing" else None

    @property
    def reported_nanos(self) -> int | None:
        """What all attempts cost as their providers say, in nano-dollars; None where one that was paid did not say."""
        total = None
        for attempt in self.attempts:
            reported = attempt.usage.details.reported_nanos
            if reported is not None:
                total = (total or 0) + reported
            elif attempt.cost_nanos != 0:
                return None
        return total

    @property
    def cost_nanos(self) -> int | None:
        """What all attempts cost together, in nano-dollars; None if one of them has no known price."""
        return cost_of(self.attempts)
