"""Which budgets pay for the calls made just now: the one context variable of the library."""

from __future__ import annotations

import contextlib
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextvars import Token

    from inferkit.budgets.budget import Scope

__all__ = ["Entered", "current_scopes"]

_scopes: ContextVar[tuple[Scope, ...]] = ContextVar("inferkit_scopes", default=())
_carried = False  # whether threads get the scopes too


def current_scopes() -> tuple[Scope, ...]:
    """Give the budgets that pay for a call made here: those of all decorated functions around it, outermost first."""
    return _scopes.get()


def _place(scopes: tuple[Scope, ...]) -> Token[tuple[Scope, ...]]:
    if not _carried:
        _carry()
    return _scopes.set(scopes)


def _carry() -> None:
    global _carried  # noqa: PLW0603 - a fact about this process
    if not sys.is_finalizing():  # no thread starts any more, and nothing can be imported
        from inferkit.budgets.threads import carry_into_threads

        carry_into_threads()
        _carried = True


class Entered:
    """Puts scopes in place for as long as a block runs."""

    __slots__ = ("_scopes", "_token")

    def __init__(self, scopes: tuple[Scope, ...]) -> None:
        self._scopes = scopes
        self._token: Token[tuple[Scope, ...]] | None = None

    def __enter__(self) -> None:
        self._token = _place(self._scopes)

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        with contextlib.suppress(ValueError):  # a coroutine that nobody awaits any more is closed in another context,
            _scopes.reset(self._token)  # which has nothing to reset
