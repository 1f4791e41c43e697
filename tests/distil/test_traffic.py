"""A data set from a tape: the four wires, streamed and whole, and what is left out."""

from __future__ import annotations

import json

import pytest

from four_wires import NAMES, adapter, answer
from inferkit import Client, ProviderError
from inferkit.testing.tape import Tape
from wire import Wire, reply

ANSWER = {"kind": "status", "order": "48213"}
QUESTION = "Where is my order 48213?"


def record(path, name, *texts, ask):
    """Ask a server that says these texts, and keep what went over the wire."""
    left = list(texts)
    tape = Tape.recording(path)
    with Wire(lambda received: answer(name, received, left.pop(0))) as wire:
        provider = adapter(name, wire.url, transport=tape.recorder())
        with Client(models={"m": "p:a-model"}, providers={"p": provider}, cache=False, ledger=False) as llm:
            for number in range(len(texts)):
                ask(llm, number)


@pytest.mark.parametrize("how", ["whole", "stream"])
@pytest.mark.parametrize("name", NAMES)
def test_every_wire_gives_the_question_and_the_answer(name, how, tmp_path):
    from distil.dataset import Example, load
    from distil.traffic import main

    def ask(llm, number):
        turns = [("system", "Write JSON."), ("user", "Hello"), ("assistant", "Yes?"), ("user", QUESTION)]
        messages = [{"role": role, "content": text} for role, text in turns]
        if how == "whole":
            llm.complete("m", messages)
        else:
            assert json.loads("".join(chunk.text for chunk in llm.stream("m", messages))) == ANSWER

    record(tmp_path / "tape", name, json.dumps(ANSWER), ask=ask)
    assert main([str(tmp_path / "tape"), "--out", str(tmp_path / "data.jsonl")]) == 0
    assert load(tmp_path / "data.jsonl") == [Example(QUESTION, ANSWER)]


def test_what_teaches_nothing_is_left_out_and_said(tmp_path, capsys):
    from distil.dataset import load
    from distil.traffic import main

    questions = ["one", "two", "two", "three", "three"]
    answers = [json.dumps(ANSWER), "I do not know.", *[json.dumps(ANSWER)] * 2, json.dumps(ANSWER | {"order": None})]
    record(tmp_path / "tape", "chat", *answers, ask=lambda llm, number: llm.complete("m", questions[number]))
    assert main([str(tmp_path / "tape"), "--out", str(tmp_path / "data.jsonl")]) == 0
    assert [one.message for one in load(tmp_path / "data.jsonl")] == ["one", "two"]
    said = capsys.readouterr().out
    assert 'left out 1: its "answer" is a text that is no JSON' in said
    assert "2 of 5 exchanges are examples" in said


def test_a_broken_exchange_is_no_example(tmp_path, capsys):
    from distil.traffic import main

    with Wire(lambda received: [reply({"error": {"message": "no"}}, status=400)]) as wire:
        tape = Tape.recording(tmp_path / "tape")
        provider = adapter("chat", wire.url, transport=tape.recorder())
        llm = Client(models={"m": "p:a-model"}, providers={"p": provider}, cache=False, ledger=False)
        with llm, pytest.raises(ProviderError):
            llm.complete("m", QUESTION)
    assert main([str(tmp_path / "tape"), "--out", str(tmp_path / "data.jsonl")]) == 2
    assert "left out 1: it did not end well" in capsys.readouterr().out


def test_no_tape_is_said(tmp_path, capsys):
    from distil.traffic import main

    (tmp_path / "tape").write_text("{}\n")
    assert main([str(tmp_path / "tape"), "--out", str(tmp_path / "data.jsonl")]) == 2
    assert "is no tape" in capsys.readouterr().err
