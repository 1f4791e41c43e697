"""A loop of functions and a mended object, on each wire, under a budget that ends in the middle.

What was spent is booked and nothing is held; no function runs halfway; and what was done is not lost.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import BaseModel, Field

from four_wires import NAMES, adapter, answer, messages_of
from inferkit import Budget, BudgetExceeded, InvalidReply, Price, budget
from wire import Wire
from worlds import closing

PRICE = Price(input="1", output="1000")  # a token of output costs a tenth of a cent, so that few fit


class Order(BaseModel):
    number: str
    count: int = Field(ge=1, le=9)


GOOD, BAD = '{"number": "A-1", "count": 2}', '{"number": "A-1", "count": 20}'
ASKS = (("find", {"number": "A-1"}), ("find", {"number": "A-2"}))


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture(params=["whole", "stream"])
def how(request):
    return request.param


class Shop:
    """A server of one wire that answers what it is told to, a client of it with a ledger, and functions that count."""

    def __init__(self, name, how, wire, llm):
        self.name, self.how, self.wire, self.llm = name, how, wire, llm
        self.found = []

    @property
    def ledger(self):
        return getattr(self.llm, "inner", self.llm).ledger

    def find(self, number: str) -> str:
        """Find an order."""
        self.found.append(number)
        return f"near {number}"

    async def run(self, messages="Where are they?", **options):
        options = {"tools": [self.find], "max_output_tokens": 50, **options}
        if self.how == "whole":
            return await self.llm.run_tools("m", messages, **options)
        async with self.llm.stream_tools("m", messages, **options) as stream:
            async for _ in stream:
                pass
            return stream.run

    async def ask(self, **options):
        options = {"schema": Order, "repair": 2, "max_output_tokens": 50, **options}
        if self.how == "whole":
            return await self.llm.complete("m", "An order, please.", **options)
        async with self.llm.stream("m", "An order, please.", **options) as stream:
            async for _ in stream:
                pass
            return stream.reply

    def booked(self, spent):
        """Check that nothing is held, and give what was spent: all of it is in the journal."""
        used = spent.usage(ledger=self.ledger)
        assert (used.held_usd, used.held_tokens, used.held_calls) == (0, 0, 0)
        entries = list(self.ledger.entries())
        assert {entry.kind for entry in entries} <= {"settled"}
        nanos = sum(entry.charge.usd for entry in entries)
        assert used.usd == Decimal(nanos) / 10**9
        return nanos


def served(world, name, how, body, *replies):
    """Run a body with a shop whose server gives these replies: arguments of `answer`."""
    left = list(replies)

    def script(received):
        arguments = left.pop(0)
        return answer(name, received, *arguments.get("says", ()), **arguments.get("more", {}))

    async def whole(world):
        with Wire(script) as wire:
            made = world.client(
                models={"m": "p:a-model"}, providers={"p": adapter(name, wire.url)}, prices={"p:a-model": PRICE},
                ledger=True, max_retries=0,
            )  # fmt: skip
            async with closing(made) as llm:
                return await body(Shop(name, how, wire, llm))

    return world.run(whole)


def says(text="", *calls, tokens=(20, 9), **more):
    return {"says": (text, *calls), "more": {"tokens": tokens, **more}}


def cost(*tokens):
    return sum(given * 1_000 + written * 1_000_000 for given, written in tokens)


def test_a_loop_within_its_budget_is_booked_round_by_round(world, name, how):
    async def body(shop):
        with budget(usd="1", name="run") as spent:
            done = await shop.run()
        assert (done.text, sorted(shop.found)) == ("Both are near.", ["A-1", "A-2"])
        assert [each.content for each in done.rounds[0].results] == ["near A-1", "near A-2"]
        assert done.cost_nanos == shop.booked(spent) == cost((30, 40), (60, 5))
        assert spent.usage(ledger=shop.ledger).calls == 2

    served(world, name, how, body, says("", *ASKS, tokens=(30, 40)), says("Both are near.", tokens=(60, 5)))


def test_a_loop_whose_next_round_the_budget_refuses_has_run_all_functions_and_goes_on_from_there(world, name, how):
    async def body(shop):
        with budget(usd="0.052", name="run") as spent, pytest.raises(BudgetExceeded) as caught:
            await shop.run()
        error = caught.value
        assert (error.scope, error.limit, len(shop.wire.requests)) == ("run", Decimal("0.052"), 1)
        assert sorted(shop.found) == ["A-1", "A-2"]
        assert error.run.cost_nanos == shop.booked(spent) == cost((30, 40))
        assert [one.role for one in error.run.messages] == ["user", "assistant", "tool", "tool"]
        with budget(usd="1", name="more"):
            done = await shop.run(error.run.messages)
        assert done.text == "Both are near."
        assert sorted(shop.found) == ["A-1", "A-2"]  # and not once more
        said = str(messages_of(shop.name, shop.wire.requests[1].json))
        assert said.index("near A-1") < said.index("near A-2")

    served(world, name, how, body, says("", *ASKS, tokens=(30, 40)), says("Both are near.", tokens=(60, 5)))


def test_a_loop_may_write_what_is_left_and_is_cut_there(world, name, how):
    """The budget lowers the second reply's limit; the server keeps it, and says that it stopped there."""
    limits = {
        "chat": ("max_tokens",), "responses": ("max_output_tokens",), "anthropic": ("max_tokens",),
        "gemini": ("generationConfig", "maxOutputTokens"),
    }  # fmt: skip

    async def body(shop):
        with budget(usd="0.06", name="run") as spent:
            done = await shop.run()
        sent = shop.wire.requests[1].json
        for step in limits[shop.name]:
            sent = sent[step]
        assert 16 <= sent < 50
        assert done.cost_nanos == shop.booked(spent) == cost((30, 20), (60, 17))

    served(world, name, how, body, says("", *ASKS, tokens=(30, 20)), says("Both are near.", tokens=(60, 17)))


