"""How likely tokens were, one by one, in the form that OpenAI's wires share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import TokenLogprob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["makes_sense", "read_tokens", "write_tokens"]


def read_tokens(given: Any) -> Iterator[TokenLogprob]:
    """Read a list of tokens; what makes no sense is passed over."""
    for one in given if isinstance(given, list) else ():
        pair = _pair(one)
        if pair is not None:
            others = one.get("top_logprobs")
            top = [found for each in others if (found := _pair(each))] if isinstance(others, list) else ()
            yield TokenLogprob(*pair, tuple(top))


def write_tokens(tokens: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """Write what `read_tokens` reads."""
    return [
        _written(one.token, one.logprob) | {"top_logprobs": [_written(*other) for other in one.top]} for one in tokens
    ]


def makes_sense(token: Any, logprob: Any) -> bool:
    """Say whether this is a token and a number."""
    is_number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    return isinstance(token, str) and is_number and math.isfinite(logprob)


def _written(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}


def _pair(given: Any) -> tuple[str, float] | None:
    if not isinstance(given, dict):
        return None
    token: Any = given.get("token")
    logprob: Any = given.get("logprob")
    return (token, float(logprob)) if makes_sense(token, logprob) else None
