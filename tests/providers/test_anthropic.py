"""`Anthropic`: what is sent where, what comes back, and what it costs, against a server that speaks its wire."""

from __future__ import annotations

import contextlib
import json

import pytest

from anthropic_wire import HELLO, delta, event, message, start, stop, stream
from inferkit import Anthropic, Budget, Client, Message, Price, Tool
from inferkit.core.errors import AuthenticationFailed, ConfigurationError, RateLimited, StreamInterrupted, Unavailable
from wire import CLOSE, SSE_HEAD, UNTIL_CLOSED, Wire, chunked, reply

KEY = "sk-ant-very-secret"
PRICES = {"anthropic:*": Price("3", "15", cache_read="0.3", cache_write="3.75", cache_write_1h="6")}


def streamed(events):
    yield SSE_HEAD
    for one in events:
        yield chunked(event(one))
    yield chunked(b"")


def answer(received):
    """Answer as it was asked, streamed or whole."""
    if received.json.get("stream"):
        yield from streamed(HELLO)
    else:
        yield reply(message())


def words(flow):
    return "".join(chunk.text for chunk in flow)


@contextlib.contextmanager
def client(script=answer, **settings):
    adapter = {name: settings.pop(name) for name in ("max_tokens", "betas", "api_key") if name in settings}
    with Wire(script) as wire:
        provider = Anthropic(base_url=wire.url, **{"api_key": KEY, **adapter})
        with Client(
            models={"m": "anthropic:claude-sonnet-4-6"}, providers={"anthropic": provider}, cache=False, **settings
        ) as made:
            yield made, wire
        provider.close()


def test_a_call_goes_where_it_belongs_with_its_key_in_its_own_header():
    with client(betas=["files-api-2025-04-14", "x"]) as (made, wire):
        assert made.complete("m", "Hi").text == "It is on its way."
        (sent,) = wire.requests
    assert sent.line.startswith("POST /v1/messages ")
    assert sent.headers["x-api-key"] == KEY
    assert "authorization" not in sent.headers
    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert sent.headers["anthropic-beta"] == "files-api-2025-04-14,x"


def test_streamed_or_whole_it_is_priced_with_what_went_through_the_cache():
    with client(prices=PRICES, budget=Budget(usd="1", per="month", name="all")) as (made, _):
        whole = made.complete("m", "Hi")
        with made.stream("m", "Hi there") as flow:
            assert words(flow) == "Hello"
        for one in (whole, flow.reply):
            assert (one.usage.input_tokens, one.usage.output_tokens) == (25, 9)
            assert one.cost_nanos == 8 * 3000 + 12 * 300 + 2 * 3750 + 3 * 6000 + 9 * 15_000
            assert not one.usage.estimated


def test_the_models_that_are_known_are_priced_from_the_list():
    with client() as (made, _):
        one = made.complete("m", "Hi")
    assert one.cost_nanos == 8 * 3000 + 12 * 300 + 2 * 3750 + 3 * 6000 + 9 * 15_000


