"""Plans in a file that the people who set prices can read and change."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from decimal import Decimal

import pytest

from inferkit import Budget, Client, ConfigurationError, Plan
from inferkit.plans.file import read_plans
from inferkit.plans.models import AllowanceTable, PlanTable
from inferkit.testing import FakeProvider

FILE = """
# what we sell
[plans.free]
allowance = { usd = "0.50", calls = 100 }

[plans.pro]
price = 99.90
target_margin = 0.7

[plans.team]
price = 25
per = "year"
per_seat = true
seats = 5
pooled = true
zone = "Europe/Zurich"

[plans.team.allowance]
usd = 10
per = { hours = 12 }
warn_at = ["0.8"]
grace = "0.1"
on_exceed = "degrade"
degrade_to = "local"

[plans."with spaces"]
allowance = "unlimited"
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "plans.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_file_says_what_plan_values_say(write):
    free, pro, team, unlimited = read_plans(write(FILE))
    assert free.definition() == Plan("free", allowance=Budget(usd="0.50", calls=100)).definition()
    assert (pro.name, pro.price_nanos, pro.budget.nanos) == ("pro", 99_900_000_000, 29_970_000_000)
    assert (team.per, team.per_seat, team.seats, team.pooled, team.zone) == ("year", True, 5, True, "Europe/Zurich")
    assert team.allowance == Budget(
        usd=10, per=timedelta(hours=12), warn_at="0.8", grace="0.1", on_exceed="degrade", degrade_to="local"
    )
    assert (unlimited.name, unlimited.budget) == ("with spaces", None)


def test_amounts_are_the_decimals_that_stand_in_the_file(write):
    text = "[plans.pro]\nprice = 99.90\ntarget_margin = 0.70\nallowance = {usd = 0.10, grace = 0.1}"
    (pro,) = read_plans(write(text))
    for amount, stands in ((pro.price, "99.90"), (pro.target_margin, "0.70"), (pro.allowance.usd, "0.10")):
        assert (type(amount), str(amount)) == (Decimal, stands)


def test_a_file_can_say_of_a_plan_what_can_be_written_down_of_it():
    assert PlanTable.model_fields.keys() == {each.name for each in fields(Plan)} - {"name"}
    said_by_the_plan, no_text = {"name", "each"}, {"within", "on_threshold"}
    assert AllowanceTable.model_fields.keys() == {each.name for each in fields(Budget)} - said_by_the_plan - no_text


def test_a_client_takes_the_path_of_a_file(write, tmp_path):
    path = write(FILE)
    for given in (path, str(path)):
        with Client(
            plans=given, default_plan="free", providers={"fake": FakeProvider("hi")}, models={"any": "fake:m"},
            home=tmp_path, cache=False,
        ) as llm:  # fmt: skip
            assert llm.plans.of(user="ana").plan.name == "free"
            assert set(llm.ledger.definitions()) == {"free", "pro", "team", "with spaces"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", 'plans.toml has no plans; add a table for each: [plans.pro], with price = "99"'),
        ("[plan.pro]\nprice = 5", "plans.toml has unknown tables: plan (did you mean plans?); known are: plans"),
        ("plans = 5", 'plans are tables: [plans.pro], with price = "99"'),
        ("[[plans]]\nname = 'pro'", "plans are tables: [plans.pro]"),
        ("[plans]\npro = 99", "plans are tables: [plans.pro]"),
        ("[plans.pro]\nprice = ", "plans.toml is not a TOML file: Invalid value"),
        (b"\xff\xfe", "plans.toml is not a TOML file"),
        ("[plans.pro]\nprize = 5", 'plans.toml, plan "pro" has no prize; its fields are: allowance'),
        ("[plans.pro]\nprice = 5", 'plans.toml, plan "pro" limits nothing; give it an allowance'),
        (
            "[plans.pro]\nallowance = 5",
            'plans.toml, allowance of plan "pro" is a table: allowance = {usd = "5"}, or "unlimited"; got 5',
        ),
        ("[plans.pro]\nallowance = {}", 'plans.toml, the allowance of plan "pro": a budget needs a limit'),
        ("[plans.pro]\nallowance = {usd = 5, each = 'user'}", 'the allowance of plan "pro" has no each'),
        (
            "[plans.pro]\nper_seat = 'yes'\nallowance = {usd = 5}",
            'per_seat of plan "pro" is true or false, without quotes',
        ),
        ("[plans.pro]\nallowance = {calls = 5, per = {fortnights = 1}}", "per = { hours = 5 }"),
        ('[plans.""]\nallowance = {usd = 5}', 'a plan has a name, for example "pro"'),
        ("[plans.pro]\nseats = 1.5\nallowance = {usd = 5}", "a whole number of seats from 1"),
    ],
)
def test_a_file_that_does_not_say_what_it_should_is_refused_by_name(write, text, said):
    with pytest.raises(ConfigurationError) as caught:
        read_plans(write(text))
    assert said in str(caught.value)
    assert "plans.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigurationError, match=r"plans.toml cannot be read: No such file"):
        read_plans(tmp_path / "plans.toml")
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        Client(plans=tmp_path, home=tmp_path / "home")
