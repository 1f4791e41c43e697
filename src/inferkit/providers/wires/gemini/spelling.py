"""The names of the wire's fields, which may come in either spelling: `fileUri`, or `file_uri` as Google's SDK has some.

https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["in_one_spelling"]

_UNDERSCORE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
_OF_OTHERS = frozenset(
    {
        "args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels",
        "partMetadata",
    }
)  # fmt: skip
"""What is data, or a schema, whose names are not the wire's."""


def in_one_spelling(value: Any) -> Any:
    """Give a request, or a part of one, with all names of the wire spelt as `fileUri`."""
    if isinstance(value, Mapping):
        names = {name: _UNDERSCORE.sub(_capital, name) if isinstance(name, str) else name for name in value}
        return {
            spelt: value[name] if spelt in _OF_OTHERS else in_one_spelling(value[name]) for name, spelt in names.items()
        }
    return [in_one_spelling(each) for each in value] if isinstance(value, list | tuple) else value


def _capital(found: re.Match[str]) -> str:
    return found[1].upper()
