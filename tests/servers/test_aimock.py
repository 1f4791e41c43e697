"""A server that others wrote, `@copilotkit/aimock`: each wire speaks with it as with the API that it imitates.

It needs node, and the package where INFERKIT_AIMOCK says: `nox -s servers` puts it there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from decimal import Decimal

import pytest
from pydantic import BaseModel

from inferkit import (
    Anthropic,
    BudgetExceeded,
    Client,
    Gemini,
    InvalidReply,
    Message,
    OpenAIChat,
    OpenAIResponses,
    Price,
    Tool,
    ToolEnded,
    ToolStarted,
    budget,
)
from inferkit.core.errors import ProviderError, RateLimited, StreamInterrupted, Unavailable

PACKAGE = os.environ.get("INFERKIT_AIMOCK")
NODE = shutil.which("node")
SCRIPT = """
import { LLMock } from PACKAGE;
const mock = new LLMock({ port: 0 });
mock.on({ toolResultContains: "noon" }, { content: "It is warm in Köln.", usage: USAGE });
mock.onMessage("hello", { content: "Hi there! How are you today? 🎉", usage: USAGE });
mock.onMessage("think", { content: "Forty-two.", reasoning: "Six times seven." });
mock.onMessage("weather", { usage: USAGE, toolCalls: [
  { name: "weather", arguments: { city: "Köln" } }, { name: "time", arguments: {} } ] });
mock.onMessage("cut", { content: "This will not be told to its end, as it is cut." },
  { truncateAfterChunks: 6, chunkSize: 6, latency: 50 });
