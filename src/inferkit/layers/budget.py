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

from inferkit._errors import BudgetExceeded, ConfigurationError, InferkitError, LedgerError
from inferkit.budgets.budget import Threshold
from inferkit.budgets.ledger import Grant, LedgerBusy
from inferkit.budgets.money import to_usd
from inferkit.layers.charge import charge_for, payer_of
from inferkit.layers.degrade import Degrading, degraded
from inferkit.layers.demand import Demand, demand_of
from inferkit.layers.hold import Hold, exceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit._response import End, Response
    from inferkit._runtime import Runtime
    from inferkit._types import Chunk, Handler, Request
    from inferkit.budgets.budget import Scope
    from inferkit.budgets.estimates import LearnedEstimates
    from inferkit.budgets.ledger import Amounts, Ledger, Refusal
    from inferkit.budgets.plans import Plans
    from inferkit.budgets.prices import Price

__all__ = ["BudgetLayer"]

T = TypeVar("T")
_log = logging.getLogger("inferkit")
_MARGIN_SECONDS = 60.0
_SWEEP_SECONDS = 60.0


class BudgetLayer:
    """Charges each call to `request.scopes`, and enters calls without any in the ledger's book.

    `plans` says which allowance each customer has. `quote` gives the prices of the models that may serve a request, of
    which the dearest is reserved. The input counts as what `learned` expects, or as its strict bound. A call whose
    caller sets no `max_output_tokens` is held to `default_output_tokens`; one for which the budget buys fewer than
    `min_output_tokens` is refused with `BudgetExceeded`, or taken to the smaller model that the budget names. A hold is
    leased for `lease_seconds`, or until the call's deadline. `on_store_error` says whether a call goes ahead when the
    ledger cannot be written: "block" or "allow".
    """

    role = "budget"

    def __init__(
        self,
        ledger: Ledger | None,
        *,
        quote: Callable[[Request], Sequence[Price]],
        plans: Plans | None = None,
        learned: LearnedEstimates | None = None,
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
        self._plans = plans
        self.learned = learned
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
        if self._plans is not None:
            request = await self._under_plan(self._plans, ledger, request)
        settlement = _Settlement(self, ledger, request)
        if request.scopes:
            request = await self._reserve(ledger, request, settlement)
        try:
            response = await self._send(request, call_next, settlement)
        except BaseException as error:
            await settlement.after_failure(error)
            raise
        if request.record.clamped:
            response = response.map(_name_the_cause)
        if settlement.hold is not None and settlement.hold.truncates:
            return response.through(_Truncated(response), on_close=settlement.at_end)
        return response.map(on_close=settlement.at_end)

    async def _under_plan(self, plans: Plans, ledger: Ledger, request: Request) -> Request:
        """Add the allowance of the customer's plan to what pays."""
        user, tenant, stated = request.user, request.tenant, request.plan
        standing = plans.remembered(user, tenant, stated)
        if standing is None:
            try:
                standing = await self.store(
                    request.runtime, ledger, lambda *, wait: plans.look_up(user, tenant, stated, wait=wait)
                )
            except LedgerError as error:
                if self._blocks:
                    error.request_id = request.record.id
                    raise
                _log.warning("a call goes ahead without its plan, as configured: %s", error)
                return request
        if standing.plan is None:
            return request
        request.record.plan = standing.plan.name
        scopes = plans.scopes(standing, user, tenant)
        return request.replace(scopes=(*request.scopes, *scopes)) if scopes else request

    async def _reserve(self, ledger: Ledger, asked: Request, settlement: _Settlement) -> Request:
        """Reserve, or refuse with `BudgetExceeded`; give the request as it may be sent."""
        request, at, degrading = asked, self._clock(), Degrading.of(asked)
        while True:
            demand = self._demand(request, at, degrading)
            try:
                answer = await self._ask(ledger, request, demand)
            except LedgerError as error:
                if self._blocks:
                    error.request_id = request.record.id
                    raise
                _log.warning("a call goes ahead without its budget, as configured: %s", error)
                request.record.note("budget", decision="ledger failed", error=type(error).__name__)
                return request
            if isinstance(answer, Grant):
                return self._hold(ledger, request, demand, answer, settlement)
            scope = demand.refuser(answer)
            if scope is None:
                await self.warn(request.runtime, ledger, request, demand)
                request.record.note("budget", decision="refused", scope=answer.line.account, unit=answer.unit)
                raise exceeded(request, demand, answer)
            degrading = degrading.by(scope)
            request = degraded(asked, scope, answer, instead_of=request.model)

    def _demand(self, request: Request, at: float, degrading: Degrading) -> Demand:
        return demand_of(
            request,
            self._quote,
            at,
            default_output=self._default_output,
            min_output=self._min_output,
            degrading=degrading,
            learned=self.learned,
        )

    async def _ask(self, ledger: Ledger, request: Request, demand: Demand) -> Grant | Refusal:
        if demand.refusal is not None:
            return demand.refusal
        if not demand.lines:
            return Grant(demand.wanted)
        if demand.whole:
            answer = await _Reservation(self, ledger, request, demand, least=demand.wanted).make()
            if isinstance(answer, Grant) or demand.refuser(answer) is not None:
                return answer
        return await _Reservation(self, ledger, request, demand, least=demand.minimum).make()

    def lease_of(self, request: Request) -> float:
        """How long a hold for this request lasts, in seconds."""
        if request.deadline is None:
            return self._lease
        return max(0.0, request.deadline - request.runtime.now()) + _MARGIN_SECONDS

    def _hold(self, ledger: Ledger, request: Request, demand: Demand, grant: Grant, settlement: _Settlement) -> Request:
        record, output = request.record, demand.output_within(grant.amounts)
        lease = self.lease_of(request)
        record.hold = settlement.hold = Hold(self, ledger, request, demand=demand, grant=grant, lease=lease)
        record.clamped = _is_lowered(output, demand)
        facts: dict[str, Any] = {
            "decision": "lowered" if record.clamped else "reserved",
            "scope": demand.accounts,
            "estimate_nanos": grant.amounts.usd,
        }
        if grant.remaining[0] is not None:
            facts["remaining_nanos"] = grant.remaining[0]
        record.note("budget", **facts)
        return request if output is None else request.replace(max_output_tokens=output)

    async def _send(self, request: Request, call_next: Handler, settlement: _Settlement) -> Response:
        """Call on, and once more for each budget that does not cover another attempt and names a smaller model."""
        hold, scope = settlement.hold, None
        while True:
            try:
                if hold is not None and scope is not None:
                    request = await self._turn(request, hold, scope, settlement.asked)
                return await call_next(request)
            except BudgetExceeded as error:
                scope = None if hold is None else hold.refuser(error)
                if scope is None:
                    raise

    async def _turn(self, request: Request, hold: Hold, scope: Scope, asked: Request) -> Request:
        """Take a call to the scope's smaller model, after attempts that came to nothing."""
        assert hold.refusal is not None
        smaller = degraded(asked, scope, hold.refusal, instead_of=request.model)
        demand = self._demand(smaller, hold.demand.at, hold.demand.degrading.by(scope))
        output = await hold.turn_to(demand)
        smaller.record.clamped = _is_lowered(output, demand)
        return smaller if output is None else smaller.replace(max_output_tokens=output)

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
        watched = [line for line in demand.watched if line.warn_at]
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

    def candidates(self, request: Request) -> Sequence[Price]:
        """Give the prices of the models that may serve a request, if there are several and all are known."""
        with contextlib.suppress(InferkitError):
            prices = self._quote(request)
            if len(prices) > 1 or request.record.degraded:
                return prices
        return ()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock()


class _Reservation:
    """One attempt to reserve, which is taken back if its caller is cancelled while it waits."""

    def __init__(self, layer: BudgetLayer, ledger: Ledger, request: Request, demand: Demand, *, least: Amounts) -> None:
        self._layer = layer
        self._ledger = ledger
        self._request = request
        self._demand = demand
        self._least = least
        self._lock = threading.Lock()
        self._left = False
        self._made = False

    def _step(self, *, wait: bool) -> Grant | Refusal:
        demand, request = self._demand, self._request
        answer = self._ledger.reserve(
            request.record.id,
            demand.lines,
            demand.wanted,
            self._least,
            at=demand.at,
            lease_seconds=self._layer.lease_of(request),
            payer=payer_of(request),
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
        self.asked = request
        self.hold: Hold | None = None

    async def after_failure(self, error: BaseException) -> None:
        """Settle what the attempts cost, or give everything back."""
        record = self.asked.record
        outcome = "error" if isinstance(error, Exception) else "cancelled"
        if not record.running and not any(each.usage.total_tokens or each.cost_nanos for each in record.attempts):
            if self.hold is not None and self.hold.demand.lines:
                await self._write(self.asked.runtime, self._void)
        else:
            await self._settle(self.asked.runtime, outcome)
        record.hold = None
        if isinstance(error, BudgetExceeded):
            error.attempts = tuple(record.attempts)

    async def at_end(self, end: End) -> None:
        """Settle a call whose stream has ended."""
        await self._settle(end.runtime, end.outcome)
        self.asked.record.hold = None  # the two refer to each other: a cycle that would keep every prompt alive
        if isinstance(end.error, BudgetExceeded):
            end.error.attempts = tuple(self.asked.record.attempts)

    async def _settle(self, runtime: Runtime, outcome: str) -> None:
        request, hold = self.asked, self.hold
        charge = charge_for(request, hold, outcome, self._layer.candidates(request))
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
        return self._ledger.void(self.asked.record.id, at=self._layer.now(), wait=wait)

    async def _write(self, runtime: Runtime, step: Callable[..., bool]) -> None:
        """Write to the ledger. The reply is there and must not be lost to a ledger that fails: the lease settles it."""
        try:
            await self._layer.store(runtime, self._ledger, step)
        except LedgerError as error:
            if self.hold is None:
                _log.error("a call could not be entered in the ledger: %s", error)
            else:
                _log.error("a call could not be settled; its hold is posted when its lease runs out: %s", error)
            self.asked.record.note("budget", decision="not settled", error=type(error).__name__)


def _is_lowered(output: int | None, demand: Demand) -> bool:
    return output is not None and output < (demand.output or 0)


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
