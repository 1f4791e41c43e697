"""The embedded model's data: every message has a reply for its matter, and what is measured on is not trained on."""

from __future__ import annotations

import random


def test_every_message_has_a_matter_of_its_category_with_a_reply():
    from triage_model.handwritten import load, split
    from triage_model.places import DATA
    from triage_model.replies import table

    train, dev = split()
    blind = [one for path in DATA.glob("blind_*.jsonl") for one in load(path)]
    for one in [*train, *dev, *blind]:
        assert one.matter in table()
        assert one.matter.split(".")[0] == one.category
        assert one.order_id is None or one.order_id in one.message


def test_the_blind_messages_are_in_no_other_file():
    from triage_model.handwritten import load
    from triage_model.places import DATA

    def messages(pattern):
        return {one.message.casefold() for path in DATA.glob(pattern) for one in load(path)}

    before, blind = messages("blind_1.jsonl"), messages("blind_2.jsonl")
    assert (len(before), len(blind)) == (400, 399)
    assert not before & blind
    assert not (before | blind) & (messages("train_*.jsonl") | messages("heldout.jsonl"))


def test_what_the_grammar_composes_has_a_reply_to_its_matter():
    from triage_model.generate import cores, ticket
    from triage_model.labels import CATEGORIES
    from triage_model.replies import table

    rng = random.Random(3)
    drawn = [ticket(rng) for _ in range(3000)]
    for one in drawn:
        assert " => " not in one.message
        assert one.example().answer["order_id"] == one.order_id
    assert {one.matter for one in drawn} == set(table())
    for category in CATEGORIES:
        for heading, lines in cores(category).items():
            if "_high" in heading:
                assert all(" => " in line for line in lines), "an urgent line says what it is about"
