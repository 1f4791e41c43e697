"""Counts the calls that cost nothing: answered from the cache, by an identical call, or refused by a budget.

What calls cost is in the ledger's entries. These counts are for reports alone: they gather in memory and are written
together, and a killed process loses its last seconds of them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from inferkit.core.errors import BudgetExceeded, ConfigurationError, LedgerError
from inferkit.layers.budget.settlement import attribution_of
from inferkit.ledger.journal import Attribution, Tally, TallyKind
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.gathering import Gathering

if TYPE_CHECKING:
    from inferkit.core.attempt import Outcome
    from inferkit.core.request import Request
    from inferkit.ledger.protocols import Journal
    from inferkit.plans.subscriptions import Plans

__all__ = ["Tallies"]

_log = logging.getLogger("inferkit")
_HOUR = 3600
_Key = tuple[int, TallyKind, Attribution, str, str, str, str]


class Tallies:
    """Counts them by the hour, customer, feature, plan and model, in `journal`.

    A reply from the cache needs no plan, so `plans` is asked for that when the counts are written.
    """

    def __init__(self, journal: Journal, plans: Plans | None = None) -> None:
        self._journal = journal
        self._plans = plans
        self._counts: dict[_Key, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._gathering = Gathering(self._write, name="inferkit-tally-writer")
        renew_after_fork(self)

    def call_ended(self, request: Request, outcome: Outcome, error: BaseException | None) -> None:
        """Count a call if it cost nothing."""
        cache = request.record.cache
        if cache == "hit" or (cache == "coalesced" and outcome == "completed"):
            self._count(request, cache)
        elif isinstance(error, BudgetExceeded) and not request.record.attempts:
            self._count(request, "refused", scope=error.scope)

    def close(self) -> None:
        """Write what was counted."""
        self._gathering.close()

    def renew(self) -> None:
        """Leave what waits to the parent, in a forked child."""
        self._counts = {}
        self._lock = threading.Lock()

    def _count(self, request: Request, kind: TallyKind, scope: str = "") -> None:
        record = request.record
        hour = int(request.runtime.time() // _HOUR) * _HOUR
        key = (hour, kind, attribution_of(request), request.model, record.provider, record.model, scope)
        with self._lock:
            calls, usd = self._counts.get(key, (0, 0))
            self._counts[key] = (calls + 1, usd + record.saved_nanos)
        self._gathering.more()

    def _write(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            self._journal.tally([self._tally(key, count) for key, count in counts.items()])
        except LedgerError as error:
            _log.warning("%d counts of calls that cost nothing are lost: %s", len(counts), error)

    def _tally(self, key: _Key, count: tuple[int, int]) -> Tally:
        attribution = key[2]
        if self._plans is not None and attribution.plan is None:
            with contextlib.suppress(ConfigurationError):  # a plan that is no longer there
                plan = self._plans.of(user=attribution.user, tenant=attribution.tenant).plan
                attribution = attribution if plan is None else attribution._replace(plan=plan.name)
        return Tally(*key[:2], attribution, *key[3:], *count)
