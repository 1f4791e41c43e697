"""Which budgets may take a call that they do not cover to a smaller model, and which of them did.

Each does so once a call. What it has run out of is no limit to the smaller model then, apart from money: tokens and
calls are what ran out, and they are counted on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from inferkit.layers.resolve import resolved

if TYPE_CHECKING:
    from inferkit.budgets.scope import Scope
    from inferkit.core.request import Request
    from inferkit.ledger.amounts import Line, Refusal

__all__ = ["NO_DEGRADING", "Degrading", "degraded"]

_log = logging.getLogger("inferkit")


class Degrading(NamedTuple):
    """`able` are the scopes that may still take their call to another model, `done` are those that did."""

    able: tuple[Scope, ...] = ()
    done: tuple[Scope, ...] = ()

    @classmethod
    def of(cls, request: Request) -> Degrading:
        """Begin a call. A budget does not take it from the very model that it would take it to."""
        return cls(tuple([scope for scope in request.scopes if scope.budget.degrade_to not in (None, request.model)]))

    def by(self, scope: Scope) -> Degrading:
        """Note that a scope took its call to another model."""
        return Degrading(tuple([one for one in self.able if one != scope]), (*self.done, scope))

    def line(self, scope: Scope, at: float) -> Line:
        """Give what a scope holds its call to."""
        line = scope.line(at)
        return line._replace(tokens=None, calls=None) if scope in self.done else line

    def refuser(self, scopes: tuple[Scope, ...], at: float, refusal: Refusal) -> Scope | None:
        """Give the scope whose limit refused the call, if it may take it to another model.

        None also where a budget on the same account, with the same limit, refuses for good.
        """
        found = None
        for scope in scopes if self.able else ():
            line = self.line(scope, at)
            is_same_account = (line.account, line.window) == (refusal.line.account, refusal.line.window)
            if is_same_account and getattr(line, refusal.unit) == getattr(refusal.line, refusal.unit):
                if scope not in self.able:
                    return None
                found = found or scope
        return found


NO_DEGRADING = Degrading()


def degraded(request: Request, scope: Scope, refusal: Refusal, *, instead_of: str) -> Request:
    """Give the caller's request as it goes to the model that the scope's budget names, and note that it does.

    Raises `NoRoute` where nothing stands behind that name.
    """
    record, model = request.record, scope.budget.degrade_to
    record.degraded = scope.account
    facts = {"scope": scope.account, "unit": refusal.unit, "from": instead_of, "to": model}
    record.note("budget", decision="degraded", **facts)
    _log.info(
        "call %s: %s answers instead of %s, since budget %s does not cover it (%s)",
        record.id, model, instead_of, scope.account, refusal.unit,
    )  # fmt: skip
    return resolved(request.replace(model=model))
