"""How layers become one handler, and the order they belong in.

The first layer of the list sees the request first and the reply last.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from inferkit.core.request import Handler, Layer, Request
    from inferkit.core.response import Response

__all__ = ["StackOrderWarning", "check_order", "compose"]


class StackOrderWarning(UserWarning):
    """A stack was put together in an order that is known to cost money or hide it."""


def compose(layers: Sequence[Layer], adapter: Handler) -> Handler:
    """Put layers around an adapter."""
    handler = adapter
    for layer in reversed(layers):
        handler = _bind(layer, handler)
    return handler


def _bind(layer: Layer, call_next: Handler) -> Handler:
    def handle(request: Request) -> Awaitable[Response]:
        return layer(request, call_next)

    return handle


_DANGERS = (
    ("budget", "cache", "a cache hit would be charged: put the cache before the budget"),
    ("retry", "budget", "every retry would reserve anew: put the budget before the retry"),
    ("retry", "cache", "every retry would look the reply up again: put the cache before the retry"),
    ("cache", "trace", "cache hits would not be traced: put the trace first"),
    ("budget", "trace", "refused calls would not be traced: put the trace first"),
    ("cache", "resolve", "it would not know what stands behind a name: put the resolve layer before the cache"),
    ("budget", "resolve", "it would not know what stands behind a name: put the resolve layer before the budget"),
    ("retry", "route", "there would be no candidates to walk: put the route before the retry"),
)


def check_order(layers: Sequence[Layer]) -> None:
    """Warn about orders that are known to do harm. A layer says what it is by its `role` attribute."""
    place = {getattr(layer, "role", None): index for index, layer in reversed(list(enumerate(layers)))}
    for outer, inner, why in _DANGERS:
        if outer in place and inner in place and place[outer] < place[inner]:
            warnings.warn(f"the {outer} layer stands before the {inner} layer: {why}", StackOrderWarning, stacklevel=3)
