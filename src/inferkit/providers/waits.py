"""How long a provider asks to wait: pure functions of what it answered. What makes no sense is ignored."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Any

from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["requested_wait", "wait_in"]

_LONGEST_SECONDS = 7 * 86400.0
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_DURATION = re.compile(
    r"(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m(?!s))?"
    r"(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)s)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)ms)?"
)
_DURATION_UNITS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
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
    wait = _number(headers.get("retry-after-ms"), 0.001)
    if wait is None:
        wait = _number(headers.get("retry-after"), 1.0)
    if wait is None:
        wait = _until(headers.get("retry-after"), wall_clock)
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
        wait = _number(theirs.get("retry-after"), 1.0)
        if wait is not None:
            return wait
    details = error.get("details")
    for each in (error, *(details if isinstance(details, list) else ())):
        if isinstance(each, dict):
            for name in ("retryDelay", "retry_delay", "retry_after"):
                value = each.get(name)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    value = str(value)
                wait = _duration(value) if isinstance(value, str) else None
                if wait is not None:
                    return wait
    message = error.get("message")
    return _in_words(message) if isinstance(message, str) else None


def _in_words(text: str) -> float | None:
    found = _WORDS.search(text[:_CHARACTERS])
    if found is None:
        return None
    wait = _duration(found[1].rstrip("."))
    minutes = wait is not None and (found[2] or "").strip().lower().startswith("min")
    return _sensible(wait * 60) if minutes and wait is not None else wait


def _number(text: str | None, unit: float) -> float | None:
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    return _sensible(float(text) * unit)


def _sensible(seconds: float) -> float | None:
    return seconds if 0.0 <= seconds <= _LONGEST_SECONDS else None


def _until(text: str | None, wall_clock: float) -> float | None:
    if text is None:
        return None
    with imports.lock:
        from email.utils import parsedate_to_datetime

    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return _sensible(max(0.0, instant.timestamp() - wall_clock))


def _reset(headers: Mapping[str, str]) -> float | None:
    waits: list[float] = []
    used_up: list[float] = []
    for kind in ("requests", "tokens"):
        wait = _duration(headers.get(f"x-ratelimit-reset-{kind}"))
        if wait is not None:
            waits.append(wait)
            if (headers.get(f"x-ratelimit-remaining-{kind}") or "").strip() == "0":
                used_up.append(wait)
    return max(used_up or waits, default=None)


def _duration(text: str | None) -> float | None:
    if not text:
        return None
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        return _number(text, 1.0)
    parts = zip(match.groups(), _DURATION_UNITS, strict=True)
    return _sensible(sum(float(amount) * unit for amount, unit in parts if amount))
