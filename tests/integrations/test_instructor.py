"""Under Instructor: objects, its own asking again, and who pays for that."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip(
    "instructor", reason="Instructor is not installed here (it asks for an older SDK): `nox -s tests` has it"
)

import instructor
import openai
from pydantic import BaseModel

import four_wires
from inferkit import AsyncClient, Budget, BudgetExceeded, Client
from inferkit.integrations import cause_of, wrap
from integrations.faces import FACE
from wire import Wire

QUESTION = [{"role": "user", "content": "Which order?"}]


class Order(BaseModel):
    id: int


def calling(name, *given):
    """Answer with calls of the function that the object is the arguments of."""
    answers = list(given)
    return Wire(lambda received: four_wires.answer(name, received, "", ("Order", answers.pop(0))))


def test_an_object_is_given_plain_and_async():
    async def body(url):
        async with AsyncClient(cache=False, ledger=False) as llm:
            sdk = wrap(openai.AsyncOpenAI(api_key="k", base_url=url), llm)
            return await instructor.from_openai(sdk).create(model="m", messages=QUESTION, response_model=Order)

    with calling("chat", {"id": 7}, {"id": 8}) as wire, Client(cache=False, ledger=False) as llm:
        sdk = instructor.from_openai(FACE["chat"].under(wire.url, llm))
        assert sdk.create(model="m", messages=QUESTION, response_model=Order).id == 7
        assert asyncio.run(body(wire.url)).id == 8


def test_over_anthropic_too():
    with calling("anthropic", {"id": 7}) as wire, Client(cache=False, ledger=False) as llm:
        sdk = instructor.from_anthropic(FACE["anthropic"].under(wire.url, llm))
        assert sdk.create(model="m", max_tokens=99, messages=QUESTION, response_model=Order).id == 7


def test_what_does_not_fit_is_asked_for_again_and_each_time_is_paid_for(tmp_path):
    budget = Budget(calls=2, per="month", name="two")
    with calling("chat", {"id": "x"}, {"id": 7}) as wire:
        with Client(cache=False, ledger=tmp_path / "ledger.db", budget=budget) as llm:
            sdk = instructor.from_openai(FACE["chat"].under(wire.url, llm))
            assert sdk.create(model="m", messages=QUESTION, response_model=Order, max_retries=1).id == 7
            assert budget.usage(ledger=llm.ledger).calls == 2
            with pytest.raises(Exception, match="two") as refused:
                sdk.create(model="m", messages=QUESTION, response_model=Order)
        assert len(wire.requests) == 2
    assert isinstance(cause_of(refused.value), BudgetExceeded)


def test_a_stream_of_its_objects():
    def script(received):
        return four_wires.answer("chat", received, "", ("Order", {"id": 7}))

    with Wire(script) as wire, Client(cache=False, ledger=False) as llm:
        sdk = instructor.from_openai(FACE["chat"].under(wire.url, llm))
        *_, last = sdk.create_partial(model="m", messages=QUESTION, response_model=Order)
        assert last.id == 7
