"""What may be passed as messages, and what is said about the rest."""

from __future__ import annotations

import pytest

from inferkit import (
    Chunk,
    Client,
    ConfigurationError,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.providers.wires.messages import as_messages
from inferkit.testing import FakeProvider


def test_a_question_becomes_a_user_message():
    assert as_messages("hi") == (Message.user("hi"),)


def test_one_message_becomes_a_conversation():
    assert as_messages(Message.system("be brief")) == (Message.system("be brief"),)
    assert as_messages({"role": "user", "content": "hi"}) == (Message.user("hi"),)


def test_dictionaries_in_the_openai_form_are_understood():
    given = [
        {"role": "developer", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
    ]
    assert as_messages(given) == (
        Message.system("be brief"),
        Message("user", (TextPart("what is this?"), ImagePart(url="https://example.org/cat.png"))),
        Message("assistant", (ToolCallPart("c1", "look", "{}"),)),
        Message("tool", (ToolResultPart("c1", "a cat"),)),
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "message is empty"),
        ("  \n", "message is empty"),
        ([], "list of messages is empty"),
        (42, "got int"),
        ([42], "message 0 is a int"),
        (b"Hi", "messages are a string, a Message or a list of them; got bytes"),
        ([{"role": "wizard", "content": "hi"}], "role is one of"),
        ([{"role": "user"}], 'has no "content"'),
        ([{"role": "user", "content": 3}], "is a string or a list of parts"),
        ([{"role": "user", "content": [{"type": "sound"}]}], "a part of message 0"),
        ([{"role": "tool", "content": "x"}], "tool_call_id"),
        ([{"role": "assistant", "tool_calls": [{"id": "x"}]}], "a tool call of message 0"),
        ([{"role": "assistant", "tool_calls": 1}], '"tool_calls" of message 0 are a list'),
    ],
)
def test_what_cannot_be_understood_is_explained(given, said):
    with pytest.raises(ConfigurationError, match=said):
        as_messages(given)


@pytest.mark.parametrize("parts", ["hello", ["hello"], [TextPart("hello")], ("hello",), None])
def test_a_message_of_anything_but_parts_says_how_to_write_a_text(parts):
    with pytest.raises(ConfigurationError, match=r'Message\.user\("\.\.\."\)'):
        Message("user", parts)


@pytest.mark.parametrize(
    "words",
    [
        Message.user("a secret"),
        TextPart("a secret"),
        ReasoningPart("a secret", signature="secret"),
        ToolCallPart("c1", "look", '{"for": "a secret"}'),
        ToolResultPart("c1", "a secret"),
        ToolCallDelta(0, "c1", "look", "a secret"),
        ImagePart(url="https://example.org/secret.png"),
        ImagePart(data=b"secret", media_type="image/png"),
        Chunk(text="a secret"),
        RefusalPart("a secret"),
        OpaquePart("audio", {"transcript": "a secret"}),
        TextPart("", {"x": "a secret"}),
        Message("user", (), {"name": "a secret"}),
    ],
)
def test_nothing_that_is_said_shows_in_a_repr(words):
    assert "secret" not in repr(words)


def test_an_image_needs_exactly_one_source():
    with pytest.raises(ConfigurationError, match="either url= or data="):
        ImagePart()
    with pytest.raises(ConfigurationError, match="media_type"):
        ImagePart(data=b"x")


def test_a_reply_among_messages_is_told_where_its_message_is():
    with Client(providers={"fake": FakeProvider("Hello!")}, cache=False, ledger=False) as llm:
        reply = llm.complete("fake:m", "Hi")
    with pytest.raises(ConfigurationError, match=r"message 1 is a Reply; use its \.message or"):
        as_messages([Message.user("Hi"), reply])
