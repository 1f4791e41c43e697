"""Whose share of a budget pays: what may be a key, and the text that it is in the ledger."""

from __future__ import annotations

import sys
from enum import Enum
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import TypeAlias
    from uuid import UUID

    KeyValue: TypeAlias = str | int | UUID | Enum

__all__ = ["key_text"]


def key_text(key: object, whose: str) -> str:
    """Give the text that a key is in the ledger: it must be the same tomorrow, and in every process.

    A member of an `Enum` is its value where that is a text, and otherwise its name. `whose` says in messages where the
    key comes from. Raises `ConfigurationError` for what is no key.
    """
    if isinstance(key, Enum):
        key = key.value if isinstance(key.value, str) else key.name
    if key is None or key == "":
        raise ConfigurationError(
            f'{whose} gave {key!r}; give every caller a key, for example "anonymous" for those without one'
        )
    if isinstance(key, str):
        text = str.__str__(key)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(
                f"{whose} gave a text with half a character in it (a lone surrogate), which no ledger can keep; "
                'decode it properly, or pass key.encode("utf-8", "replace").decode()'
            ) from None
        return text
    uuid = sys.modules.get("uuid")  # it is imported, if there is one
    if (uuid is not None and isinstance(key, uuid.UUID)) or (isinstance(key, int) and not isinstance(key, bool)):
        return str(key)
    raise ConfigurationError(
        f"{whose} gave a {type(key).__name__}; a key is a str, an int, a UUID or a member of an Enum, since it has to "
        "be the same whenever the same one pays; pass what tells one from another, for example its id"
    )
