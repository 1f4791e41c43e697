"""How models stand, as metrics: what `llm.health()` says, of every client that is there."""

from __future__ import annotations

import gc

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from inferkit import (
    BreakerRules,
    Chunk,
    Client,
    Health,
    Overloaded,
    RateLimit,
    RateLimited,
    Response,
    RetryRules,
    Unavailable,
    Usage,
)
from inferkit.telemetry import Telemetry
from inferkit.testing import FakeProvider


class Metrics:
    def __init__(self):
        self.reader = InMemoryMetricReader()
        self.telemetry = Telemetry(meter_provider=MeterProvider([self.reader]))

    def read(self, name):
        """Give the points of a metric by their labels' values."""
        data = self.reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == name:
                        for point in metric.data.data_points:
                            value = getattr(point, "value", None)
                            key = tuple(sorted(map(str, point.attributes.values())))
                            found[key] = point.count if value is None else value
        return found


@pytest.fixture
def metrics():
    return Metrics()


def client(metrics, *, health=None, **settings):
    settings.setdefault("max_retries", 1)
    return Client(telemetry=metrics.telemetry, cache=False, ledger=False, health=health or Health(), **settings)


def down(times=100):
    return FakeProvider(*[Unavailable("down", provider="a")] * times)


def test_circuits_and_what_was_done_around_them_are_measured(metrics):
    rules = Health(breaker=BreakerRules(failures=2, cooldown=60), retries=RetryRules(floor=7))
    providers = {"a": down(), "b": FakeProvider("hello")}
    with client(metrics, health=rules, providers=providers, models={"fast": ["a:m", "b:m"]}) as llm:
        for _ in range(4):
            llm.complete("fast", "Hello?")
        assert metrics.read("inferkit.circuit.state") == {("a:m",): 2, ("b:m",): 0}
        assert metrics.read("inferkit.retries.left") == {("a:m",): 7}
        assert metrics.read("inferkit.attempts.more") == {("b:m", "fallback"): 2}
        assert metrics.read("inferkit.candidates.passed_over") == {("a:m", "circuit_open"): 2}


def test_limits_are_measured_where_calls_run_and_where_they_are_turned_away(metrics):
    limits = {"a:m": RateLimit(concurrent=1, queue=0)}
    with client(metrics, providers={"a": FakeProvider("one two three")}, limits=limits) as llm:
        with llm.stream("a:m", "Hello?") as stream:
            next(stream)
            with pytest.raises(Overloaded):
                llm.complete("a:m", "Hello?")
            stands = llm.health()["a:m"]
            assert (stands.running, stands.waiting, stands.concurrent) == (1, 0, 1.0)
            assert metrics.read("inferkit.limit.running") == {("a:m",): 1}
        assert metrics.read("inferkit.limit.running") == {("a:m",): 0}
        assert metrics.read("inferkit.limit.refused") == {("a:m", "full"): 1}


def test_a_wait_for_a_limit_is_measured(metrics):
    limits = {"a:m": RateLimit(requests_per_minute=30)}
    with client(metrics, providers={"a": FakeProvider("hi")}, limits=limits) as llm:
        calls = 0
        while not metrics.read("inferkit.limit.wait"):  # five go at once, and more where this machine stands still
            llm.complete("a:m", "Hello?")
            calls += 1
        assert calls > 5
        assert metrics.read("inferkit.limit.wait") == {("a:m",): 1}


def test_what_a_provider_has_left_is_measured(metrics):
    async def telling(request):
        chunk = Chunk("hi", finish_reason="stop", usage=Usage(1, 1))
        headers = {"x-ratelimit-limit-requests": "5000", "x-ratelimit-remaining-requests": "20"}
        return Response.of([chunk], runtime=request.runtime, headers=headers)

    with client(metrics, providers={"a": telling}) as llm:
        llm.complete("a:m", "Hello?")
        assert 20 <= llm.health()["a:m"].left["requests"] <= 1000
        (left,) = metrics.read("inferkit.limit.left").items()
        assert left[0] == ("a:m", "requests")


def test_every_client_of_a_provider_of_metrics_is_measured_and_none_that_is_gone(metrics):
    one = client(metrics, providers={"a": FakeProvider("hi")}, models={"x": "a:m"})
    other = client(metrics, providers={"b": FakeProvider("hi")}, models={"x": "b:m"})
    assert metrics.read("inferkit.circuit.state") == {("a:m",): 0, ("b:m",): 0}
    one.close()
    other.close()
    del one
    gc.collect()
    assert metrics.read("inferkit.circuit.state") == {("b:m",): 0}
    assert other.health()["b:m"].is_asked


def test_a_refusal_counts_as_no_open_circuit(metrics):
    with client(metrics, providers={"a": FakeProvider(RateLimited("slow", provider="a"))}, max_retries=0) as llm:
        with pytest.raises(RateLimited):
            llm.complete("a:m", "Hello?")
        assert metrics.read("inferkit.circuit.state")["a:m",] == 0
