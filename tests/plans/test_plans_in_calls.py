"""Plans as an application meets them: calls of users and tenants, over all ways to run the stack."""

from __future__ import annotations

import itertools
import logging
import threading
from datetime import timedelta

import pytest

from inferkit import (
    Budget,
    BudgetExceeded,
    ConfigurationError,
    LedgerError,
    Plan,
    Price,
    SqliteLedger,
    budget,
    budgeted,
)
from inferkit.budgets.context import current_scopes
from inferkit.budgets.scope import attribute
from inferkit.core.record import CallRecord
from inferkit.ledger.amounts import Amounts
from inferkit.ledger.ledger import Ledger
from inferkit.ledger.sqlite.ledger import SqliteStore
from inferkit.runtime import clock
from inferkit.testing import FakeProvider

numbers = itertools.count()
FREE = Plan("free", allowance=Budget(calls=2))
PRO = Plan("pro", price="99", allowance=Budget(calls=4))
TEAM = Plan("team", price="25", per_seat=True, seats=2, pooled=True, allowance=Budget(calls=2))
SEATS = Plan("seats", price="25", per_seat=True, allowance=Budget(calls=2))
INTERNAL = Plan("internal", allowance="unlimited")
OFFER = [FREE, PRO, TEAM, SEATS, INTERNAL]


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


class App:
    """An application with one client."""

    def __init__(self, world, llm):
        self.world = world
        self.llm = llm
        self.plans = getattr(llm, "inner", llm).plans

    async def call(self, **options):
        return await self.llm.complete("any", "Hi", **options)

    async def refused(self, **options):
        with pytest.raises(BudgetExceeded) as caught:
            await self.call(**options)
        return caught.value.scope

    async def calls(self, **options):
        """Call until it is refused; say how often that went well, and by which account."""
        for number in range(100):
            try:
                await self.call(**options)
            except BudgetExceeded as refusal:
                return number, refusal.scope
        return None


@pytest.fixture
def run(world, ledger):
    def run(body, **settings):
        settings = {
            "providers": {"fake": FakeProvider("Hello there")},
            "models": {"any": "fake:m"},
            "prices": {"fake:m": Price(input="1", output="10")},
            "plans": OFFER,
            "ledger": ledger,
            **settings,
        }

        async def main(world):
            async with world.client(**settings) as llm:
                await body(App(world, llm))

        world.run(main)

    return run


def payers(ledger):
    return [entry.charge.attribution for entry in ledger.entries()]


def test_a_user_on_a_plan_is_held_to_its_allowance(run):
    async def body(app):
        app.plans.assign("free", user="ana")
        app.plans.assign("pro", user="ben")
        assert await app.calls(user="ana") == (2, "allowance:ana")
        assert await app.calls(user="ben") == (4, "allowance:ben")

    run(body)


def test_who_is_on_no_plan_is_held_to_none_unless_there_is_a_default(run, ledger):
    async def body(app):
        assert await app.calls(user="ana") is None
        await app.call()

    run(body)
    assert {attribution.plan for attribution in payers(ledger)} == {None}

    async def with_default(app):
        assert await app.calls(user="ana") == (2, "allowance:ana")

    run(with_default, default_plan="free")


def test_the_users_of_a_tenant_share_a_pooled_allowance(run, ledger):
    async def body(app):
        app.plans.assign("team", tenant="acme", seats=3)
        for user in ("ana", "ben", "cleo", "dora", "emil"):
            await app.call(user=user, tenant="acme")
        assert await app.calls(tenant="acme") == (1, "pooled-allowance:acme"), "3 seats of 2 calls"
        assert await app.refused(user="finn", tenant="acme") == "pooled-allowance:acme"
        app.plans.assign("team", tenant="globex")
        assert await app.calls(user="ana", tenant="globex") == (4, "pooled-allowance:globex")

    run(body)
    assert {attribution.plan for attribution in payers(ledger)} == {"team"}


def test_unpooled_each_user_of_a_tenant_has_an_allowance(run):
    async def body(app):
        app.plans.assign("seats", tenant="acme", seats=2)
        for user in ("ana", "ben"):
            assert await app.calls(user=user, tenant="acme") == (2, f"allowance:{user}")

    run(body)


def test_pooled_seats_are_not_overdrawn_by_calls_at_the_same_time(run, ledger):
    async def body(app):
        app.plans.assign("team", tenant="acme", seats=3)
        served = []

        def call(user):
            async def one():
                try:
                    await app.call(user=user, tenant="acme")
                    served.append(user)
                except BudgetExceeded:
                    pass

            return one

        await app.world.beside(*(call(f"user{number}") for number in range(12)))
        assert len(served) == 6

    run(body)


