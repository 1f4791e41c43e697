"""What a call asks for, and what its reply says that it got, is what is held and booked; nothing gets past a budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inferkit import (
    Budget,
    Chunk,
    ConfigurationError,
    ImagePart,
    Message,
    Price,
    SqliteLedger,
    TextPart,
    Tool,
    Unavailable,
    UnpricedModel,
    Usage,
)
from inferkit.core.messages import AudioPart, FilePart, OpaquePart
from inferkit.core.usage import UsageDetails
from inferkit.testing import FakeProvider

PRICE = Price(
    "1",
    "10",
    service_tiers={"priority": Price("2", "20"), "flex": Price("0.5", "5")},
    speeds={"fast": Price("6", "60")},
    source="mine",
)
STANDARD = 100 * 1_000 + 10 * 10_000


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def answer(**how):
    return ["Hi", Chunk(finish_reason="stop", usage=Usage(100, 10, details=UsageDetails(**how)))]


def client(world, ledger, *replies, price=PRICE, **settings):
    provider = FakeProvider(*replies)
    return provider, world.client(
        ledger=ledger, providers={"fake": provider}, models={"any": "fake:m"}, prices={"fake:m": price}, **settings
    )


def charge(ledger):
    (entry,) = ledger.entries()
    return entry.charge


SERVED = [
    ("priority", "priority", 2 * STANDARD, "priority"),
    ("priority", "default", STANDARD, None),
    ("priority", None, 2 * STANDARD, "priority"),
    ("flex", "flex", STANDARD // 2, "flex"),
    ("auto", "priority", 2 * STANDARD, "priority"),
    ("default", "default", STANDARD, None),
    (None, "Priority", 2 * STANDARD, "priority"),
    (None, "default", STANDARD, None),
    (None, None, STANDARD, None),
]


@pytest.mark.parametrize("limits", [{"usd": "1"}, {"calls": 5}, {}], ids=["money", "calls", "nothing"])
@pytest.mark.parametrize("served", SERVED, ids=str)
def test_the_tier_that_the_reply_names_is_booked_or_the_one_that_was_asked_for(world, ledger, limits, served):
    asked, said, booked, tier = served

    async def body(world):
        budget = Budget(**limits, name="all") if limits else None
        _, llm = client(world, ledger, answer(service_tier=said), budget=budget)
        reply = await llm.complete("any", "hi", extra={} if asked is None else {"service_tier": asked})
        await llm.aclose()
        assert reply.cost * 10**9 == booked
        assert reply.attempts[0].usage.details.service_tier == tier
        assert reply.usage.details.service_tier == said, "the reply has the provider's own words"

    world.run(body)
    found = charge(ledger)
    assert (found.usd, found.details.service_tier, found.estimated) == (booked, tier, False)


@pytest.mark.parametrize(("asked", "rate"), [(None, 1), ("priority", 2), ("flex", 1), ("auto", 2), ("default", 1)])
def test_a_budget_holds_what_the_tier_costs_or_the_standard_that_may_be_served_instead(world, ledger, asked, rate):
    async def body(world):
        held = []
        budget = Budget(usd="1", name="all")
        _, llm = client(world, ledger, answer(), budget=budget)
        for extra in ({}, {} if asked is None else {"service_tier": asked}):
            async with llm.stream("any", "hi", max_output_tokens=1000, extra=extra) as stream:
                async for _ in stream:
                    seen = budget.usage(ledger=ledger).held_usd
                held.append(seen * 10**9)
        await llm.aclose()
        return held

    plain, asked_for = world.run(body)
    text = 1_000 * len('{"service_tier": "priority"}')
    assert plain > 0
    assert rate * plain <= asked_for <= rate * (plain + text)


@pytest.mark.parametrize("extra", [{"service_tier": "scale"}, {"service_tier": "priority", "speed": "fast"}])
def test_a_tier_without_a_price_is_refused_under_a_budget_of_money(world, ledger, extra):
    async def body(world):
        provider, llm = client(world, ledger, answer(), budget=Budget(usd="1", name="all"))
        with pytest.raises(UnpricedModel, match="service_tiers="):
            await llm.complete("any", "hi", extra=extra)
        await llm.aclose()
        assert provider.requests == []

    world.run(body)
    assert list(ledger.entries()) == []


def test_a_tier_without_a_price_costs_the_default_where_one_is_stated(world, ledger):
    async def body(world):
        _, llm = client(
            world,
            ledger,
            answer(service_tier="scale"),
            budget=Budget(usd="1", name="all"),
            on_unpriced=Price("7", "70", source="assumed"),
        )
        reply = await llm.complete("any", "hi", extra={"service_tier": "scale"})
        await llm.aclose()
        assert reply.cost * 10**9 == 7 * STANDARD
        assert reply.attempts[0].price_source == "assumed"

    world.run(body)


def test_a_reply_with_a_tier_without_a_price_is_unpriced_where_no_money_is_counted(world, ledger):
    async def body(world):
        _, llm = client(world, ledger, answer(service_tier="scale"))
        reply = await llm.complete("any", "hi")
        await llm.aclose()
        assert reply.cost is None

    world.run(body)
    assert charge(ledger).usd is None


def test_a_reply_with_a_tier_without_a_price_takes_what_was_held_of_a_budget(world, ledger):
    """The call was covered at the standard; what it really cost nobody knows, and it is not nothing."""
    budget = Budget(usd="1", name="all")

    async def body(world):
        _, llm = client(world, ledger, answer(service_tier="scale"), budget=budget)
        async with llm.stream("any", "hi", max_output_tokens=1000) as stream:
            held = [budget.usage(ledger=ledger).held_usd async for _ in stream]
        await llm.aclose()
        assert stream.reply.cost == held[0] == budget.usage(ledger=ledger).usd

    world.run(body)
    assert charge(ledger).estimated


def test_a_stream_that_was_left_is_booked_at_the_tier_that_was_asked_for(world, ledger):
    async def body(world):
        _, llm = client(world, ledger, ["one", " two", " three"])
        for extra in ({}, {"service_tier": "priority"}):
            async with llm.stream("any", "hi there", extra=extra) as stream:
                async for _ in stream:
                    break
        await llm.aclose()

    world.run(body)
    plain, asked = [entry.charge for entry in ledger.entries()]
    text = 1_000 * len('{"service_tier": "priority"}') * 2
    assert 2 * plain.usd <= asked.usd <= 2 * plain.usd + text
    assert (plain.details.service_tier, asked.details.service_tier) == (None, "priority")


def test_what_the_provider_says_that_it_cost_stands_beside_what_was_booked(world, ledger):
    async def body(world):
        _, llm = client(world, ledger, answer(reported_nanos=250_000))
        reply = await llm.complete("any", "hi")
        await llm.aclose()
        assert (reply.cost * 10**9, reply.reported_cost * 10**9) == (STANDARD, 250_000)

    world.run(body)
    assert (charge(ledger).usd, charge(ledger).details.reported_nanos) == (STANDARD, 250_000)


def test_nothing_is_reported_where_the_provider_says_nothing(world, ledger):
    async def body(world):
        _, llm = client(world, ledger, answer())
        assert (await llm.complete("any", "hi")).reported_cost is None
        await llm.aclose()

    world.run(body)


def test_what_the_prompt_cache_saved_counts_writes_at_the_price_of_their_lifetime(world, ledger):
    price = Price("1", "10", "0.1", "1.25", cache_write_1h="2")
    usage = Usage(100, 10, 40, 30, details=UsageDetails(cache_write_1h_tokens=30))

    async def body(world):
        _, llm = client(world, ledger, ["Hi", Chunk(finish_reason="stop", usage=usage)], price=price)
        await llm.complete("any", "hi")
        await llm.aclose()

    world.run(body)
    assert charge(ledger).usd == 30 * 1_000 + 40 * 100 + 30 * 2_000 + 10 * 10_000
    assert charge(ledger).prompt_cache_saved == 40 * 900 - 30 * 1_000


MONEY, TOKENS = {"usd": "1"}, {"tokens": 100_000}


@pytest.mark.parametrize("limits", [MONEY, TOKENS], ids=["money", "tokens"])
@pytest.mark.parametrize("extra", [{"made_up": 1}, {"made_up": None}])
def test_a_field_that_nobody_knows_is_refused_under_a_budget(world, ledger, limits, extra):
    async def body(world):
        provider, llm = client(world, ledger, answer(), budget=Budget(**limits, name="all"))
        with pytest.raises(ConfigurationError, match="free_fields="):
            await llm.complete("any", "hi", extra=extra)
        await llm.aclose()
        assert provider.requests == []

    world.run(body)


def test_an_adapter_that_declares_nothing_takes_no_extra_under_a_budget(world, ledger):
    async def body(world):
        provider, llm = client(world, ledger, answer(), budget=Budget(usd="1", name="all"))
        provider.cost_rules = None
        with pytest.raises(ConfigurationError, match="cost_rules"):
            await llm.complete("any", "hi", extra={"logprobs": True})
        await llm.complete("any", "hi")
        await llm.aclose()

    world.run(body)


PICTURE = ImagePart(url="https://a/b.png")
WINDOW = 128_000


def held_for(world, ledger, *parts, price=None, **options):
    """Give what is held for a question with these parts, in tokens of input at $1 a million."""
    budget = Budget(usd="50", name="all")

    async def body(world):
        _, llm = client(world, ledger, answer(), price=price or Price("1", "0", context_window=WINDOW), budget=budget)
        async with llm.stream("any", [Message.user("hi", *parts)], max_output_tokens=10, **options) as stream:
            async for _ in stream:
                held = budget.usage(ledger=ledger).held_usd
        await llm.aclose()
        return int(held * 10**6)

    return world.run(body)


UNMEASURED = {
    "file id": FilePart(file_id="file-1"),
    "address of a file": FilePart(url="https://a/b.pdf"),
    "packed file": FilePart(data=b"%PDF", media_type="application/pdf"),
    "sound of before": OpaquePart("audio", {"id": "audio-1"}),
    "part of another type": TextPart("", {"type": "file", "file": {"file_id": "file-1"}}),
    "moving picture": TextPart("", {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}}),
    "another picture": ImagePart(url="data:,", extra={"image_url": {"url": "https://a/b.png"}}),
}


@pytest.mark.parametrize("kind", UNMEASURED)
def test_what_cannot_be_measured_holds_as_much_as_fits_into_the_model(world, ledger, kind):
    assert held_for(world, ledger, UNMEASURED[kind]) == WINDOW


@pytest.mark.parametrize("limits", [MONEY, TOKENS], ids=["money", "tokens"])
@pytest.mark.parametrize("kind", UNMEASURED)
def test_where_nobody_knows_how_much_fits_it_is_refused_with_the_remedy(world, ledger, limits, kind):
    async def body(world):
        provider, llm = client(world, ledger, answer(), budget=Budget(**limits, name="all"))
        with pytest.raises(ConfigurationError, match="context_window="):
            await llm.complete("any", [Message.user("hi", UNMEASURED[kind])])
        await llm.aclose()
        assert provider.requests == []

    world.run(body)


def test_a_conversation_that_the_server_keeps_holds_as_much_as_fits(world, ledger):
    assert held_for(world, ledger, extra={"previous_response_id": "resp_1"}) == WINDOW


def test_without_a_budget_of_money_or_tokens_nothing_of_it_is_refused(world, ledger):
    async def body(world):
        provider, llm = client(world, ledger, answer(), budget=Budget(calls=50, name="all"))
        for part in UNMEASURED.values():
            await llm.complete("any", [Message.user("hi", part)], extra={"made_up": 1, "prediction": {}})
        await llm.aclose()
        assert len(provider.requests) == len(UNMEASURED)

    world.run(body)


def test_pictures_elsewhere_hold_as_much_as_the_model_makes_of_the_largest(world, ledger):
    plain = held_for(world, ledger)
    assert held_for(world, ledger, PICTURE, PICTURE) - plain == 2 * 50_008


def test_each_candidate_holds_what_it_makes_of_a_picture(world, ledger):
    """The first one is cheap with pictures, and fails; the second counts them as the dearest."""
    budget = Budget(usd="50", name="all")
    failing, other = FakeProvider(Unavailable("gone", provider="one", status=503)), FakeProvider(answer())

    async def body(world):
        llm = world.client(
            ledger=ledger,
            providers={"one": failing, "two": other},
            models={"any": ["one:gpt-4o", "two:gpt-4o-mini"]},
            prices={"one:*": Price("1", "0"), "two:*": Price("1", "0")},
            budget=budget,
            max_retries=1,
        )
        async with llm.stream("any", [Message.user("hi", PICTURE)], max_output_tokens=10) as stream:
            async for _ in stream:
                held = budget.usage(ledger=ledger).held_usd
        await llm.aclose()
        return int(held * 10**6)

    assert 48_169 < world.run(body) < 48_169 + 1_000


def test_sound_is_held_at_its_own_price(world, ledger):
    sound = AudioPart(data=bytes(4_000), media_type="audio/wav")
    same, dearer = (held_for(world, ledger, sound, price=Price("1", "0", input_audio=rate)) for rate in (None, "8"))
    assert dearer == 8 * same


def test_sound_in_the_reply_is_held_at_its_own_price_and_refused_without_one(world, ledger):
    spoken = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
    price = Price("0", "1", output_audio="20")
    plain, audible = (held_for(world, ledger, price=price, extra=extra) for extra in ({}, spoken))
    assert (plain, audible) == (10, 200)
    with pytest.raises(UnpricedModel, match="output_audio"):
        held_for(world, ledger, price=Price("0", "1"), extra=spoken)


@pytest.mark.parametrize("place", ["extra", "message", "part", "tool"])
def test_what_is_to_stay_in_the_cache_for_long_is_held_at_that_price(world, ledger, place):
    marker = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    message = Message.user(TextPart("hi", marker if place == "part" else None))
    if place == "message":
        message = replace(message, extra=marker)
    options = {"extra": marker} if place == "extra" else {}
    if place == "tool":
        options["tools"] = [Tool("f", extra=marker)]
    held = {}
    for rate in ("2", "4"):
        budget = Budget(usd="50", name=f"all{rate}")

        async def body(world, budget=budget, rate=rate):
            price = Price("1", "0", cache_write="1.25", cache_write_1h=rate)
            _, llm = client(world, ledger, answer(), price=price, budget=budget)
            async with llm.stream("any", [message], max_output_tokens=10, **options) as stream:
                async for _ in stream:
                    held[rate] = budget.usage(ledger=ledger).held_usd
            await llm.aclose()

        world.run(body)
    assert held["4"] == 2 * held["2"] > 0


def test_a_tool_of_the_server_is_no_way_round_a_budget(world, ledger):
    async def body(world):
        provider, llm = client(world, ledger, answer(), budget=Budget(usd="1", name="all"))
        for options in (
            {"tools": [Tool("search", extra={"type": "web_search"})]},
            {"extra": {"tools": [{"type": "web_search"}]}},
            {"extra": {"tools": "web_search"}},
            {"extra": {"tools": ["web_search"]}},
        ):
            with pytest.raises(ConfigurationError, match="functions of your own"):
                await llm.complete("any", "hi", **options)
        await llm.complete("any", "hi", tools=[Tool("f", extra={"function": {"x": 1}})])
        await llm.complete("any", "hi", extra={"tools": [{"type": "function", "function": {"name": "f"}}]})
        await llm.aclose()
        assert len(provider.requests) == 2

    world.run(body)


def online(world, ledger, limits, **settings):
    """Call a model that searches by its name; give what was held for it, and how many calls came."""
    budget = Budget(**limits, name="all")

    async def body(world):
        provider = FakeProvider(answer(), answer())
        async with world.client(
            ledger=ledger, providers={"fake": provider}, models={"any": "fake:m:online"}, budget=budget, **settings
        ) as llm:
            async with llm.stream("any", "hi", max_output_tokens=10) as stream:
                async for _ in stream:
                    held = budget.usage(ledger=ledger)
            return held, len(provider.requests)

    return world.run(body)


@pytest.mark.parametrize("limits", [MONEY, TOKENS], ids=["money", "tokens"])
def test_a_model_that_searches_by_its_name_is_refused_where_nobody_lists_it(world, ledger, limits):
    with pytest.raises(UnpricedModel, match="fake:m:online"):
        online(world, ledger, limits)


@pytest.mark.parametrize("limits", [{"usd": "1"}, {"tokens": 200_000}], ids=["money", "tokens"])
@pytest.mark.parametrize("how", ["on_unpriced", "prices"])
def test_a_model_that_searches_by_its_name_holds_as_much_as_fits_where_its_price_is_stated(world, ledger, limits, how):
    price = Price("1", "0", context_window=WINDOW)
    held, calls = online(world, ledger, limits, **{how: price if how == "on_unpriced" else {"fake:m:online": price}})
    assert calls == 1
    assert held.held_tokens == WINDOW + 10
    assert int(held.held_usd * 10**6) == (WINDOW if "usd" in limits else 0)


@pytest.mark.parametrize("limits", [MONEY, TOKENS], ids=["money", "tokens"])
def test_a_model_that_searches_by_its_name_is_refused_where_nobody_knows_how_much_fits(world, ledger, limits):
    with pytest.raises(ConfigurationError, match="context_window="):
        online(world, ledger, limits, on_unpriced=Price("1", "0"))


def test_without_a_budget_of_money_or_tokens_a_model_may_search_by_its_name(world, ledger):
    _, calls = online(world, ledger, {"calls": 5})
    assert calls == 1


def test_a_name_that_merely_has_a_colon_asks_for_nothing(world, ledger):
    provider = FakeProvider(answer())

    async def body(world):
        budget = Budget(tokens=1000, name="all")
        async with world.client(ledger=ledger, providers={"fake": provider}, budget=budget) as llm:
            await llm.complete("fake:llama3.2:1b", "hi", max_output_tokens=10)

    world.run(body)
    assert len(provider.requests) == 1
