"""What a call is entered with in the ledger's journal, worked out by hand."""

from __future__ import annotations

import pytest

from inferkit import (
    Budget,
    BudgetExceeded,
    Insert,
    Plan,
    Price,
    ProviderError,
    Retry,
    SqliteLedger,
    StreamInterrupted,
    Unavailable,
    UnpricedModel,
)
from inferkit.core.chunks import Chunk
from inferkit.core.usage import Usage, UsageDetails
from inferkit.ledger.amounts import Amounts, Line
from inferkit.ledger.journal import Attribution, Charge, Part
from inferkit.testing import FakeProvider
from layers.test_hedges import Hedge
from layers.test_trace import Recorded
from worlds import Gate, world_on_a_loop

# nano-dollars a token: 1,000 in, 10,000 out, 100 read from the provider's cache, 1,250 written to it, 20,000 reasoning
CHEAP = Price(input="1", output="10", cache_read="0.10", cache_write="1.25", reasoning="20")
DEAR = Price(input="10", output="100", request="0.001")
PRICES = {"cheap:m": CHEAP, "dear:m": DEAR}
DOWN = Unavailable("down", provider="any", status=503)


def reply(usage, *texts, reason="stop"):
    return [*(texts or ("Hello",)), Chunk(finish_reason=reason, usage=usage)]


class Book:
    """A ledger, and calls that are entered in it."""

    def __init__(self, world, ledger):
        self.world = world
        self.ledger = ledger

    def run(self, body, **settings):
        settings = {
            "prices": PRICES,
            "models": {"any": [f"{name}:m" for name in settings["providers"]]},
            "layers": [Insert(Retry(3, base=0.001), instead_of="retry")],
            "ledger": self.ledger,
            **settings,
        }

        async def main(world):
            async with world.client(**settings) as llm:
                await body(llm)

        self.world.run(main)
        return [entry.charge for entry in self.ledger.entries()]

    def call(self, provider_settings=None, options=None, **providers):
        """Make one call, and give what it was entered with."""

        async def body(llm):
            await llm.complete("any", "Hi", **(options or {}))

        (charge,) = self.run(body, providers=providers, **(provider_settings or {}))
        return charge


