"""A fitted router, and the file that it is kept in: JSON, with a version and a checksum, and no text of any prompt."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from hashlib import sha256
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.routing.learned.features import BUCKETS, NAMES, features_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from inferkit.routing.learned.features import PromptLooks

__all__ = ["Router", "Scorer", "read_router", "write_router"]

_FORMAT, _VERSION = "inferkit router", 1
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Scorer:
    """Says of one model how likely it is to suffice: weights of the numbers, and of the buckets of words that count."""

    intercept: float
    numbers: tuple[float, ...]
    words: Mapping[int, float]

    def likely(self, numbers: list[float], words: list[int]) -> float:
        """Give the probability, from 0 to 1."""
        total = self.intercept + sum(map(mul, self.numbers, numbers))
        weights = self.words
        for word in words:
            if word in weights:
                total += weights[word]
        return 1.0 / (1.0 + math.exp(-total)) if total > -_FAR else 0.0


_FAR = 500.0


@dataclass(frozen=True, slots=True)
class Router:
    """Sends a call to the cheapest of `models` that is likely enough (`threshold`) to suffice; else to the last.

    `models` are in the order of their cost, `scorers` are of all but the last. `evidence` is what was found when it was
    fitted.
    """

    models: tuple[str, ...]
    scorers: tuple[Scorer, ...]
    threshold: float
    evidence: Mapping[str, Any]

    def judge(self, seen: PromptLooks) -> tuple[str, dict[str, float]]:
        """Give the model for a call, and how likely each that was looked at is to suffice."""
        numbers, words = features_of(seen)
        found: dict[str, float] = {}
        for name, scorer in zip(self.models, self.scorers, strict=False):
            found[name] = scorer.likely(numbers, words)
            if found[name] >= self.threshold:
                return name, found
        return self.models[-1], found


def write_router(router: Router, path: str | os.PathLike[str]) -> None:
    """Write a router to a file."""
    body = {
        "format": _FORMAT,
        "version": _VERSION,
        "features": {"numbers": list(NAMES), "buckets": BUCKETS},
        "models": list(router.models),
        "threshold": router.threshold,
        "scorers": [
            {
                "intercept": round(scorer.intercept, _DIGITS),
                "numbers": [round(weight, _DIGITS) for weight in scorer.numbers],
                "words": {str(word): round(weight, _DIGITS) for word, weight in scorer.words.items()},
            }
            for scorer in router.scorers
        ],
        "evidence": dict(router.evidence),
    }
    Path(path).write_text(json.dumps({**body, "checksum": _checksum(body)}, indent=1) + "\n", "utf-8")


def read_router(path: str | os.PathLike[str]) -> Router:
    """Read a router. Raises `ConfigurationError` for a file that is none, was changed, or is of another version."""
    try:
        body = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no router: {type(error).__name__}") from None
    if not isinstance(body, dict) or body.get("format") != _FORMAT:
        raise ConfigurationError(f"{path} is no router; `inferkit route fit` writes one")
    if body.get("version") != _VERSION or body.get("features") != {"numbers": list(NAMES), "buckets": BUCKETS}:
        raise ConfigurationError(f"{path} is a router of another version of inferkit; fit it anew")
    if body.pop("checksum", None) != _checksum(body):
        raise ConfigurationError(f"{path} was changed or is damaged: its checksum says so; fit it anew")
    if not body["evidence"].get("cleared"):
        raise ConfigurationError(f"{path} did not clear its gate when it was fitted, and is not to be used")
    scorers = [
        Scorer(each["intercept"], tuple(each["numbers"]), {int(word): of for word, of in each["words"].items()})
        for each in body["scorers"]
    ]
    return Router(tuple(body["models"]), tuple(scorers), body["threshold"], body["evidence"])


def _checksum(body: Mapping[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
