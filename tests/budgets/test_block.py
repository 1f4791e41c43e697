"""What a block of code does is charged to its budget, and nothing else is."""

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import anyio
import anyio.lowlevel
import pytest

from inferkit import Budget, BudgetExceeded, Client, ConfigurationError, Price, budget, budgeted
from inferkit.budgets.context import current_scopes
from inferkit.testing import FakeProvider
from worlds import in_threads, on_a_loop

FREE = Budget(usd="5.00", name="free")


def accounts():
    return [scope.account for scope in current_scopes()]


@pytest.fixture
def llm(tmp_path):
    with Client(
        providers={"f": FakeProvider("Hello!")},
        models={"a": "f:m"},
        prices={"f:m": Price(input="1", output="1")},
        cache=False,
        ledger=tmp_path / "ledger.db",
    ) as client:
        yield client


def test_a_block_costs_at_most_its_budget(llm):
    with budget(calls=2) as spent:
        assert spent.remaining(ledger=llm.ledger).calls == 2
        llm.complete("Hi")
        assert spent.remaining(ledger=llm.ledger).calls == 1
        llm.complete("Hi")
        with pytest.raises(BudgetExceeded, match=spent.account):
            llm.complete("Hi")
    assert llm.complete("Hi").text == "Hello!"
    used = spent.usage(ledger=llm.ledger)
    assert (used.calls, used.held_calls) == (2, 0)
    assert used.tokens > 0


def test_a_block_says_what_it_cost_in_dollars(llm):
    with budget(usd="0.10") as spent:
        cost = llm.complete("Hi").cost
    assert 0 < spent.usage(ledger=llm.ledger).usd == cost
    assert spent.remaining(ledger=llm.ledger).usd == Decimal("0.10") - cost


def test_a_block_pays_for_the_tasks_and_threads_in_it():
    async def child():
        return accounts()

    async def main():
        async with budget(calls=5, name="b"):
            task = asyncio.create_task(child())
            in_thread = await asyncio.to_thread(accounts)
        return await task, in_thread, accounts()

    assert asyncio.run(main()) == (["b"], ["b"], [])
    found = []
    with ThreadPoolExecutor(1) as pool:
        with budget(calls=5, name="b"):
            thread = threading.Thread(target=lambda: found.append(accounts()))
            thread.start()
            assert pool.submit(accounts).result(10) == ["b"]
        assert pool.submit(accounts).result(10) == []
    thread.join(10)
    assert found == [["b"]]


@on_a_loop
def test_blocks_of_tasks_at_once_do_not_see_each_other(run):
    seen = {}

    async def one(user):
        async with budget(FREE, key=user):
            await anyio.lowlevel.checkpoint()
            seen[user] = accounts()

    async def main(_):
        async with anyio.create_task_group() as group:
            group.start_soon(one, "ana")
            group.start_soon(one, "bob")
        return accounts()

    assert run(main) == []
    assert seen == {"ana": ["free:ana"], "bob": ["free:bob"]}


def test_blocks_and_functions_nest_and_all_pay():
    @budgeted(FREE)
    def function():
        with budget(calls=5, name="inner"):
            return accounts()

    with budget(calls=9, name="outer"):
        assert function() == ["outer", "free", "inner"]
        assert accounts() == ["outer"]


def test_an_error_leaves_nobody_charged():
    with pytest.raises(KeyError, match="free"), budget(FREE):
        raise KeyError(*accounts())
    assert accounts() == []


def test_blocks_without_a_name_have_an_account_each_for_good():
    one, two = budget(calls=2), budget(Budget(calls=2))
    assert one.account != two.account
    assert one.account.startswith("block-")
    assert repr(one) == f"<BudgetBlock {one.account}>"
    assert one.scope.budget.per == "total"
    assert budget(calls=2, per="day").scope.budget.per == "day"
    assert two.scope.budget.per == "month", "a Budget says itself what it is per"


def test_blocks_of_one_name_share_a_budget(llm):
    for _ in range(2):
        with budget(calls=3, name="shared") as spent:
            llm.complete("Hi")
    assert spent.usage(ledger=llm.ledger).calls == 2
    assert Budget(calls=3, name="shared").remaining(ledger=llm.ledger).calls == 1, "both are per month"


