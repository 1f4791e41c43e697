"""What the spans of a call say, and that they never say a prompt."""

from __future__ import annotations

import io
import logging

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from inferkit import Budget, BudgetExceeded, Chunk, Client, Price, StreamInterrupted, Unavailable, Usage
from inferkit.core.usage import UsageDetails
from inferkit.telemetry import SpanCollector, Telemetry, trace_tree
from inferkit.testing import FakeProvider, settled

PRICE = Price(input="1", output="10")


class Recorded:
    def __init__(self, sampler=None):
        self.collector = SpanCollector()
        self.tracer_provider = TracerProvider(**({"sampler": sampler} if sampler else {}))
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.collector))
        self.reader = InMemoryMetricReader()
        self.telemetry = Telemetry(self.tracer_provider, MeterProvider([self.reader]))

    def named(self, name):
        return [span for span in self.collector.spans if span.name == name]

    def metrics(self):
        found = {}
        for resource in self.reader.get_metrics_data().resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = list(metric.data.data_points)
        return found


@pytest.fixture
def recorded():
    return Recorded()


def client(world, recorded, *providers, **settings):
    named = {f"p{place}": provider for place, provider in enumerate(providers)}
    settings.setdefault("prices", {f"{name}:m": PRICE for name in named})
    return world.client(
        providers=named, models={"any": [f"{name}:m" for name in named]}, telemetry=recorded.telemetry, **settings
    )


def test_a_call_has_a_span_with_its_attempt_and_its_stream_inside(world, recorded):
    async def body(world):
        llm = client(world, recorded, FakeProvider("hello there"))
        async with llm.stream("any", "hi you") as reply:
            async for _ in reply:
                pass
        await llm.aclose()
        return reply.reply

    reply = world.run(body)
    (call,), (chat,), (stream,) = (
        recorded.named("inferkit.call"),
        recorded.named("chat m"),
        recorded.named("inferkit.stream"),
    )
    assert chat.parent.span_id == stream.parent.span_id == call.context.span_id
    assert (call.kind, chat.kind, stream.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.INTERNAL)
    assert trace.format_trace_id(call.context.trace_id) == reply.trace_id
    assert call.attributes["inferkit.call.id"] == reply.id
    assert call.attributes["inferkit.model"] == "any"
    assert call.attributes["inferkit.served_by"] == "p0:m"
    assert call.attributes["inferkit.outcome"] == "completed"
    assert call.attributes["inferkit.cost.amount"] == pytest.approx(22e-6)
    assert not [name for name in call.attributes if name.startswith("gen_ai.")]
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.provider.name"] == "p0"
    assert chat.attributes["gen_ai.usage.input_tokens"] == 2
    assert chat.attributes["gen_ai.usage.output_tokens"] == 2
    assert chat.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert chat.attributes["gen_ai.response.time_to_first_chunk"] >= 0
    assert stream.attributes["inferkit.stream.chunks"] == 3
    assert [event.name for event in stream.events] == ["first_chunk"]


def test_a_provider_is_named_as_the_conventions_name_it(recorded):
    providers = {"openai-responses": FakeProvider("Hi")}
    with Client(providers=providers, models={"any": "openai-responses:m"}, cache=False, ledger=False,
                telemetry=recorded.telemetry) as llm:  # fmt: skip
        llm.complete("any", "Hi")
    (chat,), (call,) = recorded.named("chat m"), recorded.named("inferkit.call")
    assert chat.attributes["gen_ai.provider.name"] == "openai"
    assert call.attributes["inferkit.served_by"] == "openai-responses:m"


def test_attempts_are_linked_and_their_failures_told(world, recorded):
    async def body(world):
        down = FakeProvider(Unavailable("down", provider="p0", status=503))
        llm = client(world, recorded, down, FakeProvider("hello"))
        await llm.complete("any", "hi")
        await llm.aclose()

    world.run(body)
    first, second = recorded.named("chat m")
    assert first.attributes["error.type"] == "Unavailable"
    assert first.status.status_code is StatusCode.ERROR
    assert first.attributes["inferkit.attempt.kind"] == "primary"
    assert second.attributes["inferkit.attempt.kind"] == "fallback"
    assert second.attributes["inferkit.attempt.number"] == 2
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    (call,) = recorded.named("inferkit.call")
    assert call.attributes["inferkit.attempts"] == 2
    retries = [event for event in call.events if event.name == "retry"]
    assert [dict(event.attributes) for event in retries] == [
        {"attempt": 1, "target": "p0:m", "error": "Unavailable", "status": 503}
    ]


