"""Scenarios in files: what is wrong is said with the line that it stands on."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from inferkit import ConfigurationError
from inferkit.routing import ByMargin
from inferkit.simulation.file import read_simulation

EXAMPLE = Path(__file__).parents[2] / "examples" / "simulation.toml"
SMALL = """\
seed = 3
start = 2026-03-01
days = 2
[traffic]
calls = 40
[[traffic.spikes]]
at = 2026-03-01T12:00:00
minutes = 10
times = 5
[plans.pro]
price = 20
allowance = { usd = 5 }
[customers.pro]
count = 10
[models]
fast = [
    "acme:large",
    "bolt:small",
]
[providers."acme:large"]
price = { input = 2, output = 8 }
concurrent = 4
[providers."bolt:small"]
price = { input = 0.1, output = 0.4 }
[[outages]]
provider = "acme"
at = 2026-03-02
minutes = 60
[[outages]]
provider = "acme:large"
at = 2026-03-02T06:00:00
minutes = 5
kind = "slow"
[policies.cheap]
routes = ["fits", "cheapest"]
[policies.margins]
routes.fast = { policy = "by-margin", target = 0.7, short = { policy = "weighted", weights = { "bolt:small" = 1 } } }
hedge = true
"""


def read(tmp_path, text):
    file = tmp_path / "scenario.toml"
    file.write_text(text, "utf-8")
    return read_simulation(file)


def test_a_file_says_a_whole_scenario(tmp_path):
    scenario = read(tmp_path, SMALL)
    assert (scenario.name, scenario.seed, scenario.days) == ("scenario", 3, 2.0)
    assert scenario.start == datetime(2026, 3, 1, tzinfo=UTC)
    (spike,) = scenario.traffic.spikes
    assert (spike.start, spike.end, spike.times) == (43_200.0, 43_800.0, 5.0)
    assert scenario.models == {"fast": ("acme:large", "bolt:small")}
    assert [outage.kind for outage in scenario.outages] == ["down", "slow"]
    assert scenario.outages[1].start == 86_400.0 + 21_600.0
    assert scenario.providers[0].concurrent == 4
    assert scenario.plans[0].price == 20
    (customers,) = scenario.customers
    assert (customers.plan, customers.model) == ("pro", "fast")
    assert scenario.policies["cheap"]().hedge is None


def test_policies_are_made_anew_for_each_run(tmp_path):
    make = read(tmp_path, SMALL).policies["margins"]
    one, two = make(), make()
    assert one.routes["fast"] is not two.routes["fast"]
    assert one.health is not two.health
    assert isinstance(one.routes["fast"], ByMargin)
    assert one.routes["fast"]._target == Decimal("0.7")


def test_a_function_of_ones_own_gives_the_routes(tmp_path, monkeypatch):
    (tmp_path / "shop_routes.py").write_text("def make():\n    return 'fastest'\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    scenario = read(tmp_path, SMALL + '[policies.own]\nroutes = { python = "shop_routes:make" }\n')
    assert scenario.policies["own"]().routes == "fastest"


def test_the_example_is_a_scenario():
    assert len(read_simulation(EXAMPLE).outages) == 4


@pytest.mark.parametrize(
    ("before", "after", "line", "what"),
    [
        ("calls = 40", "calls = 0", 5, "calls of traffic is a whole number above zero; got 0"),
        ("calls = 40", "calls = 40\nbusy = 3", 6, "traffic has no busy; its fields are: busiest, calls"),
        ("calls = 40", "", 4, "traffic says nothing of calls"),
        ("times = 5", 'times = "5"', 9, "times of a spike is a number above zero; got '5'"),
        ("price = 20", "price = -1", 11, 'the price of plan "pro" is zero dollars or more'),
        ("usd = 5", "usd = 0", 12, "a budget of zero dollars allows nothing"),
        ("[customers.pro]", "[customers.gold]", 13, 'there is no plan "gold"'),
        ("count = 10", 'count = 10\nmodel = "slow"', 15, 'there is no "slow" in [models]'),
        ('    "bolt:small",\n]', '    "bolt:medium",\n]', 16, '[providers."bolt:medium"] is missing'),
        ("input = 2, ", "", 21, 'the price of "acme:large" says nothing of input'),
        ("concurrent = 4", "concurrent = 4.5", 22, 'concurrent of "acme:large" is a whole number above zero'),
        ('kind = "slow"', 'kind = "lost"', 33, 'is "down", "hanging", "slow" or "refusing"'),
        ('provider = "acme:large"', 'provider = "zeta"', 30, 'there is no provider "zeta"; they are: acme, acme:large'),
        ('"cheapest"]', '"dearest"]', 34, "there is no policy 'dearest'; they are: best, by-budget-left"),
        ("target = 0.7", "target = 7", 36, "target is the share of the price"),
        ("target = 0.7", "aim = 7", 36, "got an unexpected keyword argument 'aim'"),
        ("hedge = true", "hedge = { quantile = 2 }", 36, "quantile is between 0 and 1"),
        ("days = 2", "days = 2\nhours = 3", 4, "the scenario has no hours; what it may have is: customers, days"),
        ("[plans.pro]", "[plans.pro", 10, "is not a TOML file"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, before, after, line, what):
    assert before in SMALL
    with pytest.raises(ConfigurationError) as raised:
        read(tmp_path, SMALL.replace(before, after, 1))
    assert f"line {line}" in str(raised.value)
    assert what in str(raised.value)