def test_a_users_own_plan_comes_before_the_tenants(run, ledger):
    async def body(app):
        app.plans.assign("team", tenant="acme")
        app.plans.assign("pro", user="ana")
        assert await app.calls(user="ana", tenant="acme") == (4, "allowance:ana")
        app.plans.assign(None, user="ana")
        await app.call(user="ana", tenant="acme")

    run(body)
    assert [attribution.plan for attribution in payers(ledger)] == ["pro"] * 4 + ["team"]


def test_an_upgrade_gives_more_room_and_a_downgrade_less_at_once(run):
    async def body(app):
        app.plans.assign("free", user="ana")
        assert (await app.calls(user="ana"))[0] == 2
        app.plans.assign("pro", user="ana")
        assert (await app.calls(user="ana"))[0] == 2, "two of the four were used"
        app.plans.assign("internal", user="ana")
        await app.call(user="ana")
        app.plans.assign("free", user="ana")
        assert (await app.calls(user="ana"))[0] == 0

    run(body)


def test_a_target_margin_is_kept_whatever_the_user_does(run, ledger):
    plan = Plan("pro", price="0.001", target_margin="0.7")

    async def body(app):
        app.plans.assign("pro", user="ana")
        await app.calls(user="ana")

    run(body, plans=[plan])
    spent = sum(entry.charge.usd for entry in ledger.entries())
    assert 0 < spent <= plan.price_nanos * 3 // 10


def test_an_unlimited_plan_is_named_in_the_book(run, ledger):
    async def body(app):
        app.plans.assign("internal", user="cron")
        assert await app.calls(user="cron") is None

    run(body)
    assert set(payers(ledger)) == {("cron", None, None, "internal")}


def test_the_plan_that_a_call_states_is_assigned(run, ledger):
    async def body(app):
        for plan in ("free", "free", "pro"):
            await app.call(user="ana", plan=plan)
        assert (await app.calls(user="ana"))[0] == 1

    run(body)
    assert [(one.user, one.plan) for one in ledger.assignments()] == [("ana", "free"), ("ana", "pro")]
    assert [attribution.plan for attribution in payers(ledger)] == ["free", "free", "pro", "pro"]


@pytest.mark.parametrize("cache", [True, False])
def test_an_unknown_plan_is_refused_even_where_the_reply_is_in_the_cache(run, tmp_path, cache):
    async def body(app):
        await app.call(user="ana")
        with pytest.raises(ConfigurationError, match='no plan "gold"; the plans are: free, pro, team, seats, internal'):
            await app.call(user="ana", plan="gold")
        with pytest.raises(ConfigurationError, match='plan is the name of a plan, for example "pro"'):
            await app.call(user="ana", plan=PRO)

    run(body, cache=cache, home=tmp_path)


def test_a_stated_plan_without_plans_is_refused_rather_than_ignored(world, ledger):
    async def body(world):
        async with world.client(providers={"f": FakeProvider()}, models={"any": "f:m"}, ledger=ledger) as llm:
            with pytest.raises(ConfigurationError, match=r"knows no plans; pass plans=\[Plan"):
                await llm.complete("any", "Hi", user="ana", plan="pro")

    world.run(body)


def test_a_stated_plan_that_is_nobodys_is_refused(run):
    async def body(app):
        with pytest.raises(ConfigurationError, match='says plan="pro", but not whose'):
            await app.call(plan="pro")

    run(body)


def test_a_call_that_names_nobody_is_told_to_where_the_allowance_is_each_users(run):
    async def body(app):
        for options in ({}, {"tenant": "acme"}):
            with pytest.raises(ConfigurationError, match='plan "free" has an allowance for each user.*pass user='):
                await app.call(**options)

    run(body, default_plan="free")


def test_a_customer_on_a_plan_that_is_gone_is_told_so_and_others_go_on(run, ledger):
    async def first(app):
        app.plans.assign("pro", user="ana")

    async def later(app):
        with pytest.raises(ConfigurationError, match='user "ana" is on plan "pro", which is not among plans='):
            await app.call(user="ana")
        await app.call(user="ben")
        await app.call(user="ana", plan="free")

    run(first)
    run(later, plans=[FREE])
    assert [attribution.plan for attribution in payers(ledger)] == [None, "free"]


