"""What a client does on the disk before its first call, and not when it is made: many a one is made and never used."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from inferkit.core.errors import LedgerError
from inferkit.runtime import clock

if TYPE_CHECKING:
    from inferkit.layers.budget.sweeper import Sweeper
    from inferkit.ledger.ledger import Ledger
    from inferkit.ledger.sqlite.ledger import SqliteLedger
    from inferkit.plans.subscriptions import Plans
    from inferkit.resilience.sharing import Sharing
    from inferkit.runtime.protocol import Runtime

__all__ = ["Beginning"]

_log = logging.getLogger("inferkit")
_AGAIN_SECONDS = 60.0


class Beginning:
    """Opens the client's `own` ledger, ends what processes held in it that are dead, and enters what plans are.

    Then it hears what other processes on the ledger know of models, where they tell.
    `is_over` is all that a call asks once that is done.
    """

    def __init__(
        self, own: Ledger | None, sweeper: Sweeper | None, plans: Plans | None, sharing: Sharing | None = None
    ) -> None:
        self._own = own
        self._sweeper = sweeper
        self._plans = plans
        self._sharing = sharing
        self._closed = False
        self._again_at = 0.0
        self.is_over = False

    @property
    def is_closed(self) -> bool:
        """Whether every call is refused."""
        return self._closed

    def begin(self) -> None:
        """Do it now, unless it is done. Raises `LedgerError`."""
        if self.is_over or self._closed:
            return
        self.is_over = True  # who comes meanwhile goes on, and waits where the ledger has it wait
        try:
            if self._own is not None:
                cast("SqliteLedger", self._own).open()
            if self._sweeper is not None:  # what processes held that are dead by now belongs in the journal
                self._sweeper.sweep(clock.time())
            if self._plans is not None:
                self._plans.define()
            if self._sharing is not None:
                self._sharing.look()
        except LedgerError:
            self.is_over = False
            raise

    async def before_call(self, runtime: Runtime) -> None:
        """Do it beside the event loop, where there is one. Raises `RuntimeError` for a client that is closed.

        Where the ledger fails, whoever needs it for a call says so, or does without it. It is not asked again at once.
        """
        if self._closed:
            raise RuntimeError("this client is closed; make another one")
        if clock.now() < self._again_at:
            return
        try:
            await runtime.run_blocking(self.begin)
        except LedgerError as error:
            self._again_at = clock.now() + _AGAIN_SECONDS
            _log.warning("the ledger could not be made ready, and is tried again: %s", error)

    def close(self) -> None:
        """Have every call refused from now on."""
        self._closed = True
        self.is_over = False
