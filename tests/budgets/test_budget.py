"""A budget that cannot mean anything is refused where it is written."""

import pytest

from inferkit.budgets.budget import Budget
from inferkit.budgets.scope import Scope
from inferkit.core.errors import ConfigurationError
from inferkit.ledger.amounts import Line


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({}, "needs a limit"),
        ({"usd": 5.0}, "as a string"),
        ({"usd": "-1"}, "zero dollars or more"),
        ({"usd": "0"}, "allows nothing"),
        ({"tokens": 0}, "above zero"),
        ({"tokens": -5}, "above zero"),
        ({"tokens": 1.5}, "above zero"),
        ({"calls": True}, "above zero"),
        ({"calls": 2**60}, "above zero"),
        ({"calls": 5, "per": "fortnight"}, "call, hour, day"),
        ({"calls": 5, "zone": "Mars"}, "IANA"),
        ({"calls": 5, "anchor_day": 0}, "1 to 31"),
        ({"calls": 5, "anchor_day": 32}, "1 to 31"),
        ({"calls": 5, "anchor_day": 5, "per": "day"}, "per day"),
        ({"calls": 5, "on_exceed": "ignore"}, "on_exceed"),
        ({"calls": 5, "on_exceed": "degrade"}, "needs the model to go to"),
        ({"calls": 5, "on_exceed": "degrade", "degrade_to": " "}, "needs the model to go to"),
        ({"calls": 5, "degrade_to": "local"}, 'goes with on_exceed="degrade"'),
        ({"calls": 5, "on_exceed": "truncate", "degrade_to": "local"}, 'goes with on_exceed="degrade"'),
        ({"calls": 5, "name": ""}, "name"),
        ({"calls": 5, "name": "a:b"}, "colon"),
        ({"calls": 5, "name": "a\nb"}, "name"),
    ],
)
def test_a_wrong_budget_is_refused_with_the_reason(limits, reason):
    with pytest.raises(ConfigurationError, match=reason):
        Budget(**limits)


def test_a_scope_is_charged_to_its_own_account_in_the_current_window():
    budget = Budget(usd="5.00", tokens=1000, name="free", zone="Europe/Berlin", anchor_day=15)
    line = Scope(budget, "alice").line(1_795_000_000)
    assert line == Line("free:alice", "month:2026-11-15", 5 * 10**9, 1000, None)
    assert Scope(budget).account == "free"


def test_a_scope_needs_a_name():
    with pytest.raises(ConfigurationError, match="name"):
        Scope(Budget(calls=1))


def test_a_name_is_given_only_to_a_budget_without_one():
    assert Budget(calls=1).named("mine").name == "mine"
    assert Budget(calls=1, name="ours").named("mine").name == "ours"


def test_equal_budgets_are_one_payer():
    assert Scope(Budget(usd="5", name="x"), "a") == Scope(Budget(usd="5", name="x"), "a")
    assert len({Scope(Budget(usd="5", name="x"), "a"), Scope(Budget(usd="5", name="x"), "a")}) == 1


@pytest.mark.parametrize("step", ["usage", "remaining", "top_up"])
def test_a_path_is_no_ledger(step):
    given = {"usd": "1"} if step == "top_up" else {}
    with pytest.raises(ConfigurationError, match=r"ledger= is a ledger: llm.ledger, or .* got 'ledger.db'"):
        getattr(Budget(usd="1", per="month", name="all"), step)(ledger="ledger.db", **given)
