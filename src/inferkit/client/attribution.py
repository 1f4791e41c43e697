"""Whom a call is for and which budgets pay for it: read at the door, in the caller's own context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.budgets.scope import Scope, all_scopes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.core.record import CallRecord

__all__ = ["attribute"]


def attribute(
    asked: Mapping[str, Any], record: CallRecord, around: Sequence[Scope], first: Sequence[Scope] = ()
) -> dict[str, Any]:
    """Give a request's fields `user`, `tenant`, `feature` and `scopes`, and put `key` on the record.

    Those who pay are the budgets `first`, those of the functions `around` the call, and the call's own. Whom the call
    is for, it says itself; or else the innermost key of a budget that is for `each` user or tenant does. `key` is the
    outermost of the others, which may be anything. Raises `ConfigurationError` where a budget is for each user or
    tenant, and nobody says whom the call is for.
    """
    own = asked.get("budget")
    if not around and not first and own is None:
        return {}
    user, tenant, feature = asked.get("user"), asked.get("tenant"), asked.get("feature")
    for scope in reversed(around):  # the innermost is the last
        feature = feature or scope.feature
        each = scope.budget.each
        if each == "user":
            user = user or scope.key
        elif each == "tenant":
            tenant = tenant or scope.key
        else:
            record.key = scope.key or record.key
    scopes = (*first, *around) if own is None else (*first, *around, Scope(own))
    return {"user": user, "tenant": tenant, "feature": feature, "scopes": all_scopes(scopes, user, tenant)}
