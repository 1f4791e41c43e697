"""`OpenAIResponses`: what is sent where, what comes back, and what it costs, against a server that speaks its wire."""

from __future__ import annotations

import contextlib

import pytest

from inferkit import Anthropic, Budget, Cache, Client, Message, OpenAIChat, OpenAIResponses, Price, Tool
from inferkit.caching.memory import MemoryTier
from inferkit.core.errors import AuthenticationFailed, ConfigurationError, RateLimited, StreamInterrupted, Unavailable
from responses_wire import HELLO, call, event, message, reasoning, response, stream, text
from wire import CLOSE, SSE_HEAD, UNTIL_CLOSED, Wire, chunked, reply

KEY = "sk-very-secret"
PRICES = {"openai:*": Price("3", "15", cache_read="0.3", cache_write="3.75", cache_write_12h="6")}
COST = 8 * 3000 + 12 * 300 + 2 * 3750 + 3 * 6000 + 9 * 15_000
FIND = Tool("find", "Finds an order.", {"type": "object", "properties": {"id": {"type": "integer"}}})


def streamed(events):
    yield SSE_HEAD
    for one in events:
        yield chunked(event(one))
    yield chunked(b"")


def answer(received, *output):
    """Answer as it was asked, streamed or whole."""
    if received.json.get("stream"):
        yield from streamed(stream(*output))
    else:
        yield reply(response(*output))


@contextlib.contextmanager
def client(script=answer, **settings):
    adapter = {name: settings.pop(name) for name in ("organization", "project") if name in settings}
    with Wire(script) as wire:
        provider = OpenAIResponses(base_url=wire.url, api_key=KEY, **adapter)
        settings = {"cache": False, **settings}
        with Client(
            models={"m": "openai-responses:gpt-5"}, providers={"openai-responses": provider}, **settings
        ) as made:
            yield made, wire
        provider.close()


def words(flow):
    return "".join(chunk.text for chunk in flow)


def test_a_call_goes_where_it_belongs_with_its_key():
    with client(organization="org-1", project="proj-1") as (made, wire):
        assert made.complete("m", "Hi").text == "Hello"
        (sent,) = wire.requests
    assert sent.line.startswith("POST /v1/responses ")
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert (sent.headers["openai-organization"], sent.headers["openai-project"]) == ("org-1", "proj-1")
    assert sent.json["store"] is False


def test_streamed_or_whole_it_is_priced_with_what_went_through_the_cache():
    with client(prices=PRICES, budget=Budget(usd="1", per="month", name="all")) as (made, _):
        whole = made.complete("m", "Hi", max_output_tokens=100)
        with made.stream("m", "Hi there", max_output_tokens=100) as flow:
            assert words(flow) == "Hello"
        for one in (whole, flow.reply):
            assert (one.usage.input_tokens, one.usage.output_tokens, one.usage.reasoning_tokens) == (25, 9, 4)
            assert one.cost_nanos == COST
            assert not one.usage.estimated


def test_the_models_that_are_known_are_priced_from_the_list():
    usage = {"input_tokens": 36, "output_tokens": 87}
    with client(lambda _: [reply(response(usage=usage))]) as (made, _):
        assert made.complete("m", "Hi").cost_nanos == 36 * 1250 + 87 * 10_000


@pytest.mark.parametrize("way", ["streamed", "whole"])
def test_a_loop_of_tools_goes_on_with_what_was_encrypted(way):
    asked = (reasoning("hm"), call(), call("find", '{"id": 8}', 2))
    turns = iter([asked, (message(text("Both are on their way.")),)])

    def ask(made, talk):
        if way == "whole":
            return made.complete("m", talk, tools=[FIND], reasoning_effort="high")
        with made.stream("m", talk, tools=[FIND], reasoning_effort="high") as flow:
            list(flow)
        return flow.reply

    with client(lambda received: answer(received, *next(turns))) as (made, wire):
        talk = [Message.system("Be brief."), Message.user("Where are orders 7 and 8?")]
        first = ask(made, talk)
        assert (first.finish_reason, first.reasoning) == ("tool_calls", "hm")
        talk.append(first.message)
        talk += [Message.tool(each.id, f"{each.arguments} is on its way") for each in first.tool_calls]
        assert ask(made, talk).text == "Both are on their way."
        sent = wire.requests[1].json
    assert sent["instructions"] == "Be brief."
    assert sent["input"] == [
        {"role": "user", "content": "Where are orders 7 and 8?"},
        *asked,
        {"type": "function_call_output", "call_id": "call_1", "output": '{"id": 7} is on its way'},
        {"type": "function_call_output", "call_id": "call_2", "output": '{"id": 8} is on its way'},
    ]
    assert sent["reasoning"] == {"effort": "high"}


