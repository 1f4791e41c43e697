"""How likely each token of a reply was, in the form of the Gemini wire, read and written.

https://ai.google.dev/api/generate-content#LogprobsResult
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import TokenLogprob

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_logprobs", "write_logprobs"]


def read_logprobs(given: Any) -> tuple[TokenLogprob, ...]:
    """Read what a candidate says of its tokens; what makes no sense is passed over."""
    chosen = _list(given, "chosenCandidates")
    others = _list(given, "topCandidates")
    found = []
    for place, one in enumerate(chosen):
        pair = _pair(one)
        if pair is not None:
            top = _list(others[place], "candidates") if place < len(others) else []
            found.append(TokenLogprob(*pair, tuple([other for each in top if (other := _pair(each))])))
    return tuple(found)


def write_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Write what `read_logprobs` reads."""
    written: dict[str, Any] = {"chosenCandidates": [_written(one.token, one.logprob) for one in tokens]}
    if any(one.top for one in tokens):
        written["topCandidates"] = [{"candidates": [_written(*other) for other in one.top]} for one in tokens]
    return written


def _written(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logProbability": logprob}


def _list(given: Any, name: str) -> list[Any]:
    found = given.get(name) if isinstance(given, dict) else None
    return found if isinstance(found, list) else []


def _pair(given: Any) -> tuple[str, float] | None:
    if not isinstance(given, dict):
        return None
    token: Any = given.get("token")
    logprob: Any = given.get("logProbability")
    if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    return (token, float(logprob)) if math.isfinite(logprob) else None
