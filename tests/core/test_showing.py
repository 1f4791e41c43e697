"""What objects show of themselves: what a person wants to know, no secret, no prompt, and no text unless asked to."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from inferkit import (
    Anthropic,
    AsyncClient,
    Attempt,
    Budget,
    Cache,
    Client,
    Gemini,
    Hedge,
    Insert,
    OpenAIChat,
    OpenAIResponses,
    Plan,
    Price,
    RateLimit,
    SqliteLedger,
    Usage,
)
from inferkit.caching.memory import MemoryTier
from inferkit.core.usage import UsageDetails
from inferkit.economics import Period, build_report
from inferkit.routing import Cascade, Cheapest, During, Fits, Weighted, When, is_valid
from inferkit.runtime import clock
from inferkit.telemetry import SpanCollector
from inferkit.testing import FakeProvider

PROMPT, ANSWER, KEY = "what is my secret prompt", "the answer <script>alert('x')</script> & more", "sk-very-secret"
PRICES = {"f:*": Price(input="1", output="2")}
EVERYTHING = Budget(usd="5", per="month", name="everything")


@pytest.fixture
def llm(tmp_path):
    with Client(
        providers={"f": FakeProvider(ANSWER), "openai": OpenAIChat(api_key=KEY)},
        models={"a": ["f:m", "f:n"], "b": "openai:gpt-5"},
        routes={"a": Cheapest(explore=0.0)},  # by chance it asks another first
        prices=PRICES,
        budget=EVERYTHING,
        plans=[Plan("pro", price="9", allowance="unlimited")],
        default_plan="pro",
        limits={"f:*": RateLimit(concurrent=9)},
        layers=[Insert(Hedge(after=5), before="limit")],
        home=tmp_path,
    ) as llm:
        yield llm


def test_a_client_says_what_it_is_set_up_with(llm, tmp_path):
    shown = repr(llm)
    assert shown.startswith(
        "Client(models=['a', 'b'], default='a', budgets=['everything'], plans=['pro'], ledger=Sqlite"
    )
    assert str(tmp_path / "replies") in shown
    llm.close()
    assert repr(llm).endswith("is_closed=True)")
    bare = AsyncClient(providers={"f": FakeProvider()}, models={"a": "f:m"}, ledger=False, cache=False)
    assert repr(bare) == "AsyncClient(models=['a'], default='a', ledger='none', cache='none')"


def test_each_layer_says_what_it_is(llm):
    shown = [repr(layer) for layer in llm.layers]
    assert not [each for each in shown if " object at 0x" in each]
    assert [each.partition("(")[0] for each in shown] == [
        "Trace", "Resolve", "Cache", "BudgetLayer", "Repair", "Route", "Retry", "Hedge", "LimitLayer", "TraceAttempt",
        "Meter",
    ]  # fmt: skip
    assert "Route(Routes(a: Cheapest()))" in shown
    assert "Retry(max_retries=2)" in shown
    assert "BudgetLayer(Plans(['pro'], default='pro'), on_store_error='block')" in shown
    assert repr(Cache(MemoryTier(), ttl=5)) == "Cache(MemoryTier(0 of at most 10000 replies), ttl=5)"
    assert repr(Cache()) == "Cache(no tier)"


@pytest.mark.parametrize(
    ("policy", "shown"),
    [
        (Cheapest(), "Cheapest()"),
        (Weighted({"f:m": 1}), "Weighted()"),
        (Fits(), "Fits()"),
        (When(lambda _: True, "cheapest"), "When(when(cheapest,ordered))"),
        (During("09:00", "17:00", "fastest"), "During("),
        (Cascade(is_valid), "Cascade(cascade(ordered))"),
    ],
)
def test_a_policy_says_what_it_is(policy, shown):
    assert repr(policy).startswith(shown)


def everything_of(llm):
    """Whatever of a call somebody may print."""
    reply = llm.complete("a", PROMPT, user="ana")
    yield reply
    yield from (reply.usage, reply.attempts, reply.chunks, reply.message, reply.tool_calls)
    stream = llm.stream("a", f"{PROMPT} 2")
    yield stream
    with stream:
        next(iter(stream))
        yield stream
        yield stream.reply
    yield stream
    yield llm.run_tools("a", f"{PROMPT} 3", tools=[len])
    with llm.stream_tools("a", f"{PROMPT} 4", tools=[len]) as running:
        yield running
        list(running)
        yield running
        yield running.run
    yield running
    yield llm.explain("a", PROMPT)
    yield from (llm, llm.layers, llm.models, llm.health(), llm.cache, llm.ledger, llm.plans, llm.plans.of(user="ana"))
    yield from (OpenAIChat(api_key=KEY), Anthropic(api_key=KEY), Gemini(api_key=KEY), OpenAIResponses(api_key=KEY))


def test_nothing_shows_a_prompt_a_reply_or_a_secret_and_nothing_is_an_address(llm):
    for thing in everything_of(llm):
        for shown in (repr(thing), str(thing), f"{thing}"):
            assert "secret" not in shown, shown
            assert "answer" not in shown, shown
            assert " object at 0x" not in shown, shown


def test_a_reply_and_a_stream_say_what_came_of_them(llm):
    reply = llm.complete("a", PROMPT)
    assert repr(reply) == (
        f"Reply({len(ANSWER)} characters, model='f:m', finish_reason='stop', "
        f"input_tokens={reply.usage.input_tokens}, output_tokens={reply.usage.output_tokens}, "
        f"cost='${reply.cost:f}', cache='miss', id='{reply.id}')"
    )
    assert "cache='hit'" in repr(llm.complete("a", PROMPT))
    stream = llm.stream("a", f"{PROMPT} 2")
    assert repr(stream).startswith("Stream(not begun, id=")
    with stream:
        assert repr(stream).startswith("Stream(open, 0 chunks, 0 characters")
        list(stream)
        assert "finish_reason='stop', model='f:m'" in repr(stream)
    assert repr(stream).startswith("Stream(closed, ")


def test_a_reply_shows_its_text_to_those_who_choose_so(llm, monkeypatch):
    reply = llm.complete("a", PROMPT)
    for chosen, told in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("INFERKIT_SHOW_TEXT", chosen)
        assert ("the answer <script>" in repr(reply)) == told
        assert PROMPT not in repr(reply)


def test_usage_and_attempts_say_what_is_not_as_usual():
    assert repr(Usage()) == "Usage()"
    usage = Usage(7, 2, reasoning_tokens=1, estimated=True, details=UsageDetails(service_tier="flex"))
    assert repr(usage) == (
        "Usage(input_tokens=7, output_tokens=2, reasoning_tokens=1, estimated=True, "
        "details=UsageDetails(service_tier='flex'))"
    )
    assert eval(repr(usage)) == usage
    attempt = Attempt(2, "retry", "f", "m", "error", Usage(5), 1_500_000, "stated", 0.25, error="Unavailable")
    assert repr(attempt) == (
        "Attempt(2, retry, f:m, error, error='Unavailable', input_tokens=5, output_tokens=0, cost='$0.0015', "
        "seconds=0.25)"
    )


@pytest.mark.parametrize(
    "thing",
    [
        EVERYTHING,
        Budget(calls=5, per=timedelta(hours=1), name="x", each="user", warn_at=("0.8",), within=EVERYTHING),
        Plan("pro", price="99", allowance=Budget(usd="5"), per_seat=True, seats=3),
    ],
)
def test_budgets_and_plans_are_written_as_one_would_make_them(thing):
    assert eval(repr(thing), {"datetime": dt, "Budget": Budget, "Plan": Plan}) == thing
    assert "None" not in repr(thing)


class Markup(HTMLParser):
    """Reads HTML as a browser does: which tags there are, and what text is seen."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.seen = [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        assert not [name for name, _ in attributes if name not in ("style", "class")]

    def handle_data(self, data):
        self.seen += data


