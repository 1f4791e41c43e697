"""What a model makes of a text: how likely it finds it, and how it goes on from places in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.local.measuring.speed import generate, read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit.local.engines.interface import InferenceEngine

__all__ = ["continuations", "surprise"]


def surprise(
    engine: InferenceEngine, tokens: Sequence[int], window: int, begin: Sequence[int], progress: Callable[[int], None]
) -> list[float]:
    """Give minus the natural logarithm of the likelihood of each token, of those in the second half of each window.

    Windows do not overlap, each begins with `begin` (the token that begins a text, where there is one), and what stands
    in its first half is what the second is judged by: llama.cpp's own way, so that figures can be compared. Tokens that
    fill no window are left out, unless there is no whole one. `progress` is told how many tokens were done.
    """
    found: list[float] = []
    length = min(window - len(begin), len(tokens))
    for start in range(0, len(tokens) - length + 1, max(1, length)):
        part = [*begin, *tokens[start : start + length]]
        middle = len(part) // 2
        engine.keep(0)
        read(engine, part[:middle])
        for place in range(middle, len(part)):
            found.append(engine.log_sum_exp() - engine.logits[part[place]])
            if place + 1 < len(part):
                engine.evaluate([part[place]], place)
        progress(start + length)
    return found


def continuations(
    engine: InferenceEngine,
    tokens: Sequence[int],
    *,
    begin: Sequence[int],
    places: int,
    context: int,
    count: int,
    ends: frozenset[int],
    progress: Callable[[int], None],
) -> list[list[int]]:
    """Have the model go on, with the best token each time, from places that are spread over the text.

    Each continuation has up to `count` tokens, and is written behind `context` tokens of the text.
    """
    context = min(context, len(tokens))
    step = (len(tokens) - context) / max(1, places - 1)
    starts = sorted({round(step * place) for place in range(places)})
    found: list[list[int]] = []
    for start in starts:
        part = [*begin, *tokens[start : start + context]]
        engine.keep(0)
        read(engine, part)
        found.append(generate(engine, len(part), count, ends))
        progress(len(found))
    return found
