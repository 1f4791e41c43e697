"""A server that others wrote, `@copilotkit/aimock`: the adapter speaks with it as with the API that it imitates.

It needs node, and the package where INFERKIT_AIMOCK says: `nox -s servers` puts it there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from inferkit import Client, Message, Tool
from inferkit.core.errors import ProviderError, RateLimited, StreamInterrupted, Unavailable
from inferkit.providers.openai_chat import OpenAIChat

PACKAGE = os.environ.get("INFERKIT_AIMOCK")
NODE = shutil.which("node")
SCRIPT = """
import { LLMock } from PACKAGE;
const mock = new LLMock({ port: 0 });
mock.onMessage("hello", { content: "Hi there! How are you today? 🎉" });
mock.onMessage("think", { content: "Forty-two.", reasoning: "Six times seven." });
mock.onMessage("weather", { toolCalls: [
  { name: "weather", arguments: { city: "Köln" } }, { name: "time", arguments: {} } ] });
mock.onMessage("cut", { content: "This will not be told to its end, as it is cut." },
  { truncateAfterChunks: 4, chunkSize: 6, latency: 50 });
mock.onMessage("slow down", { error: { message: "slow", type: "rate_limit_error" }, status: 429 });
mock.onMessage("break", { error: { message: "broken", type: "server_error" }, status: 500 });
await mock.start();
console.log(mock.url);
"""

if PACKAGE is None or NODE is None:
    missing = (
        "node is not here" if NODE is None else "INFERKIT_AIMOCK does not say where the package is (nox -s servers)"
    )
    pytest.skip(f"THE OUTSIDE SERVER WAS NOT ASKED: {missing}", allow_module_level=True)


@pytest.fixture(scope="module")
def url():
    script = SCRIPT.replace("PACKAGE", json.dumps(f"{PACKAGE}/dist/index.js"))
    command = [NODE, "--input-type=module", "--eval", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield server.stdout.readline().strip() + "/v1"
        server.kill()


@pytest.fixture
def llm(url):
    provider = OpenAIChat(base_url=url, api_key="any")
    settings = {"providers": {"p": provider}, "models": {"fast": "p:gpt-4o"}, "ledger": False, "cache": False}
    with Client(max_retries=0, **settings) as client:
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


def test_a_stream_that_is_left_early_leaves_the_client_as_it_was(llm):
    for _ in range(3):
        with llm.stream("fast", "hello") as stream:
            for _ in stream:
                break
    assert llm.complete("fast", "hello").text.startswith("Hi there!")