def test_all_budgets_of_a_call_pay_or_none(run, ledger):
    everything = Budget(calls=100, name="everything")
    each = Budget(calls=100, name="each", each="user")

    async def body(app):
        app.plans.assign("free", user="ana")

        @budgeted(calls=100, key="user_id", name="function", each="user")
        async def answer(user_id):
            return await app.call(tenant="acme", budget=Budget(calls=100, name="call"))

        await answer("ana")
        await answer("ana")
        with pytest.raises(BudgetExceeded, match="budget allowance:ana of 2 calls"):
            await answer("ana")

    run(body, budget=[everything, each])
    accounts = {account: balance.posted.calls for account, _, balance in ledger.balances()}
    assert accounts == {"everything": 2, "each:ana": 2, "function:ana": 2, "call": 2, "allowance:ana": 2}


@pytest.mark.parametrize("mode", ["block", "allow"])
def test_a_ledger_that_is_down_when_the_plan_is_looked_up(run, tmp_path, caplog, mode):
    class Down(SqliteStore):
        async def assignment(self, runtime, **asked):
            raise LedgerError("the disk is gone")

    ledger = Ledger(Down(tmp_path / "down.db"))

    async def body(app):
        if mode == "allow":
            assert (await app.call(user="ana")).text == "Hello there"
            return
        with pytest.raises(LedgerError, match="the disk is gone") as caught:
            await app.call(user="ana")
        assert caught.value.request_id

    with caplog.at_level(logging.WARNING, "inferkit"):
        run(body, ledger=ledger, on_store_error=mode)
    assert ("goes ahead without its plan, as configured" in caplog.text) == (mode == "allow")
    ledger.close()


def test_an_allowance_may_degrade(run, ledger):
    plan = Plan("free", allowance=Budget(calls=1, on_exceed="degrade", degrade_to="small:m"))

    async def body(app):
        replies = [await app.call(user="ana") for _ in range(2)]
        assert [(reply.provider, reply.degraded) for reply in replies] == [("fake", False), ("small", True)]

    providers = {"fake": FakeProvider("Hello"), "small": FakeProvider("Hi")}
    run(body, plans=[plan], default_plan="free", providers=providers)
    assert [entry.charge.degraded for entry in ledger.entries()] == [False, True]


def test_an_allowance_that_degrades_to_nothing_is_refused_when_the_client_is_made(world, ledger):
    plan = Plan("free", allowance=Budget(calls=1, on_exceed="degrade", degrade_to="nowhere"))
    with pytest.raises(ConfigurationError, match='the allowance of plan "[a-z]*" cannot degrade to what is not there'):
        world.client(plans=[plan], ledger=ledger)


def test_an_allowance_has_grace_and_warns(run):
    told = []
    allowance = Budget(calls=10, grace="0.2", warn_at=("0.5", "1"), on_threshold=told.append)

    async def body(app):
        app.plans.assign("team", tenant="acme", seats=2)
        assert (await app.calls(user="ana", tenant="acme"))[0] == 24
        assert [(each.scope, str(each.share), each.limit) for each in told] == [
            ("pooled-allowance:acme", "0.5", 20), ("pooled-allowance:acme", "1", 20)
        ]  # fmt: skip

    run(body, plans=[Plan("team", pooled=True, allowance=allowance)])


def test_an_allowance_rolls_over(ledger):
    plan, one = Plan("pro", allowance=Budget(calls=10, rollover="0.5")), Amounts(calls=1)
    scope = plan.scope(1, user="ana", tenant=None)
    for at in (1_795_000_000.0, 1_797_000_000.0):  # November and December 2026
        ledger.reserve(str(at), [scope.line(at)], one, one, at=at, lease_seconds=60)
    assert scope.budget.remaining("ana", ledger=ledger, at=1_797_000_000.0).calls == 14


def test_an_allowance_lies_within_a_larger_budget(run, ledger):
    company = Budget(calls=3, name="free-users")

    async def body(app):
        assert (await app.calls(user="ana"))[0] == 2
        assert await app.calls(user="ben") == (1, "free-users")

    run(body, plans=[Plan("free", allowance=Budget(calls=2, within=company))], default_plan="free")


def test_an_allowance_may_be_for_a_rolling_period(run):
    async def body(app):
        assert await app.calls(user="ana") == (3, "allowance:ana")

    run(body, plans=[Plan("free", allowance=Budget(calls=3, per=timedelta(hours=5)))], default_plan="free")