def test_a_key_says_whose_share_pays(llm):
    with budget(FREE, key="ana") as anas:
        llm.complete("Hi")
    assert anas.account == "free:ana"
    assert anas.usage(ledger=llm.ledger).calls == 1
    assert budget(FREE, key="bob").usage(ledger=llm.ledger).calls == 0
    assert budget(usd="1", name="b", key="ana").account == "b:ana"


def test_a_block_lies_within_a_larger_budget(llm):
    team = Budget(calls=1, name="team")
    with budget(calls=5, within=team):
        llm.complete("Hi")
        with pytest.raises(BudgetExceeded, match="team"):
            llm.complete("Hi")


def test_a_block_entered_again_is_the_same_account(llm):
    cap = budget(calls=3)
    with cap, cap as inner:
        assert inner is cap
        llm.complete("Hi")
    assert accounts() == []
    with cap:
        with budget(calls=5, name="other"):
            with cap:
                pass
            assert accounts() == [cap.account, "other"]
        assert accounts() == [cap.account]
        llm.complete("Hi")
    assert cap.usage(ledger=llm.ledger).calls == 2

    barrier = threading.Barrier(4)
    refused = []

    def run():
        with cap:
            barrier.wait(10)
            try:
                llm.complete("Hi")
            except BudgetExceeded:
                refused.append(accounts())
        assert accounts() == []

    in_threads(lambda _: run(), range(4))
    assert refused == [[cap.account]] * 3


def test_a_block_in_a_context_manager_of_ones_own_works():
    @contextlib.contextmanager
    def run(user):
        with budget(FREE, key=user) as spent:
            yield spent.account

    with run("ana") as account:
        assert accounts() == [account]
    assert accounts() == []


def steps(user):
    with budget(FREE, key=user):
        while True:
            yield accounts()


def test_a_block_that_ends_out_of_turn_takes_only_itself_along():
    reading = steps("ana")
    next(reading)
    with budget(calls=5, name="readers"):
        reading.close()
        assert accounts() == ["readers"]
    assert accounts() == []


def test_a_block_that_a_function_leaves_open_does_not_reach_its_caller():
    @budgeted(FREE)
    def begin():
        reading = steps("ana")
        next(reading)
        return reading

    reading = begin()
    assert accounts() == []
    reading.close()
    assert accounts() == []


def test_a_block_may_end_in_another_context():
    reading = steps("ana")
    assert contextvars.copy_context().run(next, reading) == ["free:ana"]
    reading.close()
    assert accounts() == []
    reading = steps("bob")
    begun = contextvars.copy_context()
    begun.run(next, reading)
    later = begun.copy()
    later.run(reading.close)
    assert later.run(accounts) == []


def test_a_budgeted_generator_may_hold_a_block_across_its_yields():
    @budgeted(FREE)
    def generator():
        with budget(calls=5, name="b"):
            yield accounts()
            yield accounts()
        yield accounts()

    reading = generator()
    for expected in (["free", "b"], ["free", "b"], ["free"]):
        assert next(reading) == expected
        assert accounts() == []


def test_a_budgeted_async_generator_may_hold_a_block_across_its_yields():
    @budgeted(FREE)
    async def generator():
        async with budget(calls=5, name="b"):
            await asyncio.sleep(0)
            yield accounts()
            await asyncio.sleep(0)
            yield accounts()
        yield accounts()

    async def main():
        reading = generator()
        first = await anext(reading)
        second = await asyncio.create_task(anext(reading))  # a task of its own for a step
        assert accounts() == []
        third = await anext(reading)
        await reading.aclose()
        return first, second, third, accounts()

    assert asyncio.run(main()) == (["free", "b"], ["free", "b"], ["free"], [])


@pytest.mark.parametrize("key", [None, ""])
def test_a_block_for_nobody_is_refused(key):
    with pytest.raises(ConfigurationError, match="anonymous"):
        budget(FREE, key=key)


def test_a_wrong_budget_is_refused():
    with pytest.raises(ConfigurationError, match="with budget"):
        budget("0.10")
    with pytest.raises(ConfigurationError, match="not both"):
        budget(FREE, usd="1")
    with pytest.raises(ConfigurationError, match="a budget has no dollars"):
        budget(dollars="1")
    with pytest.raises(ConfigurationError, match="needs a limit"):
        budget()
