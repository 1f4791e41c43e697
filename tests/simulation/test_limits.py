"""A provider that takes so many requests a minute: what it says of that, and who heeds it."""

from __future__ import annotations

from collections import Counter

import pytest

from inferkit import Price
from inferkit.core.errors import RateLimited
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.simulation.limits import PerMinute
from inferkit.simulation.policies import BUILT_IN, policies_from
from inferkit.simulation.provider import SimulatedModel
from inferkit.simulation.run import play
from inferkit.simulation.scenario import Outage, Provider, Spike
from inferkit.simulation.traffic import calls_of
from inferkit.testing import make_request
from simulation.test_run import HOUR, fates, scenario

FEW = Provider("acme:large", Price("2", "8"), requests_per_minute=4, retry_after=9)
NEWSLETTER = Spike(12 * HOUR, 12 * HOUR + 600, 120)


def busy(**more):
    return scenario(providers=(FEW,), calls=240, spikes=[NEWSLETTER], **more)


def test_a_minute_fills_the_bucket_and_the_headers_say_how_far():
    bucket = PerMinute(4)
    assert [bucket.take(0.0) for _ in range(5)] == [True] * 4 + [False]
    assert bucket.wait(0.0) == 15
    assert bucket.headers(7.5) == {
        "x-ratelimit-limit-requests": "4",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "52.500s",
    }
    assert bucket.wait(7.5) == 8, "whole seconds, never too early"
    assert (bucket.wait(15.0), bucket.take(15.0), bucket.take(15.0)) == (0, True, False)


@pytest.mark.parametrize(("outage", "waits"), [(None, 15), (Outage("acme", 0.0, HOUR, "refusing"), 9)])
def test_what_is_refused_says_when_to_come_again_and_every_reply_what_is_left(outage, waits):
    asked = calls_of(busy())[0]
    model = SimulatedModel(FEW, [outage] if outage else [], seed=1, call_of=lambda _: asked, seconds=lambda: 0.0)
    request, left = make_request(DirectRuntime(), model="large"), []
    with pytest.raises(RateLimited) as caught:
        while True:
            response = drive(model(request))
            left.append(response.headers["x-ratelimit-remaining-requests"])
            drive(response.aclose())
    assert left == ([] if outage else ["3", "2", "1", "0"])
    assert (caught.value.status, caught.value.retry_after) == (429, waits)
    assert caught.value.quota_headers["x-ratelimit-limit-requests"] == "4"


def test_the_client_waits_for_room_and_naive_calls_run_into_the_limit():
    plain, naive = play(busy(timeout=600.0), BUILT_IN["plain"]()), play(busy(timeout=600.0), BUILT_IN["naive"]())
    assert naive.refused["acme:large"] > 100
    assert plain.refused["acme:large"] < naive.refused["acme:large"] / 10
    assert fates(plain)["answered"] > fates(naive)["answered"]


def test_a_policy_says_whether_it_heeds_limits():
    def refused(heeds):
        setup = policies_from("mine", {"follow_limits": heeds})()
        return play(busy(timeout=600.0), setup).refused["acme:large"]

    assert refused(True) < refused(False)


def test_the_month_of_the_documentation_has_limits_outages_and_a_spike_in_it():
    from pathlib import Path

    from inferkit.simulation.file import read_simulation

    month = read_simulation(Path(__file__).parents[2] / "examples" / "simulation.toml")
    assert all(provider.requests_per_minute for provider in month.providers)
    assert Counter(outage.kind for outage in month.outages) == {"down": 1, "hanging": 1, "refusing": 1, "slow": 1}
    assert [spike.times for spike in month.traffic.spikes] == [10]