mock.onMessage("That does not fit the schema", { content: '{"number": "A-1", "count": 2}' });
mock.onMessage("an order", { content: '{"number": "A-1", "count": "two"}' });
mock.onMessage("a good one", { content: '{"number": "A-1", "count": 2}' });
mock.onMessage("slow down", { error: { message: "slow", type: "rate_limit_error" }, status: 429 });
mock.onMessage("break", { error: { message: "broken", type: "server_error" }, status: 500 });
await mock.start();
console.log(mock.url);
""".replace("USAGE", json.dumps({"input_tokens": 30, "output_tokens": 12}))

if PACKAGE is None or NODE is None:
    missing = (
        "node is not here" if NODE is None else "INFERKIT_AIMOCK does not say where the package is (nox -s servers)"
    )
    pytest.skip(f"THE OUTSIDE SERVER WAS NOT ASKED: {missing}", allow_module_level=True)

WIRES = {
    "chat": (OpenAIChat, "/v1", "gpt-4o"),
    "responses": (OpenAIResponses, "/v1", "gpt-4o"),
    "anthropic": (Anthropic, "/v1", "claude-sonnet-4-5"),
    "gemini": (Gemini, "/v1beta", "gemini-2.5-flash"),
}


class Order(BaseModel):
    number: str
    count: int


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"17 degrees in {city}"


def time() -> str:
    """Tell the time."""
    return "noon"


@pytest.fixture(scope="module")
def server():
    script = SCRIPT.replace("PACKAGE", json.dumps(f"{PACKAGE}/dist/index.js"))
    command = [NODE, "--input-type=module", "--eval", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield server.stdout.readline().strip()
        server.kill()


@pytest.fixture(params=list(WIRES))
def name(request):
    return request.param


@pytest.fixture
def llm(server, name, tmp_path):
    adapter, path, model = WIRES[name]
    provider = adapter(base_url=server + path, api_key="any")
    settings = {
        "providers": {"p": provider},
        "models": {"fast": f"p:{model}"},
        "ledger": tmp_path / "ledger",
        "cache": False,
    }
    with Client(max_retries=0, prices={f"p:{model}": Price(input="1", output="1000")}, **settings) as client:
        yield client
    provider.close()


def streamed(llm, question, **options):
    with llm.stream("fast", question, **options) as stream:
        text = "".join(chunk.text for chunk in stream)
    return text, stream.reply


@pytest.mark.parametrize("whole", [True, False])
def test_a_reply_is_read(llm, whole):
    reply = llm.complete("fast", "hello") if whole else streamed(llm, "hello")[1]
    assert (reply.text, reply.finish_reason) == ("Hi there! How are you today? 🎉", "stop")
    assert reply.usage.output_tokens > 0
    assert not reply.usage.estimated


@pytest.mark.parametrize("whole", [True, False])
def test_reasoning_is_read(llm, whole):
    reply = llm.complete("fast", "think") if whole else streamed(llm, "think")[1]
    assert (reply.text, reply.reasoning) == ("Forty-two.", "Six times seven.")


@pytest.mark.parametrize("whole", [True, False])
def test_tool_calls_are_read_and_go_back(llm, whole):
    tools = [Tool("weather"), Tool("time")]
    question = Message.user("weather")
    reply = llm.complete("fast", [question], tools=tools) if whole else streamed(llm, [question], tools=tools)[1]
    assert [(call.name, json.loads(call.arguments)) for call in reply.tool_calls] == [
        ("weather", {"city": "Köln"}),
        ("time", {}),
    ]
    assert len({call.id for call in reply.tool_calls} - {""}) == 2
    assert reply.finish_reason == "tool_calls"
    results = [Message.tool(call.id, "fine") for call in reply.tool_calls]
    assert llm.complete("fast", [question, reply.message, *results, Message.user("hello")]).text.startswith("Hi there!")


def test_a_stream_that_is_cut_is_interrupted_with_what_came(llm):
    with pytest.raises(StreamInterrupted) as caught:
        streamed(llm, "cut")
    assert caught.value.partial
    assert "This will not be told to its end, as it is cut.".startswith(caught.value.partial)


@pytest.mark.parametrize(("question", "kind"), [("slow down", RateLimited), ("break", Unavailable)])
@pytest.mark.parametrize("whole", [True, False])
def test_refusals_are_told_apart(llm, question, kind, whole):
    with pytest.raises(ProviderError) as caught:
        llm.complete("fast", question) if whole else streamed(llm, question)
    assert type(caught.value) is kind


@pytest.mark.parametrize("whole", [True, False])
def test_an_object_is_read_or_said_to_be_none_or_mended(llm, whole):
    def ask(question, **options):
        if whole:
            return llm.complete("fast", question, schema=Order, **options)
        return streamed(llm, question, schema=Order, **options)[1]

    assert ask("a good one").parsed == Order(number="A-1", count=2)
    with pytest.raises(InvalidReply) as caught:
        ask("an order")
    assert caught.value.problems == (("count", "int_parsing"),)
    mended = ask("an order", repair=1)
    assert mended.parsed == Order(number="A-1", count=2)
    assert [one.kind for one in mended.attempts] == ["primary", "repair"]


@pytest.mark.parametrize("whole", [True, False])
def test_functions_are_run_until_none_is_asked_for_and_all_of_it_is_booked(llm, whole):
    if whole:
        run = llm.run_tools("fast", "weather", tools=[weather, time])
    else:
        with llm.stream_tools("fast", "weather", tools=[weather, time]) as stream:
            events = [type(event) for event in stream if isinstance(event, ToolStarted | ToolEnded)]
        assert events == [ToolStarted, ToolEnded] * 2
        run = stream.run
    assert run.text == "It is warm in Köln."
    assert [each.content for each in run.rounds[0].results] == ["17 degrees in Köln", "noon"]
    assert run.cost_nanos == sum(entry.charge.usd for entry in llm.ledger.entries()) > 0


@pytest.mark.parametrize("whole", [True, False])
def test_a_loop_that_a_budget_ends_goes_on_from_there(llm, whole):
    def ask(messages):
        if whole:
            return llm.run_tools("fast", messages, tools=[weather, time])
        with llm.stream_tools("fast", messages, tools=[weather, time]) as stream:
            list(stream)
        return stream.run

    with budget(calls=1, usd=Decimal(9), name="one") as spent, pytest.raises(BudgetExceeded) as caught:
        ask("weather")
    used = spent.usage(ledger=llm.ledger)
    assert (used.calls, used.held_usd) == (1, 0)
    assert int(used.usd * 10**9) == caught.value.run.cost_nanos > 0
    assert ask(caught.value.run.messages).text == "It is warm in Köln."


def test_a_stream_that_is_left_early_leaves_the_client_as_it_was(llm):
    for _ in range(3):
        with llm.stream("fast", "hello") as stream:
            for _ in stream:
                break
    assert llm.complete("fast", "hello").text.startswith("Hi there!")
