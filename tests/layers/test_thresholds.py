"""Whoever wants to know that so much of a budget is used is told, and once."""

from __future__ import annotations

import asyncio
import functools
import logging
from datetime import timedelta
from decimal import Decimal

import pytest

from budgets.stack import AT, Stack, make_request
from inferkit import Budget, BudgetExceeded, Client, ConfigurationError, LedgerError, Price, Threshold
from inferkit.budgets.scope import Scope
from inferkit.core.chunks import Chunk
from inferkit.core.usage import Usage
from inferkit.ledger.amounts import Amounts, Line
from inferkit.ledger.journal import Charge
from inferkit.ledger.ledger import Ledger
from inferkit.ledger.sqlite.ledger import SqliteLedger, SqliteStore
from inferkit.runtime import writer
from inferkit.testing import FakeProvider
from worlds import directly, in_threads, run_in

REPLY = [Chunk("secret", finish_reason="stop"), Chunk(usage=Usage(10, 5))]
COST = Decimal("0.00002")
NEXT_MONTH = AT + 20 * 86_400


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


class Account:
    """Calls under one budget or several, at the instant `at`, and what was told meanwhile."""

    def __init__(self, ledger, *budgets):
        self.at = AT
        self.told = []
        self.scopes = [Scope(budget) for budget in budgets]
        self.stack = Stack(ledger, FakeProvider(REPLY), clock=lambda: self.at)

    def call(self, times=1):
        for _ in range(times):

            async def main(runtime):
                request = make_request(runtime, *self.scopes)
                try:
                    await (await self.stack(request)).read()
                finally:
                    self.events = [event.attributes for event in request.record.events]

            directly(main)


def watched(told, **options):
    options.setdefault("calls", 10)
    options.setdefault("warn_at", "0.8")
    return Budget(name="free", on_threshold=told.append, **options)


def shares(told):
    return [str(threshold.share.normalize()) for threshold in told]


def test_a_share_is_told_once_by_the_call_that_passed_it(ledger):
    told = []
    account = Account(ledger, watched(told))
    account.call(7)
    assert told == []
    account.call()
    assert told == [Threshold("free", Decimal("0.8"), "calls", Decimal(8), Decimal(10))]
    assert {"decision": "threshold", "scope": "free", "share": 0.8} in account.events
    account.call(2)
    assert len(told) == 1
    assert not any(event["decision"] == "threshold" for event in account.events)


def test_money_is_told_in_dollars(ledger):
    told = []
    Account(ledger, watched(told, calls=None, usd="1", warn_at="0.001")).call(50)
    assert told == [Threshold("free", Decimal("0.001"), "usd", 50 * COST, Decimal(1))]


def test_shares_passed_in_one_go_are_told_one_by_one(ledger):
    told = []
    account = Account(ledger, watched(told, calls=2, warn_at=("1", "0.25", "0.5")))
    account.call()
    assert shares(told) == ["0.25", "0.5"]
    account.call()
    assert shares(told) == ["0.25", "0.5", "1"]


def test_it_is_told_again_in_the_next_period(ledger):
    told = []
    account = Account(ledger, watched(told))
    account.call(10)
    account.at = NEXT_MONTH
    account.call(7)
    assert len(told) == 1
    account.call()
    assert len(told) == 2


def test_in_a_rolling_window_it_is_told_again_when_the_first_time_has_left_it(ledger):
    told = []
    account = Account(ledger, watched(told, per=timedelta(hours=1)))
    account.call(10)
    account.at += 1800
    with pytest.raises(BudgetExceeded):
        account.call()
    assert len(told) == 1
    account.at += 1900
    account.call(8)
    assert len(told) == 2


@pytest.mark.parametrize("per", ["month", timedelta(hours=1)])
def test_a_refusal_tells_what_a_dead_process_used_up_and_the_next_refusal_does_not(ledger, per):
    told = []
    budget = watched(told, per=per)
    account = Account(ledger, budget)
    lines = [Scope(budget).line(AT)]
    ledger.reserve("dead", lines, Amounts(0, 0, 10), Amounts(0, 0, 10), at=AT, lease_seconds=60)
    account.at += 1000
    for _ in range(2):
        with pytest.raises(BudgetExceeded):
            account.call()
        assert shares(told) == ["0.8"]


def test_what_was_topped_up_counts_as_limit(ledger):
    told = []
    budget = watched(told)
    budget.top_up(ledger=ledger, calls=10, at=AT)
    account = Account(ledger, budget)
    account.call(15)
    assert told == []
    account.call()
    assert told[0].limit == 20


def test_a_share_beyond_the_limit_is_told_where_there_is_grace(ledger):
    told = []
    Account(ledger, watched(told, grace="0.5", warn_at="1.2")).call(12)
    assert [(threshold.used, threshold.limit) for threshold in told] == [(12, 10)]


def test_whoever_is_told_may_fail_without_hurting_the_reply(ledger, caplog):
    def fail(threshold):
        raise RuntimeError("the pager is down")

    account = Account(ledger, Budget(calls=1, name="free", warn_at="1", on_threshold=fail))
    with caplog.at_level(logging.ERROR, "inferkit"):
        account.call()
    assert "on_threshold of budget free failed" in caplog.text
    assert "secret" not in caplog.text
    assert account.events[-1]["decision"] == "settled"


