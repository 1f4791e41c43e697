"""One JSON payload, read and written: what a wire carries where the bytes are not always what they should be."""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Malformed", "parse", "parse_together", "write"]

_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    rb"|\\u([dD])[89a-fA-F][0-9a-fA-F]{2}"  # half of one
    rb"|\\."
)


class Malformed(ValueError):
    """A payload is not what its wire carries."""


@functools.cache
def _json_reader() -> Callable[[bytes], Any]:
    imports.load("pydantic_core")
    from pydantic_core import from_json  # 3 times as fast as json.loads

    return from_json


def parse(data: bytes) -> Any:
    """Read JSON. Half a surrogate pair, which some servers send where they cut a character, becomes U+FFFD."""
    try:
        return _json_reader()(data)
    except ValueError:
        pass
    whole = _ESCAPES.sub(lambda match: b"\\ufffd" if match[1] else match[0], data)
    try:
        return json.loads(whole.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON") from None  # the library's words quote the data


def parse_together(objects: Sequence[bytes]) -> list[Any] | None:
    """Read several JSON objects in one go, in less than half the time; None where one of them has to be read alone.

    No text may hold the line feed between them, so none of them can run into the next.
    """
    if [each for each in objects if each[:1] != b"{" or each[-1:] != b"}"]:
        return None
    try:
        found: list[Any] = _json_reader()(b"[%b]" % b",\n".join(objects))
    except ValueError:
        return None
    return found if len(found) == len(objects) else None


def write(payload: Any) -> bytes:
    """Write JSON. Raises `ConfigurationError` for what it cannot carry."""
    imports.load("pydantic_core")
    from pydantic_core import PydanticSerializationError, to_json

    try:
        return to_json(payload)
    except (PydanticSerializationError, UnicodeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the request cannot be written as JSON ({type(error).__name__}): text must be valid Unicode (no lone "
            "surrogates), and extra=, tools and schemas must hold plain JSON values"
        ) from None  # the library's words quote the text
