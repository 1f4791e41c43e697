"""Whether a router may be used: what it saves and loses against always asking the dearest model, and how sure that is.

Everything is judged on questions that the fit of their prediction has not seen. A threshold is chosen among twenty that
are set without a look at what was right, and each of them is judged at a twentieth of what may be uncertain
(Bonferroni), so that choosing does not spoil what is promised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferkit.routing.cascade import at_most_wrong

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["THRESHOLDS", "Evidence", "judge", "mean_at_most", "worse_at_most"]

THRESHOLDS = 20
_RESAMPLES = 2000
_NOTHING = 1e-300
_AT_ONCE = 4_000_000  # numbers of a resampling that are drawn at once


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is expected of a router with one threshold; `saving` and `loss` are against always asking the last model.

    `saving` is a share of the cost, `loss` of the quality (which is from 0 to 1), both with the interval that holds
    with `certainty`. With that certainty the loss is at most `loss_at_most`. `chance_loss` is what is lost where as
    many calls go to each model, but by chance: `gain_over_chance` says how much less is lost, at least. `shares` are
    the calls that go to each model.
    """

    cases: int
    threshold: float
    shares: dict[str, float]
    usd_a_call: float
    last_usd_a_call: float
    saving: float
    saving_interval: tuple[float, float]
    loss: float
    loss_interval: tuple[float, float]
    loss_at_most: float
    chance_loss: float
    gain_over_chance: float
    certainty: float

    def refusal(self, bound: float) -> str | None:
        """Say why such a router is not to be used; None where it may be."""
        if self.loss_at_most > bound:
            return f"it may lose up to {self.loss_at_most:.2%} of the quality, and {bound:.2%} are allowed"
        if self.saving_interval[0] <= 0:
            return "it is not certain that it saves anything"
        if max(self.shares.values()) < 1.0 and self.gain_over_chance <= 0:
            return "it is not certain that it chooses any better than chance would"
        return None


def judge(
    models: tuple[str, ...],
    likely: Any,
    good: Any,
    usd: Any,
    thresholds: Sequence[float],
    *,
    certainty: float,
    seed: int,
) -> list[Evidence]:
    """Judge thresholds. `likely` has a column for each model but the last, `good` and `usd` one for each."""
    import numpy as np

    number, last = len(good), len(models) - 1
    level, outside = (1 - certainty) / THRESHOLDS, (1 - certainty) / 2
    rows, columns, shares = np.arange(number), [usd[:, last]], []
    for threshold in thresholds:
        passes = likely >= threshold
        chosen = np.where(passes.any(axis=1), passes.argmax(axis=1), last)
        shares.append(np.bincount(chosen, minlength=last + 1) / number)
        lost = good[:, last] - good[rows, chosen]
        by_chance = good[:, last] - good @ shares[-1]
        columns += [lost, usd[:, last] - usd[rows, chosen], by_chance, by_chance - lost]
    means, resampled = np.mean(columns, axis=1), _resampled(np.column_stack(columns), seed)
    found = []
    for place, threshold in enumerate(thresholds):
        lost, saved, by_chance, gained = range(1 + 4 * place, 5 + 4 * place)
        found.append(
            Evidence(
                number,
                threshold,
                {name: float(share) for name, share in zip(models, shares[place], strict=True)},
                float(means[0] - means[saved]),
                float(means[0]),
                float(means[saved] / max(means[0], _NOTHING)),
                _interval(resampled[:, saved] / np.maximum(resampled[:, 0], _NOTHING), outside),
                float(means[lost]),
                _interval(resampled[:, lost], outside),
                _loss_at_most(columns[lost], level),
                float(means[by_chance]),
                float(np.quantile(resampled[:, gained], level)),
                certainty,
            )
        )
    return found


def _loss_at_most(lost: Any, level: float) -> float:
    """Bound the loss in two ways, each at half of the level; the lower one holds."""
    worse, number = int((lost > 0).sum()), len(lost)
    found = mean_at_most(lost, level / 2)
    return min(found, worse_at_most(worse, number, level / 2)) if worse / number < found else found


def worse_at_most(worse: int, number: int, level: float) -> float:
    """Bound the share of questions that come out worse (Clopper and Pearson): no more is lost than all that they have.

    What is gained elsewhere is not counted against it.
    """
    return at_most_wrong(worse, number, level)


def mean_at_most(values: Any, level: float) -> float:
    """Bound the mean of values from -1 to 1 (Maurer and Pontil's empirical Bernstein bound, 2009)."""
    import numpy as np

    number = len(values)
    spread = float(np.var(values, ddof=1))
    logarithm = math.log(2 / level)
    return float(values.mean()) + math.sqrt(2 * spread * logarithm / number) + 2 * 7 * logarithm / (3 * (number - 1))


def _resampled(columns: Any, seed: int) -> Any:
    """Give the means of the columns in resamplings of the rows (the bootstrap)."""
    import numpy as np

    chance, number = np.random.default_rng(seed), len(columns)
    some = max(1, min(_RESAMPLES, _AT_ONCE // number))
    found = []
    for start in range(0, _RESAMPLES, some):
        counts = chance.multinomial(number, np.full(number, 1 / number), size=min(some, _RESAMPLES - start))
        found.append(counts @ columns / number)
    return np.vstack(found)


def _interval(values: Any, outside: float) -> tuple[float, float]:
    import numpy as np

    low, high = np.quantile(values, [outside, 1 - outside])
    return float(low), float(high)
