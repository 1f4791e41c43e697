"""`ChatInferkit`: what LangChain's users see of a call that passes the whole stack."""

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
    ConfigurationError,
    OpaquePart,
    Price,
    RateLimited,
    ReasoningPart,
    Tool,
    ToolCallDelta,
    budgeted,
)
from inferkit.testing import FakeProvider, settled
from integrations.answering import willing
from wire import Wire, reply

pytest.importorskip("langchain_core", reason="LangChain is not installed: its model is not tested")

from langchain_core.messages import AIMessage, ChatMessage, FunctionMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from inferkit.integrations.langchain import ChatInferkit

PRICED = {"on_unpriced": Price(input=1, output=10), "cache": False}
each_wire = pytest.mark.parametrize("name", four_wires.NAMES)


class Order(BaseModel):
    """An order."""

    id: int


def find(id: int) -> str:  # noqa: A002
    """Find an order."""
    return f"order {id}"


def served(adapter, **settings):
    """Give a client with a model called fast."""
    given = {"cache": False, "ledger": False, "providers": {"p": adapter}, "models": {"fast": "p:m"}}
    return Client(**{**given, **settings})


def streamed(chat, question="Hi", **options):
    whole = None
    for piece in chat.stream(question, **options):
        whole = piece if whole is None else whole + piece
    return whole


@pytest.mark.parametrize("client", [Client, AsyncClient])
@each_wire
def test_either_client_serves_both_sides(name, client):
    with Wire(willing(name)) as wire:
        llm = client(cache=False, ledger=False, providers={"p": four_wires.adapter(name, wire.url)})
        chat = ChatInferkit(model="p:m", llm=llm)
        assert chat.invoke("Hi").content == streamed(chat).content == "It is on its way."
        if client is AsyncClient:

            async def body():
                pieces = [piece.content async for piece in chat.astream("Hi")]
                whole = await chat.ainvoke("Hi")
                await llm.aclose()
                return pieces, whole.content

            pieces, whole = asyncio.run(body())
            assert "".join(pieces) == whole == "It is on its way."
        else:
            llm.close()


def test_what_it_took_and_what_it_cost_is_said(tmp_path):
    with Wire(willing("chat")) as wire, served(four_wires.adapter("chat", wire.url), **PRICED) as llm:
        chat = ChatInferkit(model="fast", llm=llm)
        for said in (chat.invoke("Hi"), streamed(chat)):
            assert said.usage_metadata["input_tokens"] == 20
            assert said.usage_metadata["output_tokens"] == 9
            assert said.response_metadata["model_name"] == "m"
            facts = said.response_metadata["inferkit"]
            assert facts["cost_usd"] == "0.00011"
            assert facts["served_by"] == "p:m"


def test_a_graph_calls_a_tool_and_goes_on():
    pytest.importorskip("langgraph", reason="LangGraph is not installed: no graph is run")
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode, tools_condition

    with Wire(willing("anthropic")) as wire, served(four_wires.adapter("anthropic", wire.url)) as llm:
        chat = ChatInferkit(model="fast", llm=llm).bind_tools([find])
        graph = StateGraph(MessagesState)
        graph.add_node("talk", lambda state: {"messages": [chat.invoke(state["messages"])]})
        graph.add_node("tools", ToolNode([find]))
        graph.add_edge(START, "talk")
        graph.add_conditional_edges("talk", tools_condition)
        graph.add_edge("tools", "talk")
        built = graph.compile()
        messages = built.invoke({"messages": [HumanMessage("Where is order 3?")]})["messages"]
        pieces = [
            piece.text
            for piece, _ in built.stream({"messages": [HumanMessage("?")]}, stream_mode="messages")
            if piece.type == "AIMessageChunk"
        ]
    assert [type(each).__name__ for each in messages] == ["HumanMessage", "AIMessage", "ToolMessage", "AIMessage"]
    assert messages[2].content == "order 3"
    assert messages[3].content == "".join(pieces) == "It is on its way."


@each_wire
def test_an_object_that_was_asked_for_is_given_in_either_way(name):
    with Wire(willing(name)) as wire, served(four_wires.adapter(name, wire.url)) as llm:
        chat = ChatInferkit(model="fast", llm=llm)
        for method in ("json_schema", "function_calling"):
            assert chat.with_structured_output(Order, method=method).invoke("?") == Order(id=3)
            both = chat.with_structured_output(Order, method=method, include_raw=True).invoke("?")
            assert (both["parsed"], both["parsing_error"]) == (Order(id=3), None)


