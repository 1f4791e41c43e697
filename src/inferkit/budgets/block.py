"""`with budget(...)`: the calls that a block of code makes are paid for by a budget."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, overload

from inferkit.budgets.arguments import budget_given
from inferkit.budgets.context import join, leave
from inferkit.budgets.keys import key_text
from inferkit.budgets.scope import Scope
from inferkit.budgets.threads import carry_into_threads

if TYPE_CHECKING:
    from typing import Self, Unpack

    from inferkit.budgets.arguments import BudgetFields
    from inferkit.budgets.budget import Budget, Remaining, Spent
    from inferkit.budgets.keys import KeyValue
    from inferkit.ledger.ledger import Ledger

__all__ = ["BudgetBlock", "budget"]


@overload
def budget(given: Budget, /, *, key: KeyValue = ...) -> BudgetBlock: ...


@overload
def budget(*, key: KeyValue = ..., **fields: Unpack[BudgetFields]) -> BudgetBlock: ...


def budget(given: Budget | None = None, /, **options: Any) -> BudgetBlock:
    """Charge the model calls of a block of code to a budget: `Budget`'s fields, or a `Budget`.

    ```python
    with budget(usd="0.10") as spent:  # or: async with
        run_agent()
    print(spent.usage(ledger=llm.ledger).usd)
    ```

    The tasks and threads that the block starts are charged too. Without a name the budget is this block's own, and its
    fields are then meant in total (`per="total"`) if they do not say otherwise; budgets of one name share what was
    spent. `key` says whose share of the budget pays.

    Do not hold a block across a `yield`, unless the generator is `@budgeted` itself: what its reader does in between
    would be charged. (`contextlib.contextmanager` is fine: there that is what one wants.)

    Raises `ConfigurationError` for a wrong budget or key. A call that the budget does not cover raises
    `BudgetExceeded` inside the block.
    """
    keyed = "key" in options
    key = options.pop("key", None)
    if given is None and options.get("name") is None:
        options.setdefault("per", "total")
    whole = budget_given(given, options, example='with budget(usd="0.10") as spent: ...')
    share = key_text(key, "a budget's key says whose share pays, and key=") if keyed else None
    own = whole.named(f"block-{os.urandom(8).hex()}")
    return BudgetBlock(Scope(own, share, is_nameless=own is not whole))


class BudgetBlock:
    """What `budget(...)` gives: a context manager, sync and async, that knows what was spent in it.

    It stands for one account, however often it is entered: again, inside itself, or by several tasks at once.
    """

    __slots__ = ("scope",)

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    @property
    def account(self) -> str:
        """The name of what pays, in the ledger and in messages."""
        return self.scope.account

    def usage(self, *, ledger: Ledger, at: float | None = None) -> Spent:
        """Say what was spent, as `Budget.usage` does, during the block or after it."""
        return self.scope.budget.usage(self.scope.key, ledger=ledger, at=at)

    def remaining(self, *, ledger: Ledger, at: float | None = None) -> Remaining:
        """Say what is left, as `Budget.remaining` does."""
        return self.scope.budget.remaining(self.scope.key, ledger=ledger, at=at)

    def __repr__(self) -> str:
        return f"<BudgetBlock {self.account}>"

    def __enter__(self) -> Self:
        carry_into_threads()
        join(self.scope)
        return self

    def __exit__(self, *_: object) -> None:
        leave(self.scope)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()
