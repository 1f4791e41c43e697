"""Replies with everything that a chunk can carry, for Hypothesis."""

from hypothesis import strategies as st

from inferkit.core.chunks import Chunk, TokenLogprob, ToolCallDelta
from inferkit.core.messages import (
    ImagePart,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.core.usage import NO_DETAILS, Usage, UsageDetails

texts = st.text(max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
extras = st.none() | st.dictionaries(texts, values, min_size=1, max_size=3)
parts = st.one_of(
    st.builds(TextPart, texts, extras),
    st.builds(ReasoningPart, texts, st.none() | texts, extras),
    st.builds(RefusalPart, texts, extras),
    st.builds(OpaquePart, texts, values),
    st.builds(ImagePart, url=texts, detail=st.none() | texts, extra=extras),
    st.builds(ImagePart, data=st.binary(max_size=20), media_type=texts),
    st.builds(ToolCallPart, texts, texts, texts, extras),
    st.builds(ToolResultPart, texts, texts, st.booleans(), extras),
)
likely = st.floats(-99, 0)
details = st.sampled_from(
    [
        NO_DETAILS,
        UsageDetails(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, (("a", 1), ("b", 2)), "flex", "fast", "eu", 10),
        UsageDetails(service_tier="default", reported_nanos=0),
    ]
)
chunks = st.lists(
    st.builds(
        Chunk,
        text=texts,
        reasoning=texts,
        tool_calls=st.lists(
            st.builds(ToolCallDelta, st.integers(0, 2), st.none() | texts, st.none() | texts, texts, extras), max_size=2
        ).map(tuple),
        finish_reason=st.none() | st.sampled_from(["stop", "length"]),
        usage=st.none() | st.builds(Usage, *[st.integers(0, 10**12)] * 5, st.booleans(), details),
        event=st.none(),
        parts=st.lists(parts, max_size=2).map(tuple),
        extra=extras,
        logprobs=st.lists(
            st.builds(TokenLogprob, texts, likely, st.lists(st.tuples(texts, likely), max_size=2).map(tuple)),
            max_size=2,
        ).map(tuple),
    ),
    max_size=40,
)