def test_a_conversation_with_tools_goes_on_with_what_was_sealed():
    asked = stream(
        start(0, type="thinking", thinking=""),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="c2VhbA=="),
        stop(0),
        start(1, type="tool_use", id="toolu_1", name="find", input={}),
        delta(1, "input_json_delta", partial_json='{"id": 7}'),
        stop(1),
        reason="tool_use",
    )
    scripts = iter([asked, HELLO])
    with client(lambda _: streamed(next(scripts))) as (made, wire):
        talk = [Message.user("Where is order 7?")]
        tool = Tool("find", "Finds an order.", {"type": "object", "properties": {"id": {"type": "integer"}}})
        with made.stream("m", talk, tools=[tool], reasoning_effort="high") as flow:
            list(flow)
        first = flow.reply
        assert first.finish_reason == "tool_calls"
        talk += [first.message, Message.tool(first.tool_calls[0].id, "on its way")]
        with made.stream("m", talk, tools=[tool], reasoning_effort="high") as flow:
            assert words(flow) == "Hello"
        sent = wire.requests[1].json["messages"]
    assert sent[1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "c2VhbA=="},
        {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"id": 7}},
    ]
    assert sent[2]["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "on its way"}]


@pytest.mark.parametrize(
    ("status", "type_", "kind"),
    [
        (401, "authentication_error", AuthenticationFailed),
        (429, "rate_limit_error", RateLimited),
        (529, "overloaded_error", Unavailable),
    ],
)
def test_a_refusal_is_the_error_that_it_means(status, type_, kind):
    body = {"type": "error", "error": {"type": type_, "message": f"no {KEY}"}, "request_id": "req_1"}
    with client(lambda _: [reply(body, status=status)], max_retries=0) as (made, _), pytest.raises(kind) as refused:
        made.complete("m", "Hi")
    assert refused.value.code == type_
    assert KEY not in repr(refused.value)
    assert KEY not in (refused.value.detail or "")


def test_the_most_that_a_model_writes_is_learned_and_asked_for_from_then_on():
    refusal = {"error": {"type": "invalid_request_error", "message": "max_tokens: 16384 > 8192, which is the maximum"}}

    def script(received):
        yield reply(refusal, status=400) if received.json["max_tokens"] > 8192 else reply(message())

    with client(script) as (made, wire):
        made.complete("m", "Hi")
        made.complete("m", "Hi there")
        assert [sent.json["max_tokens"] for sent in wire.requests] == [16_384, 8192, 8192]


def test_a_stream_that_is_cut_off_is_no_short_reply():
    def script(_):
        yield SSE_HEAD
        for one in HELLO[:5]:
            yield chunked(event(one))
        yield CLOSE

    with client(script, max_retries=0) as (made, _), made.stream("m", "Hi") as flow:
        with pytest.raises(StreamInterrupted) as broken:
            list(flow)
        assert broken.value.partial == flow.text == "Hello"


def test_a_stream_that_is_left_is_booked_with_the_input_that_its_first_event_reported():
    def script(_):
        yield SSE_HEAD
        for one in HELLO[:4]:
            yield chunked(event(one))
        yield UNTIL_CLOSED

    with client(script, prices=PRICES, budget=Budget(usd="1", per="month", name="all")) as (made, wire):
        with made.stream("m", "Hi") as flow:
            assert next(chunk.text for chunk in flow if chunk.text) == "Hel"
        assert wire.wait_until_closed()
        usage = flow.reply.usage
    assert (usage.input_tokens, usage.cache_read_tokens, usage.estimated) == (25, 12, True)
    assert 1 <= usage.output_tokens <= 8


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"max_tokens": 100_000}, "max_output_tokens"),
        ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, "tools"),
        ({"mcp_servers": []}, "mcp_servers"),
        ({"unheard_of": 1}, "unheard_of"),
    ],
)
def test_no_field_gets_past_a_budget(extra, word):
    budget = Budget(usd="1", per="month", name="all")
    with client(prices=PRICES, budget=budget) as (made, wire), pytest.raises(ConfigurationError, match=word):
        made.complete("m", "Hi", max_output_tokens=10, extra=extra)
    assert wire.requests == []


def test_a_tier_is_priced_or_unpriced_and_what_the_reply_says_is_booked():
    with client(prices=PRICES, budget=Budget(usd="1", per="month", name="all")) as (made, wire):
        one = made.complete("m", "Hi", extra={"service_tier": "standard_only", "top_k": 5, "thinking": None})
        assert wire.requests[0].json["top_k"] == 5
    assert one.cost_nanos


def test_the_key_of_anthropics_own_address_is_sent_nowhere_else(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with Wire(answer) as wire:
        other = Anthropic(base_url=wire.url)
        with Client(models={"m": "x:m"}, providers={"x": other}, cache=False) as made:
            made.complete("m", "Hi")
        assert "x-api-key" not in wire.requests[0].headers
        other.close()
    assert Anthropic().endpoint.credential.read() == KEY
    assert KEY not in repr(Anthropic())


def test_without_a_key_the_message_names_the_variable(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with (
        Client(models={"m": "anthropic:claude-sonnet-4-6"}, cache=False) as made,
        pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY"),
    ):
        made.complete("m", "Hi")


@pytest.mark.parametrize("settings", [{"max_tokens": 0}, {"max_tokens": True}, {"betas": "x"}, {"base_url": "ftp://x"}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigurationError):
        Anthropic(api_key=KEY, **settings)


def test_the_limit_of_calls_without_one_and_of_memory_can_be_set():
    with client(max_tokens=77) as (made, wire):
        made.complete("m", "Hi")
        assert wire.requests[0].json["max_tokens"] == 77
    assert Anthropic(api_key=KEY, max_kept_bytes=1000).wire.max_kept_bytes == 1000


def test_the_reply_says_what_was_left_out():
    with client() as (made, _):
        assert made.complete("m", "Hi", seed=7).left_out == ("seed",)
        assert made.complete("m", "Hi").left_out == ()


def test_what_it_sends_is_json_that_holds_the_whole_conversation():
    with client() as (made, wire):
        made.complete("m", [Message.system("Be brief."), Message.user("Hi")])
        assert json.loads(wire.requests[0].body)["system"] == "Be brief."
