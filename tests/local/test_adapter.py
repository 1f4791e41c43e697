"""The local model as a user has it: through the clients, in all four ways to run the stack."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import tiny_gguf
from worlds import closing

from inferkit import ConfigurationError, DeadlineExceeded, InvalidRequest, Local, Message, ModelFileError, StreamError
from inferkit._types import ImagePart, Tool, ToolCallPart
from inferkit.local import ContextOverflow, WorkerDied, adapter


@pytest.fixture
def local(endless_path):
    """A model that says b, c, c, c, ... and a context to say it in."""
    model = Local(endless_path, context_length=100_000)
    yield model
    model.close()


def client_of(world, local):
    return closing(world.client(providers={"mine": local}, models={"m": "mine:m"}, retry=False))


def test_a_reply_comes_with_its_usage_and_its_seed(world, local):
    async def body(world):
        async with client_of(world, local) as llm:
            reply = await llm.complete("a", max_output_tokens=4)
            again = await llm.complete("a", max_output_tokens=4)
        return reply, again

    reply, again = world.run(body)
    assert reply.text == again.text == "bccc"
    assert reply.finish_reason == "length"
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cache_read_tokens) == (2, 4, 0)
    assert again.usage.cache_read_tokens == 1
    assert not reply.usage.estimated


def test_a_stream_comes_token_by_token(world, local):
    async def body(world):
        async with client_of(world, local) as llm, llm.stream("a", max_output_tokens=5) as stream:
            return [chunk.text async for chunk in stream if chunk.text]

    assert world.run(body) == ["b", "c", "c", "c", "c"]


def test_leaving_a_stream_stops_the_model(world, local):
    async def body(world):
        async with client_of(world, local) as llm:
            async with llm.stream("a") as stream:
                async for chunk in stream:
                    if chunk.text:
                        break
            return await llm.complete("a", max_output_tokens=2)

    assert world.run(body).text == "bc"


def test_closing_a_stream_from_elsewhere_wakes_its_reader(world, endless_path):
    """The reader waits for a model that is kept busy by somebody else."""
    local = Local(endless_path, context_length=100_000)
    seen = []

    async def body(world):
        async with client_of(world, local) as llm, llm.stream("a") as busy:
            await anext(aiter(busy))
            waiting = llm.stream("a")
            gate = world.gate()

            async def read():
                with pytest.raises((StreamError, RuntimeError)):
                    async with waiting:
                        gate.reached.set()
                        async for _ in waiting:
                            pass
                seen.append("woken")

            async def close():
                await gate.wait_until_reached()
                os.kill(local._engine.pid, signal.SIGSTOP)
                await waiting.aclose()

            async def go_on():
                os.kill(local._engine.pid, signal.SIGCONT)

            if world.is_async:
                return
            await world.beside(read, close)
            await go_on()

    if world.is_async:
        pytest.skip("covered by cancellation")
    world.run(body)
    local.close()


def test_a_deadline_ends_a_reply_that_would_take_longer(world, local):
    async def body(world):
        async with client_of(world, local) as llm:
            with pytest.raises(DeadlineExceeded) as caught:
                await llm.complete("a", timeout=0.5)
            assert caught.value.partial.startswith("bccc")
            return await llm.complete("a", max_output_tokens=2)

    assert world.run(body).text == "bc"


def test_a_prompt_too_long_is_refused_before_anything_is_computed(world, tiny_path):
    local = Local(tiny_path)

    async def body(world):
        async with client_of(world, local) as llm:
            with pytest.raises(ContextOverflow, match="shorten the conversation") as caught:
                await llm.complete("x" * 500)
            return caught.value

    error = world.run(body)
    assert isinstance(error, InvalidRequest)
    assert (error.provider, error.code) == ("local", "context_length_exceeded")
    local.close()


def test_a_killed_worker_is_an_error_that_may_be_retried(world, local):
    async def body(world):
        async with client_of(world, local) as llm:
            with pytest.raises(Exception, match="SIGKILL") as caught:
                async with llm.stream("a") as stream:
                    async for _ in stream:
                        os.kill(local._engine.pid, signal.SIGKILL)
            reply = await llm.complete("a", max_output_tokens=2)
        return caught.value, reply

    error, reply = world.run(body)
    assert isinstance(error.__cause__ or error, WorkerDied)
    assert reply.text == "bc"


@pytest.mark.parametrize(
    ("messages", "options", "reason"),
    [
        (Message.user("a", ImagePart(url="https://x.example/i.png")), {}, "an? ImagePart in a message; send text"),
        (Message.assistant(ToolCallPart("1", "f", "{}")), {}, "ToolCallPart in a message"),
        (Message.tool("1", "x"), {}, "ToolResultPart in a message"),
        ("a", {"tools": [Tool("f")]}, "not tools"),
        ("a", {"response_schema": {"type": "object"}}, "not a response schema"),
        ("a", {"extra": {"mirostat": 2}}, "not mirostat in extra=; it takes repeat_penalty, repeat_window, top_k"),
        ("a", {"extra": {"top_k": 5000}}, "top_k is a whole number from 1 to 1000; got 5000"),
    ],
)
def test_what_only_other_models_can_do_is_refused(local, messages, options, reason):
    from worlds import World

    async def body(world):
        async with client_of(world, local) as llm:
            with pytest.raises(InvalidRequest, match=reason):
                await llm.complete(messages, **options)

    World("direct").run(body)


def test_options_reach_the_model(local, tiny_path):
    from worlds import World

    other = Local(tiny_path)

    async def body(world):
        async with client_of(world, local) as llm:
            assert (await llm.complete("a", stop=["cc"])).text == "b"
        async with client_of(world, other) as llm:
            options = {"temperature": 1.2, "top_p": 0.9, "max_output_tokens": 20, "extra": {"top_k": 30}}
            one = await llm.complete("hello", seed=1, **options)
            two = await llm.complete("hello", seed=1, **options)
            three = await llm.complete("hello", seed=2, **options)
            assert one.text == two.text != three.text

    World("direct").run(body)
    other.close()


def test_tokens_of_a_conversation_can_be_counted(tmp_path):
    spec = tiny_gguf.tiny(prompt_format="triage")
    local = Local(spec.write(tmp_path / "m.gguf"))
    assert local.count_tokens("a") == 3
    assert local.count_tokens([Message.user("hello the"), Message.assistant("x"), Message.user("a")]) == 3
    local.close()


def test_a_local_model_is_named_after_its_file_and_told_apart_by_it(tmp_path):
    path = tiny_gguf.tiny().write(tmp_path / "small.gguf")
    local = Local(path)
    assert local.model == "small"
    assert repr(local) == f"Local({str(path)!r})"
    assert Local(path).fingerprint == local.fingerprint
    assert Local(path, context_length=64).fingerprint != local.fingerprint
    os.utime(path, ns=(1, 1))
    assert Local(path).fingerprint != local.fingerprint


def test_a_missing_file_is_refused_when_the_model_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="there is no file"):
        Local(tmp_path / "gone.gguf")
    with pytest.raises(ModelFileError, match="is a directory"):
        Local(tmp_path)


def test_an_installation_without_the_embedded_model_says_what_to_pass(monkeypatch):
    monkeypatch.setattr(adapter, "EMBEDDED", Path("/nonexistent/triage-q8_0.gguf"))
    with pytest.raises(ModelFileError, match=r'pass one: Local\("path/to/model.gguf"\)'):
        Local()


def test_a_closed_model_says_so(tiny_path):
    local = Local(tiny_path)
    local.close()
    with pytest.raises(ConfigurationError, match="was closed"):
        local.count_tokens("a")
