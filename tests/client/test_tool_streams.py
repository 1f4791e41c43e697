"""`stream_tools`: the chunks of each reply as they come, and in between which functions run, and have run."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from pydantic import BaseModel

from inferkit import (
    BudgetExceeded,
    Chunk,
    Client,
    Message,
    Price,
    Response,
    StreamError,
    StreamInterrupted,
    ToolCallDelta,
    ToolCallPart,
    ToolEnded,
    ToolRoundsExceeded,
    ToolStarted,
    Unavailable,
    Usage,
    budget,
    budgeted,
)
from inferkit.telemetry import SpanCollector, Telemetry
from inferkit.testing import FakeProvider, settled
from worlds import Gate, closing, world_on_a_loop

PRICE = Price(input="1", output="10")


def asks(*calls, text="", usage=Usage(10, 5)):  # noqa: B008
    """Play a reply that asks for these functions: their names with their arguments."""
    pieces = [
        Chunk(tool_calls=(ToolCallDelta(place, f"c{place}", name, json.dumps(arguments)),))
        for place, (name, arguments) in enumerate(calls)
    ]
    return [*text.split("|"), *pieces, Chunk(finish_reason="tool_calls"), Chunk(usage=usage)]


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def client(world, *scripts, **settings):
    provider = FakeProvider(*scripts)
    made = world.client(providers={"f": provider}, models={"any": "f:m"}, prices={"f:m": PRICE}, **settings)
    return provider, closing(made)


def told(events):
    """Say in short what came."""
    short = []
    for event in events:
        if isinstance(event, ToolStarted):
            short.append(f">{event.call.id}")
        elif isinstance(event, ToolEnded):
            short.append(f"<{event.call.id}={event.result.content}")
        elif event.text:
            short.append(event.text)
    return short


def streamed(world, tools, *scripts, settings=None, **options):
    """Read a stream to its end; give what came, the run and the provider."""
    provider, made = client(world, *scripts, **(settings or {}))

    async def body(world):
        events = []
        async with made as llm, llm.stream_tools("any", "Hi", tools=tools, **options) as stream:
            events += [event async for event in stream]
            assert stream.text == stream.run.text
        return events, stream.run

    return *world.run(body), provider


def test_chunks_come_and_what_runs_in_between(world):
    events, done, provider = streamed(
        world, [add], asks(("add", {"a": 1}), ("add", {"a": "x"}), text="One |moment."), ["Do", "ne."]
    )
    came = told(events)
    assert came[:2] == ["One ", "moment."]
    assert came[-2:] == ["Do", "ne."]
    between = came[2:-2]
    assert sorted(between)[2:] == [">c0", ">c1"]
    assert between.index(">c0") < between.index("<c0=2")
    assert sorted(between)[1].startswith("<c1=The arguments do not fit")
    assert [one.result.is_error for one in events if isinstance(one, ToolEnded)] == [False, True]
    assert [one.stream for one in provider.requests] == [True, True]
    assert [one.role for one in done.messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert (done.text, len(done.rounds)) == ("Done.", 2)


def test_the_whole_and_the_streamed_run_are_the_same(world):
    scripts = [asks(("add", {"a": 1}), text="So:"), ["Done.", Chunk(usage=Usage(30, 2))]]
    _, done, _ = streamed(world, [add], *scripts)
    _, made = client(world, *scripts)

    async def body(world):
        async with made as llm:
            return await llm.run_tools("any", "Hi", tools=[add])

    whole = world.run(body)
    assert done.messages == whole.messages
    assert (done.usage, done.cost_nanos) == (whole.usage, whole.cost_nanos) == (Usage(40, 7), 40_000 + 70_000)
    assert [each.results for each in done.rounds] == [each.results for each in whole.rounds]


def test_an_object_may_be_asked_for_at_the_end_and_repaired(world):
    class Sum(BaseModel):
        value: int

    script = [asks(("add", {"a": 2})), '{"value": "three"}', '{"value": 3}']
    events, done, provider = streamed(world, [add], *script, schema=Sum, repair=1)
    assert done.parsed == Sum(value=3)
    assert [event.restarts for event in events if isinstance(event, Chunk)].count(True) == 1
    assert [one.kind for one in done.attempts] == ["primary", "primary", "repair"]
    assert len(provider.requests) == 3


def test_a_function_runs_only_after_it_was_said(world):
    ran = []

    def look() -> str:
        ran.append(1)
        return "seen"

    provider, made = client(world, asks(("look", {})), "Done.")

    async def body(world):
        async with made as llm:
            async with llm.stream_tools("any", "Hi", tools=[look]) as stream:
                async for event in stream:
                    if isinstance(event, ToolStarted):
                        break
            assert not ran
            left = stream.run
            assert [one.role for one in left.messages] == ["user", "assistant"]
            with pytest.raises(StreamError, match="the stream is closed"):
                await anext(stream)
            async with llm.stream_tools("any", left.messages, tools=[look]) as stream:
                return [event async for event in stream]

    assert told(world.run(body)) == [">c0", "<c0=seen", "Done."]
    assert len(ran) == 1
    assert provider.open_streams == 0


def test_the_end_stays_the_end(world):
    _, made = client(world, "Done.")

    async def body(world):
        async with made as llm:
            stream = llm.stream_tools("any", "Hi", tools=[add])
            assert (stream.text, stream.run.rounds) == ("", ())
            assert told([event async for event in stream]) == ["Done."]
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            await stream.aclose()
            await stream.aclose()

    world.run(body)


def test_the_text_is_that_of_the_reply_at_hand(world):
    _, made = client(world, asks(("add", {"a": 1}), text="One |moment."), ["Do", "ne."])

    async def body(world):
        seen = []
        async with made as llm, llm.stream_tools("any", "Hi", tools=[add]) as stream:
            seen += [stream.text async for _ in stream]
        return list(dict.fromkeys(seen))

    assert world.run(body) == ["One ", "One moment.", "Do", "Done."]


# What goes wrong


def test_a_stream_that_breaks_says_what_was_done(world):
    broken = ["Half a", Unavailable("gone", provider="f")]
    provider, made = client(world, asks(("add", {"a": 1})), broken)

    async def body(world):
        events = []
        async with made as llm:
            with pytest.raises(StreamInterrupted) as caught:
                async with llm.stream_tools("any", "Hi", tools=[add]) as stream:
                    async for event in stream:
                        events.append(event)  # noqa: PERF401 - those before the error count
            with pytest.raises(StreamError, match="the stream is closed"):
                await anext(stream)
        return events, caught.value, stream

    events, error, stream = world.run(body)
    assert told(events) == [">c0", "<c0=2", "Half a"]
    assert error.partial == stream.text == "Half a"
    assert [one.role for one in error.run.messages] == ["user", "assistant", "tool"]
    assert [one.outcome for one in error.run.attempts] == ["completed", "error"]
    assert error.run.cost_nanos > 10 * 1_000 + 5 * 10_000
    assert provider.open_streams == 0


def test_a_first_call_that_is_refused_is_raised_where_the_stream_is_entered(world):
    _, made = client(world, "Done.", ledger=True)

    async def body(world):
        async with made as llm:
            with budget(calls=1, name="one"):
                await llm.complete("any", "Hi")
                with pytest.raises(BudgetExceeded) as caught:
                    await llm.stream_tools("any", "Hi", tools=[add]).__aenter__()
            return caught.value.run

    assert world.run(body).rounds == ()


def test_a_second_round_that_is_refused_is_raised_in_the_stream(world):
    provider, made = client(world, asks(("add", {"a": 1}), ("add", {"a": 5})), ledger=True)

    async def body(world):
        events = []
        async with made as llm:
            with budget(calls=1, name="one"), pytest.raises(BudgetExceeded) as caught:
                async with llm.stream_tools("any", "Hi", tools=[add]) as stream:
                    async for event in stream:
                        events.append(event)  # noqa: PERF401 - those before the error count
        return events, caught.value.run

    events, done = world.run(body)
    assert sorted(told(events)) == ["<c0=2", "<c1=6", ">c0", ">c1"]
    assert [one.content for one in done.rounds[0].results] == ["2", "6"]
    assert len(provider.requests) == 1


def test_too_many_rounds_end_the_stream(world):
    with pytest.raises(ToolRoundsExceeded) as caught:
        streamed(world, [add], asks(("add", {"a": 1})), max_rounds=2)
    assert [len(each.results) for each in caught.value.run.rounds] == [1, 0]


def test_a_function_whose_own_call_no_budget_covers_ends_the_stream(world):
    def spends() -> str:
        raise BudgetExceeded("no", scope="all", limit=1, spent=1)

    with pytest.raises(BudgetExceeded) as caught:
        streamed(world, [spends, add], asks(("spends", {}), ("add", {"a": 1})), "Oh.")
    assert [one.content for one in caught.value.run.rounds[0].results] == ["2"]


def test_an_error_survives_the_way_to_another_process(world):
    with pytest.raises(ToolRoundsExceeded) as caught:
        streamed(world, [add], asks(("add", {"a": 1})), max_rounds=1)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.run.messages == caught.value.run.messages
    assert copy.run.cost_nanos == caught.value.run.cost_nanos


@world_on_a_loop
def test_one_stream_has_one_reader(world):
    gate = Gate()

    async def waits() -> str:
        await gate()
        return "1"

    _, made = client(world, asks(("waits", {})), "Done.")

    async def body(world):
        events = []
        async with made as llm, llm.stream_tools("any", "Hi", tools=[waits]) as stream:

            async def read():
                events.extend([event async for event in stream])

            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await gate.reached.wait()
                with pytest.raises(StreamError, match="read by two at once"):
                    await anext(stream)
                gate.open()
        return events

    assert told(world.run(body))[-1] == "Done."


@world_on_a_loop
def test_a_stream_that_is_closed_while_functions_run_makes_no_further_call(world):
    gate = Gate()

    async def waits() -> str:
        await gate()
        return "1"

    provider, made = client(world, asks(("waits", {})), "Done.")

    async def body(world):
        async with made as llm, llm.stream_tools("any", "Hi", tools=[waits]) as stream:

            async def read():
                with pytest.raises(StreamError, match="closed while it was being read"):
                    async for _ in stream:
                        pass

            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await gate.reached.wait()
                await stream.aclose()
                gate.open()
            return stream.run

    done = world.run(body)
    assert [one.content for one in done.rounds[0].results] == ["1"]
    assert len(provider.requests) == 1


@world_on_a_loop
def test_a_reader_that_is_cancelled_while_functions_run_can_go_on_from_there(world):
    gate, stopped = Gate(), []

    async def waits() -> str:
        try:
            await gate()
        except BaseException as error:
            stopped.append(type(error))
            raise
        return "never"

    async def quick() -> str:
        return "quick"

    provider, made = client(world, asks(("quick", {}), ("waits", {})), "Done.")

    async def body(world):
        async with made as llm:
            stream = llm.stream_tools("any", "Hi", tools=[quick, waits])
            async with anyio.create_task_group() as group:

                async def read():
                    async with stream:
                        async for _ in stream:
                            pass

                group.start_soon(read)
                await gate.reached.wait()
                group.cancel_scope.cancel()
            return stream.run

    done = world.run(body)
    assert len(stopped) == len(provider.requests) == 1
    assert [one.content for one in done.rounds[0].results] == ["quick"]
    assert provider.open_streams == 0


# Who pays, and what is seen


def test_who_made_the_stream_pays_for_all_of_it(world):
    def calls() -> str:
        return "seen"

    _, made = client(world, asks(("calls", {})), "Done.", ledger=True)

    async def body(world):
        async with made as llm:
            with budget(calls=5, name="maker") as maker:
                stream = llm.stream_tools("any", "Hi", tools=[calls])
            with budget(calls=5, name="reader") as reader:
                async with stream:
                    async for _ in stream:
                        pass
            inner = llm.inner if hasattr(llm, "inner") else llm
            return [each.usage(ledger=inner.ledger).calls for each in (maker, reader)]

    assert world.run(body) == [2, 0]


def test_calls_that_functions_make_are_paid_for_by_who_made_the_stream(tmp_path):
    provider = FakeProvider(asks(("asks_more", {})), "Inner.", "Done.")
    with Client(
        providers={"f": provider}, models={"any": "f:m"}, cache=False, ledger=tmp_path / "ledger", prices={"f:m": PRICE}
    ) as llm:

        def asks_more() -> str:
            return llm.complete("any", "And?").text

        @budgeted(calls=9, name="mine")
        def make():
            return llm.stream_tools("any", "Hi", tools=[asks_more])

        with make() as stream:
            assert told(stream) == [">c0", "<c0=Inner.", "Done."]
        assert [[name for name, _ in each.accounts] for each in llm.ledger.entries()] == [["mine"]] * 3


def telemetry():
    collector, tracers = SpanCollector(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(collector))
    return collector, tracers, Telemetry(tracers, MeterProvider())


def test_it_is_one_trace_and_nothing_of_it_is_current_for_the_reader(world):
    collector, _, found = telemetry()
    current = []

    def looks() -> str:
        current.append(trace.get_current_span().get_span_context().span_id)
        return "seen"

    _, made = client(world, asks(("looks", {})), "Done.", telemetry=found)

    async def body(world):
        async with made as llm, llm.stream_tools("any", "Hi", tools=[looks]) as stream:
            async for _ in stream:
                assert not trace.get_current_span().get_span_context().is_valid
        return stream.run

    done = world.run(body)
    by_name = {span.name: span for span in collector.spans}
    (loop,) = [span for span in collector.spans if span.name == "inferkit.run_tools"]
    children = [span.name for span in collector.spans if span.parent and span.parent.span_id == loop.context.span_id]
    assert children == ["inferkit.call", "execute_tool looks", "inferkit.call"]
    assert current == [by_name["execute_tool looks"].context.span_id]
    assert {span.context.trace_id for span in collector.spans} == {int(done.trace_id, 16)}
    assert loop.attributes["inferkit.tools.rounds"] == 2
    assert collector.spans[-1] is loop


def test_a_stream_that_is_dropped_ends_its_spans_and_is_settled(world):
    collector, _, found = telemetry()
    provider, made = client(world, asks(("add", {"a": 1})), ["Do", "ne."], telemetry=found, ledger=True)

    async def body(world):
        async with made as llm:
            stream = llm.stream_tools("any", "Hi", tools=[add])
            async for event in stream:
                if isinstance(event, Chunk) and event.text:
                    break
            del stream, event
            gc.collect()
            settled()
            inner = llm.inner if hasattr(llm, "inner") else llm
            return [each.charge.outcome for each in inner.ledger.entries()]

    assert world.run(body) == ["completed", "abandoned"]
    assert [span.name for span in collector.spans].count("inferkit.run_tools") == 1
    assert provider.open_streams == 0


def test_a_stream_that_nobody_reads_costs_nothing(world):
    collector, _, found = telemetry()
    provider, made = client(world, "Done.", telemetry=found)

    async def body(world):
        async with made as llm:
            llm.stream_tools("any", "Hi", tools=[add])
            gc.collect()
            settled()

    world.run(body)
    assert not provider.requests
    assert not collector.spans


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
def test_a_forked_child_ends_nothing_of_its_parent(tmp_path):
    program = """
