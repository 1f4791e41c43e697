"""A draft guesses and the model checks: the same words, sooner where that pays, and no later where it does not."""

from __future__ import annotations

import threading

import pytest

import tiny_gguf
from inferkit import Client, ConfigurationError, Local
from inferkit.local.adapter import EMBEDDED
from inferkit.local.engines.choice import inspect, inspect_draft
from inferkit.local.engines.interface import EngineSettings
from inferkit.local.engines.speculation import Payoff
from inferkit.local.worker.supervisor import WorkerSupervisor
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


def test_a_draft_that_knows_the_script_is_believed_and_a_reply_ends_where_it_would(run_with, tmp_path):
    chain = ["▁a", *"bcdefghijklmnopqrstuvwxyz", "</s>"]
    path = tiny_gguf.scripted(chain).write(tmp_path / "m.gguf")
    helped = run_with(path, path, draft_tokens=4)
    reply = ask(helped, "a", max_tokens=100)
    assert (reply.text, reply.end["end"], reply.end["output"]) == ("".join(chain[1:-1]), "stop", 26)
    facts = reply.end["draft"]
    assert facts["rounds"] >= 1
    assert facts["accepted"] == facts["proposed"] > 0
    for limit in range(1, 12):
        cut = ask(helped, "a", max_tokens=limit)
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
        reply = llm.complete("m", "hello the", max_output_tokens=60)
    local.close()
    facts = reply.raw[-1]["draft"]
    assert facts["proposed"] >= facts["accepted"] > 0
    (span,) = recorded.named("inferkit.call")
    (event,) = [event for event in span.events if event.name == "draft"]
    assert dict(event.attributes) == {name: value for name, value in facts.items() if value is not None}


def test_the_embedded_model_says_the_same_with_itself_for_a_draft():
    questions = ["Where is my parcel 48213?", "I was charged twice!", "The lid is cracked, send a new one."]
    plain, helped = [Local(prompt_format="triage", draft=draft, draft_tokens=4) for draft in (None, EMBEDDED)]
    accepted = 0
    with Client(providers={"a": plain, "b": helped}, ledger=False, cache=False) as llm:
        for question in questions:
            wanted, found = [llm.complete(name, question, max_output_tokens=100) for name in ("a:m", "b:m")]
            assert found.text == wanted.text
            accepted += found.raw[-1]["draft"]["accepted"]
    assert accepted > 0
    plain.close()
    helped.close()


class TestPayoff:
    def test_nothing_is_tried_before_it_is_known_what_a_token_takes(self):
        payoff = Payoff()
        assert not payoff.worth(0, 100)
        payoff.took_alone(0.01)
        assert payoff.worth(0, 100)

    def test_rounds_go_on_while_they_pay_and_end_when_they_do_not(self):
        payoff = Payoff()
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
        payoff = Payoff()
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
        payoff = Payoff()
        payoff.took_alone(0.01)
        payoff.took_reading(0.1, 100)
        payoff.took_round(0.02, 4)
        assert payoff.worth(100, 100)
        assert not payoff.worth(1000, 10)
