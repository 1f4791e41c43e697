"""Google's own SDK, as a client of a server that speaks this wire: what each says, the other understands."""

from __future__ import annotations

import contextlib

import pytest

from chat_wire import ask
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.errors import RateLimited
from inferkit.core.messages import ImagePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from inferkit.core.usage import Usage
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE, GeminiWire
from inferkit.runtime.direct import DirectRuntime
from wire import SSE_HEAD, Wire, chunked, reply

genai = pytest.importorskip("google.genai")
types = pytest.importorskip("google.genai.types")

CHUNKS = [
    Chunk(reasoning="hm"),
    Chunk("Let me "),
    Chunk("look."),
    Chunk(tool_calls=(ToolCallDelta(0, "call_1", "find", '{"id"'),)),
    Chunk(tool_calls=(ToolCallDelta(0, arguments=": 7}"),)),
    Chunk(finish_reason="tool_calls", usage=Usage(20, 9, 12, reasoning_tokens=3)),
]


@contextlib.contextmanager
def served(chunks=CHUNKS):
    """Their client, a server that answers it as we would, and the requests as they were read."""
    read = []

    def script(received):
        said = GeminiWire.read_path(received.line.split()[1])
        streamed = said.pop("stream")
        fields = GEMINI_WIRE.read_request({**received.json, "model": said["model"]})
        read.append(ask(DirectRuntime(), *fields.pop("messages"), stream=streamed, **fields))
        writer = GEMINI_WIRE.writer(model="m-1", id="r1", created=0, streamed=streamed)
        body = [*[writer.write([chunk]) for chunk in chunks], writer.end()]
        if streamed:
            yield SSE_HEAD
            yield from [chunked(piece) for piece in body if piece]
            yield chunked(b"")
        else:
            yield reply(b"".join(body), content_type="application/json")

    with Wire(script) as wire:
        options = types.HttpOptions(base_url=wire.url.removesuffix("/v1"))
        client = genai.Client(api_key="k", http_options=options)
        yield client, read
        client.close()


CONFIG = {
    "system_instruction": "Be brief.",
    "max_output_tokens": 50,
    "temperature": 0.5,
    "stop_sequences": ["END"],
    "thinking_config": {"thinking_budget": 1024, "include_thoughts": True},
    "tools": [
        {"function_declarations": [{"name": "find", "description": "x", "parameters_json_schema": {"type": "object"}}]}
    ],
    "tool_config": {"function_calling_config": {"mode": "ANY"}},
    "safety_settings": [],
}


def test_what_it_asks_is_read_into_the_fields_of_a_request():
    with served() as (client, read):
        client.models.generate_content(
            model="gemini-2.5-flash",
            contents=["Look:", types.Part.from_bytes(data=b"\xff\xfe", mime_type="image/png")],
            config=CONFIG,
        )
    (one,) = read
    assert one.messages == (
        Message.system("Be brief."),
        Message.user("Look:", ImagePart(data=b"\xff\xfe", media_type="image/png")),
    )
    assert (one.model, one.stream, one.max_output_tokens, one.temperature) == ("gemini-2.5-flash", False, 50, 0.5)
    assert (one.stop, one.reasoning_effort, one.tool_choice) == (("END",), "low", "required")
    assert [tool.name for tool in one.tools] == ["find"]
    assert one.extra == {"safetySettings": []}


def test_it_reads_a_whole_reply_as_it_was_meant():
    with served() as (client, _):
        one = client.models.generate_content(model="m", contents="Hi", config={"http_options": {"timeout": 30_000}})
    parts = one.candidates[0].content.parts
    assert [(part.text, part.thought) for part in parts[:2]] == [("hm", True), ("Let me look.", None)]
    (call,) = one.function_calls
    assert (call.id, call.name, call.args) == ("call_1", "find", {"id": 7})
    usage = one.usage_metadata
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (20, 12)
    assert (usage.candidates_token_count, usage.thoughts_token_count, usage.total_token_count) == (6, 3, 29)
    assert (one.model_version, one.response_id) == ("m-1", "r1")


def test_it_reads_a_stream_as_it_was_meant():
    with served() as (client, read):
        events = list(client.models.generate_content_stream(model="m", contents="Hi"))
    assert read[0].stream
    texts = [part.text for one in events for part in one.candidates[0].content.parts or () if part.text]
    assert texts == ["hm", "Let me ", "look."]
    (call,) = events[-1].function_calls
    assert call.args == {"id": 7}
    assert events[-1].candidates[0].finish_reason is types.FinishReason.STOP
    assert events[-1].usage_metadata.total_token_count == 29


def test_a_conversation_of_its_own_goes_round():
    with served() as (client, read):
        chat = client.chats.create(model="gemini-2.5-flash")
        call = chat.send_message("Where is order 7?").function_calls[0]
        answered = types.FunctionResponse(id=call.id, name=call.name, response={"output": "on its way"})
        chat.send_message(types.Part(function_response=answered))
    assert read[1].messages == (
        Message.user("Where is order 7?"),
        Message(
            "assistant",
            (
                ReasoningPart("hm", None, {"gemini": {}}),
                TextPart("Let me look."),
                ToolCallPart("call_1", "find", '{"id": 7}'),
            ),
        ),
        Message("tool", (ToolResultPart("call_1", "on its way"),)),
    )


def test_our_errors_are_its_own():
    status, headers, body = GEMINI_WIRE.write_error(RateLimited("slow down", provider="p", retry_after=2.5))
    plain = {name.replace("-", "_"): value for name, value in headers.items()}
    with Wire(lambda _: [reply(body, status, **plain)]) as wire:
        client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=wire.url))
        with pytest.raises(genai.errors.ClientError) as failed:
            client.models.generate_content(model="m", contents="Hi")
        client.close()
    assert (failed.value.code, failed.value.status, failed.value.message) == (429, "RESOURCE_EXHAUSTED", "slow down")
