"""Two parts of a reply meet with nothing missing and nothing twice, however the second one comes in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from inferkit import Chunk, ToolCallDelta, Usage
from inferkit.layers.continuation import _last_words
from inferkit.layers.seam import NoSeamError, Seam


def pieces(data, text):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(st.text(min_size=1, max_size=40), st.text(max_size=40), st.data())
def test_the_words_come_off_however_the_text_is_cut(words, rest, data):
    seam, found = Seam(words), []
    for piece in pieces(data, words + rest):
        batch = [Chunk(text=piece)]
        found += seam.fit(batch)
    assert "".join(chunk.text for chunk in found) == rest


@given(st.text(alphabet="ab ", min_size=1, max_size=6), st.text(alphabet="ab ", max_size=12), st.data())
def test_what_does_not_begin_with_the_words_never_fits(words, text, data):
    seam, given_on = Seam(words), ""
    try:
        for piece in pieces(data, text):
            given_on += "".join(chunk.text for chunk in seam.fit([Chunk(text=piece)]))
            if text.startswith(words) and given_on:
                break
    except NoSeamError:
        assert not text.startswith(words)
        return
    assert text.startswith(words) or words.startswith(text)


def test_spaces_before_the_words_are_let_through_where_that_is_allowed():
    assert [chunk.text for chunk in Seam("on", after_space=True).fit([Chunk(text="\n on"), Chunk(text=" it")])] == [
        " it"
    ]
    with pytest.raises(NoSeamError):
        Seam("on").fit([Chunk(text=" on")])


def test_what_is_no_text_is_not_lost():
    seam, usage = Seam("word"), Usage(3, 4)
    assert seam.fit([Chunk(reasoning="hm"), Chunk(text="wo")]) == []
    found = seam.fit([Chunk(text="rd", usage=usage), Chunk(finish_reason="stop")])
    assert [(chunk.reasoning, chunk.text, chunk.usage, chunk.finish_reason) for chunk in found] == [
        ("hm", "", None, None),
        ("", "", usage, None),
        ("", "", None, "stop"),
    ]


@pytest.mark.parametrize("end", [Chunk(finish_reason="stop"), Chunk(tool_calls=(ToolCallDelta(0, "id", "f", "{}"),))])
def test_a_part_that_ends_or_calls_before_the_words_came_does_not_fit(end):
    with pytest.raises(NoSeamError):
        Seam("word").fit([Chunk(text="wo"), end])


@given(st.text(min_size=1, max_size=300))
def test_the_last_words_are_the_end_of_what_was_said(said):
    words = _last_words(said)
    assert words
    assert said.endswith(words)
    assert len(words) <= 80


def test_the_last_words_begin_with_a_word():
    said = "The parcel left the depot at noon, and it will be with you before the evening, unless the roads are bad."
    words = _last_words(said)
    assert 60 < len(words) <= 80
    assert said[said.index(words) - 1] == " "
    assert not words.startswith(" ")
    assert _last_words("short one") == "short one"
    assert _last_words("x" * 200) == "x" * 80
