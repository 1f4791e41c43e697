"""A caller who is cancelled or interrupted leaves nothing held, wherever that happens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import inferkit
from inferkit.ledger.amounts import NOTHING, Grant
from inferkit.ledger.journal import Charge
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import current_runtime
from inferkit.testing.fakes import settled
from inferkit.testing.interrupts import interrupted
from inferkit.testing.ledger.steps import W, asking, reserve, usd_of

if TYPE_CHECKING:
    from inferkit.ledger.ledger import Ledger
    from inferkit.ledger.protocols import Store

__all__ = ["LeavingContract"]


class LeavingContract:
    """Part of `LedgerContract`."""

    def test_a_reserve_that_is_interrupted_leaves_no_hold(self, store: Store, ledger: Ledger) -> None:
        own: Any = store.reserve
        code = tuple(str(Path(file).parent) for file in (inferkit.__file__, own.__code__.co_filename))
        for place in range(10_000):
            call = f"call-{place}"
            asked = asking(store, DirectRuntime(), call)
            if not interrupted(lambda asked=asked: drive(asked), place, within=code):  # type: ignore[misc]
                break
            asked.close()
            settled()
            assert ledger.balance("a", W).pending == NOTHING, f"held after an interrupt at place {place}"
            assert isinstance(reserve(ledger, call, 60), Grant), "it was not reserved, so it may be"
            ledger.void(call, at=0)
        assert place > 1, "no interrupt came"
        assert usd_of(ledger) == (0, 60)

    def test_a_reserve_that_is_cancelled_leaves_no_hold(self, store: Store, ledger: Ledger) -> None:
        async def leave_after(turns: int, call: str) -> bool:
            task = asyncio.ensure_future(asking(store, current_runtime(), call))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled()

        for turns in range(50):
            if asyncio.run(leave_after(turns, f"call-{turns}")):
                settled(20)
            else:
                ledger.void(f"call-{turns}", at=0)
            assert ledger.balance("a", W).pending == NOTHING, f"held after a cancellation in turn {turns}"

    def test_tasks_of_an_event_loop_spend_a_budget_to_the_last_call(self, store: Store, ledger: Ledger) -> None:
        async def spend(call: str) -> bool:
            runtime = current_runtime()
            granted = isinstance(await asking(store, runtime, call, usd=10), Grant)
            return granted and bool(await store.settle(runtime, call, Charge(10), at=0))

        async def together() -> list[bool]:
            return await asyncio.gather(*(spend(str(number)) for number in range(30)))

        assert sum(asyncio.run(together())) == 10
        assert usd_of(ledger) == (100, 0)
