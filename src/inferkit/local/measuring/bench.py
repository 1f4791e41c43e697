"""Compares model files: speed and memory by threads and batch, and what a packing loses against the file in 16 bits.

Each measurement loads its file in a process of its own, one after another, so that none has what another left behind.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Any, TypeAlias

from inferkit.core.errors import ConfigurationError
from inferkit.local.engines import choice
from inferkit.local.engines.capacity import choose_sizes
from inferkit.local.engines.machine import usable_cores
from inferkit.local.gguf.packing import FILE_TYPES
from inferkit.local.jobs import run_job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["Bench", "Loss", "Progress", "Speed", "SpeedPlan", "TextPlan", "bench", "labels", "speed_up"]

Progress: TypeAlias = "Callable[[str, int, int], None]"
"""Is told what is measured, how many steps are done, and of how many."""

_JOB = "inferkit.local.measuring"
_NORMAL_95 = 1.96
_LONGEST_WINDOW = 512


@dataclass(frozen=True, slots=True)
class SpeedPlan:
    """How speed is measured: tokens of a prompt and of a reply, how often, and with which threads and batches.

    `threads` and `batches` are measured one by one, each with each; without `threads`, as many are taken as a client
    takes. The tokens of a reply come one after another, so no batch changes them.
    """

    prompt: int = 256
    generate: int = 64
    repeats: int = 3
    threads: tuple[int, ...] = ()
    batches: tuple[int, ...] = (128,)


@dataclass(frozen=True, slots=True)
class TextPlan:
    """How loss is measured: on how many tokens of a text, and on how many continuations of which length.

    Each continuation is written behind `context` tokens of the text.
    """

    text: str = field(repr=False)
    tokens: int = 2048
    places: int = 16
    context: int = 64
    count: int = 32


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second of one file with so many threads and such a batch: one figure a repeat.

    `load` is in seconds, `memory` the most bytes that its process had in memory, weights included.
    """

    model: ModelFile = field(repr=False)
    threads: int
    batch: int
    prompts: tuple[float, ...]
    replies: tuple[float, ...]
    load: float
    memory: int | None

    @property
    def prompt(self) -> float:
        """Tokens of a prompt a second, the middle of the repeats."""
        return median(self.prompts)

    @property
    def generate(self) -> float:
        """Tokens of a reply a second, the middle of the repeats."""
        return median(self.replies)


@dataclass(frozen=True, slots=True)
class Loss:
    """What one file makes of a text, and how that differs from what the reference does. Without one, these are None.

    `perplexity` is how many tokens it finds equally likely in each place, on average: less is better. `ratio` is by how
    much it is more than the reference's, with the two ends of its 95 % interval over the tokens. `same_replies` is the
    share of continuations that are the reference's word for word, `same_tokens` the share of tokens before the first
    that differs.
    """

    model: ModelFile = field(repr=False)
    tokens: int
    perplexity: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    same_replies: float | None
    same_tokens: float | None


@dataclass(frozen=True, slots=True)
class Bench:
    """All that was measured. `reference` is the file that the others are compared to; `cores` were there to be used.

    `load_average` is what the machine had to do in the minute before, by its own account.
    """

    plan: SpeedPlan
    reference: ModelFile | None = field(repr=False)
    speeds: tuple[Speed, ...]
    losses: tuple[Loss, ...]
    cores: int
    load_average: float


def bench(
    files: Sequence[Path], *, against: Path | None, plan: SpeedPlan, text: TextPlan | None, progress: Progress
) -> Bench:
    """Measure files, and `against` before them. Loss is measured where there is a text.

    Raises `ModelFileError` and `EngineUnavailable` for a file that cannot be run, `ConfigurationError` where files have
    different vocabularies, or a text is too short, and `JobDied`.
    """
    models = [choice.inspect(path) for path in dict.fromkeys([*([against] if against else []), *files])]
    reference = models[0] if against else None
    context = plan.prompt + plan.generate + 1
    _check(models, context, compared=text is not None)
    cores, busy = usable_cores(), os.getloadavg()[0]
    own = choose_sizes(models[0], context_length=context, threads=None, memory=None).threads
    numbers = plan.threads or (own,)
    speeds = [
        _speed(model, plan, threads, batch, progress)
        for model in models
        for threads in numbers
        for batch in plan.batches
    ]
    found = [] if text is None else [(model, _read(model, text, max(numbers), progress)) for model in models]
    first = found[0][1] if found and reference is not None else None
    losses = tuple(_loss(model, said, None if model is reference else first) for model, said in found)
    return Bench(plan, reference, tuple(speeds), losses, cores, busy)


