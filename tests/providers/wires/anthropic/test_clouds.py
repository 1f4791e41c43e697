"""The Anthropic wire as clouds speak it: addresses, bodies, event stream and errors, against Anthropic's own SDK."""

from __future__ import annotations

import base64
import itertools
import json

import pytest
from hypothesis import given, settings, strategies as st

from anthropic_wire import HELLO, message
from chat_wire import ask
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ContextOverflow,
    InvalidRequest,
    RateLimited,
    Unavailable,
)
from inferkit.core.messages import FilePart, ImagePart, Message, OpaquePart, TextPart, Tool, ToolResultPart
from inferkit.core.usage import Usage
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.event_stream import EventStreamParser, write_message
from inferkit.providers.wires.anthropic.bedrock import BEDROCK_WIRE
from inferkit.providers.wires.anthropic.quirks import BEDROCK, MANTLE, VERTEX
from inferkit.providers.wires.anthropic.vertex import VERTEX_WIRE
from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE
from inferkit.runtime.direct import DirectRuntime
from wire import SSE_HEAD, Wire, chunked, reply

anthropic = pytest.importorskip("anthropic")
httpx2 = pytest.importorskip("httpx2")
pytest.importorskip("botocore")

CHUNK = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
STREAM = {"content-type": "application/vnd.amazon.eventstream"}
CLOUDS = {
    "bedrock": (BEDROCK_WIRE, BEDROCK, "us.anthropic.claude-sonnet-4-6-v1:0"),
    "mantle": (ANTHROPIC_WIRE, MANTLE, "anthropic.claude-sonnet-4-6"),
    "vertex": (VERTEX_WIRE, VERTEX, "claude-sonnet-4-5@20250929"),
}
cloud = pytest.mark.parametrize("cloud", CLOUDS)


def theirs(cloud, **options):
    """Anthropic's client for a cloud."""
    if cloud == "vertex":
        return anthropic.AnthropicVertex(region="eu", project_id="acme", access_token="t", max_retries=0, **options)
    kind = anthropic.AnthropicBedrock if cloud == "bedrock" else anthropic.AnthropicBedrockMantle
    return kind(aws_region="eu-west-1", api_key="k", max_retries=0, **options)


def endpoint(cloud, **more):
    return Endpoint(cloud, "https://x.test", quirks=CLOUDS[cloud][1], **more)


def write(cloud, request):
    return json.loads(CLOUDS[cloud][0].write_request(request, endpoint(cloud)))


def pack(event):
    """Pack an event as Bedrock does, with its padding."""
    packed = {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abcdefgh"}
    return write_message(CHUNK, json.dumps(packed).encode())


PACKED = [pack(each) for each in HELLO]


def read(parts, *, headers=STREAM, end=True):
    reader = BEDROCK_WIRE.reader(endpoint("bedrock"), headers, streamed=True)
    chunks = []
    for part in parts:
        if reader.failure is None and not reader.done:
            chunks += reader.feed(part)
    if end and reader.failure is None and not reader.done:
        chunks += reader.end()
    return chunks, reader


def words(chunks):
    return "".join(chunk.text for chunk in chunks)


TURNS = [
    {"role": "user", "content": "Where is order 7?"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "find", "input": {"id": 7}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "on its way"}]},
]
ASKED = {
    "max_tokens": 500,
    "system": "Be brief.",
    "messages": TURNS,
    "stop_sequences": ["END"],
    "tools": [{"name": "find", "description": "Finds.", "input_schema": {"type": "object", "properties": {}}}],
    "tool_choice": {"type": "any"},
}


@cloud
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_what_their_client_sends(cloud, stream):
    wire, _, model = CLOUDS[cloud]
    sent = []

    def take(request):
        sent.append((request.url.path, json.loads(request.read())))
        return httpx2.Response(400, json={"message": "no"})

    transport = httpx2.MockTransport(take)
    with httpx2.Client(transport=transport) as http, theirs(cloud, http_client=http) as client:  # noqa: SIM117
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(model=model, stream=stream, **ASKED)
    ((path, body),) = sent
    version = body.pop("anthropic_version", None)
    if not body.get("stream"):
        body.pop("stream", None)  # they say also what goes without saying
    fields = ANTHROPIC_WIRE.read_request({"model": model, **ASKED})
    request = ask(DirectRuntime(), *fields.pop("messages"), **{**fields, "stream": stream})
    ours = write(cloud, request)
    assert (ours.pop("anthropic_version", None) is None) is (version is None)
    assert ours == body
    assert path.endswith(endpoint(cloud).url(wire.path(request), model).removeprefix("https://x.test").replace(
        "%3A", ":").replace("%40", "@"))  # fmt: skip


