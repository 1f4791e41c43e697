"""The job that loads one model and measures it; see `inferkit.local.jobs`."""

from __future__ import annotations

import math
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError, ModelFileError
from inferkit.local.jobs import serve_job
from inferkit.local.measuring.loss import continuations, surprise
from inferkit.local.measuring.opening import open_model
from inferkit.local.measuring.speed import peak_memory, speeds
from inferkit.runtime import clock

if TYPE_CHECKING:
    from inferkit.local.engines.interface import InferenceEngine, Tokens
    from inferkit.local.jobs import Report

_WORDS = "The parcel that you sent on Monday came with a cracked lid, and I would like to have another one, please. "
_FEWEST_TOKENS = 32


def measure(settings: dict[str, Any], report: Report) -> dict[str, Any]:
    """Do what `settings` says: `path`, `context`, `batch`, `threads`, and either `speed` or `loss`."""
    began = clock.now()
    engine, tokens = open_model(
        settings["path"],
        context_length=settings["context"],
        batch=settings["batch"],
        threads=settings["threads"],
        engine=settings.get("engine"),
    )
    found: dict[str, Any] = {"load": clock.now() - began}
    if "speed" in settings:
        found |= _speed(engine, tokens, settings["speed"], report)
    if "loss" in settings:
        found |= _loss(engine, tokens, settings["loss"], report)
    if math.isnan(engine.logits[0]):
        raise ModelFileError(f"{settings['path']}: the model computes no numbers; its weights are damaged")
    engine.close()
    return found | {"memory": peak_memory()}


def _speed(engine: InferenceEngine, tokens: Tokens, wanted: dict[str, int], report: Report) -> dict[str, Any]:
    prompt = list(islice(cycle(tokens.spell(_WORDS)), wanted["prompt"]))
    return speeds(engine, prompt, wanted["generate"], wanted["repeats"], lambda: report({"repeats": 1}))


def _loss(engine: InferenceEngine, tokens: Tokens, wanted: dict[str, Any], report: Report) -> dict[str, Any]:
    text = tokens.spell(wanted["text"])[: wanted["tokens"]]
    if len(text) < _FEWEST_TOKENS:
        raise ConfigurationError(f"the text has {len(text)} tokens; {_FEWEST_TOKENS} are the fewest that say anything")
    begin = [tokens.bos] if tokens.add_bos and tokens.bos is not None else []
    window = min(wanted["window"], engine.context_length)
    likelihoods = surprise(engine, text, window, begin, lambda done: report({"tokens": done, "of": len(text)}))
    replies = continuations(
        engine,
        text,
        begin=begin,
        places=wanted["places"],
        context=min(wanted["context"], engine.context_length - wanted["count"] - len(begin)),
        count=wanted["count"],
        ends=tokens.ends,
        progress=lambda done: report({"continuations": done, "of": len(text)}),
    )
    return {"tokens": len(text), "surprise": likelihoods, "continuations": replies}


if __name__ == "__main__":
    serve_job(measure)
