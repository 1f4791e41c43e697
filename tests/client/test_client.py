"""The door: what a client takes, what it refuses, and what it gives."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from decimal import Decimal

import anyio
import pytest

from inferkit import (
    AsyncClient,
    Budget,
    BudgetExceeded,
    Cache,
    Chunk,
    Client,
    ConfigurationError,
    DeadlineExceeded,
    Insert,
    Message,
    ModelFileError,
    NoRoute,
    OpenAIChat,
    Price,
    Retry,
    SqliteLedger,
    StackOrderWarning,
    Tool,
    ToolCallDelta,
    ToolCallPart,
    Unavailable,
    Usage,
    budgeted,
)
from inferkit.ledger.amounts import Amounts, Line
from inferkit.runtime import writer
from inferkit.testing import FakeProvider
from worlds import in_time, on_a_loop, world_on_a_loop

PRICE = Price(input="1", output="10")


def llm(world, provider, **settings):
    settings.setdefault("prices", {"fake:m": PRICE})
    return world.client(providers={"fake": provider}, models={"any": "fake:m"}, **settings)


def test_a_reply_tells_everything_about_its_call(world):
    async def body(world):
        usage = Usage(input_tokens=10, output_tokens=5)
        provider = FakeProvider(["Hel", Chunk(text="lo", event={"n": 1}), Chunk(finish_reason="length", usage=usage)])
        client = llm(world, provider)
        reply = await client.complete("any", "hi")
        await client.aclose()
        assert reply.text == "Hello"
        assert reply.usage == usage
        assert reply.cost == Decimal("0.00006")
        assert (reply.provider, reply.model, reply.finish_reason) == ("fake", "m", "length")
        assert reply.cache is None
        assert [(one.number, one.kind, one.outcome) for one in reply.attempts] == [(1, "primary", "completed")]
        assert reply.raw == ({"n": 1},)
        assert reply.id
        assert "Hello" not in repr(reply)

    world.run(body)


def test_a_repeated_call_is_a_hit_that_costs_nothing(world):
    async def body(world):
        provider = FakeProvider("hello there")
        client = llm(world, provider, cache=True)
        first = await client.complete("any", "hi")
        second = await client.complete("any", "hi")
        third = await client.complete("any", "hi", cache="refresh")
        fourth = await client.complete("any", "hi", cache="bypass")
        await client.aclose()
        assert [reply.cache for reply in (first, second, third, fourth)] == ["miss", "hit", "miss", "bypass"]
        assert second.text == first.text
        assert (second.cost, second.saved) == (0, first.cost)
        assert (second.provider, second.model, second.attempts) == ("fake", "m", ())
        assert len(provider.requests) == 3

    world.run(body)


def test_a_reply_has_the_chunks_that_its_reader_took_and_no_others_that_came_with_them(world):
    async def body(world):
        client = llm(world, FakeProvider("one of many words " * 50), cache=True)
        await client.complete("any", "hi")
        async with client.stream("any", "hi") as stream:  # a hit, whose pieces come all at once
            taken = [await anext(stream), await anext(stream)]
            assert stream.reply.chunks == tuple(taken)
            taken.append(await anext(stream))
        assert stream.reply.chunks == tuple(taken)
        assert stream.text == "".join([chunk.text for chunk in taken])
        await client.aclose()

    world.run(body)


def test_a_streamed_reply_serves_a_whole_one_from_the_cache_and_the_other_way_round(world):
    async def body(world):
        provider = FakeProvider("hello there")
        client = llm(world, provider, cache=True)
        async with client.stream("any", "hi") as stream:
            async for _ in stream:
                pass
        assert (await client.complete("any", "hi")).cache == "hit"
        await client.complete("any", "you")
        async with client.stream("any", "you") as stream:
            assert "".join([chunk.text async for chunk in stream]) == "hello there"
        assert stream.reply.cache == "hit"
        await client.aclose()

    world.run(body)


def test_a_user_over_the_budget_is_refused_before_anything_is_sent(world):
    async def body(world):
        provider = FakeProvider(Chunk(text="x", finish_reason="stop", usage=Usage(input_tokens=10, output_tokens=80)))
        client = llm(world, provider, ledger=True, budget=Budget(usd="0.001", name="free-tier", each="user"))
        await client.complete("any", "hi", user="ana", max_output_tokens=80)
        with pytest.raises(BudgetExceeded) as caught:
            await client.complete("any", "hello " * 40, user="ana", max_output_tokens=80)
        assert caught.value.scope == "free-tier:ana"
        assert caught.value.limit == Decimal("0.001")
        assert caught.value.spent == Decimal("0.00081")
        await client.complete("any", "hi", user="ben", max_output_tokens=80)
        assert [request.user for request in provider.requests] == ["ana", "ben"]
        await client.aclose()

    world.run(body)


def test_a_budgeted_function_pays_for_the_calls_inside_it(world):
    async def body(world):
        provider = FakeProvider("hello there")
        client = llm(world, provider, ledger=True)

        @budgeted(usd="0.002", per="month", key="user_id")
        async def answer(user_id, question):
            return (await client.complete("any", question, max_output_tokens=100)).text

        assert await answer("ana", "hi") == "hello there"
        with pytest.raises(BudgetExceeded, match="ana"):
            for _ in range(1000):
                await answer("ana", "hi")
        assert await answer("ben", "hi") == "hello there"
        await client.aclose()

    world.run(body)


def test_tool_calls_are_joined_from_their_pieces(world):
    async def body(world):
        pieces = [
            Chunk(tool_calls=(ToolCallDelta(1, "b", "second", "{}"),)),
            Chunk(tool_calls=(ToolCallDelta(0, "a", "first", '{"x"'),)),
            Chunk(tool_calls=(ToolCallDelta(0, arguments=": 1}"),)),
            Chunk(finish_reason="tool_calls"),
        ]
        provider = FakeProvider(pieces)
        client = llm(world, provider)
        reply = await client.complete("any", "hi", tools=[Tool("first"), Tool("second")])
        await client.aclose()
        assert reply.tool_calls == (ToolCallPart("a", "first", '{"x": 1}'), ToolCallPart("b", "second", "{}"))

    world.run(body)


def test_options_reach_the_provider(world):
    async def body(world):
        provider = FakeProvider()
        client = llm(world, provider)
        await client.complete(
            "any",
            [Message.system("be brief"), Message.user("hi")],
            max_output_tokens=5,
            temperature=0.5,
            top_p=0.9,
            seed=7,
            stop=".",
            reasoning_effort="low",
            extra={"logit_bias": {}},
            user="ana",
            tenant="acme",
        )
        await client.aclose()
        (request,) = provider.requests
        assert (request.max_output_tokens, request.temperature, request.top_p, request.seed) == (5, 0.5, 0.9, 7)
        assert (request.stop, request.reasoning_effort, request.extra) == ((".",), "low", {"logit_bias": {}})
        assert (request.user, request.tenant, request.stream) == ("ana", "acme", False)

    world.run(body)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 2}, "unknown option n; a call gives one reply: make several calls"),
        ({"best_of": 3}, "unknown option best_of; a call gives one reply"),
        ({"max_tokens": 5}, r"unknown option max_tokens; the limit of the reply is max_output_tokens"),
        ({"max_completion_tokens": 5}, r"is max_output_tokens"),
        ({"top_k": 5}, r"unknown option top_k; .* go into extra="),
        ({"temprature": 1}, r"unknown option temprature \(did you mean temperature\?\)"),
        ({"messages": "hi"}, "passed twice"),
        ({"stream": True}, r"client\.stream\("),
        ({"max_output_tokens": 0}, "whole number from 1"),
        ({"max_output_tokens": True}, "whole number from 1"),
        ({"timeout": 0}, "number of seconds"),
        ({"timeout": "soon"}, "number of seconds"),
        ({"cache": "maybe"}, '"use", "bypass" or "refresh"'),
        ({"cache": []}, '"use", "bypass" or "refresh"'),
        ({"tools": [{"type": "function"}]}, r"inferkit\.Tool"),
        ({"tools": Tool("look")}, r"a list of functions"),
        ({"tools": [5]}, r"a list of functions"),
        ({"tools": [int]}, r"a list of functions"),
        ({"tools": [Tool("look"), {"name": "look", "input_schema": {}}]}, "two tools are called look"),
        ({"tools": [{"type": "web_search"}]}, r"what a provider runs itself goes into extra="),
        ({"timeout": float("nan")}, "number of seconds"),
        ({"timeout": float("inf")}, r"number of seconds greater than 0 \(for no limit None"),
        ({"temperature": "hot"}, "temperature is a number from 0"),
        ({"temperature": float("nan")}, "temperature is a number from 0"),
        ({"top_p": 5}, "from 0 to 1"),
        ({"seed": 1.5}, "seed is a whole number"),
        ({"stop": 5}, "stop is a text or a list of texts"),
        ({"stop": [5]}, "stop is a text or a list of texts"),
        ({"tool_choice": {}}, "tool_choice is a text"),
        ({"schema": "object"}, "a JSON schema"),
        ({"schema": int}, "a pydantic model"),
        ({"reasoning_effort": 3}, "reasoning_effort is a text"),
        ({"extra": "top_k"}, "a dictionary"),
        ({"extensions": [1]}, "a dictionary"),
        ({"user": 5}, r"pass str\(\.\.\.\) of an id"),
        ({"user": ""}, "not empty"),
        ({"user": "\ud800"}, "user is a text"),
        ({"tenant": ""}, "not empty"),
        ({"budget": "5.00"}, "a Budget"),
        ({"budget": [Budget(calls=1, name="a")]}, "a Budget"),
    ],
)
def test_an_option_that_makes_no_sense_is_explained(options, said):
    with (
        Client(providers={"fake": FakeProvider()}, models={"any": "fake:m"}, ledger=False, cache=False) as client,
        pytest.raises(ConfigurationError, match=said),
    ):
        client.complete("any", "hi", **options)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"modles": {}}, r"unknown setting modles \(did you mean models\?\); the settings are: budget, "),
        ({"api_key": "sk-secret"}, r"from OPENAI_API_KEY, or passed as providers=.*\(api_key=\.\.\.\)\}$"),
        ({"models": ["local"]}, "a dictionary of aliases"),
        ({"models": {"any": 5}}, 'alias "any" needs at least one target'),
        ({"default": 5}, "the name of an alias"),
        ({"providers": {"fake": "openai"}}, "to an adapter"),
        ({"providers": {"my:own": FakeProvider()}}, "without a colon"),
        ({"providers": {"my": OpenAIChat}}, "to an adapter"),
        ({"prices": ["a:b"]}, "prices is a dictionary"),
        ({"cache": "yes"}, "True, False or a Cache"),
        ({"cache": None}, "True, False or a Cache"),
        ({"ledger": None}, "True, False, a path.*; got None"),
        ({"ledger": False, "budget": Budget(calls=1, name="a")}, "a budget needs a ledger .*; leave ledger=False out"),
        ({"ledger": 5}, "a path or a ledger"),
        ({"ledger": ""}, "a path or a ledger"),
        ({"ledger": FakeProvider()}, r"Ledger\(store\) for a store of your own; got a FakeProvider"),
        ({"max_retries": "2"}, "max_retries is 0 or more"),
        ({"max_retries": 1.5}, "max_retries is 0 or more"),
        ({"timeout": "5"}, "greater than 0"),
        ({"timeout": float("nan")}, "greater than 0"),
        ({"timeout": float("inf")}, r"number of seconds greater than 0 \(for no limit None"),
        ({"layers": lambda request, call_next: call_next(request)}, "a list of layers"),
        ({"layers": [5]}, "a list of layers"),
        ({"layers": [Retry]}, "a list of layers"),
        ({"home": 5}, "a path"),
        ({"telemetry": 5}, "a Telemetry"),
        ({"budget": 5}, "a Budget"),
        ({"models": {"any": []}}, 'alias "any" needs at least one target'),
        ({"max_retries": -1}, "max_retries is 0 or more"),
        ({"timeout": -1}, "greater than 0"),
        ({"on_unpriced": "free"}, "on_unpriced"),
        ({"on_store_error": "shrug"}, "on_store_error"),
        ({"budget": "5.00"}, "a Budget"),
        ({"prices": {"a:b": "1"}}, "is a Price"),
        ({"estimates": "guess"}, 'estimates is "strict" or "learned"'),
    ],
)
def test_a_setting_that_makes_no_sense_is_explained(settings, said):
    with pytest.raises(ConfigurationError, match=said):
        Client(**settings)


async def forgets(request, call_next):
    await call_next(request)


def test_an_alias_of_an_alias_is_explained():
    with pytest.raises(NoRoute, match='not for another alias: list what "fast" stands for'):
        Client(models={"fast": "local", "smart": ["fast"]})


def test_a_warning_about_the_order_of_layers_points_at_whoever_makes_the_client():
    with pytest.warns(StackOrderWarning) as warned:
        Client(layers=[Retry()], ledger=False).close()
    assert {each.filename for each in warned} == {__file__}


@pytest.mark.parametrize("own", [forgets, lambda request, call_next: None])
def test_a_layer_that_gives_no_response_is_named(own, world):
    async def body(world):
        client = llm(world, FakeProvider(), layers=[own])
        with pytest.raises(ConfigurationError, match=f"the layer .*{own.__name__}.* gave a NoneType; a layer is a"):
            await client.complete("any", "hi")
        await client.aclose()

    world.run(body)


def test_an_unknown_name_lists_what_there_is(world):
    async def body(world):
        client = llm(world, FakeProvider())
        with pytest.raises(NoRoute, match=r'behind "smart"; the aliases are: any.*openai'):
            await client.complete("smart", "hi")
        await client.aclose()

    world.run(body)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Retry("2"), "max_retries is 0 or more"),
        (lambda: Retry(-1), "max_retries is 0 or more"),
        (lambda: Retry(base=-1), "in seconds"),
        (lambda: Cache(5), "tiers are MemoryTier, DiskTier or one of your own; got a int"),
        (lambda: Cache(None, "folder"), "got a str"),
        (lambda: Cache(None, ttl="a day"), "ttl is in seconds"),
        (lambda: OpenAIChat(api_key=5), "api_key= is a text"),
        (lambda: OpenAIChat(base_url=5), "base_url= is a text"),
        (lambda: OpenAIChat(headers=[("a", "b")]), "headers= is a dictionary"),
        (lambda: OpenAIChat(headers={"x-number": 5}), "is a text; got a int"),
        (lambda: OpenAIChat(headers={5: "a"}), "headers= has a name"),
        (lambda: OpenAIChat(timeouts=5), "timeouts= is a Timeouts"),
        (lambda: budgeted(usd="1", period="day"), "a budget has no period; its fields are: usd"),
    ],
)
def test_a_part_that_is_set_up_wrongly_says_how_it_goes(make, said):
    with pytest.raises(ConfigurationError, match=said):
        make()


@pytest.mark.parametrize("user", ["ana@example.org", "Zoë 👨‍👩‍👧", "a\u00a0b", "7"])
def test_a_user_may_be_called_anything(user, tmp_path):
    settings = {"providers": {"fake": FakeProvider()}, "models": {"any": "fake:m"}, "home": tmp_path}
    with Client(prices={"fake:m": PRICE}, budget=Budget(usd="1", name="all"), **settings) as client:
        client.complete("hi", user=user)
        assert [entry.charge.attribution.user for entry in client.ledger.entries(user=user)] == [user]


def test_a_default_for_nothing_is_refused_when_the_client_is_made():
    with pytest.raises(NoRoute, match='"nope"'):
        Client(default="nope", ledger=False, cache=False)


def test_an_option_that_is_none_is_one_that_was_not_given(world):
    async def body(world):
        provider = FakeProvider("Hello!")
        async with llm(world, provider) as client:
            names = ("max_output_tokens", "temperature", "stop", "tools", "extra", "user", "cache", "extensions")
            assert (await client.complete("any", "hi", **dict.fromkeys(names))).text == "Hello!"
        (request,) = provider.requests
        assert (request.stop, request.tools, request.extra, request.user) == ((), (), {}, None)

    world.run(body)


def test_a_prompt_in_the_place_of_the_name_is_not_repeated(world):
    async def body(world):
        client = llm(world, FakeProvider())
        with pytest.raises(NoRoute, match="pass the model first") as caught:
            await client.complete("Swordfish is my secret", "any")
        assert "Swordfish" not in str(caught.value)
        await client.aclose()

    world.run(body)


def test_an_alias_for_nothing_is_refused_when_the_client_is_made():
    with pytest.raises(NoRoute, match='"opneai:gpt-5"'):
        Client(models={"smart": "opneai:gpt-5"})


def test_a_missing_key_names_its_variable(world):
    async def body(world):
        client = world.client(models={"smart": ["openai:gpt-5", "local"]})
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
            await client.complete("smart", "hi")
        await client.aclose()

    world.run(body)


def test_a_missing_model_file_is_named(world, tmp_path):
    async def body(world):
        client = world.client(models={"mine": f"local:{tmp_path}/none.gguf"})
        with pytest.raises(ModelFileError, match=r"none\.gguf"):
            await client.complete("mine", "hi")
        await client.aclose()

    world.run(body)


def test_the_first_alias_is_the_default_unless_another_is_named(world):
    async def body(world):
        first, second = FakeProvider("one"), FakeProvider("two")
        models = {"a": "x:m", "b": "y:m"}
        client = world.client(providers={"x": first, "y": second}, models=models)
        assert (await client.complete("hi")).text == "one"
        await client.aclose()
        client = world.client(providers={"x": first, "y": second}, models=models, default="b")
        assert (await client.complete("hi")).text == "two"
        await client.aclose()

    world.run(body)


def test_messages_without_a_model_need_no_second_argument_and_with_one_the_model_comes_first(world):
    async def body(world):
        client = llm(world, FakeProvider("hello"))
        assert (await client.complete([Message.user("hi")])).text == "hello"
        with pytest.raises(ConfigurationError, match="the model first"):
            await client.complete([Message.user("hi")], "any")
        await client.aclose()

    world.run(body)


def test_messages_that_nobody_has_set_do_not_make_the_models_name_a_question(world):
    async def body(world):
        provider = FakeProvider("hello")
        client = llm(world, provider)
        with pytest.raises(ConfigurationError, match="messages are None"):
            await client.complete("any", None)
        with pytest.raises(ConfigurationError, match="messages are None"):
            client.stream("any", None)
        await client.aclose()
        assert provider.requests == []

    world.run(body)


@pytest.mark.parametrize("name", ["any", "local", "fake:m", "openai:gpt-5-mini", "local:some/model.gguf"])
def test_a_models_name_alone_is_no_question(world, name):
    async def body(world):
        provider = FakeProvider("hello")
        client = llm(world, provider)
        for method in (client.complete, client.stream):
            with pytest.raises(ConfigurationError, match=f'"{name}" is the name of a model; pass the messages second'):
                await method(name)
        assert provider.requests == []
        reply = await client.complete([{"role": "user", "content": name}])
        assert reply.text == "hello"
        for question in ("Any", "fake: what is it?", "note:this", "any?"):
            assert (await client.complete(question)).text == "hello"
        await client.aclose()

    world.run(body)


def test_a_call_that_asks_nothing_says_how_to_ask(world):
    async def body(world):
        client = llm(world, FakeProvider("hello"))
        for method in (client.complete, client.stream):
            with pytest.raises(ConfigurationError, match="there is nothing to ask; pass the messages"):
                await method()
            with pytest.raises(ConfigurationError, match="there is nothing to ask; pass the messages"):
                await method(model="any")
            with pytest.raises(ConfigurationError, match=r'messages are None; pass them: complete\("fast", messages='):
                await method(model="any", messages=None)
            with pytest.raises(ConfigurationError, match="the model is a name"):
                await method(model=5, messages="hi")
            with pytest.raises(ConfigurationError, match="the model is a name"):
                await method(["fast"], messages="hi")
            for options in ({"model": "any"}, {"messages": "hi"}, {"model": "any", "messages": "hi"}):
                with pytest.raises(ConfigurationError, match="passed twice, by position and by name"):
                    await method("any", "hi", **options)
            with pytest.raises(ConfigurationError, match="passed twice, by position and by name"):
                await method("any", model="any", messages=["hi"])
            with pytest.raises(ConfigurationError, match="unknown option mesages"):
                await method(mesages="hi")
        await client.aclose()

    world.run(body)


def test_the_model_and_the_messages_may_be_passed_by_name(world):
    async def body(world):
        first, other = FakeProvider("first"), FakeProvider("other")
        providers, models = {"a": first, "b": other}, {"any": "a:m", "other": "b:m"}
        async with world.client(providers=providers, models=models) as client:
            for args, options, text in [
                ((), {"model": "other", "messages": "hi"}, "other"),
                (("other",), {"messages": [Message.user("hi")]}, "other"),
                (("hi",), {"model": "other"}, "other"),
                ((), {"messages": "hi"}, "first"),
                ((), {"messages": "other"}, "first"),
                ((), {"model": None, "messages": "hi"}, "first"),
                (([{"role": "user", "content": "hi"}],), {"model": "other"}, "other"),
            ]:
                assert (await client.complete(*args, **options)).text == text
                async with client.stream(*args, **options) as stream:
                    assert "".join([chunk.text async for chunk in stream]) == text
        assert {one.messages[0].text for one in first.requests} == {"hi", "other"}

    world.run(body)


def test_a_closed_client_says_so(world):
    async def body(world):
        client = llm(world, FakeProvider())
        await client.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await client.complete("any", "hi")

    world.run(body)


@world_on_a_loop
@pytest.mark.parametrize("script", [[anyio.sleep_forever, "a"], ["a", anyio.sleep_forever, "b"]])
def test_a_provider_that_keeps_no_deadline_is_cut_off(world, script):
    async def body(world, seconds):
        provider = FakeProvider(script)
        client = llm(world, provider)
        with pytest.raises(DeadlineExceeded) as caught:
            async with client.stream("any", "hi", timeout=seconds) as reply:
                async for _ in reply:
                    pass
        await client.aclose()
        assert [(a.outcome, a.error) for a in caught.value.attempts] == [("error", "DeadlineExceeded")]
        assert caught.value.request_id
        assert provider.open_streams == 0
        return caught.value.partial == ("a" if script[0] == "a" else "")

    in_time(lambda seconds: world.run(body, seconds))


async def waits_for_a_loop(request, call_next):
    await asyncio.sleep(0)
    return await call_next(request)


def test_a_layer_that_waits_for_a_loop_is_named_and_runs_in_a_portal():
    settings = {
        "providers": {"fake": FakeProvider("hello")},
        "models": {"any": "fake:m"},
        "layers": [waits_for_a_loop],
        "ledger": False,
        "cache": False,
    }
    with Client(**settings) as client, pytest.raises(ConfigurationError, match=r"waits_for_a_loop.*portal=True"):
        client.complete("any", "hi")
    with Client(portal=True, **settings) as client:
        assert client.complete("any", "hi").text == "hello"


def test_a_stack_of_ones_own_runs_as_it_stands(world):
    async def body(world):
        seen = []

        async def each_attempt(request, call_next):
            seen.append((request.provider, request.attempt))
            return await call_next(request)

        providers = {"a": FakeProvider(Unavailable("down", provider="a")), "b": FakeProvider("hello")}
        client = world.client(
            models={"any": ["a:m", "b:m"]},
            providers=providers,
            layers=[Insert(each_attempt, before="meter")],
        )
        assert (await client.complete("any", "hi")).text == "hello"
        await client.aclose()
        assert seen == [("a", 1), ("b", 2)]

    world.run(body)


@on_a_loop
def test_closing_does_not_hold_the_event_loop_up(run):
    closed_in = []

    class Slow:
        async def __call__(self, request, call_next):
            return await call_next(request)

        def close(self):
            closed_in.append(threading.current_thread())

    async def main(_):
        client = AsyncClient(layers=[Slow()], ledger=False, cache=False)
        await client.aclose()

    run(main)
    assert closed_in
    assert threading.current_thread() not in closed_in


def test_one_async_client_serves_several_event_loops():
    from inferkit import AsyncClient

    client = AsyncClient(providers={"fake": FakeProvider("hello")}, models={"any": "fake:m"}, ledger=False)

    async def call():
        return (await client.complete("any", "hi")).text

    assert [asyncio.run(call()), anyio.run(call, backend="trio"), asyncio.run(call())] == ["hello"] * 3


def test_a_client_that_is_dropped_ends_the_thread_of_its_portal():
    before = set(threading.enumerate())
    client = Client(
        portal=True, providers={"fake": FakeProvider("hi")}, models={"any": "fake:m"}, ledger=False, cache=False
    )
    assert client.complete("hi").text == "hi"
    (portal,) = (thread for thread in set(threading.enumerate()) - before if thread.name == "inferkit-portal")
    del client
    portal.join(30)
    assert not portal.is_alive()


def test_a_forked_child_gets_a_portal_of_its_own():
    script = """
