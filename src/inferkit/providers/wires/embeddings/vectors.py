"""One vector as wires carry it, a list of numbers or base64, and as it is kept: float32, little-endian."""

from __future__ import annotations

import binascii
import math
import sys
from array import array
from base64 import b64encode
from typing import Any

from inferkit.core.embeddings import FLOAT_BYTES, as_array
from inferkit.providers.wires.payload import Malformed

__all__ = ["as_base64", "as_list", "read_vector"]


def read_vector(given: Any) -> bytes:
    """Read a vector in either form. Raises `Malformed` for what is none: empty, or with a number that is not finite."""
    if isinstance(given, str):
        data = _from_base64(given)
    elif isinstance(given, list):
        data = _from_list(given)
    else:
        raise Malformed("a vector is neither a list of numbers nor base64")
    if not data:
        raise Malformed("a vector is empty")
    if not math.isfinite(sum(as_array(data))):  # finite float32 values are too small to come to infinity
        raise Malformed("a vector has a number that is not finite")
    return data


def _from_base64(given: str) -> bytes:
    try:
        data = binascii.a2b_base64(given, strict_mode=True)
    except (binascii.Error, ValueError):
        raise Malformed("a vector is not base64") from None
    if len(data) % FLOAT_BYTES:
        raise Malformed("a vector is cut within a number")
    return data


def _from_list(given: list[Any]) -> bytes:
    if not {int, float}.issuperset(map(type, given)):
        raise Malformed("a vector has something else than numbers")
    try:
        values = array("f", given)
    except OverflowError:
        raise Malformed("a vector has a number that is too large") from None
    if sys.byteorder == "big":  # pragma: no cover - no such machine is at hand
        values.byteswap()
    return values.tobytes()


def as_list(data: bytes) -> list[float]:
    """Write a vector as a list of numbers."""
    return as_array(data).tolist()


def as_base64(data: bytes) -> str:
    """Write a vector as base64."""
    return b64encode(data).decode("ascii")
