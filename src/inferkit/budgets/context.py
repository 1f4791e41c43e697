"""Which budgets pay for the calls made just now, and whom they are for: the one context variable of the library."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from inferkit.budgets.scope import ForWhom, Scope, Scopes

__all__ = ["Entered", "current_scopes", "join", "leave"]

_scopes: ContextVar[Scopes] = ContextVar("inferkit_scopes", default=())


current_scopes: Callable[[], Scopes] = _scopes.get
"""Gives what the functions and blocks around a call made here say of it, outermost first: who pays, and whom it is for.
"""


def join(scope: Scope | ForWhom) -> None:
    """Have a scope hold too, until it leaves."""
    _scopes.set((*_scopes.get(), scope))


def leave(scope: Scope | ForWhom) -> None:
    """Have a scope that joined hold no more, wherever it stands by now.

    A block that was held across a `yield` may end after others have joined, which must stay, and in another context,
    which has nothing to leave. So this takes out the one scope, and does not put back what was there before.
    """
    scopes = _scopes.get()
    for place in reversed(range(len(scopes))):
        if scopes[place] is scope:
            _scopes.set(scopes[:place] + scopes[place + 1 :])
            break


class Entered:
    """Puts `scopes` in place while a function, or a step of it, runs, and puts back what was there before.

    After each use `scopes` are those that were left: what was put in place, with the blocks that are open yet. So a
    block that something is in the middle of is put back in place with its next step.
    """

    __slots__ = ("_token", "scopes")

    def __init__(self, scopes: Scopes) -> None:
        self.scopes = scopes
        self._token: Token[Scopes] | None = None

    def __enter__(self) -> None:
        self._token = _scopes.set(self.scopes)

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        assert token is not None
        left = _scopes.get()
        try:
            _scopes.reset(token)
        except ValueError:  # a coroutine that nobody awaits any more is closed in another context,
            return  # which has nothing to reset
        self.scopes = left
