from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from inferkit.core.errors import ConfigurationError, InvalidRequest, ModelFileError, Unavailable
from inferkit.local.errors import EngineUnavailable, WorkerDied, context_overflow
from inferkit.local.worker.protocol import FRAME_LIMIT, FrameDecoder, encode, from_frame, to_frame


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers()), max_size=5), st.data())
def test_frames_survive_any_cutting(frames, data):
    raw = b"".join(map(encode, frames))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    decoder = FrameDecoder()
    found = [f for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True) for f in decoder.feed(raw[a:b])]
    assert found == frames


@pytest.mark.parametrize("raw", [b"\xff\xff\xff\xff", b"\0\0\0\1[", b"\0\0\0\2[]", b"\0\0\0\2\xff\xfe"])
def test_what_is_no_frame_is_refused(raw):
    with pytest.raises(ValueError, match=r"frame|Expecting|utf|JSON"):
        FrameDecoder().feed(raw)


def test_a_frame_too_long_is_not_sent():
    with pytest.raises(ValueError, match="over the limit"):
        encode({"x": "y" * FRAME_LIMIT})


@pytest.mark.parametrize(
    "error",
    [
        context_overflow(5, 4),
        InvalidRequest("no", provider="local", code="c"),
        Unavailable("later", provider="local"),
        ModelFileError("bad file"),
        EngineUnavailable("no gpu"),
        ConfigurationError("bad setting"),
    ],
)
def test_errors_arrive_as_what_they_were(error):
    arrived = from_frame(to_frame(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)


def test_an_unforeseen_error_travels_without_its_words():
    arrived = from_frame(to_frame(KeyError("the user's prompt")))
    assert isinstance(arrived, WorkerDied)
    assert "prompt" not in str(arrived)
    assert "KeyError" in str(arrived)
