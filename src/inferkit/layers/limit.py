"""Lets no more through to a model than may go there: the rest waits its turn, within its deadline.

What may go is what the application states, and what the provider says of its own limits in the headers of its replies.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.errors import ProviderError, RateLimited
from inferkit.core.shown import shown
from inferkit.layers.withdrawn import sending_of, tell
from inferkit.pricing.likely import LikelyTokens
from inferkit.resilience.quotas import quota_headers
from inferkit.runtime import imports
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inferkit.core.request import Handler, Request, Target
    from inferkit.core.response import Response
    from inferkit.layers.turns import Door, Passing
    from inferkit.resilience.buckets import QuotaLeft
    from inferkit.resilience.limiter import RateLimit
    from inferkit.resilience.quotas import QuotaNames

__all__ = ["LimitLayer"]

K = TypeVar("K")
T = TypeVar("T")
_MOST_MODELS = 1024
_FIRST, _THEN = 3, 64  # replies without a word of limits, before only one in so many is looked at
_CHARACTERS = 3  # a token, in a guess that is rather too high
_SMALL = 1 / 16  # of what there is at most: less than this need not be counted well


class LimitLayer:
    """Keeps to `limits`, which are by "provider:model" or by "provider:*" for all models of a provider together.

    With `follow`, it keeps to what providers say is left of their own limits, too: for each server, key and model.

    A call that has to wait does so before it is sent, in the order of `Request.priority`, and of its tenant's turn. One
    whose turn cannot come before its deadline is not waited for, and one that a full queue has no place for is turned
    away: `Overloaded`, and the next candidate is asked. So is one that could ask another candidate at once instead of
    waiting for a provider's limit. One whose model's circuit opens while it waits is not sent either: the retry layer
    goes on with it as with a call that comes then.
    """

    role = "limit"

    def __init__(
        self,
        limits: Mapping[str, RateLimit] | None = None,
        *,
        follow: bool = True,
        likely: LikelyTokens | None = None,
    ) -> None:
        self._likely = likely or LikelyTokens()
        self._follow = follow
        self._stated = {name: self._limited(name, limit) for name, limit in (limits or {}).items()}
        self._lanes: dict[str, _Lane] = {}
        self._told: dict[tuple[str, str], Door] = {}
        self.hurry: Callable[[], object] | None = None
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the lock in a forked child."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return shown(self, limits=list(self._stated), follow=self._follow)

    async def __call__(self, request: Request, call_next: Handler) -> Response:  # noqa: C901 - each of these steps counts
        """Wait for the turn of a request, and send it."""
        target = request.target
        if target is None:
            return await call_next(request)
        lane = self._lanes.get(target.name) or self._lane(target)
        plain = lane.plain  # nearly every call slips through the one door that there is
        stay = self._stay(request) if lane.doors else None
        passing: list[Passing] = [] if stay is None else stay.passing
        slipped = False
        try:
            if plain is not None and stay is not None:
                now = request.runtime.now()
                with plain.lock:
                    if plain.limiter.slip_in(now):
                        slipped = True
                        if plain.wants_back:
                            stay.is_in = True  # at once, so that no interrupt comes between
                            stay.door = plain
            if not slipped:
                while len(passing) < len(lane.doors) and not self._enter(lane, request, passing):
                    await self._wait(lane, request, passing[-1])
            response = await call_next(request)
            if stay is not None and stay.owes:
                response.at_end(stay)
        except BaseException as error:
            try:
                tell(request, error)
                if stay is not None:
                    stay.leave(error)
            finally:
                if stay is not None and stay.owes:  # an interrupt came meanwhile
                    stay.leave(error)
            headers = error.quota_headers if isinstance(error, ProviderError) else {}
            self._hear(headers, lane, request, target, passing, refused=isinstance(error, RateLimited))
            raise
        if lane.is_looked_at():
            self._hear(response.headers, lane, request, target, passing)
        return response

    @property
    def names(self) -> list[str]:
        """The models whose limits are known."""
        with self._lock:
            return [name for name, lane in self._lanes.items() if lane.doors]

    def left_alone(self, name: str, /) -> None:
        """See `Queues`."""
        with self._lock:
            lane = self._lanes.get(name)
        for door in () if lane is None else lane.doors:
            door.look_again(name)

    def limits_of(self, name: str) -> dict[str, Any]:
        """Say how a model stands with its limits: fields of `ModelHealth`."""
        with self._lock:
            lane = self._lanes.get(name)
        facts: dict[str, Any] = {}
        for door in () if lane is None else lane.doors:
            door.add_standing(facts)
        return facts

    def _enter(self, lane: _Lane, request: Request, passing: list[Passing]) -> bool:
        """Go through the doors that are open; False at one where it has to wait."""
        doors = lane.doors
        tokens = sent = 0
        if lane.counts_tokens:
            tokens, sent = self._tokens(doors, request)
        for door in doors[len(passing) :] if passing else doors:
            one = self._pass(door, request, tokens, sent)
            passing.append(one)  # before it enters, so that it is left wherever an interrupt comes
            one.enter()
            if not one.is_in:
                return False
        return True

    async def _wait(self, lane: _Lane, request: Request, one: Passing) -> None:
        """Wait at a door, unless it is for another key than the one that is used by now."""
        target = request.target
        assert target is not None
        if one.door.is_told and lane.key != _key(target):
            one.skip()
            return
        sending = sending_of(request)
        if sending is None:
            await one.wait(target)
            return
        sending.health.call_away(self)
        sending.waits = True
        await one.wait(target)
        sending.waits = False

    def _hear(
        self,
        headers: Mapping[str, str],
        lane: _Lane,
        request: Request,
        target: Target,
        passing: list[Passing],
        *,
        refused: bool = False,
    ) -> None:
        """Take in what a provider says of its limits, which are those of a server, a key and a model."""
        told = next((one for one in passing if one.door.is_told), None)
        if told is None and not headers:
            return
        key = _key(target)
        door = lane.told
        if told is not None and (not headers or told.door is not door or lane.key != key):
            told.door.unheard(told)
            told = None
        if not self._follow or not headers or (door is None and not quota_headers(headers)):
            return
        door = self._door(lane, target, key)
        door.see(headers, request.runtime, told, refused=refused)
        lane.counts_tokens = lane.counts_tokens or door.counts_tokens
        if refused and self.hurry is not None:
            self.hurry()

    def tells(self) -> list[tuple[str, list[tuple[QuotaNames, QuotaLeft]]]]:
        """Give what is known here of providers' limits, by the model that it is of."""
        with self._lock:
            lanes = list(self._lanes.items())
        return [(name, left) for name, lane in lanes if lane.told is not None and (left := lane.told.tells())]

    def hear(self, target: Target, told: list[tuple[QuotaNames, QuotaLeft]]) -> None:
        """Take in what another process with the same key knows of a model's limits."""
        if not self._follow or not told:
            return
        lane, key = self._lane(target), _key(target)
        door = self._door(lane, target, key)
        door.hear(told)
        lane.counts_tokens = lane.counts_tokens or door.counts_tokens

    def _limited(self, name: str, limit: RateLimit | None) -> Door:
        """Make a door. What doors are made of is loaded with the first one, since most models have no limit."""
        imports.load("inferkit.layers.stay", "inferkit.layers.turns")
        from inferkit.layers.stay import Stay
        from inferkit.layers.turns import Door, Passing

        self._pass, self._stay = Passing, Stay
        return Door(name, limit)

    def _door(self, lane: _Lane, target: Target, key: tuple[str, str]) -> Door:
        """Give the door that a provider's headers speak of, and have requests pass it."""
        door = lane.told
        if door is None or lane.key != key:
            own = self._limited(target.name, None)
            with self._lock:
                door = _kept(self._told, key, lambda: own)
            lane.follow(door, key)
        return door

    def _tokens(self, doors: tuple[Door, ...], request: Request) -> tuple[int, int]:
        """Give how many tokens a request is likely to come to, and how many of them are sent.

        As good as a guess will do where there is plenty.
        """
        left = min(door.limiter.tokens_left for door in doors)
        sent = sum([len(message.text) for message in request.messages]) // _CHARACTERS
        if sent > left * _SMALL or len(request.messages) > 1 or request.tools:
            sent = self._likely.input(request)
        return sent + (request.max_output_tokens or 0), sent

    def _lane(self, target: Target) -> _Lane:
        """Find the limits of a model, and remember them."""
        found = (self._stated.get(name) for name in (target.name, f"{target.provider}:*"))
        stated = [door for door in found if door is not None]
        with self._lock:
            return _kept(self._lanes, target.name, lambda: _Lane(stated))


