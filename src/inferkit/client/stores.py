"""Where a client keeps count: the ledger and the plans that it was set up with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.layers.budget.sweeper import Sweeper
    from inferkit.ledger.ledger import Ledger
    from inferkit.plans.plan import Plan
    from inferkit.plans.subscriptions import Plans

__all__ = ["open_ledger", "open_plans", "sweeper_of"]


def open_ledger(
    given: bool | str | os.PathLike[str] | Ledger, home: str | os.PathLike[str] | None
) -> tuple[Ledger | None, bool]:
    """Give the ledger that a client was set up with, and whether it is the client's own. It opens no file yet."""
    from inferkit.client.home import ledger_file
    from inferkit.ledger.ledger import Ledger
    from inferkit.ledger.sqlite.ledger import SqliteLedger

    if given is False:
        return None, False
    if isinstance(given, Ledger):
        return given, False
    return SqliteLedger(ledger_file(home) if given is True else given, open_now=False), True


def sweeper_of(ledger: Ledger | None) -> Sweeper | None:
    """Give what ends the holds of processes that died."""
    from inferkit.layers.budget.sweeper import Sweeper

    return None if ledger is None else Sweeper(ledger.accounts)


def open_plans(
    given: Sequence[Plan] | str | os.PathLike[str] | None, default: str | None, ledger: Ledger | None
) -> Plans | None:
    """Give the plans that a client was set up with. Raises `ConfigurationError` where they cannot be kept."""
    if given is None:
        if default is not None:
            raise ConfigurationError("default_plan names one of the plans; pass them too: plans=[Plan(...)]")
        return None
    if ledger is None:
        raise ConfigurationError("plans need a ledger to keep count in; leave ledger=False out")
    imports.load("inferkit.plans.file", "inferkit.plans.subscriptions")
    from inferkit.plans.file import read_plans
    from inferkit.plans.subscriptions import Plans

    return Plans(
        read_plans(given) if isinstance(given, str | os.PathLike) else given, ledger, default=default, define=False
    )
