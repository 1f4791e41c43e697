"""A caller's socket in the worker: texts that come fast are sent together, and nobody waits for the rest of them."""

from __future__ import annotations

import socket
import tempfile

import pytest

from inferkit.local.worker.protocol import FrameDecoder, encode
from inferkit.local.worker.pulse import Pulse
from inferkit.local.worker.reception import IncomingCall
from inferkit.runtime import clock

FAST, SLOW = 0.0004, 0.003  # seconds a token


class Caller:
    """The other end of a call's socket, and the time, which stands still between steps."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(clock, "now", lambda: self.now)
        self.sock, other = socket.socketpair()
        self.sock.setblocking(False)
        self.decoder = FrameDecoder()
        with tempfile.TemporaryFile() as file:
            self.call = IncomingCall(other, Pulse.on(file))

    def ask(self, **question):
        self.sock.sendall(encode(question))
        assert self.call.receive()

    def read(self):
        """Give the texts, or kinds of frames, that have come by now."""
        try:
            frames = self.decoder.feed(self.sock.recv(1 << 16))
        except BlockingIOError:
            return []
        return [frame.get("text") or next(iter(frame)) for frame in frames]

    def step(self, text, seconds):
        """Have the model compute a token and write it; give what has come then."""
        self.now += seconds
        assert not self.call.gone()
        self.call.send({"text": text})
        return self.read()


@pytest.fixture
def caller(monkeypatch):
    one = Caller(monkeypatch)
    yield one
    one.call.close()
    one.sock.close()


def test_texts_of_a_slow_model_are_sent_one_by_one(caller):
    assert [caller.step(text, SLOW) for text in "abc"] == [["a"], ["b"], ["c"]]


def test_texts_of_a_fast_model_are_sent_together_the_first_at_once(caller):
    came = [caller.step(text, FAST) for text in "abcdefgh"]
    assert came[0] == ["a"]
    assert [text for texts in came for text in texts] == list("abcdef")
    assert len([texts for texts in came if texts]) == 2


def test_who_waits_for_the_whole_of_a_short_reply_is_woken_once(caller):
    caller.ask(whole=True)
    caller.call.send({"start": {}})
    assert caller.read() == []
    assert [caller.step(text, SLOW) for text in "abcdef"] == [[]] * 6
    caller.call.send({"end": "stop"})
    assert caller.read() == ["start", "abcdef", "end"]


def test_who_waits_for_the_whole_of_a_long_reply_is_told_now_and_then(caller):
    caller.ask(whole=True)
    caller.call.send({"start": {}})
    came = [caller.step(text, SLOW) for text in "abcdefghijklmn"]
    assert [texts for texts in came if texts] == [["start", "abcdef"], ["ghijklm"]]


@pytest.mark.parametrize("frame", [{"end": "stop"}, {"fatal": "it broke"}])
def test_what_ends_a_reply_comes_at_once_after_what_was_kept(caller, frame):
    assert [caller.step(text, FAST) for text in "abc"] == [["a"], [], []]
    caller.call.send(frame)
    assert caller.read() == ["b", "c", *frame]


def test_what_is_kept_comes_when_others_are_served_first(caller):
    assert [caller.step(text, FAST) for text in "ab"] == [["a"], []]
    caller.call.flush()
    assert caller.read() == ["b"]


def test_what_is_kept_comes_with_the_next_step_although_it_writes_nothing(caller):
    assert [caller.step(text, FAST) for text in "ab"] == [["a"], []]
    caller.now += SLOW
    assert not caller.call.gone()
    assert caller.read() == ["b"]


def test_what_is_kept_is_not_lost_where_the_call_is_closed(caller):
    assert [caller.step(text, FAST) for text in "ab"] == [["a"], []]
    caller.call.close()
    assert caller.read() == ["b"]
