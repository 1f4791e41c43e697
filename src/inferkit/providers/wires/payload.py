"""One JSON payload, read and written: what a wire carries where the bytes are not always what they should be."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Set as AbstractSet

__all__ = ["Malformed", "NotTakenError", "mended", "others", "parse", "write"]


class Malformed(ValueError):
    """A payload is not what its wire carries."""


class NotTakenError(ValueError):
    """A wire has no place for something, or its server is known not to take it; the text names it."""


@functools.cache
def _json_reader() -> Callable[[bytes], Any]:
    imports.load("pydantic_core")
    from pydantic_core import from_json  # 3 times as fast as json.loads

    return from_json


def parse(data: bytes, join: Callable[[Any], Any] | None = None) -> Any:
    """Read JSON. Half a character, which some servers send where they cut one, becomes U+FFFD, or is for `join`."""
    try:
        return _json_reader()(data)
    except ValueError:
        pass
    try:
        return (join or mended)(json.loads(data.decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON") from None  # the library's words quote the data


def mended(value: Any) -> Any:
    """Give plain data with every half character in its texts joined with its other half, or replaced by U+FFFD."""
    if type(value) is str:
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if type(value) is dict:
        return {mended(name): mended(item) for name, item in value.items()}
    if type(value) is list:
        return [mended(item) for item in value]
    return value


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


def others(given: Mapping[str, Any], known: AbstractSet[str]) -> dict[str, Any]:
    """Give what an object holds beside the fields that are known here."""
    return {name: value for name, value in given.items() if name not in known and value is not None}
