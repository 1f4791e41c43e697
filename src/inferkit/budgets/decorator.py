"""`@budgeted`: the calls that a function makes are paid for by a budget, and those of what it returns.

A generator is charged step by step, so that the code that reads it is not.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from inferkit.budgets.arguments import budget_given
from inferkit.budgets.context import Entered, current_scopes
from inferkit.budgets.generators import Keeper
from inferkit.budgets.keys import key_text
from inferkit.budgets.known_limits import limits_of_functions, with_larger
from inferkit.budgets.results import carried
from inferkit.budgets.scope import Scope
from inferkit.budgets.threads import carry_into_threads
from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Unpack

    from inferkit.budgets.arguments import BudgetFields
    from inferkit.budgets.budget import Budget
    from inferkit.budgets.scope import Scopes

__all__ = ["budgeted"]

P = ParamSpec("P")
R = TypeVar("R")
Key = str | Callable[..., object] | None

_log = logging.getLogger("inferkit")
_told: set[str | None] = {None}  # once a process, when it is first called: whoever logs is set up by then


@overload
def budgeted(budget: Budget, /, *, key: Key = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


@overload
def budgeted(*, key: Key = None, **fields: Unpack[BudgetFields]) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def budgeted(
    budget: Budget | None = None, /, *, key: Key = None, **limits: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Charge the model calls that a function makes to a budget: `Budget`'s fields, or a `Budget`.

    `key` divides the budget, one share for each value: the name of an argument of the function, or a callable that gets
    the function's arguments. A value is a str, an int, a UUID, or a member of an Enum. The function may be sync, async,
    a generator, an async generator, or a method. Without a name, the budget is the function's own; two functions share
    a budget that has one, which then has the same limit on both. Tasks and threads that the function starts are charged
    too, also what it submits to a `ThreadPoolExecutor`; other processes are not.

    What the function returns and does its work later is charged when it does, and whoever reads it is not: coroutines
    and other awaitables, generators, async generators, `map` and all other iterators, such things in a tuple, list or
    dictionary, and the streaming responses of Starlette, FastAPI, Django and Flask (with Starlette's background tasks).
    Not covered is what only holds a way to do work: functions and partial functions, objects of classes of one's own
    that are neither iterators nor awaitables, other frameworks' responses, what is deeper inside what is returned, and
    what a generator yields. Decorate the function that does the work then: the generator itself, for example.

    Raises `ConfigurationError` at decoration for a wrong budget or key, and for a name that another function's budget
    has with another limit; when called, for a value that is no key. A call that the budget does not cover raises
    `BudgetExceeded` inside the function.
    """
    given = budget_given(budget, limits, example='@budgeted(usd="5.00", per="month", key="user_id")')

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return _decorated(function, given, key)

    return decorate


def _decorated(function: Callable[P, R], given: Budget, key: Key) -> Callable[P, R]:
    if isinstance(function, staticmethod | classmethod) or inspect.isclass(function) or not callable(function):
        raise ConfigurationError(
            "@budgeted goes on a function, right above its def: below @staticmethod and @classmethod, "
            "and on the methods of a class"
        )
    budget = given.named(_account_name(function)) if given.name is None else given
    owner = f"{getattr(function, '__module__', None)}.{getattr(function, '__qualname__', type(function).__name__)}"
    for each in with_larger(budget):
        limits_of_functions.check(each, owner)
    unnamed = budget.name if given.name is None and budget.per != "call" else None
    feature = getattr(function, "__qualname__", None)
    find = _key_finder(function, key)
    if find is None:
        shared = (Scope(budget, None, feature),)
        return _in_scope(function, unnamed, lambda _args, _kwargs: current_scopes() + shared)
    signature = inspect.signature(function)
    whose = f"budget {budget.name} is kept by key, and {repr(key) if isinstance(key, str) else 'its callable'}"

    def scopes_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Scopes:
        value = find(args, kwargs)
        if value is None or value == "":
            signature.bind(*args, **kwargs)  # a wrong call fails as it would without a budget
        return (*current_scopes(), Scope(budget, key_text(value, whose), feature))

    return _in_scope(function, unnamed, scopes_of)


def _in_scope(
    function: Callable[P, R],
    unnamed: str | None,
    scopes_of: Callable[[tuple[Any, ...], dict[str, Any]], Scopes],
) -> Callable[P, R]:
    """Wrap a function of any kind so that what it runs, and what it returns, runs under its scopes.

    `unnamed` is the name of its budget if that is the function's, and matters for longer than a call.
    """
    target: Any = function
    wrapper: Any

    def place_for(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entered:
        carry_into_threads()
        if unnamed not in _told:
            _tell_of_the_name(unnamed)
        return Entered(scopes_of(args, kwargs))

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            place, keeper = place_for(args, kwargs), Keeper()
            with place:
                result = await target(*args, **kwargs)
            return carried(result, place.scopes, keeper)

    else:  # a generator function too: it returns a generator

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            place, keeper = place_for(args, kwargs), Keeper()
            with place:
                result = target(*args, **kwargs)
            return carried(result, place.scopes, keeper)

    return cast("Callable[P, R]", wrapper)


def _tell_of_the_name(name: str | None) -> None:
    _told.add(name)
    _log.warning(
        "a budget without a name goes by its function, %s: renamed or moved, it starts anew, with nothing spent; give "
        'it a name that stays: @budgeted(..., name="...")',
        name,
    )


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
