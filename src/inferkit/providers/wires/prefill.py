"""How a server is asked to go on with an assistant's message that is the last of a request, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PLAIN", "Prefill"]


class Prefill(NamedTuple):
    """The ways of a server that goes on with such a message.

    `message` are fields that it wants on the message, `fields` those that it wants in the request. `echoes` says that
    its reply begins with the message that it was given, `is_sure` that it never begins anew in place of going on.
    """

    message: Mapping[str, Any] = {}
    fields: Mapping[str, Any] = {}
    echoes: bool = False
    is_sure: bool = False


PLAIN = Prefill()
"""The way of servers that need not be told."""