import os
from inferkit import Client
from inferkit.testing import FakeProvider

providers = {"fake": FakeProvider("Hello!")}
llm = Client(portal=True, providers=providers, models={"any": "fake:m"}, ledger=False, cache=False)
llm.complete("hi")
child = os.fork()
if child == 0:
    os._exit(len(llm.complete("hi").text))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), llm.complete("hi").text)
"""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        start_new_session=True,
    )
    assert (ran.stdout, ran.stderr) == ("6 Hello!\n", "")


def test_a_client_without_a_ledger_says_so_to_whoever_asks_for_it():
    with Client(ledger=False, cache=False) as client, pytest.raises(ConfigurationError, match="keeps no ledger"):
        _ = client.ledger


def test_what_a_dead_process_held_is_in_the_book_once_a_client_opens_the_ledger(tmp_path):
    path = tmp_path / "ledger.db"
    amounts = Amounts(usd=1000, tokens=10, calls=1)
    dead = SqliteLedger(path)
    dead.reserve("dead", [Line("all", "total")], amounts, amounts, at=time.time() - 60, lease_seconds=30)
    dead.reserve("alive", [Line("all", "total")], amounts, amounts, at=time.time(), lease_seconds=600)
    dead.close()
    with Client(ledger=path, cache=False) as client:
        ledger = client.ledger
        assert writer.disk.flush(30)
        entries = [(entry.call, entry.kind, entry.charge.usd) for entry in ledger.entries()]
        assert entries == [("dead", "expired", 1000)]
        assert ledger.balance("all", "total").pending == amounts


def test_an_error_says_which_call_it_was_and_what_was_tried(world, tmp_path):
    async def body(world):
        down = Unavailable("down", provider="fake", status=500)
        settings = {"ledger": tmp_path / "ledger.db", "prices": {"fake:m": Price("1", "2")}, "max_retries": 1}
        provider = FakeProvider(down)
        client = world.client(providers={"fake": provider}, models={"any": "fake:m"}, **settings)
        with pytest.raises(Unavailable) as caught:
            await client.complete("any", "hi")
        failed = caught.value
        assert [(attempt.kind, attempt.error) for attempt in failed.attempts] == [
            ("primary", "Unavailable"),
            ("retry", "Unavailable"),
        ]
        with pytest.raises(BudgetExceeded) as caught:
            await client.complete("any", "hi", budget=Budget(usd="0.000001", per="call", name="tiny"))
        refused = caught.value
        assert refused.attempts == ()
        assert len({failed.request_id, refused.request_id, None}) == 3
        await client.aclose()

    world.run(body)


class Lingers:
    """A layer whose closing takes until somebody lets it go on."""

    name = "lingers"

    def __init__(self):
        self.closing, self.may_end = threading.Event(), threading.Event()

    def __call__(self, request, following):
        return following(request)

    def close(self):
        self.closing.set()
        assert self.may_end.wait(30), "nobody else came to run"


@world_on_a_loop
def test_closing_leaves_the_loop_to_others_while_it_waits(world):
    layer = Lingers()

    async def body(world):
        client = llm(world, FakeProvider("hello"), layers=[Insert(layer, before="retry")])
        await client.complete("any", "hi")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.aclose)
            await anyio.to_thread.run_sync(layer.closing.wait)
            layer.may_end.set()

    world.run(body)
