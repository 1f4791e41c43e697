"""The local model through the whole stack, beside the engine it runs on, with random weights of a realistic size."""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from inferkit import Client, Local
from inferkit.local.engines.capacity import choose_sizes
from inferkit.local.engines.ctransformers.library import find_library
from inferkit.local.engines.ctransformers.llama import Llama
from inferkit.local.engines.ctransformers.preflight import inspect
from inferkit.local.engines.ctransformers.tokens import SentencePieceTokens
from inferkit.local.engines.machine import available_memory
from inferkit.local.engines.session import Session

__all__ = ["local_model"]

_TOKENS = 200
_PREFIX_TOKENS = 1000


def _make_model(folder: Path, *, quick: bool) -> Path:
    """Write a llama model of random weights with the tests' own writer: 23 million parameters, or a few for `quick`."""
    writer = Path(__file__).parents[1] / "tests" / "tiny_gguf.py"
    spec = importlib.util.spec_from_file_location("tiny_gguf", writer)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules["tiny_gguf"] = module
    spec.loader.exec_module(module)
    size = {"width": 128, "hidden": 384, "blocks": 2} if quick else {"width": 512, "hidden": 1408, "blocks": 7}
    path: Path = module.tiny(heads=8, heads_kv=8, context=2048, kind=module.F16, **size).write(folder / "random.gguf")
    return path


class _RawEngine:
    """The engine in this process, with the sizes that the worker would choose, and nothing around it."""

    def __init__(self, path: Path) -> None:
        model = inspect(path)
        self.parameters = model.parameters
        sizes = choose_sizes(model, context_length=None, threads=None, memory=available_memory())
        self._llama = Llama(
            find_library(gpu=False), path, context_length=sizes.context_length, batch=sizes.batch, threads=sizes.threads
        )
        tokens = SentencePieceTokens(model.vocabulary, self._llama.tokenize)
        self._session = Session(model, self._llama, tokens)

    def tokens(self, text: str) -> list[int]:
        """Give the tokens of a question."""
        return self._session.prompt_tokens({"messages": [["user", text]]})

    def answer(self, text: str) -> float:
        """Give the tokens a second of a greedy answer."""
        begun = time.perf_counter()
        prompt = self.tokens(text)
        self._llama.evaluate(prompt, 0)
        for place in range(len(prompt), len(prompt) + _TOKENS - 1):
            self._llama.evaluate([self._llama.best()], place)
        self._llama.best()
        return _TOKENS / (time.perf_counter() - begun)


def _answer(client: Client, text: str) -> float:
    begun = time.perf_counter()
    reply = client.complete(text, max_output_tokens=_TOKENS)
    return reply.usage.output_tokens / (time.perf_counter() - begun)


def _seconds_to_first_token(client: Client, text: str) -> float:
    begun = time.perf_counter()
    with client.stream(text, max_output_tokens=8) as reply:
        for _ in reply:
            return time.perf_counter() - begun
    raise AssertionError("the model said nothing")


def _prefix(engine: _RawEngine, number: int) -> str:
    """Give a text of about a thousand tokens that begins like no other."""
    text = f"{number} "
    while len(engine.tokens(text)) < _PREFIX_TOKENS:
        text += f"the parcel {len(text)} is on the way to the hall. "
    return text


def local_model(*, quick: bool) -> list[Figure]:
    """Measure tokens a second, and the time to the first token of a question that follows up on a long text."""
    rounds = 3 if quick else 9
    with tempfile.TemporaryDirectory() as folder:
        path = _make_model(Path(folder), quick=quick)
        engine = _RawEngine(path)
        with Client(models={"small": "local"}, providers={"local": Local(path)}, home=folder, cache=False) as client:
            _answer(client, "Hello")
            engine.answer("Hello")
            speeds = [(_answer(client, f"{n} hello"), engine.answer(f"{n} hello")) for n in range(rounds)]
            first, follow_up = [], []
            for number in range(2 if quick else 5):
                text = _prefix(engine, number)
                first.append(_seconds_to_first_token(client, f"{text} hello"))
                follow_up.append(_seconds_to_first_token(client, f"{text} then"))
    ratio = statistics.median([one / raw for one, raw in speeds])
    shorter = statistics.median([one / other for one, other in zip(first, follow_up, strict=True)])
    return [
        Figure("local model, parameters", engine.parameters / 1e6, "million"),
        Figure("local model, raw engine in this process", statistics.median([raw for _, raw in speeds]), "tokens/s"),
        Figure("local model, tokens a second through the stack / raw", ratio, "x", at_least=0.95),
        Figure("local model, first token after 1,000 new tokens", statistics.median(first) * 1000, "ms"),
        Figure("local model, first token after the same 1,000 tokens", statistics.median(follow_up) * 1000, "ms"),
        Figure("local model, how much sooner a follow-up begins", shorter, "x", at_least=20),
    ]
