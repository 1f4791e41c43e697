"""So much a minute: a bucket that fills at a rate of one's own, or as a provider's headers say that its own does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from inferkit.resilience.quotas import Quota, Unit

__all__ = ["Bucket", "QuotaBucket", "QuotaLeft"]

_MINUTE = 60.0
_UNKNOWN = float("inf")
_GRAIN = 1e-6  # of one: what sums of small numbers lose
_BURST = 10.0  # seconds' worth that may go at once
_LONGEST_HELD = 60.0
_EARLIER = 0.25  # seconds by which a request may arrive sooner than others did
_TELLING = 2.0  # seconds by which an instant has to move, or not, to say something: some are rounded to one
_STOOD, _MOVED = 0.25, 0.5  # of what a bucket's would have
_ENOUGH = 50
_LESS, _MORE, _LEAST_SHARE = 0.8, 0.005, 0.05
_LEFT_OUT = 0.5  # of one, which is rounded down when it says what remains


class Bucket:
    """So much a minute, of which `level` may go now; below zero it is owed. Instants are seconds on one clock."""

    __slots__ = ("at", "level", "most", "per_second")

    def __init__(self, per_minute: float, now: float) -> None:
        self.per_second = per_minute / _MINUTE
        self.most = max(1.0, self.per_second * _BURST)
        self.level = self.most
        self.at = now

    def wait(self, amount: float, now: float) -> float:
        """Give the seconds until an amount may go; one that is more than there ever is goes when it is full."""
        if now > self.at:  # as `fill` does: requests that are counted by their tokens come by here
            self.level = min(self.most, self.level + (now - self.at) * self.per_second)
            self.at = now
        if self.level + _GRAIN >= amount or self.level >= self.most:
            return 0.0
        return (min(amount, self.most) - self.level) / self.per_second

    def take_one(self, now: float) -> bool:
        """Take one out if it may go now: `fill`, `wait` and `take` in one, since nearly every request comes by here."""
        level, at = self.level, self.at
        if now > at:
            level += (now - at) * self.per_second
            if level > self.most:  # noqa: PLR1730 - min() takes as long as all the rest
                level = self.most
            self.at = now
        if level + _GRAIN < 1.0:  # which there is at most, at least
            self.level = level
            return False
        self.level = level - 1.0
        return True

    def fill(self, now: float) -> None:
        """Add what time has brought."""
        if now > self.at:
            level = self.level + (now - self.at) * self.per_second
            self.level = min(self.most, level)
            self.at = now

    def take(self, amount: float) -> None:
        """Take an amount out, whether it is there or not."""
        self.level -= amount

    def give_back(self, amount: float) -> None:
        """Put back what was not needed, or take out what was needed besides (below zero)."""
        self.level = min(self.most, self.level + amount)


class QuotaLeft(NamedTuple):
    """What is left of a provider's limit at an instant, by a reply of `observed_at`, for others with the same key."""

    observed_at: float
    at: float
    level: float
    most: float
    per_second: float
    full_at: float
    all_at_once: bool