def test_a_notebook_shows_a_reply_as_text_and_runs_nothing_of_it(llm):
    evil = "</pre><img src=x onerror=alert(1)><script>alert('x')</script>"
    provider = FakeProvider(evil)
    models = {"a": f"f:{evil[6:]}"}
    with Client(providers={"f": provider}, models=models, prices=PRICES, ledger=False, cache=False) as other:
        found = Markup(other.complete("a", PROMPT)._repr_html_())
    assert evil in found.seen
    assert not set(found.tags) & {"script", "img"}
    assert "cost" in found.seen
    found = Markup(llm.explain("a", PROMPT)._repr_html_())
    assert "cheapest" in found.seen
    assert PROMPT not in found.seen


def test_a_notebook_shows_budgets_plans_and_what_is_left_of_them(llm):
    llm.complete("a", PROMPT)
    assert "5per month (UTC)" in Markup(EVERYTHING._repr_html_()).seen.replace("dollars", "").replace("period", "")
    assert "dollars4.9" in Markup(EVERYTHING.remaining(ledger=llm.ledger)._repr_html_()).seen
    assert "held by running calls" in Markup(EVERYTHING.usage(ledger=llm.ledger)._repr_html_()).seen
    plan = Plan("<b>team", price="20", per_seat=True, seats=2, allowance=Budget(usd="1", calls=5), pooled=True)
    seen = Markup(plan._repr_html_()).seen
    assert "Plan <b>team" in seen
    assert "20 dollars per month for each of 2 seats" in seen
    assert "shared by all users of a tenant" in seen


