"""What holds for all four wires alike, however a reply comes: cut anywhere, in any pieces, and however long."""

from __future__ import annotations

import itertools
import sys

import pytest

from anthropic_wire import begin, delta as anthropic_delta, event as anthropic_event, start, stop
from chat_wire import delta as chat_delta
from gemini_wire import event as gemini_event, says
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.errors import Unavailable
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.core.usage import Usage
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE
from inferkit.providers.wires.responses.wire import RESPONSES_WIRE
from inferkit.runtime import clock
from responses_wire import event as responses_event
from wire import event as chat_event

WIRES = {wire.name: wire for wire in (ANTHROPIC_WIRE, CHAT, GEMINI_WIRE, RESPONSES_WIRE)}
ACME = Endpoint("acme", "https://acme.test/v1")
SAID = [
    Chunk("Grüße 🎉", reasoning="So"),
    Chunk(" and more."),
    Chunk(tool_calls=(ToolCallDelta(0, "c0", "find", '{"id": "Ö7"}'), ToolCallDelta(1, "c1", "now", "{}"))),
    Chunk(finish_reason="tool_calls", usage=Usage(20, 12)),
]


def read(wire, *pieces, streamed=True):
    reader = wire.reader(ACME, {"content-type": "text/event-stream"} if streamed else {}, streamed=streamed)
    chunks = []
    for piece in pieces:
        if reader.failure is None and not reader.done:
            chunks += reader.feed(piece)
    if reader.failure is None and not reader.done:
        chunks += reader.end()
    return Reply.of(chunks, CallRecord(clock, id="r")), reader.failure


def meant(reply):
    return reply.text, reply.reasoning, reply.tool_calls, reply.finish_reason, reply.usage


def written(wire, *, streamed):
    writer = wire.writer(model="m", id="r1", created=1_790_000_000, streamed=streamed)
    return writer.write(SAID) + writer.end()


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
@pytest.mark.parametrize("streamed", [True, False])
def test_cut_anywhere_a_reply_is_a_typed_error_with_what_came_or_the_whole(wire, streamed):
    body = written(wire, streamed=streamed)
    whole, failure = read(wire, body, streamed=streamed)
    assert failure is None
    for size in range(len(body)):
        part, failure = read(wire, body[:size], streamed=streamed)
        assert whole.text.startswith(part.text)
        assert whole.reasoning.startswith(part.reasoning)
        if failure is None:
            assert (part.text, part.tool_calls) == (whole.text, whole.tool_calls)
        else:
            assert type(failure) is Unavailable
            assert failure.retryable


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_pieces_of_any_size_are_the_same_reply(wire, size):
    body = written(wire, streamed=True)
    whole, _ = read(wire, body)
    places = [*range(0, len(body), size), len(body)]
    again, failure = read(wire, *[body[a:b] for a, b in itertools.pairwise(places)])
    assert failure is None
    assert meant(again) == meant(whole)


def block(kind, **fields):
    return [anthropic_event(begin()), anthropic_event(start(0, type=kind, **fields))]


def responses(kind, **fields):
    return responses_event({"type": f"response.{kind}", "output_index": 0, "item_id": "i", **fields})


def opened(kind, number):
    return responses_event({
        "type": "response.output_item.added", "output_index": number,
        "item": {"type": kind, "id": f"i{number}", "call_id": f"c{number}", "name": "f", "arguments": "", "input": ""},
    })  # fmt: skip


GROWING = {
    "chat texts": ("chat", [], lambda n: chat_event(chat_delta("word "))),
    "chat arguments": (
        "chat", [], lambda n: chat_event(chat_delta(tool_calls=[{"index": 0, "function": {"arguments": "ab"}}]))
    ),
    "anthropic texts": (
        "anthropic", block("text", text=""), lambda n: anthropic_event(anthropic_delta(0, "text_delta", text="word "))
    ),
    "anthropic thinking": (
        "anthropic", block("thinking", thinking="", signature=""),
        lambda n: anthropic_event(anthropic_delta(0, "thinking_delta", thinking="word ")),
    ),
    "anthropic signature": (
        "anthropic", block("thinking", thinking="", signature=""),
        lambda n: anthropic_event(anthropic_delta(0, "signature_delta", signature="AA==")),
    ),
    "anthropic arguments": (
        "anthropic", block("tool_use", id="t", name="f", input={}),
        lambda n: anthropic_event(anthropic_delta(0, "input_json_delta", partial_json="ab")),
    ),
    "anthropic arguments of its own tools": (
        "anthropic", block("server_tool_use", id="t", name="f", input={}),
        lambda n: anthropic_event(anthropic_delta(0, "input_json_delta", partial_json="1")),
    ),
    "anthropic blocks": (
        "anthropic", [anthropic_event(begin())],
        lambda n: anthropic_event(start(n, type="text", text="w")) + anthropic_event(stop(n)),
    ),
    "anthropic blocks without an end": (
        "anthropic", [anthropic_event(begin())], lambda n: anthropic_event(start(n, type="text", text="w"))
    ),
    "gemini texts": ("gemini", [], lambda n: gemini_event(says("word "))),
    "gemini calls": ("gemini", [], lambda n: gemini_event(says({"functionCall": {"name": "f", "args": {"i": n}}}))),
    "gemini signatures": ("gemini", [], lambda n: gemini_event(says({"text": "w", "thoughtSignature": "AA=="}))),
    "gemini sources": ("gemini", [], lambda n: gemini_event({"candidates": [{
        "content": {"parts": [{"text": "w"}]}, "groundingMetadata": {"groundingChunks": [{"web": {"uri": str(n)}}]},
    }]})),
    "gemini arguments": (
        "gemini", [gemini_event(says({"functionCall": {"name": "f", "willContinue": True}}))],
        lambda n: gemini_event(says({"functionCall": {
            "partialArgs": [{"jsonPath": f"$.a[{n}]", "stringValue": "x"}], "willContinue": True,
        }})),
    ),
    "responses texts": ("responses", [], lambda n: responses("output_text.delta", content_index=0, delta="word ")),
    "responses arguments": (
        "responses", [opened("function_call", 0)], lambda n: responses("function_call_arguments.delta", delta="ab")
    ),
    "responses calls": ("responses", [], lambda n: opened("function_call", n)),
    "responses sources": (
        "responses", [],
        lambda n: responses("output_text.annotation.added", content_index=0, annotation={"url": str(n)}),
    ),
}  # fmt: skip


def calls_made(work):
    """Count the Python calls that a piece of work makes, which a busy machine does not change."""
    count = 0

    def see(*_):
        nonlocal count
        count += 1

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("kind", GROWING)
def test_the_work_grows_with_the_reply_and_not_faster(kind):
    name, head, piece = GROWING[kind]
    bodies = [[*head, *map(piece, range(size))] for size in (200, 800)]
    small, large = (calls_made(lambda body=body: read(WIRES[name], *body)[0].message) for body in bodies)
    assert small > 200
    assert large < 4.6 * small + 200