def test_a_conversation_goes_on_over_other_wires_and_back():
    """What only one understands is left out, and named; what comes back to it is there still."""
    calls = {"id": "call_9", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    bodies = {
        "/v1/responses": response(reasoning("hm"), message()),
        "/v1/chat/completions": {
            "choices": [
                {
                    "message": {"content": "Chat.", "reasoning_content": "so", "tool_calls": [calls]},
                    "finish_reason": "tool_calls",
                }
            ]
        },
        "/v1/messages": {
            "content": [
                {"type": "thinking", "thinking": "ah", "signature": "c2ln"},
                {"type": "text", "text": "Messages."},
            ],
            "stop_reason": "end_turn",
        },
    }
    with Wire(lambda received: [reply(bodies[received.line.split()[1]])]) as wire:
        providers = {
            "r": OpenAIResponses(base_url=wire.url, api_key=KEY),
            "c": OpenAIChat(base_url=wire.url, api_key=KEY),
            "a": Anthropic(base_url=wire.url, api_key=KEY),
        }
        with Client(models={each: f"{each}:m" for each in providers}, providers=providers, cache=False) as made:
            talk = [Message.user("Hi")]
            left_out = []
            for name in ("r", "c", "a", "r"):
                one = made.complete(name, talk)
                left_out.append(one.left_out)
                talk.append(one.message)
                talk += [Message.tool(each.id, "7") for each in one.tool_calls]
                talk.append(Message.user("And?"))
            last = wire.requests[-1].json["input"]
            chat, anthropic = (wire.requests[place].json["messages"] for place in (1, 2))
        for each in providers.values():
            each.close()
    assert left_out == [(), ("reasoning",), ("reasoning",), ("reasoning",)]
    assert chat[1] == {"role": "assistant", "content": "Hello"}
    assert [block["type"] for block in anthropic[3]["content"]] == ["text", "tool_use"]
    assert last == [
        {"role": "user", "content": "Hi"},
        reasoning("hm"),
        {**message(), "content": [{"type": "output_text", "text": "Hello", "annotations": []}]},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "Chat."},
        {"type": "function_call", "call_id": "call_9", "name": "find", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_9", "output": "7"},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "Messages."},
        {"role": "user", "content": "And?"},
    ]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "invalid_api_key", AuthenticationFailed),
        (429, "rate_limit_exceeded", RateLimited),
        (503, "server_error", Unavailable),
    ],
)
def test_a_refusal_is_the_error_that_it_means(status, code, kind):
    body = {"error": {"type": "x", "code": code, "message": f"no {KEY}", "param": None}}
    with client(lambda _: [reply(body, status=status)], max_retries=0) as (made, _), pytest.raises(kind) as refused:
        made.complete("m", "Hi")
    assert refused.value.code == code
    assert KEY not in repr(refused.value)
    assert KEY not in (refused.value.detail or "")


@pytest.mark.parametrize("ending", ["cut", "failed", "error"])
def test_a_stream_that_breaks_is_no_short_reply(ending):
    error = {"code": "server_error", "message": "of theirs"}
    last = {
        "failed": {"type": "response.failed", "response": response(status="failed", error=error)},
        "error": {"type": "error", **error, "param": None, "sequence_number": 9},
    }

    def script(_):
        yield SSE_HEAD
        for one in HELLO[:6]:
            yield chunked(event(one))
        if ending in last:
            yield chunked(event(last[ending]))
        yield CLOSE

    with client(script, max_retries=0) as (made, _), made.stream("m", "Hi") as flow:
        with pytest.raises(StreamInterrupted) as broken:
            list(flow)
        assert broken.value.partial == flow.text == "Hello"


def test_a_stream_that_is_left_is_booked_as_an_estimate():
    def script(_):
        yield SSE_HEAD
        for one in HELLO[:5]:
            yield chunked(event(one))
        yield UNTIL_CLOSED

    with client(script, prices=PRICES, budget=Budget(usd="1", per="month", name="all")) as (made, wire):
        with made.stream("m", "Hi", max_output_tokens=100) as flow:
            assert next(chunk.text for chunk in flow if chunk.text) == "Hel"
        assert wire.wait_until_closed()
        usage = flow.reply.usage
    assert usage.estimated
    assert usage.output_tokens >= 1


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"max_output_tokens": 100_000}, "max_output_tokens"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"reasoning": {"mode": "pro"}}, "reasoning"),
        ({"unheard_of": 1}, "unheard_of"),
    ],
)
def test_no_field_gets_past_a_budget(extra, word):
    budget = Budget(usd="1", per="month", name="all")
    with client(prices=PRICES, budget=budget) as (made, wire), pytest.raises(ConfigurationError, match=word):
        made.complete("m", "Hi", max_output_tokens=10, extra=extra)
    assert wire.requests == []