@pytest.mark.parametrize("cloud", ["bedrock", "vertex"])
@given(model=st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), stream=st.booleans())
def test_an_address_is_read_back(cloud, model, stream):
    wire = CLOUDS[cloud][0]
    request = ask(DirectRuntime(), model=model, stream=stream)
    address = endpoint(cloud).url(wire.path(request), model).removeprefix("https://x.test")
    assert wire.read_path(address) == {"model": model, "stream": stream}
    with pytest.raises(ConfigurationError):
        wire.read_path("/v1/messages")


def test_versions_and_betas_stand_in_the_body_where_the_model_does_not():
    request = ask(DirectRuntime(), stream=True)
    assert {"anthropic_version": "vertex-2023-10-16", "stream": True}.items() <= write("vertex", request).items()
    body = write("bedrock", request)
    assert body["anthropic_version"] == "bedrock-2023-05-31"
    assert body.keys().isdisjoint({"model", "stream", "anthropic_beta"})
    assert write("mantle", request).keys() >= {"model", "stream"}


IMAGE_AT = ImagePart(url="https://x.test/a.png")
SHOWN = {"content": [{"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}]}
ANSWERED = [Message.user("Hi"), Message("tool", (ToolResultPart("t1", "", extra={"anthropic": SHOWN}),))]
REFUSED = {
    "a speed": ({"extra": {"speed": "fast"}}, "'speed'"),
    "a tier": ({"extra": {"service_tier": "auto"}}, "'service_tier'"),
    "a region": ({"extra": {"inference_geo": "us"}}, "'inference_geo'"),
    "servers of tools": ({"extra": {"mcp_servers": []}}, "'mcp_servers'"),
    "a container": ({"extra": {"container": "c"}}, "'container'"),
    "fetching": ({"extra": {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}}, "web_fetch"),
    "running code": ({"extra": {"tools": [{"type": "code_execution_20250825", "name": "x"}]}}, "code_execution"),
}


@cloud
@pytest.mark.parametrize("what", REFUSED)
def test_what_a_cloud_does_not_take_is_refused_before_it_is_sent(cloud, what):
    fields, named = REFUSED[what]
    with pytest.raises(InvalidRequest, match=f"{cloud} does not take .*{named}.* name another model"):
        write(cloud, ask(DirectRuntime(), **fields))


@cloud
@pytest.mark.parametrize(
    ("talk", "named"),
    [
        ([Message.user("Look:", IMAGE_AT)], "address"),
        ([Message.user(FilePart(file_id="file_1"))], "uploaded"),
        (ANSWERED, "address"),
    ],
    ids=["an address", "an upload", "an address in what a tool answered"],
)
def test_images_and_files_come_in_the_request_itself(cloud, talk, named):
    with pytest.raises(InvalidRequest, match=named):
        write(cloud, ask(DirectRuntime(), *talk))
    here = ask(DirectRuntime(), Message.user("Look:", ImagePart(data=b"x", media_type="image/png")))
    assert write(cloud, here)["messages"][0]["content"][1]["source"]["type"] == "base64"


FOUND = Message.assistant(
    OpaquePart(
        "server_tool_use", {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}, "anthropic"
    ),
    OpaquePart("web_search_tool_result", {"type": "web_search_tool_result", "tool_use_id": "s1"}, "anthropic"),
    TextPart(
        "It rains.", {"anthropic": {"citations": [{"type": "web_search_result_location"}, {"type": "page_location"}]}}
    ),
    TextPart("So they say.", {"anthropic": {"citations": [{"type": "web_search_result_location"}]}}),
)
RAN = Message.assistant(
    OpaquePart("mcp_tool_use", {"type": "mcp_tool_use", "id": "m1", "name": "x"}, "anthropic"),
    OpaquePart("code_execution_tool_result", {"type": "bash_code_execution_tool_result"}, "anthropic"),
)


def test_what_tools_of_anthropics_own_found_stays_behind_where_there_are_none():
    request = ask(DirectRuntime(), Message.user("Hi"), FOUND, Message.user("And now?"))
    assert write("bedrock", request)["messages"][1]["content"] == [
        {"type": "text", "text": "It rains.", "citations": [{"type": "page_location"}]},
        {"type": "text", "text": "So they say."},
    ]
    assert request.record.left_out == ("server_tool_use", "web_search_tool_result", "citations")
    on_vertex = ask(DirectRuntime(), Message.user("Hi"), FOUND, Message.user("And now?"))
    assert len(write("vertex", on_vertex)["messages"][1]["content"]) == 4
    assert on_vertex.record.left_out == ()


@cloud
def test_a_turn_of_which_nothing_is_left_is_none(cloud):
    request = ask(DirectRuntime(), Message.user("Hi"), RAN, Message.user("And now?"))
    assert [turn["content"] for turn in write(cloud, request)["messages"]] == ["Hi", "And now?"]
    assert request.record.left_out == ("mcp_tool_use", "bash_code_execution_tool_result")


def test_one_cloud_searches_the_web_and_another_does_not():
    search = ask(DirectRuntime(), extra={"tools": [{"type": "web_search_20250305", "name": "web_search"}]})
    assert write("vertex", search)["tools"]
    with pytest.raises(InvalidRequest, match="web_search"):
        write("bedrock", search)


@cloud
def test_tools_that_run_in_the_application_are_taken(cloud):
    memory = {"type": "memory_20250818", "name": "memory"}
    request = ask(DirectRuntime(), tools=(Tool("find", "", {"type": "object"}),), extra={"top_k": 4})
    assert write(cloud, request)["tools"][0]["name"] == "find"
    assert write(cloud, request.replace(extra={"tools": [memory]}))["tools"] == [memory]


@settings(max_examples=60)
@given(st.lists(st.integers(0, sum(map(len, PACKED))), max_size=30))
def test_any_chunking_gives_the_same_chunks(places):
    stream = b"".join(PACKED)
    at = sorted({*places, 0, len(stream)})
    parts = [stream[a:b] for a, b in itertools.pairwise(at)]
    chunks, reader = read(parts)
    expected, _ = read([stream])
    assert reader.failure is None
    assert reader.done
    assert reader.model == "claude-sonnet-4-5-20250929"
    assert chunks == expected
    assert words(chunks) == "Hello"
    assert chunks[-1].finish_reason == "stop" or chunks[-2].finish_reason == "stop"


def test_every_truncation_is_an_error_with_what_came_before_it():
    stream = b"".join(PACKED)
    ends = list(itertools.accumulate(map(len, PACKED)))
    for place in range(0, ends[-2], 7):
        chunks, reader = read([stream[:place]])
        assert isinstance(reader.failure, Unavailable)
        assert words(chunks) == ("Hello" if place >= ends[4] else "Hel" if place >= ends[3] else "")


def test_damage_is_an_error_after_what_came_before_it():
    stream = bytearray(b"".join(PACKED))
    stream[sum(map(len, PACKED[:4])) + 40] ^= 1
    for parts in ([bytes(stream)], [stream[i : i + 11] for i in range(0, len(stream), 11)]):
        chunks, reader = read([bytes(part) for part in parts])
        assert isinstance(reader.failure, Unavailable)
        assert "damaged" in str(reader.failure)
        assert words(chunks) == "Hel"


EXCEPTIONS = {
    "throttlingException": (b'{"message": "slow"}', RateLimited),
    "modelStreamErrorException": (b'{"message": "x", "originalStatusCode": 500}', Unavailable),
    "validationException": (b'{"message": "x"}', InvalidRequest),
    "internalServerException": (b"[]", Unavailable),
}


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_in_the_stream_is_the_error_that_it_means(name):
    payload, kind = EXCEPTIONS[name]
    headers = {":message-type": "exception", ":content-type": "application/json", ":exception-type": name}
    chunks, reader = read([*PACKED[:4], write_message(headers, payload)])
    assert words(chunks) == "Hel"
    assert type(reader.failure) is kind
    assert reader.failure.code == name[0].upper() + name[1:]


def test_an_exception_without_a_name_is_one_too():
    _, reader = read([write_message({":message-type": "exception", ":exception-type": "not a name"}, b"{}")])
    assert isinstance(reader.failure, Unavailable)
    assert reader.failure.code is None


def test_an_error_that_the_stream_itself_tells_is_one_too():
    said = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "of theirs"}
    _, reader = read([write_message(said, b"")])
    assert isinstance(reader.failure, Unavailable)
    assert reader.failure.detail == "of theirs"
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    _, reader = read([pack(overloaded)])
    assert reader.failure.code == "overloaded_error"


@pytest.mark.parametrize(
    "payload", [b"no json", b"[]", b"{}", b'{"bytes": 7}', b'{"bytes": "%%%"}', b'{"bytes": "eA=="}']
)
def test_a_message_that_brings_nothing_is_an_error(payload):
    _, reader = read([write_message(CHUNK, payload)])
    assert isinstance(reader.failure, Unavailable)


def test_messages_of_other_kinds_are_passed_over():
    other = [write_message({":message-type": "event", ":event-type": "initial-response"}, b"{}")]
    unknown = [write_message({":message-type": "later"}, b""), write_message({}, b"")]
    chunks, reader = read([*other, *unknown, *PACKED])
    assert reader.failure is None
    assert words(chunks) == "Hello"


def test_a_stream_is_read_where_a_proxy_made_a_whole_reply_or_an_error_of_it():
    chunks, reader = read([json.dumps(message()).encode()], headers={"content-type": "application/json"})
    assert reader.failure is None
    assert words(chunks) == "It is on its way."
    _, reader = read([b"<html>no</html>"], headers={"content-type": "text/html"})
    assert isinstance(reader.failure, Unavailable)


def named(kind, **body):
    return {"x-amzn-errortype": kind}, body


OLD = "com.amazon.coral.service#ExpiredTokenException"
OF_ANTHROPIC = {"type": "error", "error": {"type": "invalid_request_error", "message": "x"}}
REFUSALS = [
    (429, *named("ThrottlingException:http://x.test/coral/", message="slow"), RateLimited, "ThrottlingException"),
    (403, *named("AccessDeniedException", Message="no"), AuthenticationFailed, "AccessDeniedException"),
    (403, {}, {"__type": OLD, "message": "old"}, AuthenticationFailed, "ExpiredTokenException"),
    (400, *named("ValidationException", message="Input is too long for it."), ContextOverflow, "ValidationException"),
    (424, *named("ModelErrorException", message="x"), Unavailable, "ModelErrorException"),
    (400, {}, OF_ANTHROPIC, InvalidRequest, "invalid_request_error"),
    (503, {}, "<html>", Unavailable, None),
]


@pytest.mark.parametrize(("status", "headers", "body", "kind", "code"), REFUSALS)
def test_a_refusal_of_bedrock_is_the_error_that_it_means(status, headers, body, kind, code):
    body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    error = BEDROCK_WIRE.read_error("anthropic-bedrock", status, headers, body)
    assert type(error) is kind
    assert error.code == code
    assert error.retryable is (kind in (RateLimited, Unavailable))
    assert error.detail


OF_GOOGLE = {"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}
ON_VERTEX = [
    (429, OF_GOOGLE, RateLimited, "RESOURCE_EXHAUSTED"),
    (404, [{"error": {"code": 404, "message": "x", "status": "NOT_FOUND"}}], InvalidRequest, "NOT_FOUND"),
    (529, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, Unavailable, "overloaded_error"),
]


@pytest.mark.parametrize(("status", "body", "kind", "code"), ON_VERTEX)
def test_a_refusal_on_vertex_is_googles_or_anthropics(status, body, kind, code):
    error = VERTEX_WIRE.read_error("anthropic-vertex", status, {}, json.dumps(body).encode())
    assert type(error) is kind
    assert error.code == code


CHUNKS = [
    Chunk("Let me "),
    Chunk("look."),
    Chunk(tool_calls=(ToolCallDelta(0, "call_1", "find", '{"id"'),)),
    Chunk(tool_calls=(ToolCallDelta(0, arguments=": 7}"),)),
    Chunk(finish_reason="tool_calls", usage=Usage(20, 9, 12)),
]


@pytest.mark.parametrize("cloud", ["bedrock", "vertex"])
@pytest.mark.parametrize("streamed", [False, True])
def test_their_client_reads_what_is_written(cloud, streamed):
    wire, _, model = CLOUDS[cloud]
    asked = []

    def script(received):
        said = wire.read_path(received.line.split()[1])
        asked.append((said, wire.read_request({**received.json, **said})))
        writer = wire.writer(model="m-1", id="msg_1", created=0, streamed=streamed)
        body = [*(writer.write([chunk]) for chunk in CHUNKS), writer.end()]
        if streamed:
            kind = b"application/vnd.amazon.eventstream" if cloud == "bedrock" else b"text/event-stream"
            yield SSE_HEAD.replace(b"text/event-stream", kind)
            yield from [chunked(part) for part in body if part]
            yield chunked(b"")
        else:
            yield reply(b"".join(body), content_type="application/json")

    with Wire(script) as server, theirs(cloud, base_url=server.url.removesuffix("/v1")) as client:
        if streamed:
            with client.messages.stream(model=model, **ASKED) as flow:
                one = flow.get_final_message()
        else:
            one = client.messages.create(model=model, **ASKED)
    assert [block.type for block in one.content] == ["text", "tool_use"]
    assert one.content[0].text == "Let me look."
    assert one.content[1].input == {"id": 7}
    assert one.stop_reason == "tool_use"
    assert (one.usage.input_tokens, one.usage.cache_read_input_tokens, one.usage.output_tokens) == (8, 12, 9)
    ((said, fields),) = asked
    assert said == {"model": model, "stream": streamed}
    assert "extra" not in fields
    assert fields["max_output_tokens"] == 500


def test_what_is_written_for_bedrock_is_whole_messages_of_its_kind():
    writer = BEDROCK_WIRE.writer(model="m-1", id="msg_1", created=0, streamed=True)
    written = b"".join([*(writer.write([chunk]) for chunk in CHUNKS), writer.end()])
    found = list(EventStreamParser().feed(written))
    assert {each.headers[":event-type"] for each in found} == {"chunk"}
    chunks, reader = read([written])
    assert reader.failure is None
    assert words(chunks) == "Let me look."
