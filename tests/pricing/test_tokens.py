"""A request never has more tokens than its bound says."""

import json

from hypothesis import given, strategies as st

from budgets.stack import make_request
from inferkit.core.messages import (
    AudioPart,
    CustomTool,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.pricing.images import MOST_IMAGE_TOKENS as IMAGE_TOKENS
from inferkit.pricing.tokens import input_tokens_bound, utf8_length
from inferkit.runtime.direct import DirectRuntime

TEXT = st.text()
EXTRA = st.none() | st.dictionaries(TEXT, TEXT, max_size=2)
PARTS = st.one_of(
    st.builds(TextPart, TEXT, EXTRA),
    st.builds(ReasoningPart, TEXT, st.none() | TEXT, EXTRA),
    st.builds(RefusalPart, TEXT, EXTRA),
    st.builds(ToolCallPart, TEXT, TEXT, TEXT, EXTRA),
    st.builds(ToolResultPart, TEXT, TEXT, extra=EXTRA),
    st.builds(OpaquePart, st.just("audio"), EXTRA),
)


def _fields(value):
    return [name for name in getattr(value, "__slots__", ()) if name != "kind"]  # which is not sent by itself


def strings_of(value):
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for text in pair]
    return [text for name in _fields(value) for text in strings_of(getattr(value, name))]


@given(st.lists(st.tuples(st.lists(PARTS, max_size=4), EXTRA), max_size=4))
def test_every_byte_of_every_part_is_within_the_bound(given):
    messages = tuple(Message("user", tuple(parts), extra) for parts, extra in given)
    request = make_request(DirectRuntime()).replace(messages=messages)
    said = [text for each in messages for value in (*each.parts, each.extra) for text in strings_of(value)]
    size = sum(len(text.encode()) for text in said)
    assert input_tokens_bound(request) > size + 8 * len(messages)


def test_tools_schemas_and_extra_parameters_count():
    plain = make_request(DirectRuntime())
    schema = {"type": "object", "properties": {"größe": {"type": "string"}}}
    size = len(json.dumps(schema, ensure_ascii=False).encode())
    bound = input_tokens_bound(plain)
    assert input_tokens_bound(plain.replace(tools=(Tool("find", "Find it", schema),))) >= bound + size + 11
    assert input_tokens_bound(plain.replace(tools=(Tool("f", extra={"x": schema}),))) >= bound + size
    assert input_tokens_bound(plain.replace(response_schema=schema)) >= bound + size
    assert input_tokens_bound(plain.replace(extra={"x": schema})) >= bound + size


def test_an_image_counts_as_the_dearest_image_whatever_its_size():
    plain = make_request(DirectRuntime())
    message = Message.user("look", ImagePart(url="https://example.com/a.png"))
    assert input_tokens_bound(plain.replace(messages=(message,))) >= IMAGE_TOKENS


def test_sound_and_files_count_by_their_size_and_what_is_elsewhere_as_the_largest():
    plain = make_request(DirectRuntime())

    def bound(part):
        return input_tokens_bound(plain.replace(messages=(Message.user(part),)))

    second = AudioPart(bytes(1000), "audio/mpeg")  # the lowest rate that this format has
    assert bound(second) >= 32, "as the dearest way of counting a second"
    assert bound(AudioPart(bytes(8000), "audio/wav")) > bound(second)
    page = FilePart(bytes(3000), "application/pdf")
    assert bound(page) >= 3000 + IMAGE_TOKENS
    assert bound(FilePart(file_id="file-1")) == bound(FilePart(url="https://a")) == bound(FilePart(bytes(9**7), "a/b"))
    assert bound(FilePart(file_id="file-1")) >= 1_000_000


def test_a_tool_that_takes_plain_text_counts_with_its_grammar():
    plain = make_request(DirectRuntime())
    bound = input_tokens_bound(plain)
    assert input_tokens_bound(plain.replace(tools=(CustomTool("sql", "Ask", "x" * 500),))) >= bound + 506


@given(TEXT)
def test_length_in_bytes_is_that_of_utf8(text):
    assert utf8_length(text) == len(text.encode())


def test_half_a_character_has_a_length_too():
    assert utf8_length("\ud83d") == 3
