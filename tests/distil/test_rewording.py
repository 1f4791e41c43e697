"""The messages that nobody wrote: whatever is done to one, its order number is still there, or no longer claimed."""

from __future__ import annotations

import random
import re

import pytest


@pytest.fixture
def tickets():
    from triage_model.handwritten import split

    return [one for one in split()[0] if one.order_id][:400]


def test_words_are_swapped_for_their_like_and_an_order_number_never_is():
    from triage_model.rewording import Rewording

    rewording = Rewording({"cracked": ["broken"], "parcel": ["package"], "ord": ["lord"]})
    text = rewording.swapped("Cracked parcel, ORD-8812-77. Parcels don't crack.", "ORD-8812-77", 1.0, random.Random(1))
    assert text == "Broken package, ORD-8812-77. Parcels don't crack."
    assert rewording.swapped("Cracked parcel.", None, 0.0, random.Random(1)) == "Cracked parcel."


def test_a_part_of_a_message_claims_its_order_number_only_where_that_is_left(tickets):
    from triage_model.rewording import shortened

    rng = random.Random(2)
    found = [(one, shortened(one, rng)) for one in tickets]
    assert all(part.order_id in (None, one.order_id) for one, part in found)
    assert all((part.order_id or "") in part.message for _, part in found)
    assert all(part.message in one.message or len(part.message) < len(one.message) for one, part in found)
    assert {part.order_id is None for _, part in found} == {True, False}


def test_of_two_messages_in_one_only_the_first_gives_an_order_number(tickets):
    from triage_model.rewording import joined

    rng = random.Random(3)
    for one, other in zip(tickets, reversed(tickets), strict=True):
        if other.order_id in one.message or one.order_id in other.message:
            continue
        both = joined(one, other, rng)
        assert both.order_id == one.order_id
        assert one.order_id in both.message
        assert not re.search(rf"(?<!\w){re.escape(other.order_id)}(?!\w)", both.message)
