"""A draft guesses and the model checks: the same words, sooner where that pays, and no later where it does not."""

from __future__ import annotations

import contextlib
import threading

import pytest

import tiny_gguf
from inferkit import Client, ConfigurationError, Local
from inferkit.local.adapter import EMBEDDED
from inferkit.local.engines.choice import inspect, inspect_draft, load
from inferkit.local.engines.interface import EngineSettings
from inferkit.local.engines.payoff import Payoff
from inferkit.local.worker.supervisor import WorkerSupervisor
from inferkit.runtime import clock
from layers.test_trace import Recorded
from local_calls import ask

PROMPTS = ["hello the", "a", "then hello in the", "an answer", "the hello lo", "{} []"]


@pytest.fixture
def run_with(engine):
    """Start a model with a draft or without."""
    supervisors = []

    def run(path, draft=None, **settings):
        given = {"engine": engine, "draft": None if draft is None else str(draft)} | settings
        supervisors.append(WorkerSupervisor(EngineSettings(str(path), **given)))
        return supervisors[-1]

    yield run
    for supervisor in supervisors:
        supervisor.close()


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return tiny_gguf.tiny(context=512, blocks=3).write(tmp_path_factory.mktemp("models") / "target.gguf")


@pytest.mark.parametrize("seed", [1, 2], ids=["a draft that thinks alike", "a draft of other weights"])
def test_the_words_are_those_of_the_model_alone(run_with, target, tmp_path, seed):
    draft = tiny_gguf.tiny(context=512, blocks=3, seed=seed).write(tmp_path / "draft.gguf")
    alone, helped = run_with(target), run_with(target, draft, draft_tokens=5)
    for prompt in PROMPTS * 2:
        plain, guessed = ask(alone, prompt, max_tokens=60), ask(helped, prompt, max_tokens=60)
        assert guessed.text == plain.text
        assert (guessed.end["output"], guessed.end["end"]) == (plain.end["output"], plain.end["end"])
        assert "draft" not in plain.end


class Collected:
    """Collects a reply in this process."""

    def __init__(self):
        self.text = ""

    def gone(self):
        return False

    def send(self, frame):
        self.text += frame.get("text", "")
        self.end = frame


@pytest.fixture
def load_here(engine, target):
    """Load a model in this process, with a draft or without."""
    with contextlib.ExitStack() as closing:

        def loaded(draft=None, *, model=target, **options):
            settings = EngineSettings(str(model), engine=engine, draft=draft and str(draft), **options)
            model = load(settings)
            closing.callback(model._engine.close)
            if draft is not None:
                closing.callback(model._speculation.draft._engine.close)
            return model

        yield loaded


@pytest.fixture
def always_checked(monkeypatch):
    """Have each guess checked, whatever that takes."""
    monkeypatch.setattr(Payoff, "trusts", property(lambda payoff: payoff.plain is not None))
    monkeypatch.setattr(Payoff, "worth", lambda payoff, missing, left: payoff.plain is not None)


def reply_of(model, prompt, **options):
    caller = Collected()
    model.serve({"prompt": prompt, **options}, caller)
    return caller


@pytest.mark.parametrize("seed", [1, 2], ids=["a draft that thinks alike", "a draft of other weights"])
@pytest.mark.usefixtures("always_checked")
def test_the_words_are_the_same_however_often_guesses_are_checked(load_here, tmp_path, seed):
    draft = tiny_gguf.tiny(context=512, blocks=3, seed=seed).write(tmp_path / "draft.gguf")
    alone, helped = load_here(), load_here(draft, draft_tokens=5)
    for prompt in PROMPTS:
        plain, guessed = reply_of(alone, prompt, max_tokens=60), reply_of(helped, prompt, max_tokens=60)
        assert guessed.text == plain.text
        assert guessed.end["draft"]["rounds"] >= 10


