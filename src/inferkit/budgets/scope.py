"""One payer of a call, and all payers of it: budgets that are divided, and those that they lie within."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.budgets.budget import Budget
    from inferkit.ledger.amounts import Line

__all__ = ["Scope", "all_scopes"]


@dataclass(frozen=True)
class Scope:
    """One payer of a call: a budget, and whose share of it (`key`, for example a user's id).

    `feature` is the function that made it pay.
    """

    budget: Budget
    key: str | None = None
    feature: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.budget.name is None:
            raise ConfigurationError('a budget that is not on a function needs a name: Budget(..., name="free-tier")')
        name = self.budget.name
        object.__setattr__(self, "_account", name if self.key is None else f"{name}:{self.key}")

    @property
    def account(self) -> str:
        """The name of what pays, in the ledger and in messages."""
        account: str = self.__dict__["_account"]
        return account

    def line(self, at: float) -> Line:
        """Give what the ledger has to check and charge for a call at this instant."""
        return self.budget.line(self.account, at)


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
                        f"pass {budget.each}=..."
                    )
            found.append(scope if key == scope.key and budget is scope.budget else Scope(budget, key))
            budget, key = budget.within, None
    return tuple(found)
