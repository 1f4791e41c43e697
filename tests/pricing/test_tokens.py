"""A request never has more tokens than its bound says."""

import json

from hypothesis import given, strategies as st

from budgets.fake_models import make_request
from inferkit.core.messages import ImagePart, Message, ReasoningPart, TextPart, Tool, ToolCallPart, ToolResultPart
from inferkit.pricing.tokens import IMAGE_TOKENS, input_tokens_bound, utf8_length
from inferkit.runtime.direct import DirectRuntime

TEXT = st.text()
PARTS = st.one_of(
    st.builds(TextPart, TEXT),
    st.builds(ReasoningPart, TEXT),
    st.builds(ToolCallPart, TEXT, TEXT, TEXT),
    st.builds(ToolResultPart, TEXT, TEXT),
)


def strings_of(part):
    return [value for name in part.__slots__ if isinstance(value := getattr(part, name), str)]


@given(st.lists(st.lists(PARTS, max_size=4), max_size=4))
def test_every_byte_of_every_part_is_within_the_bound(parts):
    messages = tuple(Message("user", tuple(each)) for each in parts)
    request = make_request(DirectRuntime()).replace(messages=messages)
    size = sum(len(text.encode()) for each in parts for part in each for text in strings_of(part))
    assert input_tokens_bound(request) > size + 8 * len(messages)


def test_tools_schemas_and_extra_parameters_count():
    plain = make_request(DirectRuntime())
    schema = {"type": "object", "properties": {"größe": {"type": "string"}}}
    size = len(json.dumps(schema, ensure_ascii=False).encode())
    bound = input_tokens_bound(plain)
    assert input_tokens_bound(plain.replace(tools=(Tool("find", "Find it", schema),))) >= bound + size + 11
    assert input_tokens_bound(plain.replace(response_schema=schema)) >= bound + size
    assert input_tokens_bound(plain.replace(extra={"x": schema})) >= bound + size


def test_an_image_counts_as_the_dearest_image_whatever_its_size():
    plain = make_request(DirectRuntime())
    message = Message.user("look", ImagePart(url="https://example.com/a.png"))
    assert input_tokens_bound(plain.replace(messages=(message,))) >= IMAGE_TOKENS


@given(TEXT)
def test_length_in_bytes_is_that_of_utf8(text):
    assert utf8_length(text) == len(text.encode())


def test_half_a_character_has_a_length_too():
    assert utf8_length("\ud83d") == 3
