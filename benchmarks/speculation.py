"""A draft that guesses what a model writes, beside the same model without one: it always agrees, or it never does.

Both are made here, so that how often they agree is known: weights that compute as much as any others, and of which only
the last token decides the next one, in a circle of sixteen. The draft that agrees goes round the same circle, the other
one the other way round. Real pairs lie in between. Times are those of the processor: the best of interleaved rounds,
and those of the first reply, in which it is found out whether guessing pays.
"""

from __future__ import annotations

import importlib.util
import random
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure
from inferkit.local.engines.choice import load
from inferkit.local.engines.interface import ENGINES, EngineSettings, LoadedModel
from inferkit.local.engines.xllamacpp.library import is_installed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["speculation"]

_CIRCLE = ("▁a", *"bcdefghijklmnop")
_TOKENS = 256


def speculation(*, quick: bool) -> list[Figure]:
    """Measure how much sooner replies come with a draft that agrees, and how much later with one that never does."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        size = {"width": 128, "hidden": 384, "blocks": 2} if quick else {"width": 512, "hidden": 1408, "blocks": 7}
        target = _made(place / "target.gguf", _CIRCLE, **size)
        drafts = {
            "agrees": _made(place / "agrees.gguf", _CIRCLE, width=64, hidden=64, blocks=1),
            "never agrees": _made(place / "differs.gguf", _CIRCLE[::-1], width=64, hidden=64, blocks=1),
        }
        for engine in ENGINES:
            if engine == "ctransformers" or is_installed():
                figures += _measured(engine, target, drafts, rounds=3 if quick else 6)
    return figures


def _measured(engine: str, target: Path, drafts: dict[str, Path], *, rounds: int) -> list[Figure]:
    def model(draft: Path | None) -> LoadedModel:
        told = None if draft is None else str(draft)
        return load(EngineSettings(str(target), engine=engine, draft=told, threads=1, prompt_threads=1))

    models = {"": model(None), **{name: model(draft) for name, draft in drafts.items()}}
    took: dict[str, list[float]] = {name: [] for name in models}
    for one in models.values():  # the first token of a process is slow, with a draft or without
        for _ in one.steps({"prompt": "a", "max_tokens": 1}, _Caller()):
            pass
    alike = 0
    for number in range(rounds):
        texts = set()
        for name, one in models.items():
            caller = _Caller()
            begun = time.process_time()
            for _ in one.steps({"prompt": f"{number} a", "max_tokens": _TOKENS}, caller):
                pass
            took[name].append(time.process_time() - begun)
            texts.add(caller.text)
        alike += len(texts) == 1
    best = {name: min(seconds) for name, seconds in took.items()}
    first = {name: seconds[0] for name, seconds in took.items()}
    name = f"speculation, {engine}"
    return [
        Figure(f"{name}: without a draft", _TOKENS / best[""], "tokens/s"),
        Figure(f"{name}: with one that agrees / without", best[""] / best["agrees"], "x", at_least=1.8),
        Figure(f"{name}: with one that never agrees / without", best[""] / best["never agrees"], "x", at_least=0.97),
        Figure(f"{name}: the same in the first reply", first[""] / first["never agrees"], "x"),
        Figure(f"{name}: the same words, of {rounds} replies", alike, "", at_least=rounds),
    ]


class _Caller:
    """Collects a reply."""

    def __init__(self) -> None:
        self.text = ""

    def gone(self) -> bool:
        return False

    def send(self, frame: dict[str, Any]) -> None:
        self.text += frame.get("text", "")


def _made(path: Path, circle: Sequence[str], *, width: int, hidden: int, blocks: int) -> Path:
    """Write a model that goes round a circle of tokens, whatever the rest of it computes."""
    writer = _writer()
    spec = writer.tiny(width=width, heads=4, heads_kv=4, hidden=64, blocks=1, context=2048, kind=writer.F16)
    spec.set("llama.feed_forward_length", "uint32", hidden).set("llama.block_count", "uint32", blocks)
    chance = random.Random(width)
    for block in range(blocks):
        for name, (columns, rows) in {
            "attn_q": (width, width),
            "attn_k": (width, width),
            "attn_v": (width, width),
            "attn_output": (width, width),
            "ffn_gate": (width, hidden),
            "ffn_up": (width, hidden),
            "ffn_down": (hidden, width),
        }.items():
            row = struct.pack(f"<{columns}e", *[chance.gauss(0.0, 0.3) for _ in range(columns)])
            adds = name in ("attn_output", "ffn_down")  # to what the tokens themselves say
            data = bytes(len(row) * rows) if adds else row * rows
            spec.tensors[f"blk.{block}.{name}.weight"] = ((columns, rows), writer.F16, data)
        for name in ("attn_norm", "ffn_norm"):
            spec.tensors[f"blk.{block}.{name}.weight"] = (
                (width,),
                writer.F32,
                writer.packed([1.0] * width, writer.F32),
            )
    count = len(spec.tokens)
    says = [[0.0] * width for _ in range(count)]
    follows = [[0.0] * width for _ in range(count)]
    for place, text in enumerate(circle):
        says[spec.token(text)][place] = 1.0
        follows[spec.token(circle[(place + 1) % len(circle)])][place] = 1.0
    for name, table in (("token_embd", says), ("output", follows)):
        data = writer.packed([value for row in table for value in row], writer.F16)
        spec.tensors[f"{name}.weight"] = ((width, count), writer.F16, data)
    written: Path = spec.write(path)
    return written


def _writer() -> ModuleType:
    """Load the tests' own writer of model files."""
    place = Path(__file__).parents[1] / "tests" / "tiny_gguf.py"
    found = importlib.util.spec_from_file_location("tiny_gguf", place)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["tiny_gguf"] = module
    found.loader.exec_module(module)
    return module