class InVirtualTime:
    """A model whose tokens take a second each, and a draft that takes a part of that. Nothing else takes time.

    Each further token that is computed `together` with one takes so much of what the one does.
    """

    def __init__(self, monkeypatch, model, *, weight=0.0, together=0.1):
        self.at = 0.0
        monkeypatch.setattr(clock, "now", lambda: self.at)
        self.model = model
        self._together = together
        self._time(model._engine, 1.0)
        if model._speculation is not None:
            model._speculation.payoff._weight = weight
            self._time(model._speculation.draft._engine, weight)

    def _time(self, engine, weight):
        evaluate = engine.evaluate

        def timed(tokens, past, **how):
            self.at += weight * (1 + self._together * (len(tokens) - 1))
            evaluate(tokens, past, **how)

        engine.evaluate = timed

    def answer(self, prompt, tokens):
        begun = self.at
        reply = reply_of(self.model, prompt, max_tokens=tokens)
        return self.at - begun, reply


LONG = "hello the " * 30


@pytest.mark.parametrize("together", [0.1, 0.9])
@pytest.mark.parametrize("weight", [0.01, 0.1, 0.5])
def test_a_first_reply_takes_a_fiftieth_longer_at_most_with_a_draft_that_is_no_use(
    monkeypatch, load_here, tmp_path, weight, together
):
    draft = tiny_gguf.tiny(context=512, blocks=1, seed=2).write(tmp_path / "draft.gguf")
    tried = 0
    for prompt, tokens in (("a", 20), ("a", 250), (LONG, 20), (LONG, 250)):
        alone, reply = InVirtualTime(monkeypatch, load_here(), together=together).answer(prompt, tokens)
        timed = InVirtualTime(monkeypatch, load_here(draft), weight=weight, together=together)
        helped, guessed = timed.answer(prompt, tokens)
        assert guessed.text == reply.text
        assert helped <= alone / 0.98
        tried += guessed.end["draft"]["proposed"]
    assert tried > 0 or weight > 0.01  # one that is nearly as slow is not even tried so soon


def test_a_first_reply_comes_nearly_twice_as_soon_with_a_draft_that_agrees(monkeypatch, load_here, target):
    alone, reply = InVirtualTime(monkeypatch, load_here()).answer("a", 140)
    helped, guessed = InVirtualTime(monkeypatch, load_here(target), weight=0.03).answer("a", 140)
    assert guessed.text == reply.text
    assert alone / helped > 1.8


def test_a_draft_with_much_to_read_is_tried_when_that_has_become_cheap(monkeypatch, load_here, target):
    plain, timed = InVirtualTime(monkeypatch, load_here()), InVirtualTime(monkeypatch, load_here(target), weight=0.1)
    gains = []
    for number in range(6):
        prompt = f"{number} {LONG}"
        alone, helped = plain.answer(prompt, 140)[0], timed.answer(prompt, 140)[0]
        gains.append(alone / helped)
        assert sum(gains) >= 0.98 * len(gains)
    assert gains[-1] > 1.5


@pytest.mark.usefixtures("always_checked")
def test_a_draft_that_knows_the_script_is_believed_and_a_reply_ends_where_it_would(load_here, tmp_path):
    chain = ["▁a", *"bcdefghijklmnopqrstuvwxyz", "</s>"]
    path = tiny_gguf.scripted(chain).write(tmp_path / "m.gguf")
    helped = load_here(path, model=path, draft_tokens=4)
    reply = reply_of(helped, "a", max_tokens=100)
    assert (reply.text, reply.end["end"], reply.end["output"]) == ("".join(chain[1:-1]), "stop", 26)
    facts = reply.end["draft"]
    assert facts["rounds"] >= 1
    assert facts["accepted"] == facts["proposed"] > 0
    for limit in range(1, 12):
        cut = reply_of(helped, "a", max_tokens=limit)
        assert (cut.text, cut.end["output"]) == ("".join(chain[1 : limit + 1]), limit)


def test_stops_chance_and_grammars_hold_with_a_draft_too(run_with, tmp_path, target):
    alone, helped = run_with(target), run_with(target, target)
    calls = (
        {"temperature": 1.0, "seed": 5},
        {"repeat_penalty": 1.4},
        {"top_logprobs": 2},
        {"logit_bias": {"5": 3}},
        {"stop": [ask(alone, "hello", max_tokens=30).text[6:9]]},
    )
    for options in calls:
        assert ask(helped, "hello", max_tokens=30, **options).text == ask(alone, "hello", max_tokens=30, **options).text