@pytest.fixture
def book(world, tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield Book(world, ledger)
    ledger.close()


def test_a_call_of_one_attempt_is_entered_with_all_that_is_known_of_it(book):
    usage = Usage(100, 20, cache_read_tokens=40, cache_write_tokens=10, reasoning_tokens=5)
    options = {"user": "ana", "tenant": "acme", "feature": "search", "plan": "pro"}
    charge = book.call({"plans": [Plan("pro", allowance="unlimited")]}, options, cheap=FakeProvider(reply(usage)))
    cost = 50 * 1000 + 40 * 100 + 10 * 1250 + 15 * 10_000 + 5 * 20_000
    assert charge == Charge(
        usd=cost,
        provider="cheap",
        model="m",
        input_tokens=100,
        output_tokens=20,
        cache_read_tokens=40,
        cache_write_tokens=10,
        reasoning_tokens=5,
        attempts=1,
        outcome="completed",
        finish_reason="stop",
        asked="any",
        prompt_cache_saved=50 * 1000 - (40 * 100 + 10 * 1250),
        attribution=Attribution("ana", "acme", "search", "pro"),
    )
    assert charge.tokens == 120


def test_writing_to_the_prompt_cache_that_nobody_reads_saves_less_than_nothing(book):
    charge = book.call(cheap=FakeProvider(reply(Usage(100, 1, cache_write_tokens=100))))
    assert charge.prompt_cache_saved == -100 * 250


def test_attempts_are_added_up_and_kept_one_by_one(book):
    charge = book.call(
        dear=FakeProvider(DOWN),
        cheap=FakeProvider([Chunk(usage=Usage(7, 0)), Unavailable("gone", provider="cheap")], reply(Usage(10, 2))),
    )
    first, second, third = 0, 7 * 1000, 10 * 1000 + 2 * 10_000
    assert (charge.usd, charge.attempts, charge.estimated) == (first + second + third, 4, True)
    assert (charge.provider, charge.model, charge.outcome, charge.finish_reason) == ("cheap", "m", "completed", "stop")
    assert charge.parts == (
        Part("primary", "dear", "m", "error", 0),
        Part("fallback", "cheap", "m", "error", second, 7, 0),
        Part("retry", "dear", "m", "error", 0),
        Part("fallback", "cheap", "m", "completed", third, 10, 2),
    )
    assert (charge.input_tokens, charge.output_tokens) == (17, 2)


def test_a_retry_is_a_part_of_its_call(book):
    charge = book.call(cheap=FakeProvider(DOWN, reply(Usage(10, 2))))
    assert [(part.kind, part.usd) for part in charge.parts] == [("primary", 0), ("retry", 30_000)]


def test_trace_ledger_and_cache_are_told_the_same_of_each_attempt(book, tmp_path):
    recorded, replies = Recorded(), []

    async def body(llm):
        replies.extend([await llm.complete("any", "Hi"), await llm.complete("any", "Hi")])

    providers = {"dear": FakeProvider(DOWN, reply(Usage(10, 2))), "cheap": FakeProvider(DOWN)}
    (charge,) = book.run(body, providers=providers, telemetry=recorded.telemetry, cache=True, home=tmp_path)
    kinds = ["primary", "fallback", "retry"]
    assert [attempt.kind for attempt in replies[0].attempts] == kinds
    assert [part.kind for part in charge.parts] == kinds
    assert [span.attributes["inferkit.attempt.kind"] for span in recorded.named("chat m")] == kinds
    assert replies[1].cache == "hit", "the first candidate answered in the end"


def test_a_call_that_failed_and_cost_nothing_is_not_entered(book):
    async def body(llm):
        with pytest.raises(ProviderError):
            await llm.complete("any", "Hi")

    assert book.run(body, providers={"cheap": FakeProvider(DOWN)}) == []


def test_a_stream_that_broke_is_entered_with_what_was_seen_of_it(book):
    async def body(llm):
        with pytest.raises(StreamInterrupted):
            await llm.complete("any", "Hi")

    (charge,) = book.run(body, providers={"cheap": FakeProvider(["four", Unavailable("gone", provider="cheap")])})
    assert (charge.outcome, charge.estimated, charge.output_tokens, charge.finish_reason) == ("error", True, 1, None)


def test_a_stream_that_its_reader_left_is_entered_as_closed(book):
    async def body(llm):
        async with llm.stream("any", "Hi", max_output_tokens=100) as stream:
            async for _ in stream:
                break

    (charge,) = book.run(body, providers={"cheap": FakeProvider(["four", "more"])})
    assert (charge.outcome, charge.estimated, charge.output_tokens) == ("closed", True, 1)


def test_a_model_without_a_price_is_entered_as_unknown_and_not_as_free(book):
    charge = book.call({"prices": {}}, cheap=FakeProvider(reply(Usage(10, 2))))
    assert (charge.usd, charge.input_tokens, charge.output_tokens) == (None, 10, 2)
    assert (charge.prompt_cache_saved, charge.routing_saved) == (0, 0)


def test_routing_saves_what_the_dearest_candidate_would_have_cost_more(book):
    charge = book.call(cheap=FakeProvider(reply(Usage(100, 20))), dear=FakeProvider())
    cheap, dear = 100 * 1000 + 20 * 10_000, 100 * 10_000 + 20 * 100_000 + 1_000_000
    assert (charge.usd, charge.routing_saved) == (cheap, dear - cheap)


def test_the_dearest_candidate_saves_nothing_and_neither_does_the_only_one(book):
    charge = book.call(dear=FakeProvider(reply(Usage(100, 20))), cheap=FakeProvider())
    assert charge.routing_saved == 0


def test_a_name_for_one_model_saves_nothing_by_routing(book):
    assert book.call(cheap=FakeProvider(reply(Usage(100, 20)))).routing_saved == 0


def test_routing_saves_nothing_that_is_known_where_a_candidate_has_no_price(book):
    charge = book.call(cheap=FakeProvider(reply(Usage(100, 20))), unknown=FakeProvider())
    assert charge.routing_saved == 0


def test_nothing_is_saved_by_a_call_that_served_nothing(book):
    """Its last attempt was refused by the provider; the dear candidate's fee a request would not have been saved."""

    async def body(llm):
        with pytest.raises(ProviderError):
            await llm.complete("any", "Hi")

    cheap = FakeProvider([Chunk(usage=Usage(7, 0)), Unavailable("gone", provider="cheap")], DOWN)
    (charge,) = book.run(body, providers={"dear": FakeProvider(DOWN), "cheap": cheap})
    assert (charge.usd, charge.parts[-1].usd, charge.routing_saved) == (7000, 0, 0)


def test_a_degraded_call_says_so_and_what_the_model_that_was_asked_for_would_have_cost(book):
    async def body(llm):
        for _ in range(2):
            await llm.complete("smart", "Hi", user="ana")

    _, charge = book.run(
        body,
        providers={"dear": FakeProvider(reply(Usage(100, 20))), "cheap": FakeProvider(reply(Usage(100, 20)))},
        models={"smart": "dear:m"},
        budget=Budget(calls=1, name="trial", on_exceed="degrade", degrade_to="cheap:m"),
    )
    assert (charge.degraded, charge.asked, charge.provider) == (True, "smart", "cheap")
    cheap, dear = 100 * 1000 + 20 * 10_000, 100 * 10_000 + 20 * 100_000 + 1_000_000
    assert (charge.usd, charge.routing_saved) == (cheap, dear - cheap)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [("1", "length"), ("0.0025", "budget")],  # dollars: the second buys fewer than the 300 tokens that are asked for
)
def test_a_reply_that_ended_at_its_length_says_whether_a_budget_had_set_it(book, limit, reason):
    charge = book.call(
        {"budget": Budget(usd=limit, name="all")},
        {"max_output_tokens": 300},
        cheap=FakeProvider(reply(Usage(10, 20), reason="length")),
    )
    assert charge.finish_reason == reason


