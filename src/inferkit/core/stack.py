"""How layers become one handler, and the order they belong in.

The first layer of the list sees the request first and the reply last.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.response import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence

    from inferkit.core.request import Handler, Layer, Request

__all__ = ["ROLES", "Insert", "StackOrderWarning", "check_order", "compose", "insert"]

ROLES = (
    "trace", "resolve", "cache", "budget", "repair", "route", "continuation", "retry", "hedge", "limit", "attempt",
    "meter",
)  # fmt: skip
"""What layers call themselves in their attribute `role`, in the order of the usual stack, outermost first."""


class StackOrderWarning(UserWarning):
    """A stack was put together in an order that is known to cost money or hide it."""


def compose(layers: Sequence[Layer], adapter: Handler) -> Handler:
    """Put layers around an adapter."""
    handler = adapter
    for layer in reversed(layers):
        handler = _bind(layer, handler)
    return handler


def _bind(layer: Layer, call_next: Handler) -> Handler:
    is_known = getattr(layer, "role", None) in ROLES
    if is_known and _takes_call_next(layer):
        return functools.partial(layer, call_next=call_next)  # type: ignore[call-arg]  # a step less on every call

    def handle(request: Request) -> Awaitable[Response]:
        return layer(request, call_next)

    return handle if is_known else functools.partial(_checked, layer, call_next)


async def _checked(layer: Layer, call_next: Handler, request: Request) -> Response:
    answer: Any = layer(request, call_next)
    response = await answer if hasattr(answer, "__await__") else answer
    if not isinstance(response, Response):
        name = getattr(layer, "__qualname__", type(layer).__qualname__)
        raise ConfigurationError(
            f"the layer {name} gave a {type(response).__name__}; a layer is a coroutine function that returns the "
            "Response it got from call_next, or one of its own"
        )
    return response


def _takes_call_next(layer: Layer) -> bool:
    try:
        return "call_next" in inspect.signature(layer).parameters
    except (TypeError, ValueError):  # a callable that does not tell
        return False


@dataclass(frozen=True, slots=True)
class Insert:
    """Says where in a stack a layer of one's own goes: before or after the layer of a certain role, or in its place.

    Before "retry" it sees each call that is sent, after "retry" each attempt, after "meter" each request as its adapter
    gets it. A role that the stack lacks, such as "cache" where there is no cache, is a place all the same.
    """

    layer: Layer
    before: str | None = None
    after: str | None = None
    instead_of: str | None = None

    def __post_init__(self) -> None:
        given = [role for role in (self.before, self.after, self.instead_of) if role is not None]
        if not callable(self.layer) or isinstance(self.layer, Insert | type):
            raise ConfigurationError("Insert takes a layer, a callable of a request and the rest of the stack")
        if len(given) != 1:
            raise ConfigurationError('a layer goes to one place: Insert(layer, before="retry"), after= or instead_of=')
        if given[0] not in ROLES:
            raise ConfigurationError(f"the stack has no layer {given[0]!r}; its layers are: {', '.join(ROLES)}")


def insert(layers: Iterable[Layer], own: Iterable[Layer | Insert]) -> list[Layer]:
    """Put layers of one's own into the usual stack, in the order in which they are listed.

    One without a place sees each call once, as its caller made it: after the trace, before names are resolved.
    """
    places: dict[str, tuple[list[Layer], list[Layer], list[Layer]]] = {role: ([], [], []) for role in ROLES}
    for layer in layers:
        places[layer.role][1].append(layer)  # type: ignore[attr-defined]
    for one in own:
        each = one if isinstance(one, Insert) else Insert(one, before="resolve")
        if each.instead_of is not None:
            places[each.instead_of][1][:] = [each.layer]
        elif each.before is not None:
            places[each.before][0].append(each.layer)
        elif each.after is not None:
            places[each.after][2].append(each.layer)
    return [layer for place in places.values() for part in place for layer in part]


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
            warnings.warn(f"the {outer} layer stands before the {inner} layer: {why}", StackOrderWarning, stacklevel=5)
