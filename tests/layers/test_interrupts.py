"""Wherever an interrupt or a cancellation comes, no call leaves a hold behind."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

import inferkit
from budgets.stack import Around, Stack, make_request
from inferkit import Budget, Chunk, Client, InferkitError, Price, SqliteLedger, Unavailable, Usage
from inferkit.budgets.scope import Scope
from inferkit.ledger.amounts import NOTHING
from inferkit.testing import FakeProvider, settled
from inferkit.testing.interrupts import interrupted
from worlds import cancelled_afterwards, on_a_loop

HOME = str(Path(inferkit.__file__).parent)
BUDGET = Budget(usd="1000", name="everything")

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # an interrupt in a destructor
]


def complete(llm):
    llm.complete("any", "hello", user="ana")


def stream(llm):
    with llm.stream("any", "hello") as reply:
        assert list(reply)


def leave_early(llm):
    with llm.stream("any", "hello") as reply:
        next(reply)


def fail(llm):
    try:
        llm.complete("failing", "hello")
    except InferkitError:
        return
    raise AssertionError("it should have failed")


def fall_back(llm):
    assert llm.complete("flaky", "hello").provider == "b"


async def down(_):
    """A new error each time: one that is kept keeps all that its traceback leads to."""
    raise Unavailable("down", provider="a", status=503)


def held(ledger):
    return [balance.pending for _, _, balance in ledger.balances() if balance.pending != NOTHING]


@pytest.mark.parametrize("step", [complete, stream, leave_early, fail, fall_back])
def test_an_interrupted_call_holds_nothing(tmp_path, step):
    with Client(
        providers={"a": down, "b": FakeProvider("Hi there")},
        models={"any": "b:m", "failing": "a:m", "flaky": ["a:m", "b:m"]},
        prices={"a:m": Price("1", "2"), "b:m": Price("1", "2")},
        budget=BUDGET,
        cache=False,
        ledger=tmp_path / "ledger.db",
        max_retries=1 if step is fall_back else 0,
    ) as llm:
        step(llm)
        places = 0
        while interrupted(lambda: step(llm), places, within=(HOME,)):
            settled()
            assert held(llm.ledger) == [], f"after an interrupt at place {places}"
            places += 1
        assert places > 200
        assert BUDGET.usage(ledger=llm.ledger).calls >= 2, "and the first and the last one were charged"
        llm.ledger.check()


class Stepwise(Around):
    """A runtime whose threads are turns of the loop, so that the same turn is always the same place."""

    async def run_blocking(self, function, *args, **options):
        await anyio.lowlevel.checkpoint()
        result = function(*args)
        await anyio.lowlevel.checkpoint()
        return result


@pytest.mark.parametrize("durability", ["normal", "full"])
@on_a_loop
def test_a_cancelled_call_holds_nothing(tmp_path, run, durability):
    class Slow(FakeProvider):
        async def __call__(self, request):
            await anyio.lowlevel.checkpoint()
            response = await super().__call__(request)
            await anyio.lowlevel.checkpoint()
            return response

    ledger = SqliteLedger(tmp_path / "ledger.db", durability)
    stack = Stack(ledger, Slow([Chunk("Hi", finish_reason="stop"), Chunk(usage=Usage(10, 5))]))

    async def cancelled(runtime, turns):
        """Cancel a call after so many turns of the loop; say whether it was over by then."""
        over = False

        async def call():
            nonlocal over
            response = await stack(make_request(Stepwise(runtime), Scope(BUDGET)))
            over = len(await response.read()) == 2

        async with cancelled_afterwards(call):
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
        return over

    turns = 0
    while not run(lambda runtime, turns=turns: cancelled(runtime, turns)):
        settled()
        assert held(ledger) == [], f"after a cancellation in turn {turns}"
        turns += 1
    assert turns > (5 if durability == "full" else 2)
    assert held(ledger) == []
    ledger.close()
