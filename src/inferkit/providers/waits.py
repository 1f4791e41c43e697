"""How long a provider asks to wait: pure functions of what it answered. What makes no sense is ignored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inferkit.resilience.written_times import date, duration, number, sensible

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["requested_wait", "wait_in"]

_WORDS = re.compile(
    r"(?:try again in|retry in|retry after|wait) ([0-9][0-9.dhms]{0,30})( ?(?:seconds?|secs?|minutes?)\b)?",
    re.IGNORECASE,
)
_CHARACTERS = 2000


def requested_wait(headers: Mapping[str, str], *, wall_clock: float) -> float | None:
    """Give the wait in seconds that a reply's headers ask for, or None.

    Reads `retry-after-ms`, `retry-after` (RFC 9110: seconds or a date, compared with `wall_clock`, seconds since the
    epoch), and OpenAI's `x-ratelimit-reset-requests` and `-tokens` (`6m0s`): of these the longest of those whose limit
    is used up, or the longest if none is said to be.
    """
    wait = number(headers.get("retry-after-ms"), 0.001)
    if wait is None:
        wait = number(headers.get("retry-after"), 1.0)
    if wait is None:
        wait = date(headers.get("retry-after"), wall_clock)
    if wait is None:
        wait = _reset(headers)
    return wait


def wait_in(error: Any) -> float | None:
    """Give the wait in seconds that an error itself asks for, or None: its words where it is a text, else an object.

    Google puts it among the `details` (`google.rpc.RetryInfo`), OpenRouter into the headers of whoever refused, and
    others into a field of their own, or only into the message: "try again in 7.66s".
    """
    if isinstance(error, str):
        return _in_words(error)
    if not isinstance(error, dict):
        return None
    about = error.get("metadata")
    headers = about.get("headers") if isinstance(about, dict) else None
    if isinstance(headers, dict):
        theirs = {name.lower(): value for name, value in headers.items() if isinstance(value, str)}
        wait = number(theirs.get("retry-after"), 1.0)
        if wait is not None:
            return wait
    details = error.get("details")
    for each in (error, *(details if isinstance(details, list) else ())):
        if isinstance(each, dict):
            for name in ("retryDelay", "retry_delay", "retry_after"):
                value = each.get(name)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    value = str(value)
                wait = duration(value) if isinstance(value, str) else None
                if wait is not None:
                    return wait
    message = error.get("message")
    return _in_words(message) if isinstance(message, str) else None


def _in_words(text: str) -> float | None:
    found = _WORDS.search(text[:_CHARACTERS])
    if found is None:
        return None
    wait = duration(found[1].rstrip("."))
    minutes = wait is not None and (found[2] or "").strip().lower().startswith("min")
    return sensible(wait * 60) if minutes and wait is not None else wait


def _reset(headers: Mapping[str, str]) -> float | None:
    waits: list[float] = []
    used_up: list[float] = []
    for kind in ("requests", "tokens"):
        wait = duration(headers.get(f"x-ratelimit-reset-{kind}"))
        if wait is not None:
            waits.append(wait)
            if (headers.get(f"x-ratelimit-remaining-{kind}") or "").strip() == "0":
                used_up.append(wait)
    return max(used_up or waits, default=None)
