"""What a provider's headers say is left of its limits: pure functions of headers. What makes no sense is ignored.

Read are `x-ratelimit-remaining-requests` and its like (OpenAI and most others), also with a period in the name
(`-tokens-minute`, `-tokens-per-day`), `anthropic-ratelimit-input-tokens-remaining`, and `x-ratelimit-remaining` alone,
which is of requests. The limit and the reset that belong to each say how fast it comes back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from inferkit.resilience.written_times import number, time_left

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Quota", "QuotaNames", "Unit", "find_quotas", "quota_headers", "read_quota"]

Unit: TypeAlias = Literal["requests", "tokens", "input_tokens", "output_tokens"]
_UNITS: dict[str | None, Unit] = {
    None: "requests",
    "req": "requests",
    "requests": "requests",
    "tokens": "tokens",
    "input-tokens": "input_tokens",
    "output-tokens": "output_tokens",
}
_PERIODS = {None: 60.0, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_WHAT = "requests|req|tokens|input-tokens|output-tokens"
_NAMES = re.compile(
    rf"(?:x-)?ratelimit-(?P<fact>limit|remaining|reset)(?:-(?P<unit>{_WHAT}))?"
    r"(?:-(?:per-)?(?P<period>second|minute|hour|day))?"
)
_ANTHROPIC = re.compile(rf"anthropic-ratelimit-(?P<unit>{_WHAT})-(?P<fact>limit|remaining|reset)")
_MARK = "ratelimit-"


class Quota(NamedTuple):
    """What is left of a limit: `remaining` of `limit`, all of which is back in `reset` seconds; None is not said."""

    remaining: float
    limit: float | None
    reset: float | None


@dataclass(frozen=True, slots=True)
class QuotaNames:
    """The headers in which a provider speaks of one of its limits, which is for so many seconds (`period`)."""

    unit: Unit
    period: float
    remaining: str
    limit: str | None
    reset: str | None


def find_quotas(headers: Iterable[str]) -> tuple[QuotaNames, ...]:
    """Find the limits that these headers, in lower case, speak of.

    Only those of which they say what remains, and how much there is at most or when that is back: nothing follows from
    others. Anthropic's sum of all tokens says no more than input and output do, where these are told.
    """
    found: dict[tuple[Unit, float], dict[str, str]] = {}
    for name in headers:
        match = _NAMES.fullmatch(name) or _ANTHROPIC.fullmatch(name)
        if match is not None:
            facts = match.groupdict()
            key = _UNITS[facts["unit"]], _PERIODS[facts.get("period")]
            found.setdefault(key, {})[facts["fact"]] = name
    quotas = [
        QuotaNames(unit, period, facts["remaining"], facts.get("limit"), facts.get("reset"))
        for (unit, period), facts in found.items()
        if "remaining" in facts and len(facts) > 1
    ]
    units = {each.unit for each in quotas}
    parted = "input_tokens" in units and "output_tokens" in units
    return tuple(each for each in quotas if not (parted and each.unit == "tokens"))


def read_quota(names: QuotaNames, headers: Mapping[str, str], *, wall_clock: float) -> Quota | None:
    """Read one limit; `wall_clock` is in seconds since the epoch. None where what it says contradicts itself."""
    remaining = number(headers.get(names.remaining))
    if remaining is None:
        return None
    limit = None if names.limit is None else number(headers.get(names.limit))
    reset = None if names.reset is None else time_left(headers.get(names.reset), wall_clock)
    if limit is not None and (limit < 1 or remaining > limit):
        return None
    if limit is None and reset is None:
        return None
    return Quota(remaining, limit, reset)


def quota_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Give those of a reply's headers in which its provider speaks of its limits, with names in lower case."""
    return {name.lower(): value for name, value in headers.items() if _MARK in name.lower()}
