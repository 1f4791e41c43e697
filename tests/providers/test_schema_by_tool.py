"""A model whose API takes no schema for its reply is asked for the object by a tool, and nobody notices."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

import four_wires
from inferkit import Client, InvalidReply, InvalidRequest, Message, Price, StreamInterrupted
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.providers.schema_by_tool import AnswerReader
from wire import CLOSE, Wire, reply

WIRES = ["anthropic", "chat", "responses"]
REFUSALS = {
    "anthropic": {"type": "error", "error": {
        "type": "invalid_request_error", "message": "output_config.format: Extra inputs are not permitted"}},
    "chat": {"error": {
        "message": "This response_format type is unavailable now", "type": "invalid_request_error", "param": None}},
    "responses": {"error": {
        "message": "Invalid parameter: 'text.format' of type 'json_schema' is not supported with this model.",
        "type": "invalid_request_error", "param": "text.format", "code": None}},
}  # fmt: skip
RIGHT = {"number": "A-1", "count": 2}


def has_schema(wire, sent):
    if wire == "anthropic":
        return "format" in sent.get("output_config", {})
    return {"chat": "response_format", "responses": "text"}[wire] in sent


class Order(BaseModel):
    number: str
    count: int


def find(number: str) -> str:
    """Find an order."""
    return f"{number} is at the harbour"


class Server:
    """One that takes no schema for a reply, and says what it is told to, a reply each."""

    def __init__(self, wire, *says, refusal=None):
        self._wire, self._says = wire, list(says)
        self._refusal = refusal or REFUSALS[wire]

    def __call__(self, request):
        if has_schema(self._wire, request.json):
            return [reply(self._refusal, 400)]
        said = self._says.pop(0)
        calls, text = (said, "") if isinstance(said, list) else ([], said)
        return four_wires.answer(self._wire, request, text, *calls)


def opened(wire, server, **settings):
    adapter = four_wires.adapter(wire, server.url)
    return Client(providers={"p": adapter}, models={"m": "p:x"}, cache=False, **({"ledger": False} | settings))


def forced(wire, sent):
    """Give the name of the tool that has to be called; True where any may be, False where none has to be."""
    choice = sent.get("tool_choice")
    if isinstance(choice, dict):
        return choice.get("name") or (choice.get("function") or {}).get("name") or choice["type"] == "any"
    return choice == "required"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_learned_from_and_the_object_is_there(wire, stream):
    with Wire(Server(wire, *[[("answer", RIGHT)]] * 2)) as server, opened(wire, server) as llm:
        for _ in range(2):
            if stream:
                with llm.stream("m", "Hi", schema=Order) as chunks:
                    grown = list(chunks.objects())
                found = chunks.reply
                assert grown[-1] == RIGHT
            else:
                found = llm.complete("m", "Hi", schema=Order)
            assert (found.parsed, found.tool_calls, found.finish_reason) == (Order(**RIGHT), (), "stop")
            assert json.loads(found.text) == RIGHT
            assert found.message == Message.assistant(found.text)
            assert (found.usage.input_tokens, found.usage.output_tokens) == (20, 9)
    assert [has_schema(wire, each.json) for each in server.requests] == [True, False, False]
    assert forced(wire, server.requests[1].json) == "answer"
    assert '"count"' in json.dumps(server.requests[1].json["tools"])


@pytest.mark.parametrize("wire", WIRES)
def test_an_object_that_is_not_valid_is_mended(wire):
    wrong = [("answer", {"number": "A-1", "count": "two"})]
    with Wire(Server(wire, wrong, [("answer", RIGHT)], wrong)) as server, opened(wire, server) as llm:
        assert llm.complete("m", "Hi", schema=Order, repair=1).parsed == Order(**RIGHT)
        with pytest.raises(InvalidReply) as caught:
            llm.complete("m", "Hi", schema=Order)
    assert caught.value.problems == (("count", "int_parsing"),)


@pytest.mark.parametrize("wire", WIRES)
def test_other_tools_may_be_called_first(wire):
    says = [[("find", {"number": "A-1"})], [("answer", RIGHT)]]
    with Wire(Server(wire, *says)) as server, opened(wire, server) as llm:
        run = llm.run_tools("m", "Where is it?", tools=[find], schema=Order)
    assert (run.parsed, len(run.rounds)) == (Order(**RIGHT), 2)
    assert forced(wire, server.requests[-1].json) is True


def test_a_tool_of_that_name_stays_the_callers():
    def answer(number: str) -> str:
        """Find an answer."""
        return number

    says = [[("answer", {"number": "A-1"})], [("answer_", RIGHT)]]
    with Wire(Server("chat", *says)) as server, opened("chat", server) as llm:
        run = llm.run_tools("m", "Where is it?", tools=[answer], schema=Order)
    assert (run.parsed, [result.content for result in run.rounds[0].results]) == (Order(**RIGHT), ["A-1"])


@pytest.mark.parametrize("wire", WIRES)
def test_a_model_that_thinks_is_not_forced_and_its_words_count_too(wire):
    with Wire(Server(wire, json.dumps(RIGHT))) as server, opened(wire, server) as llm:
        assert llm.complete("m", "Hi", schema=Order, reasoning_effort="low").parsed == Order(**RIGHT)
    assert forced(wire, server.requests[-1].json) is False
    assert len(server.requests[-1].json["tools"]) == 1


def test_another_model_of_the_server_is_asked_as_before():
    with Wire(Server("chat", [("answer", RIGHT)], [("answer", RIGHT)])) as server:
        adapter = four_wires.adapter("chat", server.url)
        with Client(providers={"p": adapter}, cache=False, ledger=False) as llm:
            for model in ("p:x", "p:y"):
                assert llm.complete(model, "Hi", schema=Order).parsed == Order(**RIGHT)
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ("chat", "Invalid schema for response_format 'Order': 'oneOf' is not permitted."),
        ("chat", "json_schema has an unsupported keyword"),
        ("chat", "the prompt is not supported"),
        ("chat", "response_format is too large"),
        ("anthropic", "output_config.format.schema: property 'minimum' is not supported"),
    ],
)
def test_what_is_wrong_with_one_schema_says_nothing_of_others(wire, words):
    refusal = {"type": "error", "error": {"message": words, "type": "invalid_request_error"}}
    with Wire(Server(wire, refusal=refusal)) as server, opened(wire, server) as llm, pytest.raises(InvalidRequest):
        llm.complete("m", "Hi", schema=Order)
    assert len(server.requests) == 1


def test_a_server_that_takes_no_tools_either_is_told_and_not_remembered():
    with Wire(lambda _: [reply(REFUSALS["chat"], 400)]) as server, opened("chat", server) as llm:
        with pytest.raises(InvalidRequest):
            llm.complete("m", "Hi", schema=Order)
        with pytest.raises(InvalidRequest):
            llm.complete("m", "Hi", schema=Order)
    assert ["response_format" in each.json for each in server.requests] == [True, False] * 2


def test_what_it_took_is_booked_once(tmp_path):
    settings = {"ledger": tmp_path / "ledger", "prices": {"p:x": Price(input="1", output="4")}}
    with Wire(Server("chat", [("answer", RIGHT)])) as server, opened("chat", server, **settings) as llm:
        found = llm.complete("m", "Hi", schema=Order)
    assert (found.cost_nanos, len(found.attempts)) == (20_000 + 36_000, 1)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_said_before_the_answer_is_no_part_of_it(wire, stream):
    def script(request):
        if has_schema(wire, request.json):
            return [reply(REFUSALS[wire], 400)]
        return four_wires.answer(wire, request, "Let me put that in order. ", ("answer", RIGHT))

    with Wire(script) as server, opened(wire, server) as llm:
        if stream:
            with llm.stream("m", "Hi", schema=Order, reasoning_effort="low") as chunks:
                "".join(chunk.text for chunk in chunks)
            found = chunks.reply
        else:
            found = llm.complete("m", "Hi", schema=Order, reasoning_effort="low")
        assert (found.parsed, found.reasoning) == (Order(**RIGHT), "Let me put that in order. ")
        talk = [Message.user("Hi"), found.message, Message.user("Again?")]
        assert llm.complete("m", talk, schema=Order).parsed == Order(**RIGHT)
    assert json.dumps(RIGHT) in json.dumps(server.requests[-1].json).replace("\\", "")


@pytest.mark.parametrize("wire", WIRES)
def test_a_stream_that_breaks_has_what_came_of_the_object(wire):
    def script(request):
        if has_schema(wire, request.json):
            yield reply(REFUSALS[wire], 400)
            return
        steps = list(four_wires.answer(wire, request, "", ("answer", RIGHT)))
        last = max(place for place, step in enumerate(steps) if b"A-1" in step and b"completed" not in step)
        yield from steps[: last + (wire != "responses")]
        yield CLOSE

    with (
        Wire(script) as server,
        opened(wire, server) as llm,
        pytest.raises(StreamInterrupted) as caught,
        llm.stream("m", "Hi", schema=Order) as chunks,
    ):
        list(chunks)
    assert json.loads(caught.value.partial) == RIGHT


class Told:
    """A reader that has been told what its chunks are."""

    failure, done, complete, model, id = None, True, True, "x", "r"

    def __init__(self, *chunks):
        self._chunks = list(chunks)

    def feed(self, _):
        return self._chunks

    def end(self):
        return []


@pytest.mark.parametrize(
    ("pieces", "text", "others", "reason"),
    [
        ([(0, None, "{"), (0, "answer", ""), (0, None, "}")], "{}", [], "stop"),  # its name comes late
        ([(0, "find", "{"), (1, "answer", "{}"), (0, None, "}")], "{}", ["{", "}"], "tool_calls"),
        ([(0, None, "["), (0, "find", "]")], "", ["[", "]"], "tool_calls"),
        ([(0, "answer", "{}"), (1, "answer", "[]")], "{}", ["[]"], "tool_calls"),  # the first is the answer
        ([(0, "answer", "{}"), (1, None, "x")], "{}", ["x"], "tool_calls"),  # and one that is never named is none
    ],
)
def test_pieces_are_the_answer_or_other_calls(pieces, text, others, reason):
    chunks = [Chunk(tool_calls=(ToolCallDelta(index, None, name, said),)) for index, name, said in pieces]
    reader = AnswerReader(Told(*chunks, Chunk(finish_reason="tool_calls")), "answer")
    found = [*reader.feed(b""), *reader.end()]
    assert "".join(chunk.text for chunk in found) == text
    assert [call.arguments for chunk in found for call in chunk.tool_calls] == others
    assert found[-1].finish_reason == reason
    assert (reader.failure, reader.done, reader.complete, reader.model, reader.id) == (None, True, True, "x", "r")
