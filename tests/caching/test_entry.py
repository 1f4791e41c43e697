"""What is kept of a reply: all of it, in fewer pieces."""

from hypothesis import given

from caching.entries import chunks as replies
from inferkit.caching.entry import CachedReply, condense
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.messages import ReasoningPart, RefusalPart, TextPart
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.runtime import clock


@given(replies)
def test_a_merged_reply_is_the_same_reply(chunks):
    record = CallRecord(clock)
    original, merged = Reply.of(chunks, record), Reply.of(condense(chunks), record)
    assert merged == original
    assert merged.message == original.message


def test_a_reply_in_many_tokens_becomes_a_few_pieces_and_still_a_stream():
    merged = condense([Chunk(f" word{number}") for number in range(1000)])
    assert 10 <= len(merged) <= 18


def test_reasoning_comes_before_the_text_that_followed_it():
    merged = condense([Chunk(reasoning="Let me "), Chunk(reasoning="see."), Chunk("Here"), Chunk(" it is.")])
    assert [(c.reasoning, c.text) for c in merged] == [("Let me see.", ""), ("", "Here it is."), ("", "")]


def test_the_pieces_of_a_tool_call_are_joined():
    first = ToolCallDelta(0, "call_1", "search", "")
    pieces = [ToolCallDelta(0, arguments=part) for part in ('{"q":', ' "x"', "}")]
    second = ToolCallDelta(1, "call_2", "stop", "{}")
    merged = condense([Chunk(tool_calls=(piece,)) for piece in (first, *pieces, second)])
    assert [c.tool_calls for c in merged[:-1]] == [
        (ToolCallDelta(0, "call_1", "search", '{"q": "x"}'),),
        (second,),
    ]


def test_what_seals_the_words_before_it_still_does():
    seal = ReasoningPart("", "sealed")
    chunks = [Chunk(reasoning="Let "), Chunk(reasoning="me see."), Chunk(parts=(seal,)), Chunk("No"), Chunk(".")]
    refusal = [Chunk("I ", parts=(RefusalPart(""),)), Chunk("cannot.", parts=(RefusalPart(""),))]
    for pieces in (chunks + refusal, condense(chunks + refusal)):
        assert Reply.of(pieces, CallRecord(clock)).message.parts == (
            ReasoningPart("Let me see.", "sealed"),
            TextPart("No."),
            RefusalPart("I cannot."),
        )


def test_the_providers_raw_events_are_not_kept():
    assert all(chunk.event is None for chunk in condense([Chunk("a", event={"secret": 1})]))


def test_an_entry_knows_about_how_much_memory_it_takes():
    small = CachedReply(condense([Chunk("a")]), stored_at=1.0).memory_bytes
    large = CachedReply(condense([Chunk("a" * 1000)] * 100), stored_at=1.0).memory_bytes
    assert 200_000 <= large - small <= 210_000
