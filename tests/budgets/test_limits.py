"""What a budget allows, what is left of it, and what whoever is refused reads."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from budgets.spending import most, reserve, spend
from budgets.stack import AT, Stack, make_request
from inferkit import Budget, BudgetExceeded, ConfigurationError, Remaining, Spent
from inferkit.budgets.scope import Scope
from inferkit.core.chunks import Chunk
from inferkit.core.record import CallRecord
from inferkit.core.usage import Usage
from inferkit.ledger.amounts import Amounts
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.runtime import clock
from inferkit.testing import FakeProvider
from worlds import directly

REPLY = [Chunk("Hi", finish_reason="stop"), Chunk(usage=Usage(10, 5))]


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def refusal(ledger, budget, *, at=AT, calls=1, key=None):
    """Call until the budget refuses; give the error."""

    async def main(runtime):
        stack = Stack(ledger, FakeProvider(REPLY), clock=lambda: at)
        for _ in range(calls):
            await (await stack(make_request(runtime, Scope(budget, key)))).read()

    with pytest.raises(BudgetExceeded) as caught:
        directly(main)
    return caught.value


def test_grace_may_be_used_beyond_the_limit_and_no_further(ledger):
    budget = Budget(calls=10, name="free", grace="0.2")
    assert spend(ledger, budget, 11, at=AT)
    assert spend(ledger, budget, 1, at=AT)
    assert not spend(ledger, budget, 1, at=AT)


def test_grace_is_not_part_of_what_remains(ledger):
    budget = Budget(calls=10, name="free", grace="0.2")
    spend(ledger, budget, 9, at=AT)
    assert budget.remaining(ledger=ledger, at=AT).calls == 1
    spend(ledger, budget, 2, at=AT)
    assert budget.remaining(ledger=ledger, at=AT).calls == 0


def test_a_share_of_a_small_limit_is_rounded_down(ledger):
    budget = Budget(calls=5, name="free", grace="0.1", rollover="0.1")
    assert most(ledger, budget, at=AT) == 5


def test_two_budgets_of_one_name_keep_the_grace_of_what_each_of_them_limits(ledger):
    async def main(runtime):
        scopes = [Scope(Budget(calls=1, name="free", grace="1")), Scope(Budget(tokens=10**6, name="free"))]
        for _ in range(2):
            await (await Stack(ledger, FakeProvider(REPLY))(make_request(runtime, *scopes))).read()

    directly(main)
    assert ledger.balance("free", "month:2026-11-01").posted.calls == 2


def test_whoever_is_refused_reads_the_limit_and_what_was_added_to_it(ledger):
    budget = Budget(calls=2, name="free", grace="0.5")
    error = refusal(ledger, budget, calls=4)
    assert "budget free of 2 calls per month (3 calls with grace and credit) does not cover this call" in str(error)
    assert "3 calls spent" in str(error)
    assert (error.limit, error.spent, error.unit) == (3, 3, "calls")


def test_without_grace_or_credit_the_message_speaks_of_none(ledger):
    assert "of 1 call per month does not" in str(refusal(ledger, Budget(calls=1, name="free"), calls=2))


@pytest.mark.parametrize(
    ("per", "zone", "resets_at"),
    [
        ("month", "UTC", datetime(2026, 12, 1, tzinfo=UTC)),
        ("month", "America/New_York", datetime(2026, 12, 1, 5, tzinfo=UTC)),
        ("day", "UTC", datetime(2026, 11, 19, tzinfo=UTC)),
        ("total", "UTC", None),
    ],
)
def test_whoever_is_refused_is_told_when_the_period_ends(ledger, per, zone, resets_at):
    budget = Budget(calls=1, name="free", per=per, zone=zone)
    error = refusal(ledger, budget, calls=2)
    assert error.resets_at == resets_at
    assert (f"starts anew at {resets_at:%Y-%m-%d %H:%M} UTC" if resets_at else "raise the limit") in str(error)
    assert budget.remaining(ledger=ledger, at=AT).resets_at == resets_at


def test_whoever_is_refused_by_a_rolling_window_is_told_when_some_of_it_comes_free(ledger):
    budget = Budget(calls=1, name="free", per=timedelta(minutes=1))
    error = refusal(ledger, budget, calls=2)
    assert AT + 60 < error.resets_at.timestamp() <= AT + 61
    text = (
        "1 call in any 0:01:00 does not cover this call: 1 call spent, and the call needs at least 1 call; some of it"
    )
    assert f"{text} comes free at {error.resets_at:%Y-%m-%d %H:%M:%S} UTC; wait until then" in str(error)


def test_a_limit_for_a_single_call_resets_never(ledger):
    assert refusal(ledger, Budget(usd="0.000001", per="call", name="each")).resets_at is None


def test_usage_says_what_was_spent_and_what_running_calls_hold(ledger):
    budget = Budget(usd="5", tokens=1000, name="free")
    lines = [Scope(budget).line(AT)]
    for call, settled in (("1", True), ("2", False)):
        ledger.reserve(call, lines, Amounts(10**9, 200, 1), Amounts(10**9, 200, 1), at=AT, lease_seconds=60)
        if settled:
            ledger.settle(call, Charge(1_500_000_001, output_tokens=70), at=AT)
    spent = budget.usage(ledger=ledger, at=AT)
    assert spent == Spent(Decimal("1.500000001"), 70, 1, Decimal(1), 200, 1)
    assert isinstance(spent.usd, Decimal)
    left = budget.remaining(ledger=ledger, at=AT)
    assert left == Remaining(Decimal("2.499999999"), 730, None, datetime(2026, 12, 1, tzinfo=UTC))
    assert isinstance(left.usd, Decimal)


def test_what_remains_is_never_below_zero(ledger):
    budget = Budget(calls=2, name="free")
    call, _ = reserve(ledger, budget, 2, at=AT)
    ledger.settle(call, Charge(0), at=AT, calls=5)
    assert budget.remaining(ledger=ledger, at=AT).calls == 0


def test_each_key_has_its_own_usage(ledger):
    budget = Budget(calls=10, name="free", each="user")
    spend(ledger, budget, 3, at=AT, key="ana")
    assert budget.usage("ana", ledger=ledger, at=AT).calls == 3
    assert budget.usage("ben", ledger=ledger, at=AT).calls == 0
    assert budget.remaining("ben", ledger=ledger, at=AT).calls == 10
    for ask in (budget.usage, budget.remaining):
        with pytest.raises(ConfigurationError, match=r"free is kept for each user; say which: key="):
            ask(ledger=ledger)


def test_usage_and_remaining_are_of_now_unless_told_otherwise(ledger):
    budget = Budget(calls=10, name="free", per="year")
    now = time.time()
    spend(ledger, budget, 3, at=now)
    assert (budget.usage(ledger=ledger).calls, budget.remaining(ledger=ledger).calls) == (3, 7)
    assert budget.remaining(ledger=ledger).resets_at > datetime.now(UTC)
    assert budget.usage(ledger=ledger, at=now - 400 * 86_400).calls == 0


def test_a_budget_per_call_has_no_account_to_ask_about(ledger):
    budget = Budget(calls=1, per="call", name="each")
    for ask in (budget.usage, budget.remaining, budget.top_up):
        with pytest.raises(ConfigurationError, match="per call keeps no account"):
            ask(ledger=ledger)


def test_a_budget_without_a_name_has_no_account_either(ledger):
    with pytest.raises(ConfigurationError, match="needs a name"):
        Budget(calls=1).usage(ledger=ledger)


def test_asking_writes_nothing(ledger):
    budget = Budget(calls=10, name="free", rollover="1")
    budget.usage(ledger=ledger)
    budget.remaining(ledger=ledger)
    assert list(ledger.balances()) == []


def test_a_budget_is_a_value(ledger):
    told = []
    one = Budget(calls=1, name="x", warn_at=["0.8"], on_threshold=told.append, within=Budget(calls=5, name="y"))
    other = Budget(calls=1, name="x", warn_at=("0.8",), within=Budget(calls=5, name="y"))
    assert one == other
    assert len({one, other}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.within = one


def test_ids_of_calls_sort_by_time_and_differ(monkeypatch):
    now = 1_795_000_000.0
    ids = []
    for _ in range(300):
        now += 0.002
        monkeypatch.setattr(clock, "time", lambda: now)  # noqa: B023 - read at once
        ids += [CallRecord(clock).id, CallRecord(clock).id]
    assert len(set(ids)) == 600
    milliseconds = [one[:12] for one in ids]
    assert milliseconds == sorted(milliseconds)
    assert len(set(milliseconds)) == 300
    assert {len(one) for one in ids} == {28}


@pytest.mark.parametrize("per", ["month", "total", timedelta(hours=1)])
def test_whoever_is_refused_for_what_running_calls_hold_is_told_to_ask_again_when_they_have_ended(ledger, per):
    budget = Budget(calls=1, name="free", per=per)
    refusals = []

    async def main(runtime):
        stack = Stack(ledger, FakeProvider(REPLY), clock=lambda: AT)
        running = await stack(make_request(runtime, Scope(budget)))
        with pytest.raises(BudgetExceeded) as caught:
            await stack(make_request(runtime, Scope(budget)))
        refusals.append(str(caught.value))
        await running.read()

    directly(main)
    assert "0 calls spent and 1 call held by running calls" in refusals[0]
    assert "; ask again when running calls have ended, or raise the limit" in refusals[0]
    assert "wait until then" not in refusals[0]