def test_what_is_left_is_told_to_the_user(run):
    async def body(app):
        await app.call(user="ana")
        left = app.plans.remaining(user="ana")
        assert left.calls == 1
        await app.call(user="ana")
        with pytest.raises(BudgetExceeded) as caught:
            await app.call(user="ana")
        assert caught.value.resets_at == left.resets_at
        assert (caught.value.limit, caught.value.spent, caught.value.unit) == (2, 2, "calls")
        app.plans.top_up(user="ana", calls=1)
        assert (await app.calls(user="ana"))[0] == 1

    run(body, default_plan="free")


def test_after_the_first_call_no_plan_is_looked_up_for_five_seconds(run, tmp_path):
    asked = []

    class Counting(SqliteStore):
        async def assignment(self, runtime, **who):
            asked.append(who)
            return await super().assignment(runtime, **who)

    ledger = Ledger(Counting(tmp_path / "counting.db"))

    async def body(app):
        await app.call(user="ana", plan="pro")
        asked.clear()
        for _ in range(5):
            await app.call(user="ana")
            await app.call(user="ana", plan="pro")
        assert asked == []

    run(body, ledger=ledger, plans=[Plan("pro", allowance=Budget(calls=100))])
    ledger.close()


def who(ledger):
    attribution = payers(ledger)[-1]
    return attribution.user, attribution.feature and attribution.feature.rpartition(".")[2]


def test_a_report_names_the_outermost_key_and_the_innermost_function(run, ledger):
    async def body(app):
        @budgeted(calls=100, name="inner")
        async def inner(**options):
            await app.call(**options)

        @budgeted(calls=100, key="document", name="middle")
        async def middle(document, **options):
            await inner(**options)

        @budgeted(calls=100, key="name", name="outer")
        async def outer(name):
            await middle(f"letter to {name}")

        await outer("ana")
        assert who(ledger) == ("ana", "inner"), "the document is no user"
        await middle("ben", user="cleo", feature="search")
        assert who(ledger) == ("cleo", "search"), "what the call says wins"
        await app.call()
        assert who(ledger) == (None, None)

    run(body)


def test_a_key_of_a_budget_for_each_user_is_what_the_plan_is_for(run, ledger):
    async def body(app):
        @budgeted(calls=100, key="document", name="document")
        async def summarise(document):
            return await app.call()

        @budgeted(calls=100, key="user_id", name="own", each="user")
        async def answer(user_id):
            return await summarise(f"letter {next(numbers)}")

        await answer("ana")
        await answer("ana")
        with pytest.raises(BudgetExceeded, match="allowance:ana"):
            await answer("ana")
        await answer("ben")

    run(body, default_plan="free")


def test_a_key_that_may_be_anything_gets_nobody_an_allowance(run, ledger):
    """Or else every document would have one of its own."""

    async def body(app):
        @budgeted(calls=100, key="document", name="document")
        async def summarise(document):
            return await app.call()

        with pytest.raises(ConfigurationError, match="pass user="):
            await summarise("letter")

    run(body, default_plan="free")


def test_a_key_of_a_budget_for_each_tenant_is_the_calls_tenant(run, ledger):
    async def body(app):
        app.plans.assign("team", tenant="acme", seats=1)

        @budgeted(calls=100, key="company", name="company", each="tenant")
        async def answer(company):
            return await app.call()

        await answer("acme")

    run(body, plans=[Plan("team", allowance=Budget(calls=2), pooled=True)])
    assert (payers(ledger)[-1].tenant, payers(ledger)[-1].plan) == ("acme", "team")


def test_a_block_with_a_key_names_the_user_and_one_without_changes_nothing(run, ledger):
    async def body(app):
        with budget(calls=100, name="run", key="ana"):
            await app.call()
            assert who(ledger) == ("ana", None)
            with budget(calls=100):
                await app.call()
                assert who(ledger) == ("ana", None)

    run(body)


def test_a_thread_is_for_the_user_of_who_started_it():
    @budgeted(calls=100, key="user_id", each="user")
    def answer(user_id):
        found = []
        thread = threading.Thread(target=lambda: found.append(attribute({}, CallRecord(clock), current_scopes())))
        thread.start()
        thread.join(10)
        return found[0]

    found = answer("ana")
    assert found["user"] == "ana"
    assert found["feature"].endswith(".answer")


def test_a_method_is_named_with_its_class():
    class Assistant:
        @budgeted(calls=5)
        def answer(self):
            return attribute({}, CallRecord(clock), current_scopes())["feature"]

    assert Assistant().answer().endswith("Assistant.answer")