def test_a_hit_is_traced_without_an_attempt(world, recorded):
    async def body(world):
        llm = client(world, recorded, FakeProvider("hello"), cache=True)
        await llm.complete("any", "hi")
        await llm.complete("any", "hi")
        await llm.aclose()

    world.run(body)
    assert len(recorded.named("chat m")) == 1
    hit = recorded.named("inferkit.call")[1]
    assert hit.attributes["inferkit.cache.result"] == "hit"
    assert hit.attributes["inferkit.cost.amount"] == 0
    assert hit.attributes["inferkit.cost.saved"] > 0
    assert {"cache"} == {event.name for event in hit.events}


def test_a_refusal_is_traced(world, recorded):
    async def body(world):
        budget = Budget(usd="0.000001", name="tiny")
        llm = client(world, recorded, FakeProvider("hello"), ledger=True, budget=budget)
        with pytest.raises(BudgetExceeded) as caught:
            await llm.complete("any", "hi")
        await llm.aclose()
        return caught.value

    error = world.run(body)
    (call,) = recorded.named("inferkit.call")
    assert call.attributes["error.type"] == "BudgetExceeded"
    assert call.attributes["inferkit.call.id"] == error.request_id
    assert call.status.description == str(error)
    assert recorded.metrics()["inferkit.budget.rejections"][0].value == 1


def test_spans_of_a_stream_that_breaks_say_so(world, recorded):
    async def body(world):
        llm = client(world, recorded, FakeProvider(["a", Unavailable("cut", provider="p0")]))
        with pytest.raises(StreamInterrupted):
            await llm.complete("any", "hi")
        await llm.aclose()

    world.run(body)
    assert recorded.named("chat m")[0].attributes["error.type"] == "Unavailable"
    assert recorded.named("inferkit.call")[0].attributes["error.type"] == "StreamInterrupted"
    assert recorded.named("inferkit.stream")[0].attributes["inferkit.outcome"] == "error"


@pytest.mark.parametrize("left", ["closed", "abandoned"])
def test_the_spans_of_a_stream_that_is_left_are_ended_once(world, recorded, left):
    async def body(world):
        llm = client(world, recorded, FakeProvider("a b c"))
        reply = llm.stream("any", "hi")
        await reply.__anext__()
        if left == "closed":
            await reply.aclose()
        del reply
        settled()
        await llm.aclose()

    world.run(body)
    for name in ("inferkit.call", "inferkit.stream", "chat m"):
        (span,) = recorded.named(name)
        assert span.attributes["inferkit.outcome"] == left


def test_the_consumers_own_spans_are_not_adopted(world, recorded, caplog):
    tracer = recorded.tracer_provider.get_tracer("app")

    async def body(world):
        llm = client(world, recorded, FakeProvider("a b c"))
        with tracer.start_as_current_span("page"):
            async with llm.stream("any", "hi") as reply:
                async for _ in reply:
                    tracer.start_span("consumer").end()
                    break
        tracer.start_span("afterwards").end()
        await llm.aclose()

    with caplog.at_level(logging.WARNING):
        world.run(body)
    (page,) = recorded.named("page")
    assert recorded.named("inferkit.call")[0].parent.span_id == page.context.span_id
    assert recorded.named("consumer")[0].parent.span_id == page.context.span_id
    assert recorded.named("afterwards")[0].parent is None
    assert caplog.records == []


def test_metrics_are_recorded_once_a_call(world, recorded):
    async def body(world):
        llm = client(world, recorded, FakeProvider("a b c d"))
        async with llm.stream("any", "hi") as reply:
            async for _ in reply:
                pass
        await llm.aclose()

    world.run(body)
    metrics = recorded.metrics()
    for name in (
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.operation.time_per_output_chunk",
        "inferkit.call.duration",
    ):
        assert [point.count for point in metrics[name]] == [1], name
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in metrics["gen_ai.client.token.usage"]}
    assert tokens == {"input": 1, "output": 4}
    assert metrics["inferkit.cost"][0].value == pytest.approx(41e-6)


