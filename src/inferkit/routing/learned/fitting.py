"""Fits a router to recorded outcomes, and judges it on what its predictions were not fitted to."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from inferkit.core.errors import ConfigurationError
from inferkit.routing.learned.features import BUCKETS, NAMES, features_of
from inferkit.routing.learned.gate import THRESHOLDS, judge
from inferkit.routing.learned.outcomes import cases_in
from inferkit.routing.learned.regression import fit, folds_of, out_of_fold
from inferkit.routing.learned.router import Router, Scorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.routing.learned.gate import Evidence
    from inferkit.routing.learned.outcomes import Case

__all__ = ["Fitted", "fit_router"]

_FOLDS = 5
_PENALTIES = (1.0, 10.0, 100.0)
_MOST_WORDS = 300
_SELDOM = 0.005  # a bucket counts that so many prompts fall into, and _FEW at least
_FEW = 8


class Fitted(NamedTuple):
    """A router, what it is expected to do, and why it is not to be used: None where it may be."""

    router: Router
    evidence: Evidence
    refusal: str | None


def fit_router(
    cases: Sequence[Case],
    *,
    loss: float,
    certainty: float = 0.95,
    models: Sequence[str] | None = None,
    seed: int = 0,
) -> Fitted:
    """Fit a router that with `certainty` loses at most the share `loss` of the quality, and saves as much as it can.

    Both are against always asking the dearest model. Where no threshold clears the gate, `refusal` says why, of the one
    that comes closest. Raises `ConfigurationError` for outcomes that are too few, and without numpy.
    """
    try:
        import numpy as np
    except ImportError:
        raise ConfigurationError("fitting a router takes numpy: pip install 'inferkit[numpy]'") from None
    if not 0 < loss < 1 or not 0 < certainty < 1:
        raise ConfigurationError("loss and certainty are shares, between 0 and 1")
    names, whole = cases_in(cases, models)
    features = [features_of(case.seen) for case in whole]
    words = _words(features)
    rows = _rows(features, words)
    good = np.array([[case.outcomes[name].good for name in names] for case in whole], dtype=float)
    usd = np.array([[case.outcomes[name].usd for name in names] for case in whole])
    folds = folds_of(len(whole), _FOLDS, seed)
    likely, scorers = np.empty((len(whole), len(names) - 1)), []
    for place in range(len(names) - 1):
        likely[:, place], penalty = out_of_fold(rows, good[:, place], folds, _PENALTIES)
        scorers.append(_scorer(fit(rows, good[:, place], penalty), words))
    tried = judge(names, likely, good, usd, thresholds=_thresholds(likely), certainty=certainty, seed=seed)
    cleared = [each for each in tried if each.refusal(loss) is None]
    best = max(cleared, key=lambda each: each.saving) if cleared else min(tried, key=lambda each: each.loss_at_most)
    facts = {**dataclasses.asdict(best), "loss_bound": loss, "cleared": bool(cleared)}
    return Fitted(Router(names, tuple(scorers), best.threshold, facts), best, best.refusal(loss))


def _thresholds(likely: Any) -> list[float]:
    """Give the thresholds to try: those that a twentieth, two twentieths and so on of the questions pass."""
    import numpy as np

    shares = 1 - np.arange(1, THRESHOLDS + 1) / THRESHOLDS
    return [float(each) for each in np.quantile(likely.max(axis=1), shares)]


def _words(features: Sequence[tuple[list[float], list[int]]]) -> list[int]:
    """Give the buckets that count: those of words that many prompts have, and not nearly all of them."""
    counts = [0] * BUCKETS
    for _, words in features:
        for word in words:
            counts[word] += 1
    least = max(_FEW, int(_SELDOM * len(features)))
    often = [word for word in range(BUCKETS) if least <= counts[word] <= len(features) - least]
    return sorted(sorted(often, key=lambda word: -counts[word])[:_MOST_WORDS])


def _rows(features: Sequence[tuple[list[float], list[int]]], words: Sequence[int]) -> Any:
    import numpy as np

    place = {word: len(NAMES) + number for number, word in enumerate(words)}
    rows = np.zeros((len(features), len(NAMES) + len(words)))
    for number, (values, buckets) in enumerate(features):
        rows[number, : len(NAMES)] = values
        rows[number, [place[word] for word in buckets if word in place]] = 1.0
    return rows


def _scorer(weights: Any, words: Sequence[int]) -> Scorer:
    numbers = tuple([float(weight) for weight in weights[1 : 1 + len(NAMES)]])
    of_words = weights[1 + len(NAMES) :]
    return Scorer(float(weights[0]), numbers, {word: float(of) for word, of in zip(words, of_words, strict=True)})