def test_a_notebook_shows_a_ledger_with_what_was_spent_and_by_whom(llm, tmp_path):
    llm.complete("a", PROMPT, user="<i>ana", cache="bypass")
    found = Markup(llm.ledger._repr_html_())
    assert "SqliteLedger(" in found.seen
    assert re.search(r"the last 24 hours1 call, \$0\.0\d+accountlatest period", found.seen)
    assert re.search(r"everythingmonth:\d{4}-\d\d-01\$0\.0\d+", found.seen)
    assert not {"i", "script"} & set(found.tags)
    assert not [each for each in (PROMPT, KEY, ANSWER) if each in found.seen]
    assert "0 calls, $0" in Markup(SqliteLedger(tmp_path / "new")._repr_html_()).seen
    (tmp_path / "broken").write_bytes(b"These are no rows." * 99)
    assert "cannot be read" in Markup(SqliteLedger(tmp_path / "broken", open_now=False)._repr_html_()).seen


def test_a_notebook_shows_reports_and_traces(llm, tmp_path):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from inferkit.telemetry import Telemetry

    llm.complete("a", PROMPT, user="<i>ana", cache="bypass")
    now = dt.datetime.fromtimestamp(clock.time(), dt.UTC)
    report = build_report(llm.ledger, Period(now - timedelta(days=1), now + timedelta(days=1), "UTC"), plans=[])
    assert "1 calls" in repr(report)
    found = Markup(report._repr_html_())
    assert "<i>ana" in found.seen
    assert "i" not in found.tags
    collector, tracers = SpanCollector(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(collector))
    settings = {"providers": {"f": FakeProvider()}, "models": {"a": "f:<u>m"}, "ledger": False, "cache": False}
    with Client(**settings, telemetry=Telemetry(tracer_provider=tracers)) as other:
        other.complete("a", PROMPT)
    tracers.shutdown()
    assert repr(collector) == f"SpanCollector({len(collector.spans)} spans)"
    found = Markup(collector._repr_html_())
    assert "inferkit.call" in found.seen
    assert "<u>m" in found.seen
    assert "u" not in found.tags


def test_an_async_stream_shows_itself_too():
    async def main():
        settings = {"providers": {"f": FakeProvider(ANSWER)}, "models": {"a": "f:m"}, "ledger": False, "cache": False}
        async with AsyncClient(**settings) as llm:
            stream = llm.stream("a", PROMPT)
            assert repr(stream).startswith("AsyncStream(not begun")
            async with stream:
                assert repr(stream).startswith("AsyncStream(open")
            tools = llm.stream_tools("a", PROMPT, tools=[len])
            async with tools:
                assert repr(tools) == "AsyncToolStream(open, 0 rounds)"

    asyncio.run(main())
