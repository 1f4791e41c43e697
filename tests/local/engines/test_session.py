"""A session without a process around it, for what a caller does at an exact moment."""

from __future__ import annotations

import pytest

import tiny_gguf
from inferkit.local.engines.ctransformers.library import find_library
from inferkit.local.engines.ctransformers.llama import Llama
from inferkit.local.engines.ctransformers.preflight import inspect
from inferkit.local.engines.ctransformers.tokens import SentencePieceTokens
from inferkit.local.engines.session import Session


class Caller:
    """Hangs up when it is asked for the `patience`-th time whether it is still there."""

    def __init__(self, patience: int = 1 << 30):
        self.patience = patience
        self.frames = []

    def gone(self):
        self.patience -= 1
        return self.patience < 0

    def send(self, frame):
        self.frames.append(frame)


@pytest.fixture
def start(tmp_path):
    """Begin a session that has evaluated nothing."""
    path = tiny_gguf.tiny(context=512).write(tmp_path / "m.gguf")
    llama = Llama(find_library(gpu=False), path, context_length=512, batch=8, threads=1)
    yield lambda: Session((model := inspect(path)), llama, SentencePieceTokens(model.vocabulary, llama.tokenize))
    llama.close()


QUESTION = {"prompt": "hello the world of " * 5, "max_tokens": 10}


def answer(session, patience=1 << 30):
    caller = Caller(patience)
    session.serve(QUESTION, caller)
    return caller.frames


@pytest.mark.parametrize("patience", range(0, 19, 2))
def test_a_caller_that_leaves_at_any_moment_gets_no_end_and_spoils_nothing(start, patience):
    whole, session = answer(start()), start()
    frames = answer(session, patience)
    prompt = frames[0]["prompt"]
    batches = -(-prompt // 8)
    assert not any("end" in frame for frame in frames)
    computed = min(8 * patience, prompt) + max(0, patience - batches)
    again = answer(session)
    assert again[0]["cached"] == min(computed, prompt - 1)
    assert [frame for frame in again if "text" in frame] == [frame for frame in whole if "text" in frame]
