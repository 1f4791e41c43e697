"""Calls of functions on the Gemini wire: their ids, which it can do without, and their arguments, which are objects."""

from __future__ import annotations

import json
import math
import re
from hashlib import blake2b
from typing import Any, NoReturn

__all__ = ["INVALID", "arguments_of", "is_made", "made_id", "object_of", "text_of"]

INVALID = "INVALID_JSON"
"""Where the wire wants arguments that are no JSON."""

_MADE = re.compile(r"call_gemini_[0-9a-f]{24}")


def made_id(*what: object) -> str:
    """Make the id of a call that came without one: always the same, of what tells it from others."""
    digest = blake2b("\0".join(map(str, what)).encode("utf-8", "surrogatepass"), digest_size=12)
    return f"call_gemini_{digest.hexdigest()}"


def is_made(id_: str) -> bool:
    """Say whether an id was made here, so that the server does not know it."""
    return _MADE.fullmatch(id_) is not None


def text_of(given: dict[str, Any]) -> str:
    """Give an object as the text that stands for it everywhere else."""
    return json.dumps(given, ensure_ascii=False)


def arguments_of(given: Any) -> str:
    """Give a call's arguments as text. Raises `TypeError` where they are no object."""
    if given is None:
        return "{}"
    if not isinstance(given, dict):
        raise TypeError
    invalid = given.get(INVALID) if given.keys() == {INVALID} else None
    return invalid if isinstance(invalid, str) else text_of(given)


def object_of(text: str) -> dict[str, Any] | None:
    """Give the JSON object that a text is, or None; a number that JSON cannot carry is none."""
    try:
        given = json.loads(text, parse_float=_finite, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return given if isinstance(given, dict) else None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse(text)
    return number


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)
