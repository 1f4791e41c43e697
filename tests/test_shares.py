"""Whose budget pays: each user's or tenant's own, and those that it lies within."""

from __future__ import annotations

import pytest

from inferkit import Budget, BudgetExceeded, Client, ConfigurationError, Price, budgeted
from inferkit.testing import FakeProvider


@pytest.fixture
def client(tmp_path):
    clients = []

    def make(*budgets):
        made = Client(
            providers={"fake": FakeProvider("hi")},
            models={"any": "fake:m"},
            prices={"fake:m": Price(input="1", output="10")},
            budget=budgets,
            home=tmp_path,
            cache=False,
        )
        clients.append(made)
        return made

    yield make
    for each in clients:
        each.close()


def accounts(llm):
    return {account: balance.posted.calls for account, _, balance in llm.ledger.balances()}


def test_a_budget_is_everybodys_unless_it_says_otherwise(client):
    llm = client(Budget(calls=2, name="all"))
    llm.complete("any", "hi", user="ana")
    llm.complete("any", "hi", user="ben")
    with pytest.raises(BudgetExceeded):
        llm.complete("any", "hi", user="cleo")
    assert accounts(llm) == {"all": 2}


@pytest.mark.parametrize("each", ["user", "tenant"])
def test_each_user_or_tenant_has_the_whole_limit(client, each):
    llm = client(Budget(calls=1, name="seat", each=each))
    for key in ("ana", "ben"):
        llm.complete("any", "hi", **{each: key})
        with pytest.raises(BudgetExceeded) as caught:
            llm.complete("any", "hi", **{each: key})
        assert caught.value.scope == f"seat:{key}"
    assert accounts(llm) == {"seat:ana": 1, "seat:ben": 1}


@pytest.mark.parametrize("each", ["user", "tenant"])
def test_a_call_that_does_not_say_whose_it_is_is_told_what_to_pass(client, each):
    llm = client(Budget(calls=1, name="seat", each=each))
    other = {"user": "tenant", "tenant": "user"}[each]
    with pytest.raises(
        ConfigurationError, match=f"seat is kept for each {each}, and the call names none; pass {each}="
    ):
        llm.complete("any", "hi", **{other: "ana"})
    assert accounts(llm) == {}


def test_a_call_pays_from_all_three_levels(client):
    company = Budget(calls=5, name="company")
    team = Budget(calls=3, name="team", each="tenant", within=company)
    llm = client(Budget(calls=2, name="seat", each="user", within=team))
    for user, tenant in (("ana", "red"), ("ana", "red"), ("ben", "red"), ("cleo", "blue"), ("cleo", "blue")):
        llm.complete("any", "hi", user=user, tenant=tenant)
    assert accounts(llm) == {"company": 5, "team:red": 3, "team:blue": 2, "seat:ana": 2, "seat:ben": 1, "seat:cleo": 2}
    for user, tenant, scope in (("ana", "blue", "seat:ana"), ("ben", "red", "team:red"), ("dan", "blue", "company")):
        with pytest.raises(BudgetExceeded) as caught:
            llm.complete("any", "hi", user=user, tenant=tenant)
        assert caught.value.scope == scope
    assert sum(accounts(llm).values()) == 15, "whoever was refused paid nowhere"


def test_a_missing_name_on_a_higher_level_is_told_too(client):
    team = Budget(calls=3, name="team", each="tenant")
    llm = client(Budget(calls=2, name="seat", each="user", within=team))
    with pytest.raises(ConfigurationError, match="pass tenant="):
        llm.complete("any", "hi", user="ana")


def test_two_budgets_within_the_same_one_charge_it_once(client):
    company = Budget(calls=5, name="company")
    llm = client(Budget(calls=4, name="chat", within=company), Budget(calls=3, name="search", within=company), company)
    llm.complete("any", "hi")
    assert accounts(llm) == {"company": 1, "chat": 1, "search": 1}


def test_a_functions_key_and_the_budgets_around_it_pay(client):
    llm = client()
    team = Budget(calls=10, name="team", each="tenant")

    @budgeted(Budget(calls=1, name="answers", within=team), key="reader")
    def answer(reader, tenant):
        return llm.complete("any", "hi", tenant=tenant).text

    assert answer("ana", "red") == "hi"
    with pytest.raises(BudgetExceeded, match="answers:ana"):
        answer("ana", "red")
    assert accounts(llm) == {"answers:ana": 1, "team:red": 1}


def test_a_functions_budget_may_be_for_each_user_of_the_calls_in_it(client):
    llm = client()

    @budgeted(calls=1, each="user", name="answers")
    def answer(user):
        return llm.complete("any", "hi", user=user).text

    answer("ana")
    answer("ben")
    with pytest.raises(BudgetExceeded, match="answers:ana"):
        answer("ana")


def test_a_calls_own_budget_may_lie_within_another(client):
    llm = client()
    own = Budget(usd="1", per="call", name="cheap", within=Budget(calls=1, name="trial"))
    llm.complete("any", "hi", budget=own)
    with pytest.raises(BudgetExceeded, match="trial"):
        llm.complete("any", "hi", budget=own)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"each": "team"}, 'each is "user" or "tenant"'),
        ({"within": "company"}, "within is a budget with a name"),
        ({"within": Budget(calls=5)}, "within is a budget with a name"),
    ],
)
def test_shares_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ConfigurationError, match=said):
        Budget(calls=1, name="x", **options)
