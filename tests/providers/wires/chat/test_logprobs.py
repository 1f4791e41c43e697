"""How likely each token was: with its chunk, with the reply, through the cache, and written for others."""

from __future__ import annotations

import json
import math

import pytest

from chat_wire import completion, delta
from inferkit import Client, OpenAIChat
from inferkit.core.chunks import Chunk, TokenLogprob
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.providers.wires.chat.reader import ChatReader
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.runtime import clock
from wire import Wire, event, reply, sse

STREAM, JSON = {"content-type": "text/event-stream"}, {"content-type": "application/json"}


def entry(token, logprob, *top):
    pair = {"token": token, "logprob": logprob, "bytes": list(token.encode())}
    return pair | {"top_logprobs": [entry(*each) for each in top]}


def with_logprobs(event_or_whole, logprobs):
    event_or_whole["choices"][0]["logprobs"] = logprobs
    return event_or_whole


def content(*entries):
    return {"content": list(entries), "refusal": None}


A = entry("A", -0.1, ("A", -0.1), ("B", -2))
B = entry("B", -0.3)
TOLD = (TokenLogprob("A", -0.1, (("A", -0.1), ("B", -2.0))), TokenLogprob("B", -0.3))


def read(body, headers=STREAM, *, streamed=True):
    reader = ChatReader("acme", headers, streamed=streamed)
    chunks = reader.feed(body)
    if not reader.done:
        chunks += reader.end()
    assert reader.failure is None
    return chunks


def made(chunks):
    return Reply.of(chunks, CallRecord(clock))


def answering(request):
    if request.json.get("stream"):
        events = [
            with_logprobs(delta("A"), content(A)),
            with_logprobs(delta("B"), content(B)),
            with_logprobs(delta(finish="stop"), None),
        ]
        return sse(map(event, [*events, "[DONE]"]))
    return [reply(with_logprobs(completion("AB"), content(A, B)))]


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_that_asks_is_told_how_likely_each_token_was_also_by_the_cache(stream, tmp_path):
    with Wire(answering) as wire:
        provider = OpenAIChat(base_url=wire.url)
        with Client(providers={"p": provider}, models={"m": "p:m"}, ledger=False, home=tmp_path) as llm:

            def call():
                if not stream:
                    return llm.complete("m", "hi", top_logprobs=2)
                with llm.stream("m", "hi", top_logprobs=2) as chunks:
                    by_chunk.append([chunk.logprobs for chunk in chunks])
                return chunks.reply

            by_chunk = []
            replies = [call(), call()]
        with Client(providers={"p": provider}, models={"m": "p:m"}, ledger=False, home=tmp_path) as llm:
            replies.append(call())  # from the disk
        provider.close()
    assert [each.cache for each in replies] == ["miss", "hit", "hit"]
    assert {each.logprobs for each in replies} == {TOLD}
    assert {each.confidence for each in replies} == {math.exp(-0.2)}
    assert wire.requests[0].json["logprobs"] is True
    assert wire.requests[0].json["top_logprobs"] == 2
    if stream:
        assert by_chunk[0] == [TOLD[:1], TOLD[1:], ()]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (content(entry("A", 0)), [("A", 0.0)]),
        ({"content": None, "refusal": [entry("No", -1)]}, [("No", -1.0)]),
        ({"tokens": ["A", "B"], "token_logprobs": [-0.1, None], "token_ids": [1, 2]}, [("A", -0.1)]),
        ({"tokens": ["A"]}, []),
        (
            content({"token": "A", "logprob": None}, {"token": 7, "logprob": -1}, {"logprob": -1}, None, B),
            [("B", -0.3)],
        ),
        (content({"token": "A", "logprob": True}), []),
        (content({"token": "A", "logprob": -1, "top_logprobs": [None, {"token": "C"}]}), [("A", -1.0)]),
        ({"content": "A"}, []),
        ([A], []),
        (None, []),
    ],
)
def test_what_makes_no_sense_is_passed_over(said, told):
    streamed = made(read(event(with_logprobs(delta("A", finish="stop"), said))))
    at_once = made(read(json.dumps(with_logprobs(completion("A"), said)).encode(), JSON, streamed=False))
    for one in (streamed, at_once):
        assert [(each.token, each.logprob) for each in one.logprobs] == told
        assert (one.confidence is None) is not told


def test_no_confidence_is_more_than_certain():
    assert made([Chunk("A", logprobs=(TokenLogprob("A", 1e-7),))]).confidence == 1.0
    assert made([Chunk("A")]).confidence is None


def test_what_is_said_of_tokens_is_in_the_size_and_not_in_the_repr():
    assert Chunk("A", logprobs=TOLD).size > Chunk("A").size
    assert repr(TOLD[0]) == "TokenLogprob(logprob=-0.1, top=2)"


@pytest.mark.parametrize("streamed", [True, False])
def test_log_probabilities_are_written_with_their_tokens_for_others(streamed):
    chunks = [Chunk("A", logprobs=TOLD[:1]), Chunk("B", logprobs=TOLD[1:]), Chunk(finish_reason="stop")]
    writer = CHAT.writer(model="m", id="r", created=1, streamed=streamed)
    body = writer.write(chunks) + writer.end()
    again = read(body, STREAM if streamed else JSON, streamed=streamed)
    assert made(again).logprobs == TOLD
    if streamed:
        assert [chunk.logprobs for chunk in again] == [chunk.logprobs for chunk in chunks]
    once_more = CHAT.writer(model="m", id="r", created=1, streamed=streamed)
    body = once_more.write(again) + once_more.end()
    assert made(read(body, STREAM if streamed else JSON, streamed=streamed)).logprobs == TOLD, "not twice"