def _key(target: Target) -> tuple[str, str]:
    return getattr(target.adapter, "fingerprint", target.provider), target.model


def _kept(known: dict[K, T], key: K, make: Callable[[], T]) -> T:
    """Give what is known, or make it, and forget the oldest: names of models may come from outside."""
    one = known.get(key)
    if one is None:
        while len(known) >= _MOST_MODELS:
            del known[next(iter(known))]
        one = known[key] = make()
    return one


class _Lane:
    """The way to one model: the doors on it. `told` is the one that its provider's headers speak of."""

    __slots__ = ("_looks", "_stated", "counts_tokens", "doors", "key", "plain", "told")

    def __init__(self, stated: list[Door]) -> None:
        self._stated = stated
        self._looks = 0
        self.doors = tuple(stated)
        self.counts_tokens = any(door.counts_tokens for door in stated)
        self.plain = stated[0] if len(stated) == 1 and not self.counts_tokens else None
        self.told: Door | None = None
        self.key: tuple[str, str] | None = None

    def follow(self, door: Door, key: tuple[str, str]) -> None:
        """Have requests pass this door too."""
        self.told, self.key, self.plain = door, key, None
        self.doors = (*self._stated, door)

    def is_looked_at(self) -> bool:
        """Whether to look at the headers of a reply: few servers that said nothing at first do so later."""
        if self.told is not None:
            return True
        self._looks += 1
        return self._looks <= _FIRST or self._looks % _THEN == 0
