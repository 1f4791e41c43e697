"""The local model behind both clients, named as a user names it."""

from __future__ import annotations

import os
import signal

import pytest

from inferkit import Local, StreamInterrupted
from inferkit.local import ContextOverflow
from worlds import closing


def local_client(world, path):
    return closing(world.client(models={"small": f"local:{path}"}))


def test_a_path_is_all_it_takes(world, endless_path):
    async def body(world):
        async with local_client(world, endless_path) as llm:
            first = await llm.complete("a", max_output_tokens=4)
            again = await llm.complete("small", "a", max_output_tokens=4)
        return first, again

    first, again = world.run(body)
    assert first.text == again.text
    assert first.usage.output_tokens == 4
    assert again.usage.cache_read_tokens > 0
    assert (first.provider, first.cost, first.finish_reason) == ("local", 0, "length")
    assert first.attempts[0].model == "endless"


def test_a_stream_that_is_left_stops_the_model_and_closing_the_client_ends_it(world, endless_path):
    async def body(world):
        async with local_client(world, endless_path) as llm:
            async with llm.stream("a") as stream:
                async for chunk in stream:
                    if chunk.text:
                        break
            return (await llm.complete("a", max_output_tokens=3)).text

    assert world.run(body).endswith("cc")


def test_a_prompt_that_is_too_long_is_not_tried_again(world, tiny_path):
    async def body(world):
        async with local_client(world, tiny_path) as llm:
            with pytest.raises(ContextOverflow) as caught:
                await llm.complete("x" * 500)
            return caught.value

    assert len(world.run(body).attempts) == 1


def test_a_worker_killed_in_mid_stream_interrupts_it_with_what_was_said(world, endless_path):
    local = Local(endless_path)

    async def body(world):
        async with closing(world.client(providers={"mine": local}, models={"m": "mine:m"})) as llm:
            with pytest.raises(StreamInterrupted) as caught:
                await read_and_kill(llm)
            return caught.value, (await llm.complete("a", max_output_tokens=2)).text

    async def read_and_kill(llm):
        async with llm.stream("a") as stream:
            async for _ in stream:
                os.kill(local._engine.pid, signal.SIGKILL)

    error, text = world.run(body)
    assert error.partial.startswith("b")
    assert text == "bc"
    local.close()