def _check(models: Sequence[ModelFile], context: int, *, compared: bool) -> None:
    """Refuse what could not be measured, or not be compared."""
    for model in models:
        if model.context_length < context:
            raise ConfigurationError(
                f"{model.path} was trained for {model.context_length} tokens, and {context} are to be computed; ask "
                "for fewer: --prompt, --generate"
            )
        if compared and list(model.vocabulary.texts) != list(models[0].vocabulary.texts):
            raise ConfigurationError(
                f"{model.path} has another vocabulary than {models[0].path}, so what they make of a text cannot be "
                "compared; measure files of one model"
            )


def _speed(model: ModelFile, plan: SpeedPlan, threads: int, batch: int, progress: Progress) -> Speed:
    job = {
        "path": str(model.path.absolute()),
        "context": plan.prompt + plan.generate + 1,
        "batch": min(batch, plan.prompt + plan.generate + 1),
        "threads": threads,
        "speed": {"prompt": plan.prompt, "generate": plan.generate, "repeats": plan.repeats},
    }
    what = f"{model.path.name}, {threads} threads, batch {batch}"
    done = 0

    def report(_: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        progress(what, done, plan.repeats + 1)

    progress(what, 0, plan.repeats + 1)
    said = run_job(_JOB, job, report)
    return Speed(model, threads, batch, tuple(said["prompt"]), tuple(said["generate"]), said["load"], said["memory"])


def _read(model: ModelFile, text: TextPlan, threads: int, progress: Progress) -> dict[str, Any]:
    """Have a model read the text and go on from places in it."""
    context = min(model.context_length, max(_LONGEST_WINDOW, text.context + text.count + 1))
    job = {
        "path": str(model.path.absolute()),
        "context": context,
        "batch": min(128, context),
        "threads": threads,
        "loss": {
            "text": text.text,
            "tokens": text.tokens,
            "window": _LONGEST_WINDOW,
            "places": text.places,
            "context": text.context,
            "count": text.count,
        },
    }
    what = f"{model.path.name}, the text"

    def report(said: dict[str, Any]) -> None:
        if "tokens" in said:
            progress(what, said["tokens"], said["of"] + text.places * text.count)
        else:
            progress(what, said["of"] + said["continuations"] * text.count, said["of"] + text.places * text.count)

    return run_job(_JOB, job, report)


def _loss(model: ModelFile, said: dict[str, Any], reference: dict[str, Any] | None) -> Loss:
    mine: list[float] = said["surprise"]
    perplexity = math.exp(mean(mine))
    if reference is None:
        return Loss(model, len(mine), perplexity, None, None, None, None, None)
    more = [one - other for one, other in zip(mine, reference["surprise"], strict=True)]
    wide = _NORMAL_95 * stdev(more) / math.sqrt(len(more))
    pairs = list(zip(said["continuations"], reference["continuations"], strict=True))
    return Loss(
        model,
        len(mine),
        perplexity,
        math.exp(mean(more)),
        math.exp(mean(more) - wide),
        math.exp(mean(more) + wide),
        sum(one == other for one, other in pairs) / len(pairs),
        sum(_agreeing(one, other) for one, other in pairs) / sum(len(other) for _, other in pairs),
    )


def _agreeing(one: Sequence[int], other: Sequence[int]) -> int:
    """Count the tokens before the first that differs."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def labels(found: Bench) -> dict[Path, str]:
    """Give a short name for each file: the kind that it calls itself, or where two do so, the file's name."""
    kinds = {row.model.path: _kind(row.model) for row in found.speeds}
    distinct = len(set(kinds.values())) == len(kinds)
    return {path: kind if distinct else path.stem for path, kind in kinds.items()}


def _kind(model: ModelFile) -> str:
    return FILE_TYPES.get(model.metadata.get("general.file_type", -1), model.quantisation)


def speed_up(found: Bench, row: Speed) -> float | None:
    """Say how many times as fast as the reference a file writes, with the same threads and batch."""
    if found.reference is None or row.model is found.reference:
        return None
    like = (row.threads, row.batch)
    base = next(one for one in found.speeds if one.model is found.reference and (one.threads, one.batch) == like)
    return row.generate / base.generate