def test_what_is_no_such_object_is_langchains_own_error():
    from langchain_core.exceptions import OutputParserException

    with served(FakeProvider("not an object")) as llm:
        structured = ChatInferkit(model="fast", llm=llm).with_structured_output(Order, include_raw=True)
        both = structured.invoke("?")
    assert both["parsed"] is None
    assert isinstance(both["parsing_error"], OutputParserException)


def test_a_refusal_is_raised_as_it_is_and_nothing_is_sent(tmp_path):
    budget = Budget(calls=1, per="month", name="one")
    fake = FakeProvider("Hello.")
    with served(fake, ledger=tmp_path / "ledger.db", budget=budget) as llm:
        chat = ChatInferkit(model="fast", llm=llm)
        chat.invoke("Hi")
        for ask in (chat.invoke, lambda text: list(chat.stream(text)), chat.with_structured_output(Order).invoke):
            with pytest.raises(BudgetExceeded) as refused:
                ask("Hi")
            assert refused.value.scope == "one"
        assert len(fake.requests) == 1


def test_who_pays_is_said_for_the_model_for_a_call_or_around_it(tmp_path):
    each = Budget(calls=1, per="month", each="user", name="each")
    with served(FakeProvider("Hello."), ledger=tmp_path / "ledger.db", budget=each) as llm:
        chat = ChatInferkit(model="fast", llm=llm)
        ChatInferkit(model="fast", llm=llm, options={"user": "alice"}).invoke("Hi")
        chat.invoke("Hi", user="bob")
        chat.bind(user="carol").invoke("Hi")
        with pytest.raises(BudgetExceeded):
            chat.invoke("Hi", user="bob")
        with pytest.raises(ConfigurationError, match="unknown option usr"):
            chat.invoke("Hi", usr="bob")
    answers = Budget(usd="1", per="month", name="answers")
    with served(FakeProvider("Hello."), ledger=tmp_path / "other.db", **PRICED) as llm:
        chain = ChatInferkit(model="fast", llm=llm)

        @budgeted(answers)
        def answer(texts):
            return chain.batch(texts)

        answer(["a", "b"])
        assert answers.usage(ledger=llm.ledger).calls == 2


def test_a_servers_refusal_is_inferkits_error_with_its_attempts():
    with (
        Wire(lambda _: [reply({"error": {"message": "slow down"}}, 429, retry_after="0")]) as wire,
        served(four_wires.adapter("chat", wire.url), max_retries=1) as llm,
    ):
        with pytest.raises(RateLimited) as failed:
            ChatInferkit(model="fast", llm=llm).invoke("Hi")
        assert [attempt.kind for attempt in failed.value.attempts] == ["primary", "retry"]


def test_a_stream_that_is_left_is_closed_and_settled(tmp_path):
    budget = Budget(usd="1", per="month", name="all")
    with Wire(lambda received: four_wires.answer("chat", received, "Hello there.", half=True)) as wire:
        adapter = four_wires.adapter("chat", wire.url)
        with served(adapter, ledger=tmp_path / "ledger.db", budget=budget, **PRICED) as llm:
            pieces = ChatInferkit(model="fast", llm=llm).stream("Hi")
            next(pieces)
            pieces.close()
            assert wire.wait_until_closed()
            settled()
            usage = budget.usage(ledger=llm.ledger)
    assert (usage.calls, usage.held_calls) == (1, 0)


def asked_with(*messages, **options):
    """Give the messages that a provider is sent."""
    fake = FakeProvider("Hello.")
    with served(fake) as llm:
        ChatInferkit(model="fast", llm=llm).invoke(list(messages), **options)
    return fake.requests[0]


