"""A conversation with reasoning, tool calls and images that was recorded over one API goes on over each other one."""

from __future__ import annotations

import json

import pytest

from chat_wire import ask
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.messages import ImagePart, Message, ReasoningPart
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.core.usage import Usage
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.wires.anthropic.bedrock import BEDROCK_WIRE
from inferkit.providers.wires.anthropic.vertex import VERTEX_WIRE
from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE
from inferkit.providers.wires.responses.wire import RESPONSES_WIRE
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime

WIRES = {
    "anthropic": ANTHROPIC_WIRE,
    "anthropic on bedrock": BEDROCK_WIRE,
    "anthropic on vertex": VERTEX_WIRE,
    "chat": CHAT,
    "gemini": GEMINI_WIRE,
    "responses": RESPONSES_WIRE,
}
SEAL = "c2VhbGVk"
THOUGHT = "They want to know where it is."
END = Chunk(finish_reason="tool_calls", usage=Usage(20, 9))


def recorded(wire, *, streamed):
    """Give the message of a reply that thinks and calls a tool, as it is read from that API."""
    name = "anthropic" if wire.name == "anthropic" else wire.name
    call = ToolCallDelta(0, "call_1", "find_order", '{"number": "A-20817"}')
    sealed = [] if name == "chat" else [Chunk(parts=(ReasoningPart("", SEAL, {name: {}}),))]
    chunks = [Chunk(reasoning=THOUGHT), *sealed, Chunk("Let me look."), Chunk(tool_calls=(call,)), END]
    writer = wire.writer(model="m", id="r1", created=0, streamed=streamed)
    body = b"".join([*[writer.write([chunk]) for chunk in chunks], writer.end()])
    reader = wire.reader(Endpoint("x", "https://x.test"), {}, streamed=streamed)
    read = reader.feed(body)
    read += [] if reader.done else reader.end()
    assert reader.failure is None
    return Reply.of(read, CallRecord(clock)).message


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("to", WIRES)
@pytest.mark.parametrize("begun", WIRES)
def test_it_goes_on_with_what_both_understand_and_says_what_it_leaves(begun, to, streamed):
    before = recorded(WIRES[begun], streamed=streamed)
    photo = ImagePart(data=b"a photo", media_type="image/jpeg")
    (call,) = [part for part in before.parts if hasattr(part, "arguments")]
    talk = [Message.user("Where is it?", photo), before, Message.tool(call.id, "at the harbour")]
    request = ask(DirectRuntime(), *talk, model="m-9")
    sent = WIRES[to].write_request(request, Endpoint("x", "https://x.test"))
    text = sent.decode()
    for word in ("Where is it?", "Let me look.", "find_order", "A-20817", "at the harbour", "YSBwaG90bw=="):
        assert word in text, word
    same = WIRES[begun].name == WIRES[to].name
    kept = same and begun != "chat"  # of which no server is known here that takes reasoning back
    assert (SEAL in text) is kept
    assert ("reasoning" in request.record.left_out) is not kept
    if to != "gemini":
        assert (THOUGHT in text) is kept
    json.loads(sent)


def test_what_was_left_out_elsewhere_goes_back_when_the_conversation_returns():
    talk = [Message.user("Where is it?"), recorded(ANTHROPIC_WIRE, streamed=True), Message.tool("call_1", "there")]
    endpoint = Endpoint("x", "https://x.test")
    first = json.loads(ANTHROPIC_WIRE.write_request(ask(DirectRuntime(), *talk), endpoint))
    for wire in (RESPONSES_WIRE, GEMINI_WIRE, CHAT):
        wire.write_request(ask(DirectRuntime(), *talk), endpoint)
    assert json.loads(ANTHROPIC_WIRE.write_request(ask(DirectRuntime(), *talk), endpoint)) == first
    assert first["messages"][1]["content"][0] == {"type": "thinking", "thinking": THOUGHT, "signature": SEAL}
