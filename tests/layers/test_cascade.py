"""A small model answers what it can, a larger one the rest: judged, charged and traced."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from decimal import Decimal

import pytest

from inferkit import (
    Budget,
    BudgetExceeded,
    Chunk,
    Client,
    ConfigurationError,
    ContentFiltered,
    DeadlineExceeded,
    Insert,
    InvalidRequest,
    Price,
    Unavailable,
    Usage,
)
from inferkit.core.chunks import TokenLogprob
from inferkit.routing import Cascade, Fits, When, confidence, is_valid
from inferkit.testing import FakeProvider
from worlds import closing

PRICES = {"small:m": Price(1, 1), "large:m": Price(10, 10)}
MODELS = {"any": ["small:m", "large:m"]}


def sure(text, logprob):
    """Give a script whose words come with a log-probability."""
    words = [Chunk(text=word, logprobs=(TokenLogprob(word, logprob),)) for word in text.split(" ")]
    return [*words, Chunk(finish_reason="stop", usage=Usage(10, len(words)))]


def settings(small, large, cascade, **more):
    found = {"providers": {"small": small, "large": large}, "models": MODELS, "prices": PRICES, "routes": cascade}
    return {**found, "cache": False, "ledger": False, "max_retries": 0, **more}


def long_enough(_, reply):
    return len(reply.text) > 10


def test_a_reply_that_is_good_enough_is_taken_and_nobody_else_is_asked(world):
    small, large = FakeProvider("a long enough reply"), FakeProvider("from large")

    async def body(world):
        async with closing(world.client(**settings(small, large, Cascade(long_enough)))) as llm:
            return await llm.complete("any", "Hello?")

    reply = world.run(body)
    assert (reply.text, reply.provider) == ("a long enough reply", "small")
    assert large.requests == []
    assert [attempt.kind for attempt in reply.attempts] == ["primary"]


def test_one_that_is_not_is_asked_of_the_next_and_both_are_charged(world):
    small, large = FakeProvider("short"), FakeProvider("from the large one")

    async def body(world):
        async with closing(world.client(**settings(small, large, Cascade(long_enough)))) as llm:
            async with llm.stream("any", "Hello?") as stream:
                chunks = [chunk.text async for chunk in stream]
            return chunks, stream.reply

    chunks, reply = world.run(body)
    assert "".join(chunks) == reply.text == "from the large one", "nothing of the other one is handed on"
    assert [(attempt.provider, attempt.kind) for attempt in reply.attempts] == [
        ("small", "primary"),
        ("large", "escalation"),
    ]
    assert reply.cost_nanos == sum(attempt.cost_nanos for attempt in reply.attempts) > 0
    assert small.open_streams == large.open_streams == 0


@pytest.mark.parametrize(("logprob", "served"), [(-0.05, "small"), (-1.0, "large")])
def test_confidence_is_asked_for_and_judged_of_those_that_are_judged_alone(logprob, served):
    small, large = FakeProvider(sure("yes it is", logprob)), FakeProvider("from large")
    with Client(**settings(small, large, Cascade(confidence, threshold=0.9))) as llm:
        assert llm.complete("any", "Hello?").provider == served
    assert [request.logprobs for request in small.requests] == [True]
    assert [request.logprobs for request in large.requests] == ([] if served == "small" else [None])


def test_a_reply_of_which_nothing_is_known_is_not_good_enough():
    with Client(**settings(FakeProvider("hm"), FakeProvider("sure"), Cascade(confidence, threshold=0.1))) as llm:
        assert llm.complete("any", "Hello?").text == "sure"


@dataclass
class Order:
    number: str


@pytest.mark.parametrize(
    ("said", "served"), [('{"number": "A-1"}', "small"), ("I do not know.", "large"), ('{"number": 5', "large")]
)
def test_a_valid_object_of_the_small_model_is_taken(said, served):
    small, large = FakeProvider([said]), FakeProvider(['{"number": "A-2"}'])
    with Client(**settings(small, large, Cascade(is_valid))) as llm:
        reply = llm.complete("any", "Which order?", schema=Order)
    assert reply.provider == served
    assert reply.parsed == Order("A-1" if served == "small" else "A-2")


def test_the_last_one_is_mended_like_any_other_reply():
    small, large = FakeProvider(["no"]), FakeProvider(["neither"], ['{"number": "A-2"}'])
    with Client(**settings(small, large, Cascade(is_valid))) as llm:
        reply = llm.complete("any", "Which order?", schema=Order, repair=1)
    assert reply.parsed == Order("A-2")
    assert [attempt.kind for attempt in reply.attempts] == ["primary", "escalation", "repair"]
    assert len(small.requests) == 1, "the repair asks whoever gave the reply"


@pytest.mark.parametrize(("text", "served"), [("Yes.", "small"), ("", "large"), ("  ", "large")])
def test_without_a_schema_a_whole_reply_is_valid(text, served):
    small = FakeProvider([Chunk(text=text), Chunk(finish_reason="stop", usage=Usage(1, 1))])
    with Client(**settings(small, FakeProvider("large"), Cascade(is_valid))) as llm:
        assert llm.complete("any", "Hello?").provider == served
    cut = FakeProvider([Chunk(text="Yes and"), Chunk(finish_reason="length", usage=Usage(1, 1))])
    with Client(**settings(cut, FakeProvider("large"), Cascade(is_valid))) as llm:
        assert llm.complete("any", "Hello?").provider == "large"


def test_a_judge_may_wait(world):
    seen = []

    async def judge(request, reply):
        await request.runtime.sleep(0)
        seen.append(reply.text)
        return 0.3 if reply.text == "weak" else 0.7

    async def body(world):
        cascade = Cascade(judge, threshold=0.5)
        async with closing(
            world.client(**settings(FakeProvider("weak", "strong"), FakeProvider("large"), cascade))
        ) as llm:
            return [(await llm.complete("any", "Hello?")).text for _ in range(2)]

    assert world.run(body) == ["large", "strong"]
    assert seen == ["weak", "strong"]


def test_a_small_model_that_fails_is_passed_by(caplog):
    caplog.set_level(logging.INFO, "inferkit")
    small = FakeProvider(Unavailable("down", provider="small"), InvalidRequest("cannot", provider="small"))
    with Client(**settings(small, FakeProvider("large"), Cascade(confidence, threshold=0.5))) as llm:
        replies = [llm.complete("any", "Hello?") for _ in range(2)]
    assert [reply.text for reply in replies] == ["large"] * 2
    assert [attempt.kind for attempt in replies[0].attempts] == ["primary", "fallback"]
    told = [(record.levelname, record.message.split(": ", 1)[1]) for record in caplog.records]
    assert told == [
        ("INFO", "small:m gives no reply to judge (Unavailable)"),
        ("WARNING", "small:m gives no reply to judge (InvalidRequest)"),
    ]


def test_refused_content_goes_no_further():
    large = FakeProvider("large")
    small = FakeProvider(ContentFiltered("no", provider="small"))
    with Client(**settings(small, large, Cascade(is_valid))) as llm, pytest.raises(ContentFiltered):
        llm.complete("any", "Hello?")
    assert large.requests == []


def test_where_the_larger_one_fails_its_error_is_raised_or_the_reply_kept():
    down = Unavailable("down", provider="large")
    with Client(**settings(FakeProvider("short"), FakeProvider(down), Cascade(long_enough))) as llm:
        with pytest.raises(Unavailable) as caught:
            llm.complete("any", "Hello?")
        assert [attempt.kind for attempt in caught.value.attempts] == ["primary", "escalation"]
    with Client(**settings(FakeProvider("short"), FakeProvider(down), Cascade(long_enough, keep=True))) as llm:
        reply = llm.complete("any", "Hello?")
    assert (reply.text, reply.provider) == ("short", "small")
    nobody = settings(FakeProvider(down), FakeProvider(down), Cascade(long_enough, keep=True))
    with Client(**nobody) as llm, pytest.raises(Unavailable):
        llm.complete("any", "Hello?")


def test_a_budget_that_does_not_cover_the_larger_one_loses_nothing_of_what_was_paid(tmp_path):
    budget = Budget(usd="0.001", per="month", name="all")
    prices = {"small:m": Price(1, 1), "large:m": Price(10_000, 10_000)}
    more = {"ledger": tmp_path / "ledger.db", "budget": budget, "prices": prices}
    small, large = FakeProvider("short"), FakeProvider("large")
    with Client(**settings(small, large, Cascade(long_enough), **more)) as llm:
        with pytest.raises(BudgetExceeded) as caught:
            llm.complete("any", "Hello?", max_output_tokens=50)
        assert [attempt.cost_nanos for attempt in caught.value.attempts] == [2_000]
        assert budget.usage(ledger=llm.ledger).usd == Decimal("0.000002")
    with Client(**settings(small, large, Cascade(long_enough, keep=True), **more)) as llm:
        reply = llm.complete("any", "Hello?", max_output_tokens=50)
        assert (reply.text, reply.provider, reply.cost_nanos) == ("short", "small", 2_000)
        assert budget.usage(ledger=llm.ledger).usd == Decimal("0.000004")
    assert large.requests == []


THREE = {"any": ["small:m", "middle:m", "large:m"]}


def three(small, middle, large, cascade, **more):
    found = settings(small, large, cascade, **more)
    found["providers"] = {"small": small, "middle": middle, "large": large}
    return {**found, "models": THREE}


def scarce(tmp_path, *, middle, large):
    """Give settings under which a budget covers a model that costs 1, and none that costs 10,000."""
    prices = {"small:m": Price(1, 1), "middle:m": Price(middle, middle), "large:m": Price(large, large)}
    return {
        "ledger": tmp_path / "ledger.db",
        "budget": Budget(usd="0.001", per="month", name="all"),
        "prices": prices,
    }


@pytest.mark.parametrize("keep", [True, False])
def test_a_third_model_is_asked_where_the_budget_does_not_cover_the_second(tmp_path, caplog, keep):
    caplog.set_level(logging.INFO, "inferkit")
    small, middle, large = FakeProvider("short"), FakeProvider("middle"), FakeProvider("from the large one")
    more = scarce(tmp_path, middle=10_000, large=1)
    with Client(**three(small, middle, large, Cascade(long_enough, keep=keep), **more)) as llm:
        reply = llm.complete("any", "Hello?", max_output_tokens=50)
        assert (reply.text, reply.provider) == ("from the large one", "large")
        assert more["budget"].usage(ledger=llm.ledger).usd == reply.cost
    assert [(attempt.name, attempt.kind) for attempt in reply.attempts] == [
        ("small:m", "primary"), ("large:m", "escalation"),
    ]  # fmt: skip
    assert middle.requests == []
    assert [record.message.split(": ", 1)[1] for record in caplog.records] == [
        "the reply of small:m is not good enough, and middle:m is asked",
        "middle:m gives no reply to judge (BudgetExceeded: budget all)",
    ]


def test_where_a_budget_covers_no_larger_one_the_reply_is_kept_and_everything_booked(tmp_path, caplog):
    caplog.set_level(logging.INFO, "inferkit")
    small, nobody = FakeProvider("short"), FakeProvider("not asked")
    more = scarce(tmp_path, middle=10_000, large=20_000)
    with Client(**three(small, nobody, nobody, Cascade(long_enough, keep=True), **more)) as llm:
        reply = llm.complete("any", "Hello?", max_output_tokens=50)
        assert (reply.text, reply.provider, reply.cost_nanos) == ("short", "small", 2_000)
        assert more["budget"].usage(ledger=llm.ledger).usd == Decimal("0.000002")
    assert nobody.requests == []
    assert caplog.records[-1].message.split(": ", 1)[1] == (
        "large:m gives no reply (BudgetExceeded: budget all), and that of small:m is handed on, which is not good "
        "enough"
    )
    with Client(**three(FakeProvider("short"), nobody, nobody, Cascade(long_enough), **more)) as llm:
        with pytest.raises(BudgetExceeded):
            llm.complete("any", "Hello?", max_output_tokens=50)
        assert more["budget"].usage(ledger=llm.ledger).usd == Decimal("0.000004")


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (ContentFiltered("no", provider="middle"), False),  # nobody else is asked for what one refused
        (DeadlineExceeded(), False),
        (InvalidRequest("cannot", provider="middle"), True),
        (Unavailable("down", provider="middle"), True),
        (ConfigurationError("its wire has no form for this"), False),
    ],
)
def test_a_reply_is_kept_whatever_becomes_of_the_models_after_it(world, error, asked):
    small, middle = FakeProvider("short"), FakeProvider(error)
    large = FakeProvider(Unavailable("down", provider="large"))
    seen = []

    async def look(request, call_next):
        response = await call_next(request)
        seen.extend(dict(event.attributes) for event in request.record.events if event.name == "cascade")
        return response

    async def body(world):
        more = {"layers": [Insert(look, before="route")]}
        async with closing(world.client(**three(small, middle, large, Cascade(long_enough, keep=True), **more))) as llm:
            return await llm.complete("any", "Hello?")

    reply = world.run(body)
    assert (reply.text, reply.provider, bool(large.requests)) == ("short", "small", asked)
    assert seen[0] == {"target": "small:m", "accepted": False}
    assert seen[-1]["kept"] == "small:m"
    assert seen[1]["error"] == type(error).__name__


def test_the_last_reply_that_was_judged_is_kept_with_all_that_is_known_of_it(tmp_path):
    down = Unavailable("down", provider="large")
    small, middle, large = FakeProvider("one", "one"), FakeProvider("two", "two"), FakeProvider(down, down)
    more = {"cache": True, "home": tmp_path}
    with Client(**three(small, middle, large, Cascade(long_enough, keep=True), **more)) as llm:
        replies = [llm.complete("any", "Hello?") for _ in range(2)]
    assert [(reply.text, reply.provider) for reply in replies] == [("two", "middle")] * 2
    assert len(small.requests) == 2, "nobody is given again what was not good enough"


def test_a_larger_model_that_breaks_before_it_is_judged_leaves_the_smaller_ones_reply():
    small = FakeProvider("short")
    middle = FakeProvider(["from the", Unavailable("broke", provider="middle")])
    large = FakeProvider(Unavailable("down", provider="large"))
    with Client(**three(small, middle, large, Cascade(long_enough, keep=True))) as llm:
        reply = llm.complete("any", "Hello?")
    assert (reply.text, reply.provider) == ("short", "small")
    assert [(attempt.kind, attempt.outcome) for attempt in reply.attempts] == [
        ("primary", "completed"), ("escalation", "error"), ("escalation", "error"),
    ]  # fmt: skip


def test_what_was_found_is_in_the_trace():
    seen = []

    async def look(request, call_next):
        response = await call_next(request)
        seen.extend((event.name, dict(event.attributes)) for event in request.record.events if event.name == "cascade")
        return response

    def worth(_, reply):
        return len(reply.text) / 10

    cascade = Cascade(worth, threshold=0.8)
    more = {"layers": [Insert(look, before="route")]}
    with Client(**settings(FakeProvider("short", "long enough"), FakeProvider("large"), cascade, **more)) as llm:
        for _ in range(2):
            llm.complete("any", "Hello?")
    assert seen == [
        ("cascade", {"target": "small:m", "accepted": False, "worth": 0.5}),
        ("cascade", {"target": "small:m", "accepted": True, "worth": 1.1}),
    ]


def test_a_cascade_may_be_part_of_other_policies():
    small, large = FakeProvider("short"), FakeProvider("from large")
    policy = [Fits(), When(lambda request: request.user == "ana", Cascade(long_enough), "ordered")]
    with Client(**settings(small, large, policy)) as llm:
        assert llm.complete("any", "Hello?", user="ana").text == "from large"
        assert llm.complete("any", "Hello?", user="bob").text == "short"
        assert llm.complete("small:m", "Hello?", user="ana").text == "short", "there is nobody else to ask"


def test_extra_fields_are_for_whom_they_were_meant():
    small, large = FakeProvider("short"), FakeProvider("large")
    small.wire_name, large.wire_name = "chat", "anthropic"
    with Client(**settings(small, large, Cascade(long_enough))) as llm:
        llm.complete("any", "Hello?", extra={"top_k": 5, "anthropic": {"top_k": 7}})
    assert dict(large.requests[0].extra) == {"top_k": 7}


def test_replies_of_a_cascade_are_cached_whoever_gave_them(tmp_path):
    small, large = FakeProvider("short", "long enough to take"), FakeProvider("from large")
    more = {"cache": True, "home": tmp_path}
    with Client(**settings(small, large, Cascade(long_enough), **more)) as llm:
        for question in ("one", "one", "two", "two"):
            llm.complete("any", question)
    assert (len(small.requests), len(large.requests)) == (2, 1)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Cascade("confidence"), "Cascade takes a judge"),
        (lambda: Cascade(confidence), "needs a threshold"),
        (lambda: Cascade(is_valid, threshold="high"), "threshold is a number"),
        (lambda: Cascade(is_valid, threshold=True), "threshold is a number"),
        (lambda: Cascade(is_valid, policy="cheapst"), "a route is a policy"),
    ],
)
def test_a_cascade_that_makes_no_sense_is_refused(make, what):
    with pytest.raises(ConfigurationError, match=what):
        make()


def test_a_number_without_a_threshold_is_told_at_the_first_call():
    found = settings(FakeProvider("short"), FakeProvider("large"), Cascade(lambda *_: 0.5))
    with Client(**found) as llm, pytest.raises(ConfigurationError, match="there is no threshold="):
        llm.complete("any", "Hello?")
