"""`InferkitModel`: what Pydantic AI's users see of a call that passes the whole stack."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

import four_wires
from inferkit import (
    AsyncClient,
    Budget,
    BudgetExceeded,
    Chunk,
    Client,
    Message,
    OpaquePart,
    Price,
    ReasoningPart,
    ToolCallDelta,
    Unavailable,
)
from inferkit.integrations import cause_of
from inferkit.testing import FakeProvider, settled
from integrations.answering import willing
from wire import CLOSE, SSE_HEAD, UNTIL_CLOSED, Wire, chunked, event, reply

pytest.importorskip("pydantic_ai", reason="Pydantic AI is not installed: its model is not tested")

from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, DocumentUrl, ImageUrl, NativeOutput, ToolOutput
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelOverloadedError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    UserError,
)
from pydantic_ai.messages import (
    CachePoint,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    UploadedFile,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ToolOrOutput
from pydantic_ai.tools import ToolDefinition

from chat_wire import delta
from inferkit.integrations.pydantic_ai import InferkitModel, InferkitModelSettings

PRICED = {"on_unpriced": Price(input=1, output=10), "cache": False}
each_wire = pytest.mark.parametrize("name", four_wires.NAMES)


class Order(BaseModel):
    id: int


def served(adapter, **settings):
    given = {"cache": False, "ledger": False, "providers": {"p": adapter}, "models": {"fast": "p:m"}}
    return AsyncClient(**{**given, **settings})


def on(adapter, use, **settings):
    """Run a coroutine function that takes a model and its client."""

    async def body():
        async with served(adapter, **settings) as llm:
            return await use(InferkitModel("fast", llm), llm)

    return asyncio.run(body())


@each_wire
def test_an_agent_calls_a_tool_and_goes_on(name):
    async def use(model, _):
        agent = Agent(model, instructions="Be kind.")

        @agent.tool_plain
        def find(id: int) -> str:  # noqa: A002
            return f"order {id}"

        whole = await agent.run("Where is order 3?")
        async with agent.run_stream("Where is order 3?") as stream:
            pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
        return whole, pieces, stream.usage

    with Wire(willing(name)) as wire:
        whole, pieces, usage = on(four_wires.adapter(name, wire.url), use)
    assert whole.output == "".join(pieces) == "It is on its way."
    assert len(pieces) > 1
    assert whole.usage == usage
    assert (usage.requests, usage.input_tokens, usage.output_tokens, usage.tool_calls) == (2, 40, 18, 1)
    returned = [
        part.content for message in whole.all_messages() for part in message.parts if part.part_kind == "tool-return"
    ]
    assert returned == ["order 3"]


@pytest.mark.parametrize("form", [NativeOutput, ToolOutput], ids=["native", "tool"])
@each_wire
def test_an_object_that_was_asked_for_is_given(name, form):
    async def use(model, _):
        agent = Agent(model, output_type=form(Order))
        async with agent.run_stream("?") as stream:
            streamed = await stream.get_output()
        return (await agent.run("?")).output, streamed

    with Wire(willing(name)) as wire:
        assert on(four_wires.adapter(name, wire.url), use) == (Order(id=3), Order(id=3))


def test_an_object_that_does_not_fit_is_asked_for_again_by_the_framework():
    fake = FakeProvider('{"id": "x"}', '{"id": 7}')

    async def use(model, _):
        return (await Agent(model, output_type=NativeOutput(Order), retries=1).run("?")).output

    assert on(fake, use) == Order(id=7)
    assert len(fake.requests) == 2


def test_a_plain_client_serves_it_too_and_without_a_name_the_default():
    with Client(
        cache=False, ledger=False, models={"fast": "fake:m"}, providers={"fake": FakeProvider("Hello.")}
    ) as llm:
        model = InferkitModel(None, llm)
        assert (model.model_name, model.system) == ("fast", "inferkit")
        assert asyncio.run(Agent(model).run("Hi")).output == "Hello."


def test_what_it_cost_is_added_up_and_said_with_each_reply(tmp_path):
    async def use(model, _):
        agent = Agent(model)
        async with agent.run_stream("Hi") as stream:
            await stream.get_output()
        return await agent.run("Hi", message_history=stream.all_messages(), usage=stream.usage)

    with Wire(willing("chat")) as wire:
        done = on(four_wires.adapter("chat", wire.url), use, **PRICED)
    replies = [message for message in done.all_messages() if isinstance(message, ModelResponse)]
    assert [each.provider_details["cost_usd"] for each in replies] == ["0.00011", "0.00011"]
    assert [each.provider_details["served_by"] for each in replies] == ["p:m", "p:m"]
    assert done.usage.details["cost_nanos"] == 220_000


def test_a_refusal_is_raised_as_it_is_once(tmp_path):
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.test import TestModel

    fake = FakeProvider("Hello.")
    budget = Budget(calls=1, per="month", name="one")

    async def use(model, _):
        agent = Agent(FallbackModel(model, TestModel()))  # which is not to go round a budget
        await agent.run("Hi")
        with pytest.raises(BudgetExceeded) as refused:
            await agent.run("Hi")
        assert refused.value.scope == "one"
        with pytest.raises(BudgetExceeded):
            async with Agent(model).run_stream("Hi"):
                pass

    on(fake, use, ledger=tmp_path / "ledger.db", budget=budget)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ModelRequestRejectedError), (401, ModelAuthenticationError), (404, ModelNotFoundError),
     (429, ModelRateLimitError), (500, ModelServerError), (503, ModelUnavailableError), (529, ModelOverloadedError)],
)  # fmt: skip
def test_a_servers_failure_is_pydantic_ais_error_for_it(status, kind):
    async def use(model, _):
        for ask in (Agent(model).run, Agent(model).run_stream):
            with pytest.raises(kind) as failed:
                if ask.__name__ == "run":
                    await ask("Hi")
                else:
                    async with ask("Hi"):
                        pass
            assert isinstance(failed.value, ModelHTTPError)
            assert failed.value.status_code == status
            assert "no such thing" in str(failed.value)
            assert cause_of(failed.value).status == status

    with Wire(lambda _: [reply({"error": {"message": "no such thing", "code": "nope"}}, status)]) as wire:
        on(four_wires.adapter("chat", wire.url), use, max_retries=0)


def test_nobody_there_and_no_answer_in_time_are_too():
    async def unreachable(model, _):
        with pytest.raises(ModelConnectionError) as failed:
            await Agent(model).run("Hi")
        assert isinstance(cause_of(failed.value), Unavailable)

    async def silent(model, _):
        with pytest.raises(ModelTimeoutError):
            await Agent(model).run("Hi", model_settings={"timeout": 0.2})

    with Wire(lambda _: [UNTIL_CLOSED]) as wire:
        on(four_wires.adapter("chat", wire.url), silent, max_retries=0)
    on(four_wires.adapter("chat", wire.url), unreachable, max_retries=0)


def test_a_fallback_model_goes_on_where_a_server_fails():
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.test import TestModel

    async def use(model, _):
        return (await Agent(FallbackModel(model, TestModel(custom_output_text="From elsewhere."))).run("Hi")).output

    with Wire(lambda _: [reply({"error": {"message": "down"}}, 503)]) as wire:
        assert on(four_wires.adapter("chat", wire.url), use, max_retries=0) == "From elsewhere."


def test_a_stream_that_breaks_is_an_error_in_it():
    def script(_):
        return [SSE_HEAD, chunked(event(delta("Hel", role="assistant"))), CLOSE]

    async def use(model, _):
        with pytest.raises(ModelAPIError) as failed:
            async with Agent(model).run_stream("Hi") as stream:
                await stream.get_output()
        assert failed.value.in_stream

    with Wire(script) as wire:
        on(four_wires.adapter("chat", wire.url), use, max_retries=0)


@pytest.mark.parametrize("leave", ["leaving", "cancel"])
def test_a_stream_that_is_left_is_closed_and_settled(leave, tmp_path):
    budget = Budget(usd="1", per="month", name="all")

    async def use(model, llm):
        async with Agent(model).run_stream("Hi") as stream:
            async for _ in stream.stream_text(delta=True, debounce_by=None):
                break
            if leave == "cancel":
                await stream.cancel()
        assert await asyncio.to_thread(wire.wait_until_closed)
        await asyncio.to_thread(settled)
        return budget.usage(ledger=llm.ledger)

    with Wire(lambda received: four_wires.answer("chat", received, "Hello there.", half=True)) as wire:
        adapter = four_wires.adapter("chat", wire.url)
        usage = on(adapter, use, ledger=tmp_path / "ledger.db", budget=budget, **PRICED)
    assert (usage.calls, usage.held_calls) == (1, 0)


def test_settings_say_how_and_who():
    fake = FakeProvider("Hello.")
    settings = InferkitModelSettings(
        max_tokens=9, temperature=0.5, top_p=0.9, seed=3, stop_sequences=["x"], thinking="low", timeout=5,
        inferkit_user="alice", inferkit_tenant="acme", inferkit_feature="search", inferkit_priority=2,
        extra_body={"safety_identifier": "s"},
    )  # fmt: skip

    async def use(model, _):
        await Agent(model, model_settings=settings).run("Hi")
        await Agent(model).run("Hi", model_settings={"thinking": False})

    on(fake, use)
    request, second = fake.requests
    assert (request.max_output_tokens, request.temperature, request.top_p, request.seed) == (9, 0.5, 0.9, 3)
    assert (request.stop, request.reasoning_effort, second.reasoning_effort) == (("x",), "low", "none")
    assert (request.user, request.tenant, request.feature, request.priority) == ("alice", "acme", "search", 2)
    assert request.extra["safety_identifier"] == "s"


def test_what_the_model_that_serves_has_no_word_for_is_said():
    async def use(model, _):
        settings = {"top_k": 4, "presence_penalty": 1.0, "parallel_tool_calls": False}
        async with Agent(model, model_settings=settings).run_stream("Hi") as stream:
            await stream.get_output()
        return await Agent(model, model_settings=settings).run("Hi"), stream.all_messages()[-1]

    with Wire(willing("anthropic")) as wire:
        done, streamed = on(four_wires.adapter("anthropic", wire.url), use)
        assert wire.requests[0].json["top_k"] == 4
    for said in (done.all_messages()[-1], streamed):
        assert sorted(said.provider_details["left_out"]) == ["parallel_tool_calls", "presence_penalty"]


def test_tools_are_chosen_as_pydantic_ai_says():
    fake = FakeProvider("Hello.")
    both = [ToolDefinition(name="find"), ToolDefinition(name="look")]
    output = [ToolDefinition(name="final_result", kind="output")]
    choices = [None, "none", "required", ["find", "final_result"], ["final_result"], ToolOrOutput(["look"])]

    async def use(model, _):
        asked = [ModelRequest([UserPromptPart("Hi")])]
        for choice in choices:
            settings = {} if choice is None else {"tool_choice": choice}
            given = ModelRequestParameters(
                function_tools=both, output_mode="tool", output_tools=output, allow_text_output=False
            )
            await model.request(asked, settings, given)
        for choice in (None, "none"):
            await model.request(asked, {"tool_choice": choice}, ModelRequestParameters(function_tools=both))
        await model.request(asked, None, ModelRequestParameters())

    on(fake, use)
    assert [([tool.name for tool in each.tools], each.tool_choice) for each in fake.requests] == [
        (["find", "look", "final_result"], "required"),
        (["final_result"], "required"),
        (["find", "look", "final_result"], "required"),
        (["find", "final_result"], "required"),
        (["final_result"], "final_result"),
        (["look", "final_result"], "required"),
        (["find", "look"], "auto"),
        (["find", "look"], "none"),
        ([], None),
    ]


def test_every_kind_of_content_gets_there():
    fake = FakeProvider("Hello.")
    shown = [
        "Look:", ImageUrl("https://x.example/a.png", vendor_metadata={"detail": "low"}), CachePoint(),
        BinaryContent(b"\x01", media_type="image/png"), BinaryContent(b"\x01", media_type="audio/wav"),
        BinaryContent(b"\x01", media_type="application/pdf", identifier="a.pdf"),
        DocumentUrl("https://x.example/a.pdf"), UploadedFile("f-1", provider_name="openai"),
    ]  # fmt: skip
    history = [
        ModelRequest([UserPromptPart(shown)]),
        ModelResponse([ToolCallPart("find", {"id": 7}, "c1")]),
        ModelRequest(
            [ToolReturnPart("find", ["broken", BinaryContent(b"\x01", media_type="image/png")], "c1", outcome="failed")]
        ),
    ]

    async def use(model, _):
        return await model_request(model, history, instrument=False)

    on(fake, use)
    messages = fake.requests[0].messages
    assert [each.role for each in messages] == ["user", "assistant", "tool", "user"]
    assert [type(part).__name__ for part in messages[0].parts] == [
        "TextPart", "ImagePart", "ImagePart", "AudioPart", "FilePart", "FilePart", "FilePart"
    ]  # fmt: skip
    assert messages[0].parts[1].detail == "low"
    assert messages[2].parts[0].is_error


def test_what_only_its_provider_understands_goes_back_with_a_reply_also_from_a_file():
    sealed = [
        Chunk(reasoning="Let me "),
        Chunk(reasoning="see."),
        Chunk(parts=(ReasoningPart("", "seal", {"anthropic": {"k": 1}}),)),
        Chunk(parts=(OpaquePart("server_tool_use", {"id": "s"}, "anthropic"),)),
        Chunk("It is "),
        Chunk("there."),
        Chunk(tool_calls=(ToolCallDelta(0, "c1", "find", '{"id": 7}', {"thought": "t"}),)),
        Chunk(finish_reason="tool_calls"),
    ]
    fake = FakeProvider(sealed)

    async def use(model, llm):
        want = (await llm.complete("fast", "Hi")).message
        asked = ModelRequest([UserPromptPart("Hi")])
        whole = await model_request(model, [asked])
        async with model.request_stream([asked], None, ModelRequestParameters()) as stream:
            async for _ in stream:
                pass
        for said in (whole, stream.get()):
            kept = ModelMessagesTypeAdapter.validate_json(ModelMessagesTypeAdapter.dump_json([asked, said]))
            answer = ModelRequest([ToolReturnPart("find", "x", "c1")])
            await model_request(model, [*kept, answer])
            assert fake.requests[-1].messages[1] == want
            assert fake.requests[-1].messages[2] == Message.tool("c1", "x")

    on(fake, use)


def test_what_was_not_prepared_is_refused():
    from pydantic_ai.messages import RetryFeedbackPart, RetryInfo

    async def use(model, _):
        with pytest.raises(UserError, match="no form for a"):
            await model.request(
                [ModelRequest([RetryFeedbackPart("x", retry=RetryInfo("no_output"))])], None, ModelRequestParameters()
            )

    on(FakeProvider("Hello."), use)


def test_instructions_come_after_the_systems_own_words():
    fake = FakeProvider("Hello.")

    async def use(model, _):
        await Agent(model, system_prompt="First.", instructions="Second.").run("Hi")

    on(fake, use)
    assert [(each.role, each.text) for each in fake.requests[0].messages] == [
        ("system", "First."), ("system", "Second."), ("user", "Hi")
    ]  # fmt: skip


def test_without_pydantic_ai_the_extra_is_named():
    code = "import sys; sys.modules['pydantic_ai'] = None\nimport inferkit.integrations.pydantic_ai"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pydantic_ai takes pydantic-ai: pip install 'inferkit[pydantic-ai]'" in done.stderr
