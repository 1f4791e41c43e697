"""What a what-if file says, and what is wrong with one that cannot be read."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from decimal import Decimal

import pytest

from inferkit import Budget, Price
from inferkit.core.errors import ConfigurationError
from inferkit.economics.what_if.file import read_scenario
from inferkit.plans.plan import Plan
from inferkit.plans.price_tables import PriceTable


@pytest.fixture
def read(tmp_path):
    def scenario(text):
        path = tmp_path / "plan.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_scenario(path)

    return scenario


def test_an_empty_file_changes_nothing(read):
    found = read("")
    assert found.name == "plan.toml"
    assert not any((found.plans, found.default_plan, found.users, found.tenants, found.limits, found.prices))
    assert not found.reroute


def test_a_full_file_says_all_of_it(read):
    found = read(
        """
        default_plan = "free"

        [plans.free]
        allowance = { usd = 0.5, per = { hours = 5 }, on_exceed = "degrade", degrade_to = "local" }
        [plans.pro]
        price = 19.90
        target_margin = 0.7
        zone = "Europe/Zurich"

        [users]
        ana = "pro"
        [tenants]
        acme = "free"

        [[limits]]
        usd = 5
        each = "user"
        [[limits]]
        name = "all"
        calls = 1000
        per = "day"

        [prices."openai:gpt-5"]
        input = 1.25
        output = "10"
        above.200_000 = { input = 2.5, output = 15 }
        changes = { 2027-01-01 = { input = 1, output = 8 } }

        [reroute]
        "openai:gpt-5" = "openai:gpt-5-mini"
        """
    )
    assert found.default_plan == "free"
    allowance = Budget(usd=Decimal("0.5"), per=timedelta(hours=5), on_exceed="degrade", degrade_to="local")
    assert found.plans == {
        "free": Plan("free", allowance=allowance),
        "pro": Plan("pro", price=Decimal("19.90"), target_margin=Decimal("0.7"), zone="Europe/Zurich"),
    }
    assert (found.users, found.tenants) == ({"ana": "pro"}, {"acme": "free"})
    assert found.limits == (
        Budget(usd=5, each="user", name="limit-1"),
        Budget(calls=1000, per="day", name="all"),
    )
    assert found.prices["openai:gpt-5"] == Price(
        input=Decimal("1.25"),
        output="10",
        above={200_000: Price(input=Decimal("2.5"), output=15, source="what-if")},
        changes={"2027-01-01": Price(input=1, output=8, source="what-if")},
        source="what-if",
    )
    assert found.reroute == {"openai:gpt-5": "openai:gpt-5-mini"}


def test_a_price_of_a_file_can_say_what_few_models_have(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        '[prices."openai:gpt-5"]\ninput = 1\noutput = 2\ncache_write_1h = 3\ncontext_window = 400_000\n'
        "server_tools.web_search = 0.01\nservice_tiers.priority = { input = 2, output = 4 }\n"
        "speeds.fast = { input = 6, output = 9 }\n"
    )
    price = read_scenario(path).prices["openai:gpt-5"]
    assert (price.cache_write_1h, price.context_window, price.server_tools) == (
        3,
        400_000,
        {"web_search": Decimal("0.01")},
    )
    assert (price.service_tiers["priority"].output, price.speeds["fast"].input) == (4, 6)


def test_a_file_can_say_of_a_price_all_that_a_price_is():
    assert PriceTable.model_fields.keys() == {each.name for each in fields(Price)} - {"source"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[limits", "plan.toml is not a TOML file"),
        (b"\xff", "plan.toml is not a TOML file"),
        pytest.param("default_plan = " + "9" * 5000, "plan.toml is not a TOML file", id="long"),
        pytest.param("limits = " + "[" * 5000 + "]" * 5000, "plan.toml is not a TOML file", id="deep"),
        ("[limit]\nusd = 5", r"unknown tables: limit \(did you mean limits\?\); known are: default_plan, limits"),
        ("default_plan = 5", "default_plan is the name of a plan"),
        ("[users]\nana = 5", r"\[users\] is a table of names"),
        ("tenants = 'acme'", r"\[tenants\] is a table of names"),
        ("reroute = []", r"\[reroute\] is a table of names"),
        ("[reroute]\n'gpt-5' = 'openai:x'", r'\[reroute\] sends "provider:model" to another; got "gpt-5"'),
        ("limits = 5", r"limits are a list of tables: \[\[limits\]\]"),
        ("[limits]\nusd = 5", r"limits are a list of tables: \[\[limits\]\]"),
        ("[[limits]]\ndollars = 5", "in .*plan.toml, limit 1 has no dollars; its fields are: anchor_day, calls"),
        ("[[limits]]\nusd = 5\nrollover = 1", "in .*plan.toml, limit 1 has no rollover"),
        ("[[limits]]\nper = 'day'", "a budget needs a limit"),
        ("[[limits]]\nusd = 'five'", "a plain number of dollars"),
        ("[[limits]]\nusd = nan", "zero dollars or more"),
        ("[[limits]]\nusd = inf", "zero dollars or more"),
        ("[[limits]]\nusd = true", 'usd of limit 1 is an amount of dollars: 5, 5.50 or "5.50"; got true'),
        ("[[limits]]\nusd = 5\nper = { fortnights = 1 }", "per = { hours = 5 }"),
        ("[[limits]]\nusd = 5\nper = { hours = 'five' }", "per = { hours = 5 }"),
        ("[[limits]]\nusd = 5\nper = { days = 1e30 }", "per = { hours = 5 }"),
        ("[[limits]]\nusd = 5\nper = ['day']", "per of limit 1 is a name, .*; got a list"),
        ("[[limits]]\nusd = 5\nzone = ['UTC']", "is the name of a time zone"),
        ("[[limits]]\nusd = 5\nzone = 'Mars'", "there is no time zone 'Mars'"),
        ("[[limits]]\nusd = 5\nname = 'a'\n[[limits]]\nusd = 6\nname = 'a'", 'two limits are named "a"'),
        ("prices = 5", "prices are tables"),
        ("[prices]\n'x:m' = 5", "prices are tables"),
        ("[prices.'x:m']", "says nothing of input and output; each is an amount of dollars per million tokens"),
        ("[prices.'x:m']\ninput = 5", 'the price of "x:m" says nothing of output'),
        ("[prices.'x:m']\ninput = true\noutput = 5", 'input of the price of "x:m" is an amount .*; got true'),
        (
            "[prices.'x:m']\ninput = 5\noutput = 1\nabove.9 = { input = 5 }",
            '"x:m" above 9 says nothing of output; it is',
        ),
        ("[prices.'x:m']\nprice = 5", 'the price of "x:m" has no price; its fields are'),
        (
            "[prices.'x:m']\ninput = 5\noutput = -1",
            'in .*plan.toml, the price of "x:m": the price of output is zero dollars or more',
        ),
        (
            "[prices.'x:m']\ninput = 5\noutput = 1\nabove = 5",
            'above of the price of "x:m" is a table of prices: above.200_000 = .*; got 5',
        ),
        ("[prices.'x:m']\ninput = 5\noutput = 1\nabove = { many = { input = 1, output = 1 } }", 'got "many"'),
        ("[prices.'x:m']\ninput = 5\noutput = 1\nabove.0 = { input = 1, output = 1 }", "got 0"),
        (
            "[prices.'x:m']\ninput = 5\noutput = 1\nabove.9 = 5",
            'above of the price of "x:m" is a table of prices: .*; got 5',
        ),
        pytest.param(
            "[prices.'x:m']\ninput = 5\noutput = 1\nabove." + "9" * 5000 + " = { input = 1, output = 1 }",
            "is another above a number of tokens",
            id="long-tier",
        ),
        ("[prices.'x:m']\ninput = 5\noutput = 1\nchanges.soon = { input = 1, output = 1 }", "changes at a date"),
        ("plans = 5", "plans are tables"),
        ("[plans]\npro = 5", "plans are tables"),
        ("[plans.pro]\npices = 5", 'plan "pro" has no pices; its fields are'),
        ("[plans.pro]\nprice = 5", 'plan "pro" limits nothing'),
        (
            "[plans.pro]\nprice = 5\nallowance = 'none'",
            'allowance of plan "pro" is a table: .* or "unlimited"; got .none',
        ),
        ("[plans.pro]\nprice = 5\nallowance = { usd = 5, each = 'user' }", 'the allowance of plan "pro" has no each'),
        ("[plans.pro]\nprice = 5\nallowance = { usd = 5, per = { days = 'x' } }", "per = { hours = 5 }"),
        ("[plans.pro]\nprice = 5\nallowance = 'unlimited'\nper_seat = 'false'", "per_seat of plan .* without quotes"),
        ("[plans.pro]\nprice = 5\nallowance = 'unlimited'\npooled = 1", "pooled of plan .* without quotes"),
        ("[plans.pro]\nprice = 5\nallowance = 'unlimited'\nzone = []", "is the name of a time zone"),
        ("[plans.pro]\nprice = 5\nallowance = 'unlimited'\nseats = 0", "a whole number of seats"),
        ("[plans.pro]\nprice = 5\ntarget_margin = 1.5", "the share of the price that is to remain"),
        ('[plans."a\\u001bb"]\nallowance = "unlimited"', "a plan has a name"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(read, text, message):
    with pytest.raises(ConfigurationError, match=message):
        read(text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="none.toml cannot be read: No such file"):
        read_scenario(tmp_path / "none.toml")


def test_a_pool_that_is_worked_out_from_a_flat_price_does_not_grow_beyond_it():
    flat = Plan("team", price="100", seats=5, pooled=True, target_margin="0.7")
    assert flat.scope(5, user="ana", tenant="acme").budget.nanos == 30 * 10**9
    by_seat = Plan("team", price="100", per_seat=True, seats=5, pooled=True, target_margin="0.7")
    assert by_seat.scope(5, user="ana", tenant="acme").budget.nanos == 150 * 10**9
    stated = Plan("team", price="100", seats=5, pooled=True, allowance=Budget(usd="30"))
    assert stated.scope(5, user="ana", tenant="acme").budget.nanos == 150 * 10**9
