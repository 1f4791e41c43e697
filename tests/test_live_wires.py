"""The check for those who have keys: what it says of a server that is as assumed, and of one that is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chat_wire import USAGE, completion, delta
from inferkit.testing import Tape
from responses_wire import call, message, response, stream, text
from wire import Wire, event, reply, sse

ROOT = Path(__file__).parent.parent


def as_assumed(request):
    """Answer as the documentation of the API says."""
    asked = request.json
    if asked["model"] == "no-such-model":
        return [reply({"error": {"code": "model_not_found", "message": "no"}}, 404)]
    if asked.get("stream"):
        pieces = [event(delta(f"{number}, ")) for number in range(5)]
        usage = event({"choices": [], "usage": USAGE})
        return sse([*pieces, event(delta(finish="stop")), usage, event("[DONE]")])
    if "tools" in asked:
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
        }
        whole = completion("", tool_calls=[call])
        whole["choices"][0]["finish_reason"] = "tool_calls"
        return [reply(whole)]
    if "response_format" in asked:
        return [reply(completion('{"color": "green"}'))]
    whole = completion("ready")
    if asked["max_tokens"] == 24:
        whole["choices"][0]["finish_reason"] = "length"
    return [reply(whole)]


def over_responses(request):
    """Answer as the documentation of OpenAI's other API says."""
    asked = request.json
    usage = {"input_tokens": 20, "output_tokens": 9}
    if asked["model"] == "no-such-model":
        return [reply({"error": {"code": "model_not_found", "message": "no"}}, 404)]
    if asked.get("stream"):
        return sse([event(each) for each in stream(message(text("1, 2, 3")), usage=usage)])
    if "tools" in asked:
        return [reply(response(call("get_weather", '{"city": "Paris"}'), usage=usage))]
    if "text" in asked:
        return [reply(response(message(text('{"color": "green"}')), usage=usage))]
    if asked["max_output_tokens"] == 24:
        cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        return [reply(response(message(text("Rain")), usage=usage, **cut))]
    return [reply(response(message(text("ready")), usage=usage))]


def otherwise(request):
    """Answer without usage, with a finish reason of one's own, and with no refusal."""
    if request.json.get("stream"):
        return as_assumed(request)
    whole = completion("ready")
    del whole["usage"]
    whole["choices"][0]["finish_reason"] = "because"
    return [reply(whole)]


def check(url, *options, model="mine:large"):
    command = [sys.executable, ROOT / "tools" / "live_wires.py", model, "--base-url", url, *options]
    environment = {**os.environ, "MY_KEY": "secret-key-4711"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def test_a_provider_that_is_as_assumed_differs_in_nothing(tmp_path):
    tape = tmp_path / "live.jsonl"
    with Wire(as_assumed) as wire:
        done = check(wire.url, "--price", "1", "2", "--key-env", "MY_KEY", "--record", str(tape))
        assert done.returncode == 0, done.stdout + done.stderr
        assert wire.requests[0].headers["authorization"] == "Bearer secret-key-4711"
        assert len(Tape.read(tape).exchanges) == len(wire.requests)
    assert "nothing differed" in done.stdout
    assert "DIFFERS" not in done.stdout
    assert "spent: 0.0" in done.stdout
    assert "secret-key-4711" not in tape.read_text()


def test_openai_s_other_api_is_checked_by_its_name():
    with Wire(over_responses) as wire:
        done = check(wire.url, "--price", "1", "2", "--key-env", "MY_KEY", model="openai-responses:large")
        assert done.returncode == 0, done.stdout + done.stderr
        assert all(sent.line.startswith("POST /v1/responses ") for sent in wire.requests)
    assert "nothing differed" in done.stdout


def test_what_differs_is_said_line_by_line():
    with Wire(otherwise) as wire:
        done = check(wire.url, "--price", "1", "2")
    assert done.returncode == 1
    for said in (
        "a reply says what it used",
        'a reply that is whole ends with "stop"',
        "a tool is called",
        "not there",
    ):
        assert any(said in line for line in done.stdout.splitlines() if "DIFFERS" in line), said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "no known price"),
        (("--price", "1", "2", "--key-env", "NO_SUCH_KEY"), "NO_SUCH_KEY"),
        (("--price", "1", "2", "--usd", "0.000001"), "budget"),
    ],
    ids=["no price", "no key", "too little"],
)
def test_what_cannot_be_asked_is_not_a_difference(options, said):
    with Wire(as_assumed) as wire:
        done = check(wire.url, *options)
        assert wire.requests == []
    assert done.returncode == 2
    assert said in done.stderr
