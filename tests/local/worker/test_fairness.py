"""Eight callers of one engine at once: none waits for another's whole reply, and each gets the words it gets alone."""

from __future__ import annotations

import queue

import pytest

import tiny_gguf
from inferkit.local.engines.choice import load
from inferkit.local.engines.interface import EngineSettings
from inferkit.local.errors import ContextOverflow
from inferkit.local.worker.protocol import from_frame
from inferkit.local.worker.turns import Turns

CALLERS = 8
REPLY = 200


class Callers:
    """Calls without sockets, which all come at once, and the frames of all of them in the order in which they came."""

    def __init__(self):
        self.frames = []
        self.closed = []

    def put(self, number, request, patience=1 << 30):
        return _Call(self, number, request, patience)

    def text(self, number):
        return "".join(frame["text"] for caller, frame in self.frames if caller == number and "text" in frame)

    def end(self, number):
        (found,) = [frame for caller, frame in self.frames if caller == number and "end" in frame]
        return found


class _Call:
    def __init__(self, callers, number, request, patience):
        self.callers, self.number, self.request, self.patience = callers, number, request, patience

    def gone(self):
        self.patience -= 1
        return self.patience < 0

    def send(self, frame):
        self.callers.frames.append((self.number, frame))

    def flush(self):
        pass

    def close(self):
        self.callers.closed.append(self.number)


@pytest.fixture
def model(tmp_path, engine):
    """Load a model anew."""
    path = tiny_gguf.tiny(context=1024).write(tmp_path / "m.gguf")
    return lambda **settings: load(EngineSettings(str(path), engine=engine, **settings))


def serve(session, requests, patience=None):
    callers, calls = Callers(), queue.SimpleQueue()
    for number, request in enumerate(requests):
        calls.put(callers.put(number, request, (patience or {}).get(number, 1 << 30)))
    calls.put(None)
    assert Turns(session, calls).run()
    return callers


def requests(tokens=REPLY):
    """Prompts of many lengths, some of them alike at the beginning, greedy and drawn, and one under a grammar."""
    for number in range(CALLERS):
        rules = ("hello the lo in " * 6 if number % 2 else "he an th er " * (number + 1)) + "abcdefgh"[number]
        drawn = {"temperature": 0.9, "seed": number} if number in (2, 5) else {}
        yield {"prompt": rules, "max_tokens": tokens, **drawn}


def test_eight_callers_are_served_within_a_half_more_of_one_another(tmp_path, engine):
    """When the first has its whole reply, all others have two thirds of theirs, however long their prompts are."""
    path = tiny_gguf.scripted(["▁a", "b", "c"], context=2048).write(tmp_path / "m.gguf")
    asked = [{"prompt": " ".join("a" * (1 + 40 * number)), "max_tokens": REPLY} for number in range(CALLERS)]
    callers = serve(load(EngineSettings(str(path), engine=engine)), asked)
    made = [0] * CALLERS
    for number, frame in callers.frames:
        if "end" in frame:
            break
        made[number] += "text" in frame
    assert min(made) >= REPLY * 2 / 3, made
    assert [callers.end(number)["output"] for number in range(CALLERS)] == [REPLY] * CALLERS
    assert sorted(callers.closed) == list(range(CALLERS))


@pytest.mark.parametrize("prefix_memory", [64 << 20, 0])
def test_each_of_eight_gets_the_words_that_it_gets_alone(model, prefix_memory):
    alone = [serve(model(prefix_memory=0), [request]).text(0) for request in requests()]
    session = model(prefix_memory=prefix_memory)
    for _ in range(2):
        callers = serve(session, requests())
        assert [callers.text(number) for number in range(CALLERS)] == alone
    assert session.context.parked_bytes == 0


def test_what_callers_share_is_computed_once_also_by_turns(model):
    rules = "hello the lo in he an th er " * 12
    callers = serve(model(), [{"prompt": f"{rules} {letter}", "max_tokens": 60} for letter in "abcd"])
    cached = [callers.end(number)["cached"] for number in range(4)]
    assert cached[0] == 0
    assert min(cached[1:]) >= 128, "what the first had computed when the others came"


def test_where_no_reply_can_be_parked_each_is_served_to_its_end(model, monkeypatch):
    session = model()
    monkeypatch.setattr(session, "park", lambda: None)
    callers = serve(session, requests(40))
    assert callers.closed == list(range(CALLERS))
    assert callers.text(1) == serve(model(), [list(requests(40))[1]]).text(0)


def test_no_more_is_parked_than_a_few_contexts_hold(model):
    session = model(context_length=64)
    prompts = [{"prompt": f"hello the {letter} " * 4, "max_tokens": 30} for letter in "abcdefgh"]
    most = 0
    real = session.park

    def park():
        nonlocal most
        parked = real()
        most = max(most, session.context.parked_bytes)
        return parked

    session.park = park
    serve(session, prompts)
    assert 0 < most < 5 * (1 << 20)
    assert session.context.parked_bytes == 0


def test_callers_that_leave_and_callers_that_err_hold_nobody_up(model):
    asked = [*requests(), {"prompt": "a" * 3000}, {"prompt": "hello", "op": "count"}]
    session = model()
    callers = serve(session, asked, patience={0: 0, 3: 20, 4: 90})
    assert sorted(callers.closed) == list(range(CALLERS + 2))
    (error,) = [frame for _, frame in callers.frames if "error" in frame]
    assert isinstance(from_frame(error), ContextOverflow)
    assert any("count" in frame for _, frame in callers.frames)
    assert {number for number, frame in callers.frames if "end" in frame} == {1, 2, 5, 6, 7}
    assert callers.text(6) == serve(model(), [asked[6]]).text(0)
    assert session.context.parked_bytes == 0
