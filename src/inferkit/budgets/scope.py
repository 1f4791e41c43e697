"""One payer of a call, all payers of it (budgets that are divided, those that they lie within), and whom it is for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.budgets.budget import Budget
    from inferkit.core.record import CallRecord
    from inferkit.ledger.amounts import Line

__all__ = ["ForWhom", "Scope", "all_scopes", "attribute"]


class ForWhom:
    """Whom the calls made here are for, as somebody around them said; each is None where nobody did.

    It stands among the scopes, goes wherever they go, and pays for nothing. It may be told more as a request goes on,
    and then holds for all that it is around. `block` is what put it there.
    """

    __slots__ = ("block", "feature", "tenant", "user")

    def __init__(self, user: str | None, tenant: str | None, feature: str | None, block: object) -> None:
        self.user = user
        self.tenant = tenant
        self.feature = feature
        self.block = block


@dataclass(frozen=True)
class Scope:
    """One payer of a call: a budget, and whose share of it (`key`, for example a user's id).

    `feature` is the function that made it pay. `is_nameless` says that nothing else is to share its account.
    """

    budget: Budget
    key: str | None = None
    feature: str | None = field(default=None, compare=False)
    is_nameless: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_account", self.budget.account(self.key))

    @property
    def account(self) -> str:
        """The name of what pays, in the ledger and in messages."""
        account: str = self.__dict__["_account"]
        return account

    def line(self, at: float) -> Line:
        """Give what the ledger has to check and charge for a call at this instant: the same throughout a window."""
        known: tuple[float, float, Line] | None = self.__dict__.get("_line")
        if known is not None and known[0] <= at < known[1]:
            return known[2]
        line = self.budget.line(self.account, at)
        start, end = self.budget.span(at)
        self.__dict__["_line"] = (start, end, line)
        return line


if TYPE_CHECKING:
    Scopes = tuple[Scope | ForWhom, ...]


def all_scopes(scopes: Sequence[Scope], user: str | None, tenant: str | None) -> tuple[Scope, ...]:
    """Give the scopes with a share for each budget that is divided, and with the budgets that they lie within.

    Raises `ConfigurationError` for a call that does not say whose share it is.
    """
    found: list[Scope] = []
    names: dict[str, Any] = {"user": user, "tenant": tenant}
    for scope in scopes:
        budget: Budget | None = scope.budget
        key = scope.key
        while budget is not None:
            if key is None and budget.each is not None:
                key = names[budget.each]
                if key is None:
                    raise ConfigurationError(
                        f"budget {budget.name} is kept for each {budget.each}, and the call names none; "
                        f"pass {budget.each}=... (in a call of an SDK, the header x-inferkit-{budget.each})"
                    )
            found.append(scope if key == scope.key and budget is scope.budget else Scope(budget, key))
            budget, key = budget.within, None
    return tuple(found)


def attribute(
    asked: Mapping[str, Any], record: CallRecord, around: Sequence[Scope | ForWhom], first: Sequence[Scope] = ()
) -> dict[str, Any]:
    """Give a request's fields `user`, `tenant`, `feature` and `scopes`, and put `key` on the record.

    Those who pay are the budgets `first`, those of the functions `around` the call, and the call's own. Whom the call
    is for, it says itself; or else the innermost caller, or key of a budget that is for `each` user or tenant. `key` is
    the outermost of the other keys, which may be anything. Raises `ConfigurationError` where a budget is for each user
    or tenant, and nobody says whom the call is for.
    """
    own = asked.get("budget")
    if not around and not first and own is None:
        return {}
    user, tenant, feature = asked.get("user"), asked.get("tenant"), asked.get("feature")
    payers = []
    for scope in reversed(around):  # the innermost is the last
        feature = feature or scope.feature
        if isinstance(scope, ForWhom):
            user, tenant = user or scope.user, tenant or scope.tenant
            continue
        payers.append(scope)
        each = scope.budget.each
        if each == "user":
            user = user or scope.key
        elif each == "tenant":
            tenant = tenant or scope.key
        else:
            record.key = scope.key or record.key
    payers.reverse()
    scopes = (*first, *payers) if own is None else (*first, *payers, Scope(own))
    return {"user": user, "tenant": tenant, "feature": feature, "scopes": all_scopes(scopes, user, tenant)}
