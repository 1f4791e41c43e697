"""Chooses the next token: the best one, or a weighted draw that a seed repeats exactly.

Pure: scores and a random number in, a token out. A draw considers at most `CANDIDATES_LIMIT` tokens, the best ones.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import InvalidRequest
from inferkit.local.errors import PROVIDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["CANDIDATES_LIMIT", "Sampling", "add_bias", "draw", "penalise", "read_bias", "whole_number"]

CANDIDATES_LIMIT = 1000
_DEFAULT_TOP_K = 40
_SEED_LIMIT = 1 << 63
_BIAS_LIMIT = 100.0
_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. `temperature` 0 always takes the best token.

    `top_k` is how many of the best tokens are considered, `top_p` the share of probability they must cover, and
    `repeat_penalty` divides the scores of tokens that stood among the last `repeat_window`; 1 turns it off.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = _DEFAULT_TOP_K
    repeat_penalty: float = 1.0
    repeat_window: int = 64
    seed: int = 0

    @property
    def plain(self) -> bool:
        """Whether the best token is taken as the model has it."""
        return self.temperature <= 0 and (self.repeat_penalty == 1.0 or not self.repeat_window)

    @classmethod
    def of(cls, options: dict[str, Any]) -> Sampling:
        """Check the options of a request. Without a seed, takes a random one. Raises `InvalidRequest`."""
        seed = options.get("seed")
        return cls(
            temperature=_number(options, "temperature", 0.0, 0.0, 100.0),
            top_p=_number(options, "top_p", 1.0, 0.0, 1.0),
            top_k=whole_number(options, "top_k", _DEFAULT_TOP_K, 1, CANDIDATES_LIMIT),
            repeat_penalty=_number(options, "repeat_penalty", 1.0, 0.1, 10.0),
            repeat_window=whole_number(options, "repeat_window", 64, 0, 1 << 20),
            seed=secrets.randbits(53)
            if seed is None
            else whole_number(options, "seed", 0, -_SEED_LIMIT, _SEED_LIMIT - 1),
        )


def _number(
    options: dict[str, Any], name: str, default: float, low: float, high: float, *, whole: bool = False
) -> float:
    value = options.get(name)
    if value is None:
        return default
    fits = isinstance(value, int) if whole else isinstance(value, int | float)
    if not fits or isinstance(value, bool) or not low <= value <= high:
        kind = "whole number" if whole else "number"
        raise InvalidRequest(f"{name} is a {kind} from {low:g} to {high:g}; got {value!r}", provider=PROVIDER)
    number: float = value
    return number


def whole_number(options: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    """Give an option that is a whole number, or its default. Raises `InvalidRequest` where it is out of range."""
    return int(_number(options, name, default, low, high, whole=True))


def penalise(logits: Any, recent: Iterable[int], penalty: float) -> None:
    """Lower the scores of recent tokens in place (Keskar et al. 2019, CTRL, section 4.1)."""
    if penalty == 1.0:
        return
    for token in set(recent):
        score = logits[token]
        logits[token] = score / penalty if score > 0 else score * penalty


def read_bias(options: dict[str, Any], spell: Callable[[str], Sequence[int]], size: int) -> dict[int, float]:
    """Give what is added to the scores of tokens: by their number, or by a text, whose tokens `spell` gives.

    `size` is how many tokens there are. Raises `InvalidRequest`.
    """
    given = options.get("logit_bias")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidRequest("logit_bias maps tokens, by number or text, to what is added", provider=PROVIDER)
    found: dict[int, float] = {}
    for key in given:
        bias = _number({"logit_bias": given[key]}, "logit_bias", 0.0, -_BIAS_LIMIT, _BIAS_LIMIT)
        for token in [int(key)] if key.isdecimal() and len(key) < _DIGITS else spell(key):
            if token >= size:
                raise InvalidRequest(f"logit_bias: the vocabulary has no token {token}", provider=PROVIDER)
            found[token] = bias
    return found


def add_bias(logits: Any, bias: Mapping[int, float]) -> None:
    """Add to the scores of tokens in place."""
    for token, more in bias.items():
        logits[token] += more


def draw(candidates: Sequence[tuple[int, float]], sampling: Sampling, fortune: float) -> int | None:
    """Choose one of `candidates` (the highest score first) by `fortune`, a random number from 0 to below 1.

    Returns None where no candidate has a finite score.
    """
    sound = [(token, score) for token, score in candidates if math.isfinite(score)]
    if not sound:
        return None
    if sampling.temperature <= 0:
        return sound[0][0]
    highest = sound[0][1]
    weights = [math.exp((score - highest) / sampling.temperature) for _, score in sound]
    limit = sampling.top_p * math.fsum(weights)
    kept = 0.0
    count = 0
    for weight in weights:
        kept += weight
        count += 1
        if kept >= limit:
            break
    goal = fortune * kept
    for (token, _), weight in zip(sound[:count], weights, strict=False):
        goal -= weight
        if goal < 0:
            return token
    return sound[count - 1][0]