@pytest.mark.parametrize("text", ["", "Let me see. "])
def test_a_reply_that_is_cut_while_it_asks_for_functions_runs_none(world, name, text):
    """The server writes on and on, past what is paid for."""
    many = tuple(("find", {"number": f"A-{number}, or so I think, {'and on ' * 20}"}) for number in range(60))

    async def body(shop):
        with budget(Budget(usd="0.06", name="run", on_exceed="truncate")) as spent:
            done = await shop.run()
        assert (done.reply.finish_reason, shop.found) == ("budget", [])
        assert done.cost_nanos == shop.booked(spent) > cost((0, 40))
        assert shop.wire.wait_until_closed()

    served(world, name, "stream", body, says(text, *many, tokens=(30, 1200), half=True))


def test_a_stream_that_runs_past_the_budget_in_a_later_round_keeps_what_was_done(world, name):
    async def body(shop):
        with budget(usd="0.1", name="run") as spent, pytest.raises(BudgetExceeded) as caught:
            await shop.run()
        error = caught.value
        assert error.partial.startswith("word 0 word 1 ")
        assert [one.role for one in error.run.messages] == ["user", "assistant", "tool", "tool"]
        assert [one.outcome for one in error.run.attempts] == ["completed", "error"]
        assert error.run.cost_nanos == shop.booked(spent) > cost((30, 20), (0, 40))
        assert sorted(shop.found) == ["A-1", "A-2"]
        assert shop.wire.wait_until_closed()

    words = "".join(f"word {number} " for number in range(400))
    served(
        world, name, "stream", body,
        says("", *ASKS, tokens=(30, 20)), says(words, tokens=(60, 900), half=True),
    )  # fmt: skip


def test_an_object_is_mended_within_its_budget_and_every_attempt_is_booked(world, name, how):
    async def body(shop):
        with budget(usd="1", name="run") as spent:
            made = await shop.ask()
        assert made.parsed == Order(number="A-1", count=2)
        assert [one.kind for one in made.attempts] == ["primary", "repair"]
        assert made.cost_nanos == shop.booked(spent) == cost((40, 12), (90, 11))
        (entry,) = shop.ledger.entries()
        assert [(part.kind, part.usd) for part in entry.charge.parts] == [
            ("primary", cost((40, 12))), ("repair", cost((90, 11))),
        ]  # fmt: skip

    served(world, name, how, body, says(BAD, tokens=(40, 12)), says(GOOD, tokens=(90, 11)))


def test_a_mending_that_the_budget_refuses_is_the_error_and_what_was_wrong_its_cause(world, name, how):
    async def body(shop):
        with budget(usd="0.052", name="run") as spent, pytest.raises(BudgetExceeded) as caught:
            await shop.ask()
        error = caught.value
        assert isinstance(error.__cause__, InvalidReply)
        assert error.__cause__.partial == BAD
        assert error.__cause__.problems == (("count", "less_than_equal"),)
        assert error.partial == BAD
        assert [one.kind for one in error.attempts] == ["primary"]
        assert sum(one.cost_nanos for one in error.attempts) == shop.booked(spent) == cost((40, 45))
        assert len(shop.wire.requests) == 1

    served(world, name, how, body, says(BAD, tokens=(40, 45)))


def test_a_loop_that_ends_with_a_mended_object_adds_all_of_it_up(world, name, how):
    async def body(shop):
        with budget(usd="1", name="run") as spent:
            done = await shop.run(schema=Order, repair=1)
        assert done.parsed == Order(number="A-1", count=2)
        assert done.cost_nanos == shop.booked(spent) == cost((30, 20), (40, 12), (90, 11))
        assert [one.kind for one in done.attempts] == ["primary", "primary", "repair"]

    served(
        world, name, how, body,
        says("", *ASKS, tokens=(30, 20)), says(BAD, tokens=(40, 12)), says(GOOD, tokens=(90, 11)),
    )  # fmt: skip


def test_a_loop_whose_mending_the_budget_refuses_keeps_the_rounds(world, name, how):
    async def body(shop):
        with budget(usd="0.1", name="run") as spent, pytest.raises(BudgetExceeded) as caught:
            await shop.run(schema=Order, repair=1)
        error = caught.value
        assert isinstance(error.__cause__, InvalidReply)
        assert error.run.cost_nanos == shop.booked(spent) == cost((30, 45), (40, 45))
        assert [one.role for one in error.run.messages] == ["user", "assistant", "tool", "tool"]

    served(world, name, how, body, says("", *ASKS, tokens=(30, 45)), says(BAD, tokens=(40, 45)))


def test_a_function_whose_own_call_the_budget_refuses_leaves_no_other_half_run(world, name, how):
    async def body(shop):
        llm = getattr(shop.llm, "inner", shop.llm)

        def look(number: str) -> str:
            """Look closer, with a call of one's own."""
            raise BudgetExceeded("no", scope="inner", limit=Decimal(1), spent=Decimal(1))

        with budget(usd="1", name="run") as spent, pytest.raises(BudgetExceeded) as caught:
            await shop.run(tools=[look, shop.find])
        assert sorted(shop.found) == ["A-2"]
        assert [one.content for one in caught.value.run.rounds[0].results] == ["near A-2"]
        assert caught.value.run.cost_nanos == shop.booked(spent) == cost((30, 20))
        assert llm.ledger is shop.ledger

    served(world, name, how, body, says("", ("look", {"number": "A-1"}), ASKS[1], tokens=(30, 20)))