def test_what_the_provider_keeps_is_held_for_as_much_as_fits_into_the_model():
    window = {"openai:*": Price("3", "15", context_window=100_000)}
    kept = {"previous_response_id": "resp_1"}
    with client(prices=window, budget=Budget(usd="1", per="month", name="all")) as (made, wire):
        made.complete("m", "Hi", max_output_tokens=10, extra=kept)
        assert wire.requests[0].json["previous_response_id"] == "resp_1"
    with client(prices=window, budget=Budget(usd="0.29", per="month", name="all")) as (made, wire):
        with pytest.raises(Exception, match="budget"):
            made.complete("m", "Hi", max_output_tokens=10, extra=kept)
        assert wire.requests == []


def test_tools_of_the_provider_are_counted_and_priced_outside_of_a_budget():
    searched = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    script = [reply(response(searched, message(), usage={"input_tokens": 10, "output_tokens": 10}))]
    with client(lambda _: script) as (made, wire):
        one = made.complete("m", "Hi", tools=[FIND], extra={"tools": [{"type": "web_search"}]})
        assert [tool["type"] for tool in wire.requests[0].json["tools"]] == ["function", "web_search"]
    assert one.usage.details.server_tools == (("web_search", 1),)
    assert one.cost_nanos == 10 * 1250 + 10 * 10_000 + 10_000_000


def test_nothing_runs_in_the_background_without_a_budget_either():
    with client() as (made, wire), pytest.raises(ConfigurationError, match="background"):
        made.complete("m", "Hi", extra={"background": True})
    assert wire.requests == []


def test_what_the_provider_keeps_and_adds_to_is_never_answered_from_the_cache():
    with client(cache=Cache(MemoryTier())) as (made, wire):
        for extra, sent in (({}, 1), ({"previous_response_id": "a"}, 2), ({"conversation": "c"}, 4)):
            made.complete("m", "Hi", extra=extra)
            made.complete("m", "Hi", extra=extra)
            assert len(wire.requests) == sent


def test_from_the_cache_a_reply_goes_on_as_it_would_have():
    with client(lambda received: answer(received, reasoning("hm"), message(), call()), cache=Cache(MemoryTier())) as (
        made,
        wire,
    ):
        first, again = made.complete("m", "Hi"), made.complete("m", "Hi")
        assert len(wire.requests) == 1
    assert again.cache == "hit"
    assert again.message == first.message


def test_a_model_without_reasoning_is_asked_once_more_and_never_again():
    refusal = {"error": {"message": "Encrypted content is not supported with this model.", "param": "include"}}

    def script(received):
        yield reply(refusal, status=400) if "include" in received.json else reply(response())

    with client(script) as (made, wire):
        made.complete("m", "Hi")
        made.complete("m", "Hi there")
        assert ["include" in sent.json for sent in wire.requests] == [True, False, False]


def test_the_key_of_openai_s_own_address_is_sent_nowhere_else(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with Wire(answer) as wire:
        other = OpenAIResponses(base_url=wire.url)
        with Client(models={"m": "x:m"}, providers={"x": other}, cache=False) as made:
            made.complete("m", "Hi")
        assert "authorization" not in wire.requests[0].headers
        other.close()
    assert OpenAIResponses().endpoint.credential.read() == KEY
    assert KEY not in repr(OpenAIResponses())


def test_it_is_there_by_name_and_without_a_key_the_message_names_the_variable(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with (
        Client(models={"m": "openai-responses:gpt-5"}, cache=False) as made,
        pytest.raises(ConfigurationError, match="OPENAI_API_KEY"),
    ):
        made.complete("m", "Hi")


def test_settings_are_checked_and_kept():
    for settings in ({"base_url": "ftp://x"}, {"headers": 7}, {"organization": "a\nb"}):
        with pytest.raises(ConfigurationError):
            OpenAIResponses(api_key=KEY, **settings)
    assert OpenAIResponses(api_key=KEY, max_kept_bytes=1000).wire.max_kept_bytes == 1000