def test_every_kind_of_content_gets_there():
    request = asked_with(
        SystemMessage("Be kind."),
        HumanMessage(
            [
                "Look:",
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQID"}},
                {"type": "image", "url": "https://x.example/a.png"},
                {"type": "audio", "base64": "AQID", "mime_type": "audio/wav"},
                {"type": "file", "base64": "AQID", "mime_type": "application/pdf", "filename": "a.pdf"},
                {"type": "file", "file_id": "f-1"},
            ]
        ),
        ChatMessage("Hm.", role="assistant"),
        AIMessage("", tool_calls=[{"name": "find", "args": {"id": 7}, "id": "c1"}]),
        ToolMessage(
            [{"type": "text", "text": "broken"}, {"type": "image", "base64": "AQID", "mime_type": "image/png"}],
            tool_call_id="c1",
            status="error",
        ),
    )
    assert [each.role for each in request.messages] == ["system", "user", "assistant", "assistant", "tool", "user"]
    kinds = [type(part).__name__ for part in request.messages[1].parts]
    assert kinds == ["TextPart", "ImagePart", "ImagePart", "AudioPart", "FilePart", "FilePart"]
    assert request.messages[1].parts[4].filename == "a.pdf"
    assert request.messages[4].parts[0].is_error


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (FunctionMessage("x", name="f"), "no form for a FunctionMessage"),
        (HumanMessage([{"type": "non_standard", "value": {}}]), "no form for a block of type 'non_standard'"),
        (HumanMessage([{"type": "video"}]), "needs base64, url or file_id"),
    ],
)
def test_what_has_no_form_is_said(message, why):
    with pytest.raises(ConfigurationError, match=why):
        asked_with(message)


def test_what_only_its_provider_understands_goes_back_with_a_message():
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
    with served(fake) as llm:
        chat = ChatInferkit(model="fast", llm=llm)
        want = llm.complete("fast", "Hi").message
        for said in (chat.invoke("Hi"), streamed(chat)):
            assert [block["type"] for block in said.content] == ["reasoning", "text"]
            assert said.content[0]["reasoning"] == "Let me see."
            chat.invoke([HumanMessage("Hi"), said, ToolMessage("x", tool_call_id="c1")])
            assert fake.requests[-1].messages[1] == want


def test_tools_are_taken_in_any_form_and_called_as_chosen():
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    fake = FakeProvider("Hello.")
    with served(fake) as llm:
        chat = ChatInferkit(model="fast", llm=llm)
        for choice, said in [("any", "required"), (True, "required"), (None, None), ("find", "find"), ("auto", "auto"),
                             ({"type": "function", "function": {"name": "find"}}, "find")]:  # fmt: skip
            chat.bind_tools([find, Order, tool, Tool("own")], tool_choice=choice).invoke("Hi")
            assert fake.requests[-1].tool_choice == said
        assert [each.name for each in fake.requests[-1].tools] == ["find", "Order", "look", "own"]


def test_settings_of_the_model_hold_unless_a_call_says_otherwise():
    fake = FakeProvider("Hello.")
    with served(fake) as llm:
        chat = ChatInferkit(model="fast", llm=llm, temperature=0.5, max_tokens=9, stop=["x"], reasoning_effort="low")
        chat.invoke("Hi")
        chat.invoke("Hi", max_tokens=8, stop=["y"], top_k=4, parallel_tool_calls=False)
    first, second = fake.requests
    assert (first.temperature, first.max_output_tokens, first.stop, first.reasoning_effort) == (0.5, 9, ("x",), "low")
    assert (second.temperature, second.max_output_tokens, second.stop) == (0.5, 8, ("y",))


def test_what_the_model_that_serves_has_no_word_for_is_said():
    with Wire(willing("anthropic")) as wire, served(four_wires.adapter("anthropic", wire.url)) as llm:
        said = ChatInferkit(model="fast", llm=llm).invoke("Hi", top_k=4, presence_penalty=1)
        assert wire.requests[0].json["top_k"] == 4
    assert said.response_metadata["inferkit"]["left_out"] == ["presence_penalty"]


def test_a_call_that_is_no_object_is_an_invalid_one():
    with served(
        FakeProvider([Chunk(tool_calls=(ToolCallDelta(0, "c1", "find", "[1"),), finish_reason="tool_calls")])
    ) as llm:
        said = ChatInferkit(model="fast", llm=llm).invoke("Hi")
    assert [each["args"] for each in said.invalid_tool_calls] == ["[1"]


def test_what_is_no_client_is_refused():
    with pytest.raises(ValueError, match=r"pass an inferkit\.Client"):
        ChatInferkit(llm=object())


def test_without_langchain_the_extra_is_named():
    code = "import sys; sys.modules['langchain_core'] = None\nimport inferkit.integrations.langchain"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "langchain takes langchain-core: pip install 'inferkit[langchain]'" in done.stderr