def test_a_ledger_that_fails_to_look_does_not_change_the_refusal(tmp_path, caplog):
    class Forgetful(SqliteStore):
        async def warn(self, runtime, lines):
            raise LedgerError("the disk is gone")

    ledger = Ledger(Forgetful(tmp_path / "ledger.db"))
    told = []
    account = Account(ledger, watched(told, calls=1, warn_at="2", grace="1.5"))
    account.call(2)
    with caplog.at_level(logging.ERROR, "inferkit"), pytest.raises(BudgetExceeded):
        account.call()
    assert "threshold was passed is not known" in caplog.text
    assert [threshold.share for threshold in told] == [2]
    ledger.close()


@pytest.mark.parametrize("warn_at", ["0.8", None])
def test_a_call_whose_budget_tells_takes_no_transaction_more(ledger, connections, warn_at):
    statements = []
    account = Account(ledger, Budget(name="free", calls=10, warn_at=warn_at or ()))
    account.call()
    assert writer.disk.flush(30)  # the first call has the holds of dead processes ended, in the background
    ledger.close()
    ledger.balance("free", "total")  # opens it again
    connections[-1].set_trace_callback(statements.append)
    account.call(8)
    connections[-1].set_trace_callback(None)
    assert sum(each.startswith("BEGIN") for each in statements) == 2 * 8


def test_a_budget_given_twice_tells_once(ledger):
    told = []
    budget = watched(told)
    Account(ledger, budget, budget, Budget(calls=100, name="child", within=budget)).call(8)
    assert len(told) == 1


def test_budgets_of_one_name_are_told_each_its_own_shares(ledger):
    early, late, yearly = [], [], []
    Account(
        ledger,
        watched(early, warn_at="0.5"),
        watched(late, warn_at="0.8"),
        Budget(calls=10, per="year", name="free", warn_at="0.5", on_threshold=yearly.append),
        Budget(calls=10, name="free"),
    ).call(8)
    assert (shares(early), shares(late), shares(yearly)) == (["0.5"], ["0.8"], ["0.5"])


def test_a_period_that_is_over_is_not_measured_by_what_stayed_behind_in_it(ledger):
    told = []
    budget = watched(told, rollover="1")
    account = Account(ledger, budget)
    late = [Scope(budget).line(AT)]
    ledger.reserve("late", late, Amounts(0, 0, 1), Amounts(0, 0, 1), at=AT, lease_seconds=10**9)
    account.at = NEXT_MONTH
    account.call()
    ledger.settle("late", Charge(0), at=NEXT_MONTH)
    assert ledger.warn(late) == [], "one call of ten, and nine went on"
    account.call(15)
    assert [(threshold.used, threshold.limit) for threshold in told] == [(16, 19)]


async def later(threshold):
    raise AssertionError


@pytest.mark.parametrize("function", [later, functools.partial(later)])
def test_a_coroutine_function_is_refused_since_nobody_would_await_it(function):
    with pytest.raises(ConfigurationError, match="pass a plain function, which may start a task"):
        Budget(calls=1, name="free", warn_at="1", on_threshold=function)


def test_a_plain_function_may_start_a_task(ledger):
    told = []

    async def page(threshold):
        told.append(threshold)

    tasks = []
    budget = Budget(
        calls=1, name="free", warn_at="1", on_threshold=lambda each: tasks.append(asyncio.ensure_future(page(each)))
    )

    async def main(runtime):
        await (await Stack(ledger, FakeProvider(REPLY))(make_request(runtime, Scope(budget)))).read()
        await asyncio.gather(*tasks)

    run_in("asyncio", main)
    assert len(told) == 1


def test_threads_of_one_client_are_told_once(tmp_path):
    told = []
    llm = Client(
        providers={"fake": FakeProvider("hi")},
        models={"any": "fake:m"},
        prices={"fake:m": Price(input="1", output="10")},
        budget=watched(told, calls=64, warn_at=("0.25", "0.5")),
        home=tmp_path,
        cache=False,
    )
    in_threads(lambda _: [llm.complete("any", "hi", max_output_tokens=20) for _ in range(4)], range(16))
    llm.close()
    assert sorted(shares(told)) == ["0.25", "0.5"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"warn_at": "0"}, "warn_at is a share of the limit"),
        ({"warn_at": "0.8001"}, "in thousandths"),
        ({"warn_at": 0.8}, "warn_at is a share"),
        ({"warn_at": ("0.5", "11")}, "at most 10"),
        ({"warn_at": "1e9999999"}, "warn_at is a share"),
        ({"warn_at": "nan"}, "warn_at is a share"),
        ({"warn_at": True}, "warn_at is a share"),
        ({"grace": "-0.1"}, "grace is a share"),
        ({"rollover": "1.5"}, "rollover is a share of the limit in thousandths, at most 1"),
        ({"on_threshold": print}, "needs warn_at"),
        ({"on_threshold": 5, "warn_at": "1"}, "on_threshold is a function"),
        ({"per": "call", "warn_at": "1"}, "per call keeps no account"),
        ({"per": "call", "grace": "1"}, "per call keeps no account"),
    ],
)
def test_a_share_that_makes_no_sense_is_refused(options, said):
    with pytest.raises(ConfigurationError, match=said):
        Budget(calls=5, name="free", **options)


def test_a_line_that_asks_for_nothing_is_told_nothing(ledger):
    assert ledger.warn([Line("free", "month:2026-11-01", calls=1)]) == []
