"""Reserves what a call may cost before it is sent, and settles what it did cost, once, however it ended.

The cap holds by construction: a reservation is an upper bound, and where the budget does not buy the output that was
asked for, `max_output_tokens` is lowered to what it buys.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from inferkit._errors import BudgetExceeded, ConfigurationError, LedgerError
from inferkit.budgets.budget import Threshold
from inferkit.budgets.ledger import Grant, LedgerBusy, Payer
from inferkit.budgets.money import to_usd
from inferkit.layers.demand import Demand, demand_of
from inferkit.layers.hold import Hold, charge_for, exceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit._response import End, Response
    from inferkit._runtime import Runtime
    from inferkit._types import Chunk, Handler, Request
    from inferkit.budgets.ledger import Ledger, Refusal
    from inferkit.budgets.prices import Price

__all__ = ["BudgetLayer"]

T = TypeVar("T")
_log = logging.getLogger("inferkit")
_MARGIN_SECONDS = 60.0
_SWEEP_SECONDS = 60.0


class BudgetLayer:
    """Charges each call to `request.scopes`, and enters calls without any in the ledger's book.

    `quote` gives the prices of the models that may serve a request, of which the dearest is reserved. A call whose
    caller sets no `max_output_tokens` is held to `default_output_tokens`; one for which the budget buys fewer than
    `min_output_tokens` is refused with `BudgetExceeded`. A hold is leased for `lease_seconds`, or until the call's
    deadline. `on_store_error` says whether a call goes ahead when the ledger cannot be written: "block" or "allow".
    """

    role = "budget"

    def __init__(
        self,
        ledger: Ledger | None,
        *,
        quote: Callable[[Request], Sequence[Price]],
        default_output_tokens: int = 4096,
        min_output_tokens: int = 16,
        lease_seconds: float = 600.0,
        on_store_error: Literal["block", "allow"] = "block",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if on_store_error not in ("block", "allow"):
            raise ConfigurationError(f'on_store_error is "block" or "allow"; got {on_store_error!r}')
        if not 0 < min_output_tokens <= default_output_tokens:
            raise ConfigurationError("min_output_tokens is at least 1 and at most default_output_tokens")
        if lease_seconds <= 0:
            raise ConfigurationError(f"lease_seconds is above zero; got {lease_seconds}")
        self._ledger = ledger
        self._quote = quote
        self._default_output = default_output_tokens
        self._min_output = min_output_tokens
        self._lease = lease_seconds
        self._blocks = on_store_error == "block"
        self._clock = clock
        self._sweep_at = 0.0

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """See `Layer`."""
        ledger = self._ledger
        if ledger is None:
            if request.scopes:
                raise ConfigurationError("a budget needs a ledger to keep count in; pass ledger=SqliteLedger(path)")
            return await call_next(request)
        settlement = _Settlement(self, ledger, request)
        if request.scopes:
            demand = demand_of(
                request,
                self._quote,
                self._clock(),
                default_output=self._default_output,
                min_output=self._min_output,
            )
            request = await self._reserve(ledger, request, demand, settlement)
        try:
            response = await call_next(request)
        except BaseException as error:
            await settlement.after_failure(error)
            raise
        if request.record.clamped:
            response = response.map(_name_the_cause)
        if settlement.hold is not None and settlement.hold.truncates:
            return response.through(_Truncated(response), on_close=settlement.at_end)
        return response.map(on_close=settlement.at_end)

    async def _reserve(self, ledger: Ledger, request: Request, demand: Demand, settlement: _Settlement) -> Request:
        """Reserve, or refuse with `BudgetExceeded`; give the request as it may be sent."""
        record = request.record
        lease = self._lease
        if request.deadline is not None:
            lease = max(0.0, request.deadline - request.runtime.now()) + _MARGIN_SECONDS
        answer: Grant | Refusal | None = demand.refusal
        if answer is None and not demand.lines:
            answer = Grant(demand.wanted)
        if answer is None:
            call = _Reservation(self, ledger, request, demand=demand, lease=lease)
            try:
                answer = await call.make()
            except LedgerError as error:
                if self._blocks:
                    error.request_id = record.id
                    raise
                _log.warning("a call goes ahead without its budget, as configured: %s", error)
                record.note("budget", decision="ledger failed", error=type(error).__name__)
                return request
        if not isinstance(answer, Grant):
            await self.warn(request.runtime, ledger, request, demand)
            record.note("budget", decision="refused", scope=answer.line.account, unit=answer.unit)
            raise exceeded(request, demand, answer)
        output = demand.output_within(answer.amounts)
        hold = Hold(self, ledger, request, demand=demand, grant=answer, lease=lease)
        record.hold = settlement.hold = hold
        lowered = output is not None and output < (demand.output or 0)
        if lowered:
            record.clamped = True
        facts: dict[str, Any] = {
            "decision": "lowered" if lowered else "reserved",
            "scope": demand.accounts,
            "estimate_nanos": answer.amounts.usd,
        }
        if answer.remaining[0] is not None:
            facts["remaining_nanos"] = answer.remaining[0]
        record.note("budget", **facts)
        return request if output is None else request.replace(max_output_tokens=output)

    async def store(self, runtime: Runtime, ledger: Ledger, step: Callable[..., T]) -> T:
        """Run one step of the ledger: here if that is quick, or else in a thread. `step` takes `wait`."""
        if runtime.blocking:
            return step(wait=True)
        if ledger.quick:
            try:
                return step(wait=False)
            except LedgerBusy:
                pass

        async def elsewhere() -> T:
            return await runtime.run_blocking(lambda: step(wait=True))

        return await runtime.shield(elsewhere)

    async def warn(self, runtime: Runtime, ledger: Ledger, request: Request, demand: Demand) -> None:
        """Tell of the shares of budgets that were passed just now, in an event and to whoever wants to know."""
        watched = [line for line in demand.lines if line.warn_at]
        if not watched:
            return
        try:
            crossings = await self.store(runtime, ledger, lambda *, wait: ledger.warn(watched, wait=wait))
        except LedgerError as error:  # the call itself was settled, or says what is wrong
            _log.error("whether a budget's threshold was passed is not known: %s", error)
            return
        for crossing in crossings:
            line, share = crossing.line, Decimal(crossing.share) / 1000
            request.record.note("budget", decision="threshold", scope=line.account, share=float(share))
            told = Threshold(
                line.account, share, crossing.unit, _in_unit(crossing.unit, crossing.used),
                _in_unit(crossing.unit, crossing.limit),
            )  # fmt: skip
            for on_threshold in demand.told_of(line, crossing.share):
                _tell(on_threshold, told)

    async def sweep_sometimes(self, runtime: Runtime, ledger: Ledger, at: float) -> None:
        """End the holds of processes that died, so that reports show them as spent: first now, then once a minute."""
        if at < self._sweep_at:
            return
        self._sweep_at = at + _SWEEP_SECONDS
        with contextlib.suppress(LedgerError):  # the next reservation says what is wrong
            await self.store(runtime, ledger, lambda *, wait: ledger.sweep(at, wait=wait))

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock()


class _Reservation:
    """One attempt to reserve, which is taken back if its caller is cancelled while it waits."""

    def __init__(self, layer: BudgetLayer, ledger: Ledger, request: Request, *, demand: Demand, lease: float) -> None:
        self._layer = layer
        self._ledger = ledger
        self._request = request
        self._demand = demand
        self._lease = lease
        self._lock = threading.Lock()
        self._left = False
        self._made = False

    def _step(self, *, wait: bool) -> Grant | Refusal:
        demand, request = self._demand, self._request
        answer = self._ledger.reserve(
            request.record.id,
            demand.lines,
            demand.wanted,
            demand.minimum,
            at=demand.at,
            lease_seconds=self._lease,
            payer=Payer(request.user, request.tenant),
            wait=wait,
        )
        with self._lock:
            self._made = True
            left = self._left
        if left:
            self._void(wait=True)
        return answer

    async def make(self) -> Grant | Refusal:
        try:
            return await self._layer.store(self._request.runtime, self._ledger, self._step)
        except LedgerError:
            raise
        except BaseException:
            with self._lock:  # whichever of the two comes later takes it back
                self._left = True
                made = self._made
            if made:
                with contextlib.suppress(LedgerError):
                    await self._layer.store(self._request.runtime, self._ledger, self._void)
            raise

    def _void(self, *, wait: bool) -> bool:
        return self._ledger.void(self._request.record.id, at=self._demand.at, wait=wait)


class _Settlement:
    """What is done once, when the call is over."""

    def __init__(self, layer: BudgetLayer, ledger: Ledger, request: Request) -> None:
        self._layer = layer
        self._ledger = ledger
        self._request = request
        self.hold: Hold | None = None

    async def after_failure(self, error: BaseException) -> None:
        """Settle what the attempts cost, or give everything back."""
        record = self._request.record
        outcome = "error" if isinstance(error, Exception) else "cancelled"
        if not any(attempt.usage.total_tokens or attempt.cost_nanos for attempt in record.attempts):
            if self.hold is not None and self.hold.demand.lines:
                await self._write(self._request.runtime, self._void)
        else:
            await self._settle(self._request.runtime, outcome)
        record.hold = None
        if isinstance(error, BudgetExceeded):
            error.attempts = tuple(record.attempts)

    async def at_end(self, end: End) -> None:
        """Settle a call whose stream has ended."""
        await self._settle(end.runtime, end.outcome)
        self._request.record.hold = None  # the two refer to each other: a cycle that would keep every prompt alive
        if isinstance(end.error, BudgetExceeded):
            end.error.attempts = tuple(self._request.record.attempts)

    async def _settle(self, runtime: Runtime, outcome: str) -> None:
        request, hold = self._request, self.hold
        charge = charge_for(request, hold, outcome)
        at = self._layer.now()

        def step(*, wait: bool) -> bool:
            if hold is None or not hold.demand.lines:
                return self._ledger.record(request.record.id, charge, at=at, wait=wait)
            return self._ledger.settle(request.record.id, charge, at=at, wait=wait)

        await self._write(runtime, step)
        if hold is not None:
            await self._layer.warn(runtime, self._ledger, request, hold.demand)
        await self._layer.sweep_sometimes(runtime, self._ledger, at)
        if hold is not None and charge.usd is not None:
            request.record.note("budget", decision="settled", actual_nanos=charge.usd, estimated=charge.estimated)

    def _void(self, *, wait: bool) -> bool:
        return self._ledger.void(self._request.record.id, at=self._layer.now(), wait=wait)

    async def _write(self, runtime: Runtime, step: Callable[..., bool]) -> None:
        """Write to the ledger. The reply is there and must not be lost to a ledger that fails: the lease settles it."""
        try:
            await self._layer.store(runtime, self._ledger, step)
        except LedgerError as error:
            if self.hold is None:
                _log.error("a call could not be entered in the ledger: %s", error)
            else:
                _log.error("a call could not be settled; its hold is posted when its lease runs out: %s", error)
            self._request.record.note("budget", decision="not settled", error=type(error).__name__)


def _in_unit(unit: str, amount: int) -> Decimal:
    return to_usd(amount) if unit == "usd" else Decimal(amount)


def _tell(on_threshold: Callable[[Threshold], object], threshold: Threshold) -> None:
    try:
        on_threshold(threshold)
    except Exception:  # the call has ended, and its reply must not be lost to this
        _log.exception("on_threshold of budget %s failed", threshold.scope)


def _name_the_cause(chunk: Chunk) -> Chunk:
    """Say "budget" where a reply ended at a length that the budget had set."""
    return chunk._replace(finish_reason="budget") if chunk.finish_reason == "length" else chunk


class _Truncated:
    """Ends a stream after the chunk that the meter marked as its last."""

    __slots__ = ("_over", "_source")

    def __init__(self, source: Response) -> None:
        self._source = source
        self._over = False

    async def __anext__(self) -> Chunk:
        if self._over:
            raise StopAsyncIteration
        chunk = await self._source.__anext__()
        if chunk.finish_reason == "budget":
            self._over = True
            try:
                await self._source.aclose()
            except Exception as error:  # the reply is complete as far as it is paid for
                _log.debug("closing a stream that was cut failed: %s", type(error).__name__)
        return chunk
