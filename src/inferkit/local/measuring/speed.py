"""How fast a loaded model computes, and what memory its process took."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit.local.engines.interface import InferenceEngine

__all__ = ["generate", "peak_memory", "read", "speeds"]

_STATUS = Path("/proc/self/status")


def read(engine: InferenceEngine, tokens: Sequence[int]) -> None:
    """Compute a prompt in an empty context, a batch at a time."""
    for start in range(0, len(tokens), engine.batch):
        engine.evaluate(tokens[start : start + engine.batch], start)


def generate(engine: InferenceEngine, past: int, count: int, ends: frozenset[int] = frozenset()) -> list[int]:
    """Take the best token again and again, behind `past` tokens that were computed; stop behind one of `ends`."""
    made: list[int] = []
    for _ in range(count):
        token = engine.best()
        made.append(token)
        if token in ends or len(made) == count:
            break
        engine.evaluate([token], past + len(made) - 1)
    return made


def speeds(
    engine: InferenceEngine, prompt: Sequence[int], count: int, repeats: int, progress: Callable[[], None]
) -> dict[str, list[float]]:
    """Give tokens a second of each repeat, for the prompt and for what is generated behind it. The first is not kept.

    Each begins from an empty context. What is generated is always `count` tokens, whatever they say.
    """
    prompts: list[float] = []
    replies: list[float] = []
    for _ in range(repeats + 1):
        engine.keep(0)
        began = clock.now()
        read(engine, prompt)
        between = clock.now()
        generate(engine, len(prompt), count + 1)
        ended = clock.now()
        prompts.append(len(prompt) / (between - began))
        replies.append(count / (ended - between))
        progress()
    return {"prompt": prompts[1:], "generate": replies[1:]}


def peak_memory() -> int | None:
    """Give the most bytes that this process had in memory at once, mapped weights included; None where unknown."""
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), None)
