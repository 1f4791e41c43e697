"""A router fitted from outcomes: it saves where there is something to learn, and is refused where there is not."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from inferkit import Client, ConfigurationError, Message, Price
from inferkit.routing import Learned
from inferkit.routing.learned.features import BUCKETS, NAMES, PromptLooks, features_of, seen_in
from inferkit.routing.learned.fitting import fit_router
from inferkit.routing.learned.gate import mean_at_most, worse_at_most
from inferkit.routing.learned.outcomes import Case, Outcome, read_outcomes
from inferkit.routing.learned.regression import fit, folds_of, out_of_fold, predict
from inferkit.routing.learned.router import read_router, write_router
from inferkit.testing import FakeProvider, make_request

EASY = ["Where is my order", "Reset my password", "What are your opening hours", "Cancel my subscription"]
HARD = ["Compare these two contracts", "Prove that the sum converges", "Plan the migration", "Explain this deadlock"]
SECRET = "xylophone"


def cases(number=1500, *, easy=0.985, hard=0.35, large=0.97, small_usd=0.0001, seed=5):
    chance = random.Random(seed)
    found = []
    for place in range(number):
        is_hard = chance.random() < 0.5
        text = f"Hello, {chance.choice(HARD if is_hard else EASY)} {chance.choice(['today', 'now'])}? #{place} {SECRET}"
        small = chance.random() < (hard if is_hard else easy)
        outcomes = [Outcome("small:m", small, small_usd), Outcome("large:m", chance.random() < large, 0.003)]
        found.append(Case(PromptLooks(text, len(text)), {each.model: each for each in outcomes}))
    return found


@pytest.fixture(scope="module")
def fitted():
    return fit_router(cases(), loss=0.03)


def test_where_there_is_something_to_learn_it_saves_and_says_what_it_may_lose(fitted):
    assert fitted.refusal is None
    evidence = fitted.evidence
    assert evidence.saving_interval[0] < evidence.saving < evidence.saving_interval[1]
    assert evidence.saving > 0.4, "half of the questions are easy, and small is nearly free"
    assert evidence.loss_interval[0] <= evidence.loss <= evidence.loss_interval[1]
    assert evidence.loss <= evidence.loss_at_most <= 0.03
    assert evidence.gain_over_chance > 0.05, "by chance, as many calls to small would lose a fifth of half of them"


def test_what_is_promised_holds_for_calls_to_come(fitted):
    new = cases(3000, seed=77)
    router = fitted.router
    chosen = [router.judge(case.seen)[0] for case in new]
    lost = [case.outcomes["large:m"].good - case.outcomes[one].good for case, one in zip(new, chosen, strict=True)]
    saved = 1 - sum(case.outcomes[one].usd for case, one in zip(new, chosen, strict=True)) / (3000 * 0.003)
    assert sum(lost) / 3000 <= fitted.evidence.loss_at_most
    assert abs(saved - fitted.evidence.saving) < 0.05
    assert router.judge(PromptLooks("Please reset my password now", 28))[0] == "small:m"
    assert router.judge(PromptLooks("Prove that the sum converges", 28))[0] == "large:m"


@pytest.mark.parametrize(
    ("outcomes", "why"),
    [
        ({"easy": 0.65, "hard": 0.65, "loss": 0.01}, "it may lose up to"),  # nothing to learn, and a third lost
        (
            {"easy": 0.9, "hard": 0.4, "loss": 0.01, "number": 800},
            "it may lose up to",
        ),  # something to learn, but not enough
        ({"easy": 0.93, "hard": 0.93, "loss": 0.12, "number": 1000}, None),  # all may go to small
        ({"small_usd": 0.003}, "it is not certain that it saves anything"),
    ],
)
def test_a_router_that_does_not_clear_its_gate_is_refused(outcomes, why):
    bound = outcomes.pop("loss", 0.03)
    found = fit_router(cases(**outcomes), loss=bound)
    if why is None:
        assert found.refusal is None
        assert found.evidence.shares["small:m"] > 0.9
    else:
        assert why in found.refusal
        assert found.router.evidence["cleared"] is False


def test_a_share_of_calls_by_chance_is_no_router():
    """A few calls to a bad model cost little quality; a router that sends any few is not worth its name."""
    found = fit_router(cases(2000, easy=0.65, hard=0.65), loss=0.08)
    assert found.evidence.loss_at_most <= 0.08
    assert found.refusal == "it is not certain that it chooses any better than chance would"


def test_three_models_are_chosen_among_by_cost():
    chance, found = random.Random(3), []
    for case in cases(1500):
        middle = Outcome("middle:m", chance.random() < 0.96, 0.001)
        found.append(Case(case.seen, {**case.outcomes, "middle:m": middle}))
    done = fit_router(found, loss=0.06)
    assert done.router.models == ("small:m", "middle:m", "large:m")
    assert done.refusal is None
    assert done.evidence.shares["middle:m"] > 0.2
    assert done.evidence.saving > 0.6


def test_the_fit_is_that_of_a_logistic_regression():
    chance = np.random.default_rng(1)
    rows = chance.normal(size=(4000, 3))
    truth = np.array([0.4, 1.5, -2.0, 0.0])
    targets = (chance.random(4000) < predict(truth, rows)).astype(float)
    weights = fit(rows, targets, 1e-6)
    assert np.abs(weights - truth).max() < 0.2
    assert abs(predict(weights, rows).mean() - targets.mean()) < 1e-6
    shrunk = fit(rows, targets, 1e4)
    assert np.abs(shrunk[1:]).max() < 0.2 * np.abs(weights[1:]).max()
    folds = folds_of(4000, 5, 0)
    assert sorted(np.bincount(folds)) == [800] * 5
    likely, _ = out_of_fold(rows, targets, folds, [0.1, 1000.0])
    assert ((likely > 0.5) == targets).mean() > 0.75


def test_the_bounds_hold_as_often_as_they_say():
    chance = np.random.default_rng(2)
    broken = {"mean": 0, "worse": 0}
    for _ in range(300):
        lost = chance.choice([1.0, 0.0, -1.0], size=400, p=[0.05, 0.92, 0.03])
        broken["mean"] += mean_at_most(lost, 0.05) < 0.02
        broken["worse"] += worse_at_most(int((lost > 0).sum()), 400, 0.05) < 0.05
    assert broken["mean"] <= 300 * 0.05
    assert broken["worse"] <= 300 * 0.08, "five of a hundred, as far as three hundred trials can tell"
    assert worse_at_most(0, 400, 0.05) > 0.005


def test_features_are_few_numbers_of_the_size_of_one_and_buckets():
    for text in ("", "?", "Wo ist meine Bestellung?", "x" * 100_000, "def f(x):\n    return x\n" * 500, "日本語" * 50):
        numbers, words = features_of(PromptLooks(text, len(text)))
        assert len(numbers) == len(NAMES)
        assert all(-1 <= each <= 11 for each in numbers), numbers
        assert all(0 <= word < BUCKETS for word in words)
        assert words == sorted(set(words))
    german, english = (
        dict(zip(NAMES, features_of(PromptLooks(text, 20))[0], strict=True)) for text in ("wie ist das", "what is it")
    )
    assert german["german"] > german["english"]
    assert english["english"] > english["german"]


def test_a_request_is_seen_as_a_recorded_outcome_is():
    row = {
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}],
        "model": "a:m",
        "good": True,
        "usd": 1,
        "schema": True,
    }
    (case,) = read_outcomes([json.dumps(row)])
    messages = (Message.system("Be brief."), Message.user("Where is it?"))
    assert seen_in(make_request().replace(messages=messages, response_schema={})) == case.seen


def test_a_file_has_no_word_of_any_prompt_and_is_read_as_it_was_written(fitted, tmp_path):
    write_router(fitted.router, tmp_path / "router.json")
    text = (tmp_path / "router.json").read_text("utf-8")
    for word in (SECRET, "password", "converges", "Hello"):
        assert word not in text
    again = read_router(tmp_path / "router.json")
    for case in cases(50, seed=9):
        assert again.judge(case.seen)[0] == fitted.router.judge(case.seen)[0]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda body: body.update(threshold=0.0), "was changed or is damaged"),
        (lambda body: body.update(version=2), "of another version"),
        (lambda body: body["features"].update(buckets=2), "of another version"),
        (lambda body: body.update(format="other"), "is no router"),
        (lambda body: body.clear(), "is no router"),
    ],
)
def test_a_file_that_was_changed_is_refused(fitted, tmp_path, change, what):
    file = tmp_path / "router.json"
    write_router(fitted.router, file)
    body = json.loads(file.read_text("utf-8"))
    change(body)
    file.write_text(json.dumps(body), "utf-8")
    with pytest.raises(ConfigurationError, match=what):
        Learned(file)


def test_a_file_that_is_none_or_did_not_clear_its_gate_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Learned(tmp_path / "nowhere.json")
    (tmp_path / "text.json").write_text("{", "utf-8")
    with pytest.raises(ConfigurationError, match="is no router"):
        Learned(tmp_path / "text.json")
    bad = fit_router(cases(200, easy=0.5, hard=0.5), loss=0.01)
    write_router(bad.router, tmp_path / "bad.json")
    with pytest.raises(ConfigurationError, match="did not clear its gate"):
        Learned(tmp_path / "bad.json")


def test_a_client_asks_whom_the_router_says_and_goes_on_to_the_dearer(fitted, tmp_path):
    write_router(fitted.router, tmp_path / "router.json")
    policy = Learned(tmp_path / "router.json")
    with Client(
        providers={name: FakeProvider(f"from {name}") for name in ("small", "large", "other")},
        models={"auto": ["other:m", "large:m", "small:m"]},
        prices={"small:m": Price("0.1", "0.4"), "large:m": Price("2", "8")},
        routes=policy,
        cache=False,
        ledger=False,
    ) as llm:
        assert llm.complete("auto", "Please reset my password now").text == "from small"
        assert llm.complete("auto", "Prove that the sum converges").text == "from large"
        easy = llm.explain("auto", "Please reset my password now")
        assert [each.name for each in easy.candidates] == ["small:m", "large:m", "other:m"]
        assert easy.candidates[0].why[0].startswith("learned: likely to suffice: ")
        hard = llm.explain("auto", "Prove that the sum converges")
        assert [each.name for each in hard.candidates] == ["large:m", "small:m", "other:m"]
        assert hard.candidates[2].why == ("learned: the router does not know it",)

        everything = fit_router(cases(600, easy=0.99, hard=0.99, seed=8), loss=0.1)
        write_router(everything.router, tmp_path / "router.json")
        policy.reload()
        assert llm.complete("auto", "Prove that the sum converges").text == "from small"
        (tmp_path / "router.json").write_text("{}", "utf-8")
        with pytest.raises(ConfigurationError):
            policy.reload()
        assert llm.complete("auto", "Prove that the sum converges").text == "from small", "as before"


ROW = {"prompt": "Hello?", "model": "a:m", "good": True, "usd": 0.1}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "line 2 is no JSON object"),
        ("[]", "line 2 is no JSON object"),
        (json.dumps({**ROW, "prompt": ""[:0] or 3}), 'line 2: it needs a "prompt"'),
        (json.dumps({**ROW, "prompt": [{"role": "user"}]}), 'line 2: it needs a "prompt"'),
        (json.dumps({**ROW, "good": "yes"}), 'line 2: "good" says how good'),
        (json.dumps({**ROW, "good": 2}), 'line 2: "good" says how good'),
        (json.dumps({**ROW, "usd": -1}), 'line 2: it needs a "model"'),
        (json.dumps({"prompt": "x", "good": 1, "call": "c1"}), "name that, too"),
    ],
)
def test_an_outcome_that_makes_no_sense_is_named_by_its_line(line, what):
    with pytest.raises(ConfigurationError, match=what):
        read_outcomes([json.dumps(ROW), line], name="outcomes.jsonl")


def test_too_few_outcomes_are_refused_with_what_there_is():
    with pytest.raises(ConfigurationError, match="50 of 50 questions were answered by all of small:m, large:m"):
        fit_router(cases(50), loss=0.02)
    with pytest.raises(ConfigurationError, match="no outcomes of other:m; the outcomes are of: large:m, small:m"):
        fit_router(cases(200), loss=0.02, models=["small:m", "other:m"])
    with pytest.raises(ConfigurationError, match="two models at least"):
        fit_router(cases(200), loss=0.02, models=["small:m"])
    with pytest.raises(ConfigurationError, match="shares, between 0 and 1"):
        fit_router(cases(200), loss=2)
