"""What stands in for an iterator, an iterable or an awaitable of any class, and does whatever it does under scopes.

It looks like what it stands for, to `isinstance` too: it has the attributes and methods of that, and the special
methods that its class has.
"""

from __future__ import annotations

import functools
from types import BuiltinMethodType, MethodType
from typing import TYPE_CHECKING, Any, NoReturn

from inferkit.budgets.context import Entered
from inferkit.budgets.generators import Keeper, coroutine_in_scopes

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.budgets.scope import Scopes

    Carry = Callable[[Any, Scopes, Keeper], Any]

__all__ = ["stand_in"]


def stand_in(thing: Any, scopes: Scopes, carry: Carry) -> Any:
    """Give what stands in for a thing; `carry` is given what its methods return, and the scopes."""
    if isinstance(thing, _StandIn):
        return thing
    kind: Any = type(thing)
    return _class_for(kind)(_Original(thing, scopes, carry))


class _Original:
    """What is stood in for."""

    __slots__ = ("carry", "scopes", "thing")

    def __init__(self, thing: Any, scopes: Scopes, carry: Carry) -> None:
        self.thing = thing
        self.scopes = scopes
        self.carry = carry

    def step(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        place = Entered(self.scopes)
        with place:
            value = function(*args, **kwargs)
        self.scopes = place.scopes
        return value

    async def async_step(self, function: Callable[..., Any], *args: Any) -> Any:
        place = Entered(self.scopes)
        with place:
            value = await function(*args)
        self.scopes = place.scopes
        return value

    def __del__(self) -> None:
        with Entered(self.scopes):
            del self.thing  # what it does when nobody holds it any more, it does here


class _StandIn:
    """The base of all stand-ins: each class of things has one of its own."""

    __slots__ = ("__weakref__", "_inferkit_original")
    _inferkit_original: _Original

    def __init__(self, original: _Original) -> None:
        object.__setattr__(self, "_inferkit_original", original)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # what isinstance() asks, where the type is another one
        return type(self._inferkit_original.thing)

    def __getattr__(self, name: str) -> Any:
        original, keeper = self._inferkit_original, Keeper()
        value = original.step(getattr, original.thing, name)
        if not isinstance(value, MethodType | BuiltinMethodType) or value.__self__ is not original.thing:
            return original.carry(value, original.scopes, keeper)

        @functools.wraps(value)
        def method(*args: Any, **kwargs: Any) -> Any:
            keeper = Keeper()
            return _given(self, original.step(value, *args, **kwargs), keeper)

        return method

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inferkit_original.thing, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._inferkit_original.thing, name)

    def __repr__(self) -> str:
        return repr(self._inferkit_original.thing)

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} that a function with a budget returned cannot be copied or pickled: the calls "
            "that the copy makes would be paid for by nobody"
        )


def _given(standing: _StandIn, value: Any, keeper: Keeper) -> Any:
    """Give what a method returned: the stand-in, where that is what it stands for."""
    original = standing._inferkit_original  # noqa: SLF001 - its own module
    return standing if value is original.thing else original.carry(value, original.scopes, keeper)


@functools.lru_cache(maxsize=256)
def _class_for(kind: type) -> type[_StandIn]:
    own = {name: make(getattr(kind, name)) for name, make in _SPECIAL.items() if getattr(kind, name, None) is not None}
    return type(kind.__name__, (_StandIn,), {"__slots__": (), "__doc__": kind.__doc__, **own})


def _step(method: Any) -> Any:
    def step(self: _StandIn, *args: Any) -> Any:
        original = self._inferkit_original
        return original.step(method, original.thing, *args)

    return step


def _plain(method: Any) -> Any:
    def plain(self: _StandIn, *args: Any, **kwargs: Any) -> Any:
        original, keeper = self._inferkit_original, Keeper()
        return _given(self, original.step(method, original.thing, *args, **kwargs), keeper)

    return plain


def _async_step(method: Any) -> Any:
    async def async_step(self: _StandIn, *args: Any) -> Any:
        original = self._inferkit_original
        value = await original.async_step(method, original.thing, *args)
        return self if value is original.thing else value

    return async_step


def _await(_: Any) -> Any:
    def await_(self: _StandIn) -> Any:
        original = self._inferkit_original
        return coroutine_in_scopes(original.thing, original.scopes, original.carry).__await__()

    return await_


_SPECIAL: dict[str, Callable[[Any], Any]] = {
    "__next__": _step,
    "__anext__": _async_step,
    "__await__": _await,
    **dict.fromkeys(("__aenter__", "__aexit__"), _async_step),
    **dict.fromkeys(
        ("__iter__", "__aiter__", "__enter__", "__exit__", "__call__", "__getitem__", "__len__", "__length_hint__"),
        _plain,
    ),
}
