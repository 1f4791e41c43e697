"""Several callers of one worker."""

from __future__ import annotations

import contextlib
import socket

import pytest

import tiny_gguf
from inferkit.local.errors import ContextOverflow
from local_calls import SECONDS, ask, finish, in_mid_stream
from worlds import in_threads


def test_two_callers_are_served_in_turn_and_their_texts_are_not_mixed(start, tmp_path):
    spec = tiny_gguf.scripted(["▁a", "b", "c"], context=4000)
    supervisor = start(spec.write(tmp_path / "m.gguf"))
    texts: dict[int, list[str]] = {}

    def caller(number: int) -> None:
        texts[number] = [ask(supervisor, "a", max_tokens=number + 5).text for _ in range(5)]

    in_threads(caller, range(8))
    assert texts == {n: ["b" + "c" * (n + 4)] * 5 for n in range(8)}


def test_a_caller_that_hangs_up_is_not_served_to_the_end(start, endless_path):
    supervisor = start(endless_path, context_length=150_000)
    in_mid_stream(supervisor).close()
    assert ask(supervisor, "a", max_tokens=3).text == "bcc"


def test_a_caller_that_hangs_up_before_its_turn_is_not_served_at_all(start, endless_path):
    supervisor = start(endless_path, context_length=150_000)
    running = in_mid_stream(supervisor)
    for _ in range(3):
        supervisor.open({"prompt": "a"}).close()
    waiting = supervisor.open({"prompt": "a", "max_tokens": 2})
    running.close()
    assert finish(waiting).text == "bc"


def test_a_caller_that_does_not_read_holds_nobody_up(start, endless_path):
    supervisor = start(endless_path, context_length=10_000)
    slow = supervisor.open({"prompt": "a", "max_tokens": 5000})
    assert ask(supervisor, "a", max_tokens=3).text == "bcc"
    assert finish(slow).text == "b" + "c" * 4999


def test_a_large_request_behind_a_long_reply_does_not_block_its_caller(start, endless_path):
    supervisor = start(endless_path, context_length=150_000)
    running = in_mid_stream(supervisor)
    waiting = supervisor.open({"prompt": "b" * 2_000_000})
    running.close()
    with pytest.raises(ContextOverflow):
        finish(waiting)


def test_what_is_no_request_is_dropped_and_the_next_is_served(start, endless_path):
    supervisor = start(endless_path)
    ask(supervisor, "a", max_tokens=1)
    for rubbish in (b"\xff" * 8, b"\0\0\0\2{]", b"\0\0\0\1", b""):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert supervisor._worker.hand_over(theirs)  # past the supervisor, which sends no rubbish
            theirs.close()
            ours.sendall(rubbish)
            ours.shutdown(socket.SHUT_WR)
            ours.settimeout(SECONDS)
            with contextlib.suppress(ConnectionResetError):
                assert ours.recv(1) == b""
    assert ask(supervisor, "a", max_tokens=2).text == "bc"
