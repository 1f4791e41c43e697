"""`@budgeted`: the calls that a function makes are paid for by a budget.

The payers of the calls made just now are the one context variable of the library. A generator never holds it across a
`yield`: it is set and reset inside each step, so that the code that reads the generator is not charged.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast, overload

from inferkit._errors import ConfigurationError
from inferkit.budgets.budget import Budget, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextvars import Token
    from datetime import timedelta
    from decimal import Decimal

    from inferkit.budgets.budget import Share, Threshold
    from inferkit.budgets.windows import Period

__all__ = ["budgeted", "current_scopes"]

P = ParamSpec("P")
R = TypeVar("R")
Key = str | Callable[..., object] | None

_scopes: ContextVar[tuple[Scope, ...]] = ContextVar("inferkit_scopes", default=())


def current_scopes() -> tuple[Scope, ...]:
    """Give the budgets that pay for a call made here: those of all decorated functions around it, outermost first."""
    return _scopes.get()


@overload
def budgeted(budget: Budget, /, *, key: Key = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


@overload
def budgeted(
    *,
    usd: str | int | Decimal | None = None,
    tokens: int | None = None,
    calls: int | None = None,
    per: Period | timedelta = "month",
    key: Key = None,
    name: str | None = None,
    zone: str = "UTC",
    anchor_day: int = 1,
    on_exceed: Literal["raise", "truncate", "degrade"] = "raise",
    degrade_to: str | None = None,
    each: Literal["user", "tenant"] | None = None,
    within: Budget | None = None,
    warn_at: Share | Sequence[Share] = (),
    on_threshold: Callable[[Threshold], object] | None = None,
    grace: Share = 0,
    rollover: Share = 0,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def budgeted(
    budget: Budget | None = None, /, *, key: Key = None, **limits: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Charge the model calls that a function makes to a budget: `Budget`'s fields, or a `Budget`.

    `key` divides the budget, one share for each value: the name of an argument of the function, or a callable that gets
    the function's arguments. The function may be sync, async, a generator, an async generator, or a method. Without a
    name, the budget is the function's own; two functions share a budget that has one. Tasks that the function starts
    are charged too; threads are if they run in a copy of its context (`contextvars.copy_context().run`).

    Raises `ConfigurationError` at decoration for a wrong budget or key; when called, for a key that is None. A call
    that the budget does not cover raises `BudgetExceeded` inside the function.
    """
    if callable(budget) or (budget is not None and not isinstance(budget, Budget)):
        raise ConfigurationError('budgeted takes a budget: @budgeted(usd="5.00", per="month", key="user_id")')
    if budget is not None and limits:
        raise ConfigurationError(f"pass a Budget or its fields, not both (got also {', '.join(sorted(limits))})")
    unknown = limits.keys() - Budget.__dataclass_fields__.keys()
    if unknown:
        fields = ", ".join(Budget.__dataclass_fields__)
        raise ConfigurationError(f"a budget has no {', '.join(sorted(unknown))}; its fields are: {fields}")
    given = budget or Budget(**limits)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return _decorated(function, given, key)

    return decorate


def _decorated(function: Callable[P, R], given: Budget, key: Key) -> Callable[P, R]:
    if isinstance(function, staticmethod | classmethod) or inspect.isclass(function) or not callable(function):
        raise ConfigurationError(
            "@budgeted goes on a function, right above its def: below @staticmethod and @classmethod, "
            "and on the methods of a class"
        )
    budget = given if given.name is not None else given.named(_account_name(function))
    find = _key_finder(function, key)
    if find is None:
        shared = (Scope(budget),)
        return _in_scope(function, lambda _args, _kwargs: _scopes.get() + shared)
    signature = inspect.signature(function)

    def scopes_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Scope, ...]:
        value = find(args, kwargs)
        if value is None or value == "":
            signature.bind(*args, **kwargs)  # a wrong call fails as it would without a budget
            what = repr(key) if isinstance(key, str) else "its callable"
            raise ConfigurationError(
                f"budget {budget.name} is kept by key, and {what} gave {value!r}; give every caller a key, "
                'for example "anonymous" for those without one'
            )
        return (*_scopes.get(), Scope(budget, str(value)))

    return _in_scope(function, scopes_of)