def test_a_call_that_is_not_sampled_costs_no_spans_but_is_counted(world):
    recorded = Recorded(ALWAYS_OFF)

    async def body(world):
        llm = client(world, recorded, FakeProvider("hello"))
        reply = await llm.complete("any", "hi")
        await llm.aclose()
        return reply

    assert world.run(body).trace_id is None
    assert recorded.collector.spans == []
    assert recorded.metrics()["inferkit.call.duration"][0].count == 1


def test_no_prompt_and_no_reply_is_on_any_span_or_metric(world, recorded):
    async def body(world):
        provider = FakeProvider(["Swordfish-reply", Unavailable("cut", provider="p0")])
        llm = client(world, recorded, provider, cache=True, ledger=True, budget=Budget(usd="1", name="b"))
        with pytest.raises(StreamInterrupted):
            await llm.complete("any", "Swordfish-prompt", user="u1", tenant="t1", stop=["."])
        await llm.aclose()

    world.run(body)
    seen = "".join(span.to_json() for span in recorded.collector.spans) + str(recorded.metrics())
    assert "Swordfish" not in seen
    assert len(recorded.collector.spans) == 3


def test_a_trace_is_drawn_as_a_tree(world, recorded):
    from rich.console import Console

    async def body(world):
        down = FakeProvider(Unavailable("down", provider="p0", status=503))
        llm = client(world, recorded, down, FakeProvider("hello"))
        await llm.complete("any", "hi")
        await llm.aclose()

    world.run(body)
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(trace_tree(recorded.collector.spans, "one call"))
    lines = console.export_text().splitlines()
    assert lines[0].strip() == "one call"
    assert "inferkit.call" in lines[1]
    assert "served by p1:m" in lines[1]
    assert any("chat m" in line and "error Unavailable" in line for line in lines)
    assert any("retry" in line and "status 503" in line for line in lines)


def test_a_tree_in_a_narrow_terminal_breaks_between_facts_and_obeys_no_controls(world, recorded):
    from rich.console import Console

    async def body(world):
        llm = client(world, recorded, FakeProvider(Chunk("hello", finish_reason="the \x1b[2Jend")))
        await llm.complete("any", "hi")
        await llm.aclose()

    world.run(body)
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(trace_tree(recorded.collector.spans))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 60
    assert "finish the \\x1b[2Jend" in text
    facts = [fact for line in text.splitlines() for fact in line.strip(" │├└─").split("  ")]
    assert {"served by p0:m", "provider p0", "attempt primary", "outcome completed"} <= set(facts)


def test_an_attempt_says_what_has_a_price_of_its_own_and_what_its_provider_says_that_it_cost(world, recorded):
    details = UsageDetails(
        cache_write_1h_tokens=7, server_tools=(("web_search", 2),), service_tier="flex", reported_nanos=300_000
    )
    price = Price(
        "1",
        "10",
        cache_write_1h="2",
        server_tools={"web_search": "0"},
        service_tiers={"flex": Price("1", "10", cache_write_1h="1", server_tools={"web_search": "0"})},
    )
    reply = Chunk("hi", finish_reason="stop", usage=Usage(100, 10, cache_write_tokens=7, details=details))

    async def body(world):
        llm = client(world, recorded, FakeProvider(reply), prices={"p0:m": price})
        await llm.complete("any", "hi")
        await llm.aclose()

    world.run(body)
    (call,), (chat,) = recorded.named("inferkit.call"), recorded.named("chat m")
    said = {name.removeprefix("inferkit."): value for name, value in chat.attributes.items()}
    assert said["service_tier"] == "flex"
    assert (said["usage.cache_write_1h_tokens"], said["server_tools.web_search"]) == (7, 2)
    assert said["cost.amount"] == pytest.approx(0.0002)
    for span in (call, chat):
        assert span.attributes["inferkit.cost.reported"] == pytest.approx(0.0003)
        assert span.attributes["inferkit.cost.reported_difference"] == pytest.approx(0.0001)
    assert "speed" not in said


def test_a_cost_that_is_reported_and_has_no_price_has_no_difference(world, recorded):
    reply = Chunk("hi", finish_reason="stop", usage=Usage(1, 1, details=UsageDetails(reported_nanos=5)))

    async def body(world):
        llm = client(world, recorded, FakeProvider(reply), prices={})
        await llm.complete("any", "hi")
        await llm.aclose()

    world.run(body)
    for span in (*recorded.named("inferkit.call"), *recorded.named("chat m")):
        assert span.attributes["inferkit.cost.reported"] == 5e-9
        assert "inferkit.cost.reported_difference" not in span.attributes
