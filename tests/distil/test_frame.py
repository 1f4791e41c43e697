"""The form of answers: kinds of fields as their values show them, and parts that add up to the JSON line."""

from __future__ import annotations

import itertools
import json

import pytest

KINDS = ("status", "refund")


def examples():
    from distil.dataset import Example

    found = []
    for number in range(40):
        order = f"A-{20000 + number}" if number % 4 else None
        message = f"message {number} about {order}" if order else f"message {number}"
        reply = f"We will look at {order or 'it'}, request {number}."
        found.append(Example(message, {"kind": KINDS[number % 2], "order": order, "reply": reply}))
    return found


def test_values_show_what_a_field_is():
    from distil.frame import learned

    frame = learned(examples())
    assert [(field.name, field.kind, field.nullable) for field in frame.fields] == [
        ("kind", "label", False), ("order", "copied", True), ("reply", "text", False),
    ]  # fmt: skip
    assert frame.labels() == ["refund", "status"]


def test_the_parts_of_an_answer_are_its_line():
    from distil.frame import learned

    frame = learned(examples())
    for one in examples():
        parts = frame.parts(one.answer)
        assert "".join(part.text for part in parts) == json.dumps(one.answer)
        assert {part.text for part in parts if part.field is None} <= set(frame.literals())
    asked = [part.text for part in frame.parts(examples()[1].answer) if part.decides]
    assert asked == ['", "order": "']


@pytest.mark.parametrize("nulls", list(itertools.product([False, True], repeat=3)))
def test_any_field_may_be_null(nulls):
    from distil.frame import Field, Frame

    frame = Frame(tuple(Field(name, "text", nullable=True) for name in "abc"))
    answer = {name: None if null else 'say "yes"' for name, null in zip("abc", nulls, strict=True)}
    parts = frame.parts(answer)
    assert "".join(part.text for part in parts) == json.dumps(answer)
    assert {part.text for part in parts if part.field is None} <= set(frame.literals())


def test_the_schema_bounds_what_is_no_label():
    from distil.frame import learned

    schema = learned(examples()).schema({"order": 20, "reply": 80})
    assert schema["properties"]["kind"] == {"enum": ["refund", "status"]}
    assert schema["properties"]["order"] == {"anyOf": [{"type": "string", "maxLength": 20}, {"type": "null"}]}
    assert schema["required"] == ["kind", "order", "reply"]


def test_the_words_that_decide_are_where_known_texts_part():
    from distil.choices import Choices
    from distil.dataset import Example
    from distil.frame import Field, Frame

    frame = Frame((Field("kind", "label", ("late",)), Field("order", "copied"), Field("reply", "text")))
    replies = ("We check {} today.", "We check {} soon.", "Sorry for {}.")
    answers = [{"kind": "late", "order": n, "reply": text.format(n)} for text in replies for n in ("A-1", "B-2")]
    choices = Choices(frame, answers)
    new = Example("", {"kind": "late", "order": "C-3", "reply": "We check C-3 soon."})
    assert choices.deciding("reply", new.answer) == {0, 3}
    assert choices.deciding("reply", {**new.answer, "kind": "other"}) == frozenset()


def test_what_is_copied_is_made_up_anew_in_both_places():
    import random

    from distil.frame import learned
    from distil.sources import Shuffled

    draw, rng = Shuffled(examples(), learned(examples())), random.Random(2)
    drawn = [draw(rng) for _ in range(200)]
    orders = {one.answer["order"] for one in examples()}
    anew = [one for one in drawn if one.answer["order"] not in orders]
    assert len(anew) > 50
    for one in anew:
        assert one.answer["order"] in one.message
        assert one.answer["order"] in one.answer["reply"]
    assert {one.message for one in examples()} & {one.message for one in drawn}
