"""Instrumentations of others at work beside inferkit: their spans nest with its own, and tokens are counted once."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from inferkit import Client
from inferkit.integrations import wrap
from inferkit.telemetry import SpanCollector, Telemetry
from integrations.answering import saying
from integrations.faces import FACE
from wire import Wire, reply

CHAT = FACE["chat"]
OURS = ["chat m-1", "inferkit.call", "inferkit.stream"]


@pytest.fixture
def tracers():
    return TracerProvider()


@pytest.fixture
def traces(tracers):
    collector = SpanCollector()
    tracers.add_span_processor(SimpleSpanProcessor(collector))
    return collector


@pytest.fixture
def llm(tracers):
    with Client(cache=False, ledger=False, telemetry=Telemetry(tracers, MeterProvider())) as client:
        yield client


@pytest.fixture
def httpx_spans(tracers):
    httpx = pytest.importorskip(
        "opentelemetry.instrumentation.httpx", reason="the instrumentation of httpx is not installed: it is not tested"
    )
    of_both = [httpx.HTTPXClientInstrumentor(), httpx.HTTPX2ClientInstrumentor()]  # inferkit's own, and the SDK's
    for each in of_both:
        each.instrument(tracer_provider=tracers, meter_provider=MeterProvider())
    yield
    for each in of_both:
        each.uninstrument()


@pytest.fixture
def openai_spans(tracers):
    openai = pytest.importorskip(
        "openinference.instrumentation.openai", reason="OpenInference is not installed: it is not tested"
    )
    instrumentor = openai.OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=tracers)
    yield
    instrumentor.uninstrument()


def parents(spans):
    """Give each span's name with its parent's."""
    names = {each.context.span_id: each.name for each in spans}
    return {each.name: names[each.parent.span_id] if each.parent else None for each in spans}


def with_tokens(spans, prefix):
    return [each.name for each in spans if any(key.startswith(prefix) for key in each.attributes)]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_httpx_has_one_span_of_its_own_below_each_attempt(httpx_spans, traces, llm, stream):
    with saying(CHAT) as wire:
        sdk = CHAT.under(wire.url, llm)
        answer = CHAT.call(sdk, "Hi", "m-1", stream, {})
        if stream:
            list(answer)
    assert sorted(each.name for each in traces.spans) == ["POST", *OURS]
    assert parents(traces.spans) == {
        "inferkit.call": None,
        "chat m-1": "inferkit.call",
        "inferkit.stream": "inferkit.call",
        "POST": "chat m-1",
    }
    assert with_tokens(traces.spans, "gen_ai.usage.") == ["chat m-1"]


def test_a_retry_is_an_attempt_of_its_own_there_too(httpx_spans, traces, llm):
    answers = iter([[reply({"error": {"message": "busy"}}, 503)]])

    with saying(CHAT) as up:
        willing = up.script
        with Wire(lambda received: next(answers, None) or willing(received)) as wire:
            CHAT.ask(CHAT.under(wire.url, llm))
    chats = [each for each in traces.spans if each.name == "chat m-1"]
    posts = [each for each in traces.spans if each.name == "POST"]
    assert [each.parent.span_id for each in posts] == [each.context.span_id for each in chats]
    assert [each.attributes["http.status_code"] for each in posts] == [503, 200]


def test_what_passes_has_one_below_its_own(httpx_spans, traces, llm):
    with Wire(lambda _: [reply({"object": "list", "data": []})]) as wire:
        CHAT.under(wire.url, llm).models.list()
    assert parents(traces.spans) == {"inferkit.pass_through": None, "GET": "inferkit.pass_through"}


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_an_instrumented_sdk_has_a_span_above_and_no_token_stands_twice_under_one_name(
    openai_spans, traces, llm, is_async
):
    async def ask(url):
        async with CHAT.bare(url, is_async=True) as sdk:
            await CHAT.ask_async(wrap(sdk, llm))

    with saying(CHAT) as wire:
        if is_async:
            asyncio.run(ask(wire.url))
        else:
            CHAT.ask(CHAT.under(wire.url, llm))
    assert parents(traces.spans)["inferkit.call"] == "ChatCompletion"
    assert sorted(each.name for each in traces.spans) == ["ChatCompletion", *OURS]
    assert with_tokens(traces.spans, "gen_ai.usage.") == ["chat m-1"]
    assert with_tokens(traces.spans, "llm.token_count.") == ["ChatCompletion"]
