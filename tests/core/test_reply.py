"""What a reply and its message are put together from."""

from __future__ import annotations

import pytest

from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.messages import ImagePart, Message, OpaquePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.core.usage import Usage
from inferkit.runtime import clock

SIGNATURE = {"google": {"thought_signature": "abc"}}


def reply(*chunks):
    return Reply.of(chunks, CallRecord(clock))


def test_the_message_has_every_part_in_the_order_in_which_they_came():
    picture = ImagePart(url="data:image/png;base64,eA==")
    whole = reply(
        Chunk(reasoning="First "),
        Chunk(reasoning="this."),
        Chunk(parts=(ReasoningPart("", "seal 1", {"x": 1}),)),
        Chunk("Let "),
        Chunk("me see."),
        Chunk(tool_calls=(ToolCallDelta(0, "c1", "find", '{"id":', {"extra_content": SIGNATURE}),)),
        Chunk(tool_calls=(ToolCallDelta(1, "c2", "mail", "{}"), ToolCallDelta(0, arguments="7}"))),
        Chunk(reasoning="Then that.", text="Done", parts=(picture, ReasoningPart("", "seal 2"))),
        Chunk(parts=(OpaquePart("audio", {"id": "a"}),), finish_reason="stop", usage=Usage(1, 2)),
    )
    assert whole.message == Message(
        "assistant",
        (
            ReasoningPart("First this.", "seal 1", {"x": 1}),
            TextPart("Let me see."),
            ToolCallPart("c1", "find", '{"id":7}', {"extra_content": SIGNATURE}),
            ToolCallPart("c2", "mail", "{}"),
            ReasoningPart("Then that.", "seal 2"),
            TextPart("Done"),
            picture,
            OpaquePart("audio", {"id": "a"}),
        ),
    )
    assert whole.text == "Let me see.Done"
    assert whole.reasoning == "First this.Then that."
    assert whole.tool_calls == (whole.message.parts[2], whole.message.parts[3])


def test_reasoning_that_is_sealed_without_words_is_a_part_of_its_own():
    encrypted = ReasoningPart("", None, {"encrypted_content": "x"})
    assert reply(Chunk(parts=(encrypted,)), Chunk("Yes.")).message.parts == (encrypted, TextPart("Yes."))
    twice = reply(Chunk(reasoning="a"), Chunk(parts=(encrypted, encrypted))).message
    assert twice.parts == (ReasoningPart("a", None, {"encrypted_content": "x"}), encrypted)


def test_a_refusal_is_text_to_the_reader_and_a_refusal_in_the_message():
    whole = reply(Chunk("Well. "), *[Chunk(word, parts=(RefusalPart(""),)) for word in ("I ", "cannot.")])
    assert whole.text == "Well. I cannot."
    assert whole.message.parts == (TextPart("Well. "), RefusalPart("I cannot."))


def test_of_what_is_said_about_the_whole_reply_the_last_holds():
    given = {"citations": ["https://a"]}
    whole = reply(Chunk("a", extra={"service_tier": "flex"}), Chunk(extra=given), Chunk(extra={"service_tier": "auto"}))
    assert whole.extra == {"service_tier": "auto", "citations": ["https://a"]}
    whole.extra["citations"].append("mine")
    assert given == {"citations": ["https://a"]}, "the cache may hold it"


def test_nothing_is_an_empty_message():
    assert reply().message == Message("assistant", ())


@pytest.mark.parametrize(
    ("chunk", "size", "has_content"),
    [
        (Chunk(), 0, False),
        (Chunk(finish_reason="stop", usage=Usage(1, 2), event={"long": "x" * 99}), 0, False),
        (Chunk("four", reasoning="two"), 7, True),
        (Chunk(tool_calls=(ToolCallDelta(0, "id", "name", "{}", {"a": "bcd"}),)), 12, True),
        (Chunk(parts=(ImagePart(data=b"12345", media_type="image/x"),)), 12, True),
        (Chunk(parts=(OpaquePart("audio", ["12", {"a": "345"}, None]),)), 11, True),
        (Chunk(extra={"ab": ["cd"]}), 4, False),
    ],
)
def test_a_chunk_knows_its_size_and_whether_it_is_content(chunk, size, has_content):
    assert (chunk.size, chunk.has_content) == (size, has_content)