import gc, os, sys
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from inferkit import Client
from inferkit.telemetry import SpanCollector, Telemetry
from inferkit.testing import FakeProvider, settled

collector, tracers = SpanCollector(), TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(collector))

def look() -> str:
    return "seen"

llm = Client(providers={"f": FakeProvider(["Do", "ne."])}, models={"any": "f:m"}, cache=False, ledger=False,
             telemetry=Telemetry(tracers, MeterProvider()))
stream = llm.stream_tools("any", "Hi", tools=[look])
next(stream)
child = os.fork()
del stream
gc.collect()
settled()
names = [span.name for span in collector.spans]
if child == 0:
    os._exit(len(names))
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), "inferkit.run_tools" in names)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["0", "True"]


def test_a_half_answered_conversation_says_only_what_is_run_now(world):
    _, made = client(world, "Done.")
    calls = tuple(ToolCallPart(f"c{number}", "add", f'{{"a": {number}}}') for number in range(2))

    async def body(world):
        async with made as llm:
            messages = [Message.user("Hi"), Message("assistant", calls), Message.tool("c0", "1")]
            async with llm.stream_tools("any", messages, tools=[add]) as stream:
                return [event async for event in stream]

    assert told(world.run(body)) == [">c1", "<c1=2", "Done."]


def test_a_layer_that_answers_with_nothing_ends_the_stream(world):
    async def silent(request, call_next):
        return Response.of([], runtime=request.runtime)

    _, made = client(world, "Done.", layers=[silent])

    async def body(world):
        async with made as llm:
            stream = llm.stream_tools("any", "Hi", tools=[add])
            events = [event async for event in stream]
            return events, stream.run

    events, done = world.run(body)
    assert events == []
    assert (done.text, len(done.rounds)) == ("", 1)


def test_a_stream_that_is_open_when_the_program_ends_ends_its_span():
    program = """
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from inferkit import Client
from inferkit.telemetry import Telemetry
from inferkit.testing import FakeProvider

tracers = TracerProvider(shutdown_on_exit=False)
tracers.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name + "\\n")))

def look() -> str:
    return "seen"

llm = Client(providers={"f": FakeProvider(["Do", "ne."])}, models={"any": "f:m"}, cache=False, ledger=False,
             telemetry=Telemetry(tracers, MeterProvider()))
stream = llm.stream_tools("any", "Hi", tools=[look])
next(stream)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split("\n").count("inferkit.run_tools") == 1
    assert done.stderr == ""
