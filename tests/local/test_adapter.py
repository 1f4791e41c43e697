"""The local model as a handler, on event loops and without one."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from pathlib import Path

import anyio
import pytest

import tiny_gguf
from inferkit.core.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    ModelFileError,
    StreamError,
    Unavailable,
)
from inferkit.core.messages import CustomTool, ImagePart, Message, ReasoningPart, TextPart, Tool, ToolCallPart
from inferkit.core.reply import Reply
from inferkit.local import ContextOverflow, Local, WorkerDied, adapter
from inferkit.runtime.direct import drive
from inferkit.testing import make_request, settled
from local_calls import SECONDS, worker_pid
from worlds import on_a_loop, run_in


@pytest.fixture(scope="module")
def local(endless_path, engine):
    """A model that says b, c, c, c, ... and a context to say it in. One worker serves all tests that do not kill it."""
    model = Local(endless_path, context_length=100_000, engine=engine)
    yield model
    model.close()


def a_request(text, runtime=None, **changes):
    return make_request(text, runtime=runtime).replace(**changes)


async def ask(local, runtime, text="a", **changes):
    """Read a whole reply: its text, and its last chunk."""
    response = await local(a_request(text, runtime, **changes))
    chunks = await response.read()
    return "".join(chunk.text for chunk in chunks), chunks[-1]


def ask_directly(local, text):
    return run_in("direct", lambda runtime: ask(local, runtime, text, max_output_tokens=2))


async def in_mid_stream(local, runtime):
    response = await local(a_request("a", runtime))
    await anext(response)
    return response


def test_a_reply_comes_with_its_usage_and_its_seed(run, local, engine):
    async def body(runtime):
        first = await ask(local, runtime, "b c a", max_output_tokens=4)
        return first, await ask(local, runtime, "b c a", max_output_tokens=4, seed=9)

    (text, last), (again, last_again) = run(body)
    assert text == again == "bccc"
    assert last.finish_reason == "length"
    assert (last.usage.input_tokens, last.usage.output_tokens) == (6, 4)
    assert not last.usage.estimated
    assert last_again.usage.cache_read_tokens == {"ctransformers": 5, "xllamacpp": 4}[engine]
    assert last_again.raw["seed"] == 9


def test_a_stream_comes_token_by_token(run, local):
    async def body(runtime):
        response = await local(a_request("a", runtime, max_output_tokens=5, stream=True))
        return response.model, [chunk.text async for chunk in response if chunk.text]

    assert run(body) == ("tiny", ["b", "c", "c", "c", "c"])


def test_closing_a_stream_stops_the_model(run, local):
    async def body(runtime):
        response = await in_mid_stream(local, runtime)
        await response.aclose()
        await response.aclose()
        return await ask(local, runtime, max_output_tokens=2)

    assert run(body)[0] == "bc"


def test_dropping_a_stream_stops_the_model(run, local):
    async def body(runtime):
        response = await in_mid_stream(local, runtime)
        del response
        await runtime.run_blocking(settled)
        return await ask(local, runtime, max_output_tokens=2)

    assert run(body)[0] == "bc"


@on_a_loop
def test_a_cancelled_reader_stops_the_model(run, local):
    async def body(runtime):
        response = await in_mid_stream(local, runtime)
        with anyio.CancelScope() as scope:
            async for chunk in response:
                if chunk.text:
                    scope.cancel()
        assert scope.cancelled_caught
        return await ask(local, runtime, max_output_tokens=2)

    assert run(body)[0] == "bc"


@on_a_loop
def test_a_caller_cancelled_before_its_turn_is_not_served(run, local):
    async def body(runtime):
        busy = await in_mid_stream(local, runtime)
        async with anyio.create_task_group() as group:
            group.start_soon(local, a_request("a", runtime))
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        await busy.aclose()
        return await ask(local, runtime, max_output_tokens=2)

    assert run(body)[0] == "bc"


@on_a_loop
def test_closing_wakes_a_task_that_waits_for_the_model(run, local):
    async def body(runtime):
        response = await in_mid_stream(local, runtime)
        os.kill(worker_pid(), signal.SIGSTOP)
        async with anyio.create_task_group() as group:
            group.start_soon(read_until_closed, response)
            await anyio.wait_all_tasks_blocked()
            await response.aclose()
        os.kill(worker_pid(), signal.SIGCONT)
        return await ask(local, runtime, max_output_tokens=2)

    assert run(body)[0] == "bc"


def test_closing_wakes_a_thread_that_waits_for_the_model(local):
    async def body(runtime):
        response = await in_mid_stream(local, runtime)
        os.kill(worker_pid(), signal.SIGSTOP)
        reader = threading.Thread(target=lambda: drive(read_until_closed(response)))
        reader.start()
        await response.aclose()
        reader.join(SECONDS)
        assert not reader.is_alive()
        os.kill(worker_pid(), signal.SIGCONT)
        return await ask(local, runtime, max_output_tokens=2)

    assert run_in("direct", body)[0] == "bc"


async def read_until_closed(response):
    with pytest.raises(StreamError, match="closed"):
        async for _ in response:
            pass


def test_a_deadline_ends_a_reply_that_would_take_longer(run, local):
    async def body(runtime):
        await ask(local, runtime, max_output_tokens=1)

        async def read_from_a_stopped_worker():
            response = await local(a_request("a", runtime, deadline=runtime.now() + 0.3))
            os.kill(worker_pid(), signal.SIGSTOP)
            await response.read()

        with pytest.raises(DeadlineExceeded, match="pass a longer timeout="):
            await read_from_a_stopped_worker()
        os.kill(worker_pid(), signal.SIGCONT)
        return await ask(local, runtime, max_output_tokens=2)

    assert run(body)[0] == "bc"


def test_a_deadline_ends_the_wait_for_a_turn(run, local):
    async def body(runtime):
        busy = await in_mid_stream(local, runtime)
        os.kill(worker_pid(), signal.SIGSTOP)
        try:
            with pytest.raises(DeadlineExceeded):
                await local(a_request("a", runtime, deadline=runtime.now() + 0.1))
        finally:
            os.kill(worker_pid(), signal.SIGCONT)
        await busy.aclose()

    run(body)


def test_a_model_that_never_pauses_is_stopped_by_the_deadline_too(run, local):
    async def body(runtime):
        with pytest.raises(DeadlineExceeded):
            await ask(local, runtime, deadline=runtime.now() + 0.3)

    run(body)


def test_a_prompt_too_long_is_refused_before_the_reply_begins(run, tiny_path):
    local = Local(tiny_path)

    async def body(runtime):
        with pytest.raises(ContextOverflow, match="shorten the conversation") as caught:
            await local(a_request("x" * 500, runtime))
        return caught.value

    error = run(body)
    assert isinstance(error, InvalidRequest)
    assert (error.provider, error.code, error.prompt_tokens) == ("local", "context_length_exceeded", 502)
    local.close()


def test_a_killed_worker_is_an_error_that_may_be_retried(run, local):
    async def body(runtime):
        response = await in_mid_stream(local, runtime)
        os.kill(worker_pid(), signal.SIGKILL)
        with pytest.raises(WorkerDied, match="SIGKILL") as caught:
            await response.read()
        assert isinstance(caught.value, Unavailable)
        assert caught.value.retryable
        return await ask(local, runtime, max_output_tokens=2)

    assert run(body)[0] == "bc"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"messages": (Message.user("a", ImagePart(url="https://x.example/i.png")),)}, "ImagePart in a message"),
        ({"messages": (Message.assistant(ToolCallPart("1", "f", "{}")),)}, "not tools: its chat template knows none"),
        ({"messages": (Message.tool("1", "x"),)}, "not tools: its chat template knows none"),
        ({"tools": (Tool("f"),)}, "not tools: its chat template knows none"),
        ({"tools": (CustomTool("f"),)}, "not a CustomTool; send functions"),
        ({"response_schema": {"enum": []}}, "cannot be held to this schema: an enumeration is empty"),
        (
            {"extra": {"mirostat": 2}},
            "not mirostat in extra=; it takes logit_bias, repeat_penalty, repeat_window, top_k",
        ),
        ({"extra": {"top_k": 5000}}, "top_k is a whole number from 1 to 1000; got 5000"),
    ],
)
def test_what_only_other_models_can_do_is_refused(local, changes, reason):
    async def body(runtime):
        with pytest.raises(InvalidRequest, match=reason):
            await local(a_request("a", runtime, **changes))

    run_in("direct", body)


def test_a_reply_says_how_sure_the_model_was_where_that_was_asked(run, local):
    async def body(runtime):
        replies = []
        for asked in ({}, {"logprobs": True}, {"top_logprobs": 2}):
            request = a_request("a", runtime, max_output_tokens=3, **asked)
            replies.append(Reply.of(await (await local(request)).read(), request.record))
        return replies

    silent, sure, others = run(body)
    assert (silent.confidence, silent.logprobs) == (None, ())
    assert [one.token for one in sure.logprobs] == ["b", "c", "c"]
    assert 0.99 < sure.confidence < 1
    assert sure.confidence == others.confidence
    assert [(len(one.top), one.top[0]) for one in others.logprobs] == [(2, one[:2]) for one in others.logprobs]


def test_what_a_route_may_ask_of_it_is_stated(local):
    assert local.capabilities.schema
    assert local.capabilities.logprobs
    assert local.capabilities.tools, "whether the model knows any is the model's matter"
    assert not local.capabilities.text_tools


def test_a_models_own_reasoning_is_left_out_of_the_conversation(tmp_path):
    local = Local(tiny_gguf.tiny().write(tmp_path / "m.gguf"))
    said = Message("assistant", (ReasoningPart("hello hello hello"), TextPart("a")))
    assert local.count_tokens([said]) == local.count_tokens([Message.assistant("a")])
    local.close()


def test_options_reach_the_model(local, tiny_path):
    other = Local(tiny_path)
    options = {"temperature": 1.2, "top_p": 0.9, "max_output_tokens": 20, "extra": {"top_k": 30}}

    async def body(runtime):
        assert (await ask(local, runtime, stop=("cc",)))[0] == "b"
        texts = [(await ask(other, runtime, "hello", seed=seed, **options))[0] for seed in (1, 1, 2)]
        assert texts[0] == texts[1] != texts[2]

    run_in("direct", body)
    other.close()


def test_tokens_of_a_conversation_can_be_counted(tmp_path):
    local = Local(tiny_gguf.tiny(prompt_format="triage").write(tmp_path / "m.gguf"))
    assert local.count_tokens("a") == 3
    assert local.count_tokens([Message.user("hello the"), Message.assistant("x"), Message.user("a")]) == 3
    local.close()


def test_tokens_are_counted_with_the_vocabulary_alone_and_wait_for_nobody(local, tmp_path, engine):
    spec = tiny_gguf.scripted(["▁a", "b", "c"], context=200_000)
    other = Local(spec.write(tmp_path / "m.gguf"), engine=engine, context_length=100_000)

    async def body(runtime):
        busy = await in_mid_stream(other, runtime)
        counted = other.count_tokens("a hello the")
        await busy.aclose()
        return counted

    assert run_in("direct", body) == local.count_tokens("a hello the") > 3
    other.close()


def test_counting_reads_no_weights(tiny_path, engine):
    local = Local(tiny_path, engine=engine)
    for supervisor, ask in ((local._counter, local.count_tokens), (local._supervisor, partial(ask_directly, local))):
        ask("hello")
        mapped = str(tiny_path) in Path(f"/proc/{supervisor.pid}/maps").read_text(encoding="utf-8")
        assert mapped == (supervisor is local._supervisor)
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
