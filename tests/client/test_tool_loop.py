"""`run_tools`: calls, and the functions that the model asks for in between, until it asks for none."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode
from pydantic import BaseModel

from inferkit import (
    AsyncClient,
    Budget,
    BudgetExceeded,
    Cache,
    Chunk,
    Client,
    ConfigurationError,
    DeadlineExceeded,
    InvalidReply,
    Message,
    Price,
    ProviderError,
    Tool,
    ToolCallDelta,
    ToolCallPart,
    ToolRoundsExceeded,
    Unavailable,
    Usage,
    budget,
)
from inferkit.caching.memory import MemoryTier
from inferkit.core.messages import ToolResultPart
from inferkit.runtime import clock
from inferkit.telemetry import SpanCollector, Telemetry
from inferkit.testing import FakeProvider
from worlds import Gate, closing, world_on_a_loop

PRICE = Price(input="1", output="10")


def asks(*calls, usage=Usage(10, 5)):  # noqa: B008
    """Play a reply that asks for these functions: their names with their arguments."""
    pieces = [
        Chunk(tool_calls=(ToolCallDelta(place, f"c{place}", name, json.dumps(arguments)),))
        for place, (name, arguments) in enumerate(calls)
    ]
    return [*pieces, Chunk(finish_reason="tool_calls"), Chunk(usage=usage)]


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@dataclass
class Place:
    name: str


def where(number: str) -> Place:
    """Find an order."""
    return Place(f"near {number}")


def fails(secret: str) -> str:
    """Fail."""
    raise ValueError(f"no {secret}\nand a second line")


def says_nothing() -> None:
    """Raise nothing but its type."""
    raise KeyError


def client(world, *scripts, **settings):
    provider = FakeProvider(*scripts)
    settings.setdefault("prices", {"f:m": PRICE})
    return provider, closing(world.client(providers={"f": provider}, models={"any": "f:m"}, **settings))


def run(world, tools, *scripts, settings=None, **options):
    provider, made = client(world, *scripts, **(settings or {}))

    async def body(world):
        async with made as llm:
            return await llm.run_tools("any", "Hi", tools=tools, **options)

    return world.run(body), provider


def results(request):
    return [part for one in request.messages for part in one.parts if isinstance(part, ToolResultPart)]


def test_functions_are_run_until_the_model_asks_for_none(world):
    done, provider = run(
        world,
        [add, where],
        asks(("add", {"a": 2})),
        asks(("where", {"number": "A"}), ("add", {"a": 2, "b": 3})),
        "Done.",
    )
    assert done.text == done.reply.text == "Done."
    assert [one.role for one in done.messages] == [
        "user", "assistant", "tool", "assistant", "tool", "tool", "assistant",
    ]  # fmt: skip
    assert done.messages[-1] == done.reply.message
    assert [(one.id, one.content, one.is_error) for one in results(provider.requests[2])] == [
        ("c0", "3", False), ("c0", '{"name":"near A"}', False), ("c1", "5", False),
    ]  # fmt: skip
    assert all([tool.name for tool in one.tools] == ["add", "where"] for one in provider.requests)
    assert len({one.record.id for one in provider.requests}) == 3


def test_a_conversation_goes_on(world):
    provider, made = client(world, asks(("add", {"a": 2})), "Three.", "You are welcome.")

    async def body(world):
        async with made as llm:
            first = await llm.run_tools(messages=[Message.user("2 + 1?")], tools=[add], model="any")
            return await llm.run_tools([*first.messages, Message.user("Thanks.")], tools=[add])

    assert world.run(body).text == "You are welcome."
    assert [one.role for one in provider.requests[2].messages] == ["user", "assistant", "tool", "assistant", "user"]


def test_a_function_that_raises_is_told_without_more_than_its_first_line(world):
    asked = asks(("fails", {"secret": "luck"}), ("says_nothing", {}))
    _, provider = run(world, [fails, says_nothing], asked, "Oh.")
    assert [(one.content, one.is_error) for one in results(provider.requests[1])] == [
        ("ValueError: no luck", True), ("KeyError", True),
    ]  # fmt: skip


def test_arguments_that_do_not_fit_and_tools_that_are_not_there_are_told(world):
    asked = asks(("add", {"a": "two", "c": 1}), ("subtract", {}))
    _, provider = run(world, [add, where], asked, "Oh.")
    first, second = results(provider.requests[1])
    assert first.content.startswith("The arguments do not fit:\n- a: Input should be a valid integer")
    assert second.content == "There is no such tool. There are: add, where"
    assert (first.is_error, second.is_error) == (True, True)


def test_the_caller_may_have_errors_raised(world):
    with pytest.raises(ValueError, match="no luck"):
        run(world, [fails], asks(("fails", {"secret": "luck"})), on_tool_error="raise")
    with pytest.raises(InvalidReply, match=r"the arguments of add do not fit: a \(missing\)"):
        run(world, [add], asks(("add", {})), on_tool_error="raise")


def test_rounds_are_limited_and_what_was_said_is_not_lost(world):
    count = []

    def tick() -> int:
        """Count."""
        count.append(1)
        return len(count)

    with pytest.raises(ToolRoundsExceeded, match="still asks for functions after 3 rounds") as caught:
        run(world, [tick], asks(("tick", {})), max_rounds=3)
    done = caught.value.run
    assert len(count) == 2
    assert [one.role for one in done.messages] == ["user", *["assistant", "tool"] * 2, "assistant"]
    assert (caught.value.request_id, caught.value.attempts) == (done.reply.id, done.reply.attempts)
    assert len(done.attempts) == len(done.rounds) == 3


def test_an_object_may_be_asked_for_at_the_end(world):
    class Sum(BaseModel):
        value: int

    done, provider = run(world, [add], asks(("add", {"a": 2})), '{"value": 3}', schema=Sum)
    assert done.parsed == done.reply.parsed == Sum(value=3)
    assert [one.response_schema is not None for one in provider.requests] == [True, True]


def test_a_run_tells_of_all_its_rounds(world):
    done, _ = run(
        world,
        [add],
        asks(("add", {"a": 2}), ("add", {"a": 5}), usage=Usage(10, 5)),
        asks(("add", {"a": "x"}), usage=Usage(20, 3)),
        ["Done.", Chunk(usage=Usage(30, 2))],
    )
    assert [[one.content for one in each.results] for each in done.rounds][:1] == [["3", "6"]]
    assert [[one.is_error for one in each.results] for each in done.rounds] == [[False, False], [True], []]
    assert [each.reply.usage for each in done.rounds] == [Usage(10, 5), Usage(20, 3), Usage(30, 2)]
    assert done.usage == Usage(60, 10)
    assert done.cost_nanos == 60 * 1_000 + 10 * 10_000 == sum(each.reply.cost_nanos for each in done.rounds)
    assert done.cost == sum(each.reply.cost for each in done.rounds)
    assert [one.usage for one in done.attempts] == [each.reply.usage for each in done.rounds]


def test_a_run_whose_model_has_no_price_has_no_cost(world):
    done, _ = run(world, [add], asks(("add", {"a": 2})), "Done.", settings={"prices": {}})
    assert (done.cost_nanos, done.cost) == (None, None)


def test_a_round_from_the_cache_took_nothing(world):
    _, made = client(world, asks(("add", {"a": 2})), "Done.", cache=Cache(MemoryTier()))

    async def body(world):
        async with made as llm:
            first = await llm.run_tools("any", "Hi", tools=[add])
            return first, await llm.run_tools("any", "Hi", tools=[add])

    first, again = world.run(body)
    assert again.messages == first.messages
    assert (again.usage, again.cost_nanos, again.attempts) == (Usage(), 0, ())
    assert first.cost_nanos > 0


def test_a_run_without_a_reply_says_so(world):
    with pytest.raises(ProviderError) as caught:
        run(world, [add], Unavailable("gone", provider="f"), settings={"max_retries": 0})
    done = caught.value.run
    assert [one.role for one in done.messages] == ["user"]
    assert [one.error for one in done.attempts] == ["Unavailable"]
    with pytest.raises(LookupError, match=r"no reply came; what was asked is in \.messages"):
        done.reply  # noqa: B018


# Going on


def test_a_run_that_failed_goes_on_where_it_was(world):
    ran = []

    def look(number: int) -> int:
        ran.append(number)
        return number

    asked = asks(("look", {"number": 1}), ("look", {"number": 2}))
    provider, made = client(world, asked, Unavailable("gone", provider="f"), "Done.", max_retries=0)

    async def body(world):
        async with made as llm:
            with pytest.raises(Unavailable) as caught:
                await llm.run_tools("any", "Hi", tools=[look])
            assert len(caught.value.run.attempts) == 2  # the one that failed, too
            return await llm.run_tools("any", caught.value.run.messages, tools=[look])

    done = world.run(body)
    assert sorted(ran) == [1, 2]  # and no call of a function was run again
    assert provider.requests[2].messages == provider.requests[1].messages
    assert done.text == "Done."


def test_functions_that_nobody_has_run_yet_are_run_first(world):
    provider, made = client(world, asks(("add", {"a": 1}), ("add", {"a": 2})), "Done.")

    async def body(world):
        async with made as llm:
            with pytest.raises(ToolRoundsExceeded) as caught:
                await llm.run_tools("any", "Hi", tools=[add], max_rounds=1)
            messages = caught.value.run.messages
            half = [*messages, Message.tool("c0", "mine")]
            return await llm.run_tools("any", half, tools=[add], max_rounds=1)

    done = world.run(body)
    assert [(one.id, one.content) for one in results(provider.requests[1])] == [("c0", "mine"), ("c1", "3")]
    assert len(done.rounds) == 1


def test_a_conversation_that_asks_for_nothing_begins_with_a_call(world):
    for messages in (
        [Message.user("Hi"), Message.assistant("Hello."), Message.user("Well?")],
        [Message("assistant", (ToolCallPart("c", "add", "{}"),)), Message.tool("c", "1")],
        [Message("assistant", (ToolCallPart("c", "add", "{}"),)), Message.user("Never mind.")],
        [Message.tool("c", "1")],
    ):
        provider, made = client(world, "Done.")

        async def body(world, made=made, messages=messages):
            async with made as llm:
                return await llm.run_tools("any", messages, tools=[add])

        assert len(world.run(body).rounds) == 1
        assert provider.requests[0].messages == tuple(messages)


@pytest.mark.parametrize("reason", ["length", "budget"])
def test_nothing_is_run_of_a_reply_that_was_cut(world, reason):
    ran = []

    def look(number: int) -> int:
        ran.append(number)
        return number

    cut = [Chunk(tool_calls=(ToolCallDelta(0, "c0", "look", '{"number": 1}'),)), Chunk(finish_reason=reason)]
    done, provider = run(world, [look], cut)
    assert (done.reply.finish_reason, ran, len(provider.requests)) == (reason, [], 1)
    with pytest.raises(InvalidReply, match="was cut while it asked for functions") as caught:
        run(world, [look], cut, schema=Place)
    assert caught.value.finish_reason == reason
    assert len(caught.value.run.rounds) == 1


# Side by side


@world_on_a_loop
def test_what_is_asked_for_at_once_runs_at_once(world):
    here, there, order = Gate(), Gate(), []
    barrier = threading.Barrier(2, timeout=30)

    async def first() -> str:
        here.open()
        await there()
        order.append("first")
        return "1"

    async def second() -> str:
        there.open()
        await here()
        order.append("second")
        return "2"

    def third() -> int:
        return barrier.wait() * 0 + 3

    def fourth() -> int:
        return barrier.wait() * 0 + 4

    asked = asks(("first", {}), ("second", {}), ("third", {}), ("fourth", {}))
    _, provider = run(world, [first, second, third, fourth], asked, "Done.")
    assert [one.content for one in results(provider.requests[1])] == ["1", "2", "3", "4"]
    assert sorted(order) == ["first", "second"]


@world_on_a_loop
def test_one_that_is_raised_stops_the_others(world):
    gate, stopped = Gate(), []

    async def waits() -> str:
        try:
            await gate()
        except BaseException as error:
            stopped.append(type(error))
            raise
        return "never"

    async def breaks() -> str:
        await gate.reached.wait()
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        run(world, [waits, breaks], asks(("waits", {}), ("breaks", {})), on_tool_error="raise")
    assert len(stopped) == 1


def test_a_client_without_a_loop_runs_no_coroutine_functions():
    async def later() -> str:
        return "never"

    with (
        Client(providers={"f": FakeProvider()}, models={"any": "f:m"}, cache=False, ledger=False) as llm,
        pytest.raises(ConfigurationError, match="later is a coroutine function; AsyncClient runs those"),
    ):
        llm.run_tools("any", "Hi", tools=[later])


# Money and time


def test_every_call_is_charged_to_what_is_around_the_loop(world):
    _, made = client(world, asks(("add", {"a": 1})), ["Two.", Chunk(usage=Usage(20, 3))], ledger=True)

    async def body(world):
        async with made as llm:
            with budget(usd="1", name="loop") as spent:
                await llm.run_tools("any", "Hi", tools=[add], max_output_tokens=50)
            inner = llm.inner if hasattr(llm, "inner") else llm
            return spent.usage(ledger=inner.ledger)

    used = world.run(body)
    assert used.calls == 2
    assert int(used.usd * 10**9) == 30 * 1_000 + 8 * 10_000


def test_a_budget_that_runs_out_ends_the_loop_and_what_was_spent_is_booked(world):
    provider, made = client(world, asks(("add", {"a": 1})), ledger=True, budget=Budget(calls=2, name="all"))

    async def body(world):
        async with made as llm:
            with pytest.raises(BudgetExceeded) as caught:
                await llm.run_tools("any", "Hi", tools=[add])
            inner = llm.inner if hasattr(llm, "inner") else llm
            return caught.value.run, list(inner.ledger.entries())

    done, entries = world.run(body)
    assert len(entries) == len(provider.requests) == len(done.rounds) == 2
    assert sum(one.charge.usd for one in entries) == done.cost_nanos
    assert [one.role for one in done.messages] == ["user", *["assistant", "tool"] * 2]


def test_a_function_whose_own_call_no_budget_covers_ends_the_loop(world):
    def spends() -> str:
        raise BudgetExceeded("no", scope="all", limit=1, spent=1)

    with pytest.raises(BudgetExceeded) as caught:
        run(world, [spends, add], asks(("spends", {}), ("add", {"a": 1}), ("spends", {})), "Oh.")
    assert [one.content for one in caught.value.run.rounds[0].results] == ["2"]  # the others have run
    assert [one.role for one in caught.value.run.messages] == ["user", "assistant", "tool"]


def test_the_time_is_for_everything_together(world, monkeypatch):
    now = clock.now()

    def slow() -> str:
        nonlocal now
        now += 50
        monkeypatch.setattr(clock, "now", lambda: now)
        return "done"

    with pytest.raises(DeadlineExceeded):
        run(world, [slow], asks(("slow", {})), timeout=80)


@world_on_a_loop
def test_a_function_that_takes_too_long_is_left(world):
    gate = Gate()

    async def hangs() -> str:
        await gate()
        return "never"

    with pytest.raises(DeadlineExceeded):
        run(world, [hangs], asks(("hangs", {})), timeout=0.2)


def test_a_call_in_the_loop_has_the_time_that_is_left(world):
    _, provider = run(world, [add], asks(("add", {"a": 1})), "Done.", timeout=80)
    first, second = (one.deadline for one in provider.requests)
    assert abs(first - second) < 40  # both end when the loop does, and not eighty seconds after they began
    _, provider = run(world, [add], "Done.", timeout=None)
    assert provider.requests[0].deadline is None


# What is seen of it


def test_each_function_has_a_span_beside_the_calls(world):
    collector, tracers = SpanCollector(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(collector))
    seen = []

    def looks(secret: str) -> str:
        """Look around."""
        seen.append(trace.get_current_span().get_span_context())
        return secret

    asked = asks(("looks", {"secret": "my words"}), ("fails", {"secret": "my words"}), ("my words", {}))
    run(
        world, [looks, fails], asked, "Done.", settings={"telemetry": Telemetry(tracers, MeterProvider())}
    )  # fmt: skip
    spans = {span.name: span for span in collector.spans}
    loop = spans["inferkit.run_tools"]
    calls = [span for span in collector.spans if span.name == "inferkit.call"]
    assert [span.parent.span_id for span in calls] == [loop.context.span_id] * 2
    assert (loop.attributes["inferkit.tools.rounds"], loop.attributes["inferkit.tools.calls"]) == (2, 3)
    tool = spans["execute_tool looks"]
    assert tool.parent.span_id == loop.context.span_id
    assert seen == [tool.context]
    assert dict(tool.attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "looks",
        "gen_ai.tool.call.id": "c0",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Look around.",
    }
    failed = spans["execute_tool fails"]
    assert failed.attributes["error.type"] == "ValueError"
    assert failed.status.status_code is StatusCode.ERROR
    assert spans["execute_tool unknown"].attributes["error.type"] == "no_such_tool"
    assert "my words" not in "".join(span.to_json() for span in collector.spans)


def test_a_loop_that_fails_says_so_on_its_span(world):
    collector, tracers = SpanCollector(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(collector))
    settings = {"telemetry": Telemetry(tracers, MeterProvider())}
    with pytest.raises(ToolRoundsExceeded):
        run(world, [add], asks(("add", {"a": 1})), settings=settings, max_rounds=1)
    (loop,) = [span for span in collector.spans if span.name == "inferkit.run_tools"]
    assert loop.attributes["error.type"] == "ToolRoundsExceeded"
    assert not loop.events


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tools": []}, "run_tools runs functions"),
        ({"tools": 5}, "tools is a list of functions"),
        ({"tools": [Tool("look")]}, "run_tools runs functions"),
        ({"tools": [add, add]}, "two tools are called add"),
        ({"tools": [add], "max_rounds": 0}, "max_rounds is a whole number from 1"),
        ({"tools": [add], "max_rounds": "3"}, "max_rounds is a whole number from 1"),
        ({"tools": [add], "on_tool_error": "hide"}, 'on_tool_error is "tell" or "raise"'),
        ({"tools": [add], "timeout": "soon"}, "number of seconds"),
        ({"tools": [add], "top_k": 5}, "unknown option top_k"),
    ],
)
def test_what_makes_no_sense_is_told(options, says):
    settings = {"providers": {"f": FakeProvider()}, "models": {"any": "f:m"}, "cache": False, "ledger": False}
    with Client(**settings) as llm, pytest.raises(ConfigurationError, match=says):
        llm.run_tools("any", "Hi", **options)

    async def body():
        async with AsyncClient(**settings) as llm:
            with pytest.raises(ConfigurationError, match=says):
                await llm.run_tools("any", "Hi", **options)

    anyio.run(body)
