"""A chunk carries what its provider sent, and reads it for whoever asks."""

from __future__ import annotations

import pytest

from inferkit.core.chunks import Chunk


@pytest.mark.parametrize(
    ("event", "raw"),
    [
        (None, None),
        ({"n": 1}, {"n": 1}),
        (b'{"n": "\xc3\xa9"}', {"n": "é"}),
        ((b'{"n": "', b"one", b'"}'), {"n": "one"}),
        (b"say hello", b"say hello"),
    ],
)
def test_the_providers_own_event_is_read_when_somebody_asks(event, raw):
    assert Chunk("x", event=event).raw == raw