def test_a_stream_that_a_budget_cut_ended_at_the_budget(book):
    settings = {"budget": Budget(tokens=1000, name="all", on_exceed="truncate")}
    charge = book.call(settings, {"max_output_tokens": 16}, cheap=FakeProvider(["word " * 2000, "more"]))
    assert (charge.outcome, charge.finish_reason, charge.estimated) == ("completed", "budget", True)


def test_a_refused_call_is_not_entered(book):
    async def body(llm):
        with pytest.raises(BudgetExceeded):
            await llm.complete("any", "Hi")
        with pytest.raises(UnpricedModel):
            await llm.complete("unknown:m", "Hi")

    providers = {"cheap": FakeProvider(), "unknown": FakeProvider()}
    budget = Budget(usd="0.00001", name="all")
    assert book.run(body, providers=providers, models={"any": "cheap:m"}, budget=budget) == []


@world_on_a_loop
def test_a_lost_hedge_is_a_part_with_what_was_seen_of_it(tmp_path, world):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    gate = Gate()
    book = Book(world, ledger)
    settings = {"layers": [Insert(Hedge(gate), instead_of="retry")]}
    charge = book.call(settings, cheap=FakeProvider(["four", gate]), dear=FakeProvider(reply(Usage(10, 2))))
    served = 10 * 10_000 + 2 * 100_000 + 1_000_000
    lost = next(part for part in charge.parts if part.provider == "cheap")
    assert (charge.provider, charge.attempts, charge.estimated) == ("dear", 2, True)
    assert (lost.outcome, lost.output_tokens) == ("cancelled", 1)
    assert charge.usd == served + lost.usd
    assert {part.kind for part in charge.parts} == {"primary", "hedge"}
    assert charge.routing_saved == 0, "the dear one served"
    ledger.close()


WHO = Attribution("ana", "acme", "search", "pro")
LINE = Line("free", "month:2026-11-01", usd=100)


def leased(ledger, call="1"):
    ledger.reserve(call, [LINE], Amounts(60, 5, 1), Amounts(60, 5, 1), at=0, lease_seconds=10, attribution=WHO)
    ledger.sweep(20)


def test_a_call_whose_lease_ran_out_is_entered_for_who_made_it(book):
    leased(book.ledger)
    (entry,) = book.ledger.entries()
    assert (entry.kind, entry.charge.usd, entry.charge.estimated, entry.charge.attribution) == (
        "expired",
        60,
        True,
        WHO,
    )


def test_settling_late_corrects_it_for_the_same_payer(book):
    leased(book.ledger)
    book.ledger.settle("1", Charge(25, "cheap", "m", output_tokens=3, attribution=WHO), at=30)
    expired, corrected = book.ledger.entries()
    assert (corrected.kind, corrected.charge.usd, corrected.charge.attribution) == ("corrected", -35, WHO)
    assert expired.charge.usd + corrected.charge.usd == 25


def test_voiding_or_reviving_it_late_is_entered_for_who_made_it(book):
    leased(book.ledger)
    book.ledger.void("1", at=30)
    leased(book.ledger, "2")
    book.ledger.extend("2", [LINE], Amounts(1), at=30, lease_seconds=10)
    assert {entry.charge.attribution for entry in book.ledger.entries()} == {WHO}
    assert [entry.charge.usd for entry in book.ledger.entries()] == [60, -60, 60, -60]
    book.ledger.sweep(100)
    assert [entry.charge.attribution for entry in book.ledger.entries()][-1] == WHO, "the hold kept it, too"


def test_every_field_of_a_charge_is_read_back_as_it_was_written(book):
    details = UsageDetails(
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, (("file_search", 1), ("web_search", 2)), "flex", "fast", "eu", 10
    )  # fmt: skip
    part = Part("retry", "p", "m", "error", None, 1, 2, 3, 4, 5)
    parts = (part, part._replace(usd=9, details=details))
    charge = Charge(
        -1, "p", "m", 1, 2, 3, 4, 5, 6, True, "closed", "length", "any", True, -7, 8, 9, parts, WHO, details,
    )  # fmt: skip
    assert len(charge) == len(Charge._fields)
    book.ledger.record("1", charge, at=5)
    (entry,) = book.ledger.entries()
    assert entry.charge == charge
    assert [type(flag) for flag in (entry.charge.estimated, entry.charge.degraded)] == [bool, bool]
    assert isinstance(entry.charge.parts[0], Part)
