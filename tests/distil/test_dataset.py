"""What a student may be made of, and what the checks say to the rest."""

from __future__ import annotations

import json

import pytest


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def row(message, **answer):
    return {"message": message, "answer": answer}


def test_a_file_is_read_and_written_alike(tmp_path):
    from distil.dataset import Example, load, save

    path = write(
        tmp_path / "a.jsonl", row("Where is\n 48213?", kind="status", order="48213"), row("Hi", kind="x", order=None)
    )
    found = load(path)
    assert found[0] == Example("Where is 48213?", {"kind": "status", "order": "48213"})
    save(found, tmp_path / "b.jsonl")
    assert load(tmp_path / "b.jsonl") == found


def test_an_answer_may_stand_as_text(tmp_path):
    from distil.dataset import load

    path = write(tmp_path / "a.jsonl", {"message": "Hi", "answer": '{"kind": "x"}'})
    assert load(path)[0].answer == {"kind": "x"}


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        ([{"answer": {"kind": "x"}}], 'line 1: there is no "message"'),
        ([row("Hi", kind="x"), row("Ho")], 'line 2: its "answer" is no object with fields'),
        ([{"message": "Hi", "answer": "yes"}], 'line 1: its "answer" is a text that is no JSON'),
        ([row("Hi", count=3)], 'the field "count" is no text; write numbers and truths as texts'),
        ([row("Hi", kind="x"), row("Ho", sort="x")], "line 2: its fields are not kind, in this order"),
        ([], "holds no examples"),
    ],
)
def test_what_cannot_be_learned_from_is_named_with_its_line(tmp_path, rows, wrong):
    from distil.dataset import DatasetError, load

    with pytest.raises(DatasetError, match=wrong):
        load(write(tmp_path / "a.jsonl", *rows))


def test_doubles_are_taken_once_and_contradictions_never():
    from distil.dataset import Example, without_conflicts

    a, b, c = Example("a", {"k": "1"}), Example("b", {"k": "1"}), Example("B", {"k": "2"})
    assert without_conflicts([a, a, b, c]) == [a]


def test_a_split_is_the_same_again_and_shares_nothing():
    from distil.dataset import Example, split, without

    rows = [Example(str(number), {"k": "x"}) for number in range(100)]
    train, held_out = split(rows, 0.2, 3)
    assert (len(train), len(held_out)) == (80, 20)
    assert not {one.message for one in train} & {one.message for one in held_out}
    assert split(rows, 0.2, 3) == (train, held_out) != split(rows, 0.2, 4)
    assert without(rows, held_out) == [one for one in rows if one not in held_out]