class QuotaBucket(Bucket):
    """What is left of a provider's limit, as its last reply said, less what was sent since, and what is back by now.

    Most providers fill their limits little by little, and say when all is back. Some give all of it back at one
    instant, and nothing before: their instant stands still while what remains goes down, and so they are told apart.

    Where others use the same key, not all that comes back is for this one: a share of it is, which refusals lower and
    replies raise.

    It never holds anybody for longer than a minute: what takes longer is asked for, and the provider may refuse it. So
    headers that make no sense slow calls down for a while, and stop none.
    """

    __slots__ = (
        "_before",
        "_refused_at",
        "_share",
        "_told",
        "all_at_once",
        "answered",
        "full_at",
        "heard_at",
        "observed_at",
        "period",
        "taken",
        "unit",
    )

    def __init__(self, unit: Unit, period: float, now: float) -> None:
        self.unit = unit
        self.period = period
        self.most = self.level = _UNKNOWN
        self.per_second = 0.0
        self.at = now
        self.taken = 0.0
        self.answered = 0.0  # of what was taken
        self.full_at = now
        self.all_at_once = False
        self._before: tuple[float, float] | None = None  # what remained, and when all would be back
        self._refused_at: float | None = None
        self._told = 0.0  # a second, as its provider says
        self._share = 1.0  # of that, where others use the same key
        self.observed_at = 0.0  # when a reply said so, and when one to another process did
        self.heard_at = 0.0

    @property
    def is_ample(self) -> bool:
        """Whether more than half is left, so that what a reply says more of it changes nothing."""
        return 2 * self.level > self.most

    def wait(self, amount: float, now: float) -> float:
        """Give the seconds until an amount may go; none where that is more than a minute."""
        self.fill(now)
        needed = min(self.most, amount + (0.0 if self.all_at_once else _EARLIER * self.per_second))
        if self.level + _GRAIN >= needed:
            return 0.0
        if self.all_at_once or not self.per_second:
            wait = self.full_at + _EARLIER - now
        else:
            wait = (needed - self.level) / self.per_second
        return wait if 0.0 < wait <= _LONGEST_HELD else 0.0

    def fill(self, now: float) -> None:
        """Add what time has brought."""
        if now >= self.full_at + _EARLIER and self.all_at_once:
            self.level, self.at, self.all_at_once = self.most, now, False
        elif self.all_at_once:
            self.at = now
        else:
            super().fill(now)

    def take(self, amount: float) -> None:
        """Take an amount out, and count what was taken in all."""
        self.level -= amount
        self.taken += amount

    def observe(
        self, quota: Quota, now: float, *, sent_at: float, mark: float | None = None, refused: bool = False
    ) -> None:
        """Take in what the reply to a request said.

        It was sent at `sent_at`; `mark` is how much had been answered by then, with itself, and None where that is not
        known. Requests arrive in another order than they are sent in: of what was not answered when it was sent, and of
        what was sent since, what it says may include all or nothing. So the level, which is kept by what is sent, stays
        as it is between the two.
        """
        remaining, limit, reset = quota
        known = self.most != _UNKNOWN
        if limit is None:
            limit = max(self.most, remaining) if known else max(remaining, 1.0)
        if known:
            self.fill(now)
        self._tell(remaining, limit, reset, now, sent_at, refused=refused)
        most = remaining + (0.0 if self.all_at_once else (now - sent_at) * self.per_second)
        least = most if mark is None else most - (self.taken - mark)
        if not known:
            self.level = least
        elif mark is None:
            self.level = min(most, self.level)
        else:
            self.level = max(least, min(most, self.level))
        self.most = limit
        self.level = min(0.0 if refused else limit, self.level)
        self.at = self.observed_at = now

    def left(self) -> QuotaLeft | None:
        """Give what is left by what replies said here; None where none did."""
        if not self.observed_at:
            return None
        return QuotaLeft(
            self.observed_at, self.at, self.level, self.most, self.per_second, self.full_at, self.all_at_once
        )

    def hear(self, told: QuotaLeft, now: float) -> bool:
        """Take in what another process knows; False where this one knows better. Never more is left by that."""
        if told.observed_at <= max(self.observed_at, self.heard_at):
            return False
        self.heard_at = told.observed_at
        level = told.level
        if told.all_at_once:
            level = told.most if now >= told.full_at + _EARLIER else level
        else:
            level += max(0.0, now - told.at) * told.per_second
        if self.most == _UNKNOWN:
            self._told = self.per_second = told.per_second
        else:
            self.fill(now)
        self.most = told.most
        self.level = min(self.level, level, told.most)
        self.full_at, self.all_at_once = told.full_at, told.all_at_once
        self.at = now
        return True

    def _tell(
        self, remaining: float, limit: float, reset: float | None, now: float, sent_at: float, *, refused: bool
    ) -> None:
        """Say how fast it comes back, and whether it does so all at once."""
        used = limit - remaining
        self.full_at = now + (self.period if reset is None else reset)
        if reset is None:
            self._told = limit / self.period
        elif not reset or not used:
            self._told = max(self._told, limit / self.period)
        elif used >= min(limit / 2, _ENOUGH) or not self._told:  # of little, what is left out of a number is much
            self._told = (used - _LEFT_OUT) / reset
        if reset and used:
            self._tell_windows(remaining)
        if not refused:
            self._refused_at = None
            self._share = min(1.0, self._share + _MORE)
        elif self._refused_at is None or sent_at > self._refused_at:  # and not one of those that went with it
            if self._refused_at is not None:
                self.all_at_once = True  # it was sent when enough should have come back, and had not
            self._refused_at = now
            self._share = max(_LEAST_SHARE, self._share * _LESS)
        self.per_second = self._told * self._share

    def _tell_windows(self, remaining: float) -> None:
        """Say whether the instant at which all is back stands still while what remains goes down."""
        before = self._before
        if before is None or remaining >= before[0]:
            self._before = remaining, self.full_at
            return
        due = (before[0] - remaining) / self._told
        if due >= _TELLING:
            moved = self.full_at - before[1]
            self._before = remaining, self.full_at
            self.all_at_once = moved < _STOOD * due or (self.all_at_once and moved < _MOVED * due)
