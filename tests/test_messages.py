"""What may be passed as messages, and what is said about the rest."""

from __future__ import annotations

import pytest

from inferkit import ConfigurationError, ImagePart, Message, TextPart, ToolCallPart, ToolResultPart
from inferkit._messages import as_messages


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
        ([{"role": "wizard", "content": "hi"}], "role is one of"),
        ([{"role": "user"}], 'has no "content"'),
        ([{"role": "user", "content": 3}], "is a string or a list of parts"),
        ([{"role": "user", "content": [{"type": "sound"}]}], "a part of message 0"),
        ([{"role": "tool", "content": "x"}], "tool_call_id"),
        ([{"role": "assistant", "tool_calls": [{"id": "x"}]}], "a tool call of message 0"),
    ],
)
def test_what_cannot_be_understood_is_explained(given, said):
    with pytest.raises(ConfigurationError, match=said):
        as_messages(given)


def test_a_message_never_shows_its_words():
    assert "secret" not in repr(Message.user("a secret"))


def test_an_image_needs_exactly_one_source():
    with pytest.raises(ConfigurationError, match="either url= or data="):
        ImagePart()
    with pytest.raises(ConfigurationError, match="media_type"):
        ImagePart(data=b"x")