def _in_scope(
    function: Callable[P, R], scopes_of: Callable[[tuple[Any, ...], dict[str, Any]], tuple[Scope, ...]]
) -> Callable[P, R]:
    """Wrap a function of any kind so that what it runs, runs under its scopes."""
    target: Any = function
    wrapper: Any
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            scopes = scopes_of(args, kwargs)
            return _AsyncGeneratorInScope(target(*args, **kwargs), scopes)

    elif inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            scopes = scopes_of(args, kwargs)
            return _GeneratorInScope(target(*args, **kwargs), scopes)

    elif inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with _Entered(scopes_of(args, kwargs)):
                return await target(*args, **kwargs)

    else:

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with _Entered(scopes_of(args, kwargs)):
                return target(*args, **kwargs)

    return cast("Callable[P, R]", wrapper)


def _account_name(function: Callable[..., Any]) -> str:
    try:
        return f"{function.__module__}.{function.__qualname__}"
    except AttributeError:
        raise ConfigurationError(
            f"a {type(function).__name__} has no name that the budget could take; give it one: name=..."
        ) from None


def _key_finder(function: Callable[..., Any], key: Key) -> Callable[[tuple[Any, ...], dict[str, Any]], object] | None:
    if key is None:
        return None
    if callable(key):
        return lambda args, kwargs: key(*args, **kwargs)
    parameters = list(inspect.signature(function).parameters.values())
    found = next((each for each in parameters if each.name == key), None)
    if found is None or found.kind in (found.VAR_POSITIONAL, found.VAR_KEYWORD):
        names = ", ".join(each.name for each in parameters) or "none"
        raise ConfigurationError(
            f"key={key!r} names no argument of the function (it has: {names}); "
            "name one, or pass a callable that takes the arguments"
        )
    position = -1 if found.kind is found.KEYWORD_ONLY else parameters.index(found)
    default = None if found.default is found.empty else found.default

    def find(args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        if 0 <= position < len(args):
            return args[position]
        return kwargs.get(key, default)

    return find


class _Entered:
    """Puts scopes in place for as long as a block runs."""

    __slots__ = ("_scopes", "_token")

    def __init__(self, scopes: tuple[Scope, ...]) -> None:
        self._scopes = scopes
        self._token: Token[tuple[Scope, ...]] | None = None

    def __enter__(self) -> None:
        self._token = _scopes.set(self._scopes)

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        with contextlib.suppress(ValueError):  # a coroutine that nobody awaits any more is closed in another context,
            _scopes.reset(self._token)  # which has nothing to reset


class _GeneratorInScope(Generator[Any, Any, Any]):
    """A generator each of whose steps runs under its scopes."""

    def __init__(self, inner: Generator[Any, Any, Any], scopes: tuple[Scope, ...]) -> None:
        self._step = inner
        self._scopes = scopes

    def __next__(self) -> Any:
        with _Entered(self._scopes):
            return next(self._step)

    def send(self, value: Any) -> Any:
        with _Entered(self._scopes):
            return self._step.send(value)

    def throw(self, *error: Any) -> Any:
        with _Entered(self._scopes):
            return self._step.throw(*error)

    def close(self) -> None:
        with _Entered(self._scopes):
            self._step.close()

    def __del__(self) -> None:
        step = self.__dict__.pop("_step", None)
        if step is not None:
            with _Entered(self._scopes):
                del step  # if it was left in the middle, its cleanup runs here


class _AsyncGeneratorInScope(AsyncGenerator[Any, Any]):
    """An async generator each of whose steps runs under its scopes."""

    def __init__(self, inner: AsyncGenerator[Any, Any], scopes: tuple[Scope, ...]) -> None:
        self._step = inner
        self._scopes = scopes

    def __aiter__(self) -> _AsyncGeneratorInScope:
        return self

    async def __anext__(self) -> Any:
        with _Entered(self._scopes):
            return await self._step.__anext__()

    async def asend(self, value: Any) -> Any:
        with _Entered(self._scopes):
            return await self._step.asend(value)

    async def athrow(self, *error: Any) -> Any:
        with _Entered(self._scopes):
            return await self._step.athrow(*error)

    async def aclose(self) -> None:
        with _Entered(self._scopes):
            await self._step.aclose()

    def __del__(self) -> None:
        step = self.__dict__.pop("_step", None)
        if step is not None:
            with _Entered(self._scopes):
                del step  # its event loop is told here, and finishes it in a task that copies this context