def test_two_replies_by_turns_get_the_words_that_each_gets_alone(run_with, target):
    alone, helped = run_with(target), run_with(target, target)
    wanted = [ask(alone, prompt, max_tokens=120).text for prompt in PROMPTS[:3]]
    found = {}
    threads = [
        threading.Thread(target=lambda prompt=prompt: found.update({prompt: ask(helped, prompt, max_tokens=120).text}))
        for prompt in PROMPTS[:3]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[prompt] for prompt in PROMPTS[:3]] == wanted


def test_what_cannot_guess_for_a_model_is_refused_before_the_first_call(tmp_path, target):
    other = tiny_gguf.tiny(extra=[("zz", tiny_gguf.NORMAL)]).write(tmp_path / "other.gguf")
    with pytest.raises(ConfigurationError, match=r"cannot guess for .*their vocabularies differ"):
        inspect_draft(other, inspect(target))
    local = Local(target, draft=other)
    with Client(providers={"own": local}, models={"m": "own:m"}, ledger=False, cache=False) as llm:
        assert "vocabularies differ" in str(llm.check()[0].problem)
        with pytest.raises(ConfigurationError, match="vocabularies differ"):
            llm.complete("m", "a")
    with pytest.raises(ConfigurationError, match="draft_tokens is a whole number from 1"):
        Local(target, draft=target, draft_tokens=0)


def test_reply_and_trace_say_how_the_guesses_did(target):
    recorded = Recorded()
    local = Local(target, draft=target)
    settings = {"ledger": False, "cache": False, "telemetry": recorded.telemetry}
    with Client(providers={"own": local}, models={"m": "own:m"}, **settings) as llm:
        for number in range(100):  # until so much was written that a trial takes little time beside it
            facts = llm.complete("m", f"{number} hello the", max_output_tokens=60).raw[-1]["draft"]
            if facts["accepted"]:
                break
    local.close()
    assert facts["proposed"] >= facts["accepted"] > 0
    span = recorded.named("inferkit.call")[-1]
    (event,) = [event for event in span.events if event.name == "draft"]
    assert dict(event.attributes) == {name: value for name, value in facts.items() if value is not None}


@pytest.mark.usefixtures("always_checked")
def test_the_embedded_model_says_the_same_with_itself_for_a_draft(load_here):
    settings = {"model": EMBEDDED, "prompt_format": "triage"}
    plain, helped = load_here(**settings), load_here(EMBEDDED, draft_tokens=4, **settings)
    for question in ("Where is my parcel 48213?", "I was charged twice!", "The lid is cracked, send a new one."):
        asked = {"messages": [["user", question]], "max_tokens": 100}
        wanted, found = Collected(), Collected()
        plain.serve(asked, wanted)
        helped.serve(asked, found)
        assert found.text == wanted.text
        assert found.end["draft"]["accepted"] > 0


class TestPayoff:
    def test_nothing_is_tried_before_it_is_known_what_a_token_takes(self):
        payoff = Payoff(0.001)
        assert not payoff.worth(0, 100)
        payoff.took_alone(0.01)
        assert payoff.worth(0, 100)

    def test_rounds_go_on_while_they_pay_and_end_when_they_do_not(self):
        payoff = Payoff(0.01)
        payoff.took_alone(0.01)
        for _ in range(20):
            payoff.took_round(0.02, 4)
            assert payoff.worth(0, 100)
        assert payoff.speed == pytest.approx(2)
        rounds = 0
        while payoff.worth(0, 100):
            payoff.took_round(0.02, 1)
            rounds += 1
        assert rounds < 10

    def test_a_draft_that_is_no_use_costs_a_fiftieth_at_most(self):
        payoff = Payoff(0.01)
        payoff.took_alone(0.01)
        payoff.took_round(0.03, 1)
        plain = lost = 0.0
        for _ in range(20_000):
            if payoff.worth(0, 100):
                payoff.took_round(0.03, 1)
                lost += 0.02
            else:
                payoff.took_alone(0.01)
                plain += 0.01
        assert 0 < lost <= 0.021 * plain

    def test_a_draft_that_has_much_to_read_is_left_alone_where_little_is_to_be_written(self):
        payoff = Payoff(0.01)
        payoff.took_alone(0.01)
        payoff.took_reading(0.1, 100)
        payoff.took_round(0.02, 4)
        assert payoff.worth(100, 100)
        assert not payoff.worth(1000, 10)
