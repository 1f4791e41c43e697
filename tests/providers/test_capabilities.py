"""What each endpoint says that it can do is what it does, and what the table in the documentation says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from chat_wire import ask
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.errors import InvalidRequest
from inferkit.core.messages import (
    AudioPart,
    CustomTool,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCallPart,
)
from inferkit.core.usage import Usage
from inferkit.local import Local
from inferkit.providers.by_name import NAMES, make
from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE
from inferkit.runtime.direct import DirectRuntime

pytest.importorskip("google.auth")

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
BEGIN, END = "<!-- what each can do -->\n", "\n<!-- that is it -->"
VARIABLES = {
    "AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com",
    "AWS_REGION": "eu-central-1",
    "GOOGLE_CLOUD_PROJECT": "acme",
}
MODELS = {"gemini": "gemini-3-pro", "vertex": "gemini-3-pro"}
IMAGES = {
    "data": ImagePart(data=b"x", media_type="image/png"),
    "url": ImagePart(url="https://x.test/a.png"),
}
FILES = {
    "data": FilePart(b"x", "application/pdf", "a.pdf"),
    "url": FilePart(url="https://x.test/a.pdf", media_type="application/pdf"),
    "file_id": FilePart(file_id="file_1", media_type="application/pdf"),
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


every = pytest.mark.parametrize("name", sorted(NAMES))


def written(adapter, *messages, **fields):
    """Give what an endpoint is sent, or None where that is refused before."""
    request = ask(DirectRuntime(), *messages, model=MODELS.get(adapter.name, "m"), **fields)
    try:
        return json.loads(adapter.wire.write_request(request, adapter.endpoint))
    except InvalidRequest:
        return None


def is_sent(adapter, word, *messages, **fields):
    return word in json.dumps(written(adapter, *messages, **fields))


def answered(adapter, *chunks, streamed=True):
    """Give what is read of a reply that the wire itself has written."""
    wire = adapter.wire
    writer = wire.writer(model="m", id="r", created=0, streamed=streamed)
    body = b"".join([*[writer.write([chunk]) for chunk in chunks], writer.end()])
    reader = wire.reader(adapter.endpoint, {}, streamed=streamed)
    read = reader.feed(body)
    read += [] if reader.done else reader.end()
    assert reader.failure is None
    return read


END_OF_IT = Chunk(finish_reason="stop", usage=Usage(3, 2))


@every
def test_what_it_takes_is_written_and_what_it_does_not_take_is_refused(name):
    adapter = make(name, None)
    can = adapter.capabilities
    for place, image in IMAGES.items():
        assert (written(adapter, Message.user("Look:", image)) is not None) is (place in can.images), place
    for place, file in FILES.items():
        assert (written(adapter, Message.user("Read:", file)) is not None) is (place in can.files), place
    assert (written(adapter, Message.user("Hear:", AudioPart(b"x", "audio/wav"))) is not None) is can.audio
    assert (written(adapter, tools=(CustomTool("sql"),)) is not None) is can.text_tools
    assert (written(adapter, logprobs=True) is not None) is can.logprobs
    assert is_sent(adapter, "find_order", tools=(Tool("find_order"),)) is can.tools
    schema = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"],
              "additionalProperties": False}  # fmt: skip
    assert is_sent(adapter, "colour", response_schema=schema) is can.schema


@every
def test_what_can_be_done_about_its_cache_is_sent(name):
    adapter = make(name, None)
    can = adapter.capabilities
    assert is_sent(adapter, "support-7", prompt_cache_key="support-7") is ("key" in can.prompt_cache)
    marked = Message.user(TextPart("Long.", {"cache_control": {"type": "ephemeral"}}), "Hi")
    assert is_sent(adapter, "ephemeral", marked) is ("marks" in can.prompt_cache)
    assert adapter.wire_name != "gemini" or can.prompt_cache == ("prefix",)


@every
def test_what_comes_back_is_read(name):
    adapter = make(name, None)
    can = adapter.capabilities
    asked = [ask(DirectRuntime(), model="m", stream=stream) for stream in (False, True)]
    bodies = [adapter.wire.write_request(each, adapter.endpoint) for each in asked]
    assert (bodies[0] != bodies[1] or adapter.wire.path(asked[0]) != adapter.wire.path(asked[1])) is can.streaming
    chunks = answered(adapter, Chunk("a"), Chunk("b"), END_OF_IT)
    assert [chunk.text for chunk in chunks if chunk.text] == ["a", "b"]
    thinks = answered(adapter, Chunk(reasoning="hm"), Chunk("a"), END_OF_IT)
    assert ("".join(chunk.reasoning for chunk in thinks) == "hm") is can.reasoning
    calls = [Chunk(tool_calls=(ToolCallDelta(place, f"call_{place}", "find", "{}"),)) for place in range(2)]
    read = answered(adapter, *calls, Chunk(finish_reason="tool_calls", usage=Usage(3, 2)))
    assert (len({call.index for chunk in read for call in chunk.tool_calls}) == 2) is can.parallel_tools


@every
def test_reasoning_goes_back_where_it_can(name):
    adapter = make(name, None)
    wire = adapter.wire_name
    sealed = {
        "chat": ReasoningPart("hm"),
        "anthropic": ReasoningPart("hm", "seal", {"anthropic": {}}),
        "responses": ReasoningPart("hm", "seal", {"responses": {"id": "rs_1"}}),
        "gemini": ReasoningPart("hm", "seal", {"gemini": {}}),
    }[wire]
    call = ToolCallPart("call_1", "find", "{}")
    talk = (Message.user("Hi"), Message.assistant(sealed, call), Message.tool("call_1", "found"))
    went = any(is_sent(adapter, f'"{word}"', *talk) for word in ("hm", "seal"))
    assert went is adapter.capabilities.reasoning_back


@pytest.mark.parametrize("name", sorted(name for name in NAMES if name.startswith("anthropic")))
def test_tools_of_anthropics_own_are_sent_where_they_are_there(name):
    adapter = make(name, None)
    for kind in ANTHROPIC_WIRE.capabilities(ANTHROPIC_WIRE.plain).server_tools:
        tools = [{"type": f"{kind}_20260101", "name": kind}]
        assert (written(adapter, extra={"tools": tools}) is not None) is (kind in adapter.capabilities.server_tools)


def test_a_wire_of_ones_own_need_not_say_what_it_can():
    from inferkit.providers.adapter import Adapter
    from inferkit.providers.endpoints import Endpoint
    from inferkit.providers.http.httpx_transport import HttpxTransport

    class Mine:
        """Speaks its own."""

    adapter = Adapter(Mine(), Endpoint("mine", "https://x.test"), HttpxTransport())
    assert adapter.capabilities is None


def rows():
    """Say of each endpoint what it says itself."""
    heads = ("endpoint", "tools", "images", "files", "sound", "schema", "reasoning goes back", "log-probabilities",
             "prompt cache", "embeddings at once", "tools of the provider's own")  # fmt: skip
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for name in [*sorted(NAMES), "local"]:
        can = (make(name, None) if name in NAMES else Local()).capabilities
        tools = "several at once" if can.parallel_tools else ""
        cells = [
            f"`{name}`",
            f"{tools}, also of plain text" if can.text_tools else tools,
            _places(can.images),
            _places(can.files),
            "yes" if can.audio else "",
            "yes" if can.schema else "",
            "yes" if can.reasoning_back else "",
            "yes" if can.logprobs else "",
            ", ".join(can.prompt_cache),
            _embeddings(name),
            ", ".join(f"`{kind}`" for kind in can.server_tools),
        ]
        yield "| " + " | ".join(cells) + " |"


def _embeddings(name):
    adapter = make(name, None) if name in NAMES else Local()
    if "embed" not in getattr(adapter, "operations", ()):
        return ""
    if name == "local":
        return "yes"
    takes = adapter.endpoint.embeddings
    return f"{takes.max_inputs:,} texts" + ("" if takes.max_tokens is None else f", {takes.max_tokens:,} tokens")


def _places(places):
    words = {"data": "data", "url": "address", "file_id": "`file_id`"}
    return ", ".join(words[place] for place in places)


def test_the_table_in_the_docs_is_what_the_endpoints_say():
    """INFERKIT_WRITE_DOCS=1 writes it anew."""
    table = "\n".join(rows())
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN, 1)
    old, tail = rest.split(END, 1)
    if os.environ.get("INFERKIT_WRITE_DOCS"):
        PAGE.write_text(f"{head}{BEGIN}{table}{END}{tail}", encoding="utf-8")
    assert old == table
