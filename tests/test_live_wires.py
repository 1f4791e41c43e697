"""The check for those who have keys: what it says of a server that is as assumed, and of one that is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chat_wire import USAGE, completion, delta
from embedding_wire import answer
from inferkit import Chunk, ImagePart, InvalidRequest, ReasoningPart, ToolCallDelta, Usage
from inferkit.providers.wires.anthropic.bedrock import BEDROCK_WIRE
from inferkit.providers.wires.anthropic.vertex import VERTEX_WIRE
from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE
from inferkit.providers.wires.responses.wire import RESPONSES_WIRE
from inferkit.testing import Tape
from wire import SSE_HEAD, Wire, chunked, event, reply, sse

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
    if "tools" in asked and asked["messages"][-1]["role"] == "tool":
        return [reply(completion("It is 21 degrees."))]
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


def answer_to(asked, wire):
    """Say what a model would, that does as it is told."""
    last = asked["messages"][-1]
    if asked.get("tools") and last.role == "tool":
        return [Chunk("It is 21 degrees.")], "stop"
    if asked.get("tools"):
        seal = ReasoningPart("", "seal", {wire: {}})
        thought = [Chunk(reasoning="hm"), Chunk(parts=(seal,))] if asked.get("reasoning_effort") else []
        call = ToolCallDelta(0, "call_1", "get_weather", '{"city": "Paris"}')
        return [*thought, Chunk(tool_calls=(call,))], "tool_calls"
    if asked.get("response_schema"):
        return [Chunk('{"color": "green"}')], "stop"
    if any(isinstance(part, ImagePart) for part in last.parts):
        return [Chunk("Red.")], "stop"
    if asked.get("max_output_tokens") == 24:
        return [Chunk("Rain")], "length"
    return [Chunk(f"{number}, ") for number in range(3)], "stop"


def over(wire, streams="text/event-stream"):
    """Answer over a wire, with its own codec run backwards."""

    def script(received):
        said = wire.read_path(received.line.split()[1]) if hasattr(wire, "read_path") else {}
        asked = wire.read_request({**received.json, **said})
        if asked["model"] == "no-such-model":
            status, headers, body = wire.write_error(InvalidRequest("no", provider="p", status=404))
            return [reply(body, status, **{name.replace("-", "_"): value for name, value in headers.items()})]
        chunks, reason = answer_to(asked, wire.name)
        streamed = said.get("stream", asked.get("stream", False))
        writer = wire.writer(model="m-1", id="r1", created=0, streamed=streamed)
        usage = Usage(20, 9, reasoning_tokens=3)
        body = [*[writer.write([each]) for each in [*chunks, Chunk(finish_reason=reason, usage=usage)]], writer.end()]
        if not streamed:
            return [reply(b"".join(body), content_type="application/json")]
        head = SSE_HEAD.replace(b"text/event-stream", streams.encode())
        return [head, *[chunked(piece) for piece in body if piece], chunked(b"")]

    return script


WIRES = {
    "anthropic": (over(ANTHROPIC_WIRE), "POST /v1/messages "),
    "anthropic-bedrock": (over(BEDROCK_WIRE, "application/vnd.amazon.eventstream"), "POST /v1/model/"),
    "anthropic-mantle": (over(ANTHROPIC_WIRE), "POST /v1/messages "),
    "gemini": (over(GEMINI_WIRE), "POST /v1/models/"),
    "openai-responses": (over(RESPONSES_WIRE), "POST /v1/responses "),
}
CLOUD = {"anthropic-vertex": over(VERTEX_WIRE), "vertex": over(GEMINI_WIRE)}


def otherwise(request):
    """Answer without usage, with a finish reason of one's own, and with no refusal."""
    if request.json.get("stream"):
        return as_assumed(request)
    whole = completion("ready")
    del whole["usage"]
    whole["choices"][0]["finish_reason"] = "because"
    return [reply(whole)]


def check(url, *options, model="mine:large", **variables):
    command = [sys.executable, ROOT / "tools" / "live_wires.py", model, "--base-url", url, *options]
    environment = {**os.environ, "MY_KEY": "secret-key-4711", **variables}
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


def test_the_vectors_of_a_server_are_checked_by_themselves():
    def script(request):
        sizes = request.json.get("dimensions", 300)
        near = [[1.0, 1.0 / (1 + place)] + [0.0] * (sizes - 2) for place in range(len(request.json["input"]))]
        return [reply(answer(*near, base64="encoding_format" in request.json))]

    def deaf(request):
        return [reply(answer(*[[1.0, 0.0]] * len(request.json["input"]), tokens=None))]

    options = ("--embeddings", "--price", "1", "0", "--key-env", "MY_KEY")
    with Wire(script) as wire:
        done = check(wire.url, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as assumed") == 5
    with Wire(deaf) as wire:
        done = check(wire.url, *options)
    assert done.returncode == 1
    assert done.stdout.count("DIFFERS") == 3, done.stdout


@pytest.mark.parametrize("provider", WIRES)
def test_every_api_is_checked_by_its_name(provider):
    script, place = WIRES[provider]
    options = ("--price", "1", "2", "--key-env", "MY_KEY", "--effort", "low", "--image")
    with Wire(script) as wire:
        done = check(wire.url, *options, model=f"{provider}:large-7", AWS_REGION="eu-west-1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert all(sent.line.startswith(place) for sent in wire.requests)
        assert all("secret-key-4711" in repr(sent.headers) for sent in wire.requests)
    assert "nothing differed" in done.stdout
    assert "a picture is seen" in done.stdout
    assert "a model that is to think does" in done.stdout


@pytest.mark.parametrize("provider", CLOUD)
def test_a_cloud_is_checked_with_the_account_of_the_machine(provider, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    token = {"access_token": "token-1", "expires_in": 3600, "token_type": "Bearer"}
    with Wire(lambda _: [reply(token)]) as giver, Wire(CLOUD[provider]) as wire:
        account = {"type": "service_account", "client_email": "bot@acme.test", "token_uri": f"{giver.url}/token"}
        file = tmp_path / "account.json"
        file.write_text(json.dumps({**account, "private_key": key.private_bytes(*form).decode()}))
        done = check(
            wire.url.removesuffix("/v1"), "--price", "1", "2", model=f"{provider}:large-7",
            GOOGLE_APPLICATION_CREDENTIALS=str(file), GOOGLE_CLOUD_PROJECT="acme",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert all("/v1/projects/acme/locations/global/publishers/" in sent.line for sent in wire.requests)
        assert all(sent.headers["authorization"] == "Bearer token-1" for sent in wire.requests)
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
