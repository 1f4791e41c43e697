from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from inferkit.local.text import ReplyText


def feed(reply: ReplyText, pieces: list[bytes]) -> tuple[list[str], str]:
    shown = [reply.add(piece) for piece in pieces]
    return shown, reply.end()


@given(st.text(), st.data())
def test_text_cut_into_any_bytes_comes_out_whole_and_in_whole_characters(text, data):
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    shown, rest = feed(ReplyText(), pieces)
    assert "".join(shown) + rest == text


def test_half_a_character_is_held_back_until_it_is_whole():
    reply = ReplyText()
    assert reply.add("😀".encode()[:3]) == ""
    assert reply.add("😀".encode()[3:]) == "😀"


def test_a_character_that_never_becomes_whole_is_replaced_at_the_end():
    reply = ReplyText()
    assert reply.add(b"ok" + "é".encode()[:1]) == "ok"
    assert reply.end() == "�"


@given(st.text(alphabet="abc", max_size=40), st.text(alphabet="abc", min_size=1, max_size=4), st.data())
def test_a_stop_sequence_ends_the_text_exactly_before_it_however_it_is_cut(text, stop, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    pieces = [text[a:b].encode() for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    reply = ReplyText([stop])
    shown, rest = feed(reply, pieces)
    assert "".join(shown) + rest == text.partition(stop)[0]
    assert reply.stopped == (stop in text)


def test_text_that_only_looked_like_a_stop_sequence_is_not_lost():
    reply = ReplyText(["STOP"])
    assert reply.add(b"one ST") == "one "
    assert reply.add(b"ART ") == "START "
    assert reply.add(b"STO") == ""
    assert reply.end() == "STO"
    assert not reply.stopped


def test_the_earliest_of_several_stop_sequences_counts():
    reply = ReplyText(["cd", "b"])
    assert reply.add(b"abcd") == "a"
    assert reply.stopped
    assert reply.add(b"more") == ""
    assert reply.end() == ""


@pytest.mark.parametrize(("strip", "shown"), [(True, " hello"), (False, "  hello")])
def test_only_the_first_space_is_the_tokenisers(strip, shown):
    reply = ReplyText(strip_space=strip)
    assert reply.add(b"") + reply.add(b" ") + reply.add(b" hello") == shown
