"""Logistic regression with a penalty on large weights, by Newton's method (iteratively reweighted least squares)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["fit", "folds_of", "log_loss", "out_of_fold", "predict"]

_STEPS = 30
_CLOSE = 1e-7
_MOST_LOGIT = 30.0


def predict(weights: Any, rows: Any) -> Any:
    """Give the probabilities of rows; the first weight is the intercept."""
    import numpy as np

    logits = np.clip(rows @ weights[1:] + weights[0], -_MOST_LOGIT, _MOST_LOGIT)
    return 1.0 / (1.0 + np.exp(-logits))


def fit(rows: Any, targets: Any, penalty: float) -> Any:
    """Give the weights, the intercept first, that minimise log loss and half the penalty times their squares.

    Targets are from 0 to 1. The intercept has no penalty to speak of, so that the mean is met. A step that makes it
    worse is halved.
    """
    import numpy as np

    number, width = rows.shape
    whole = np.hstack([np.ones((number, 1)), rows])
    ridge = np.full(width + 1, penalty)
    ridge[0] = 1e-6
    weights = np.zeros(width + 1)
    mean = float(np.clip(targets.mean(), 1e-3, 1 - 1e-3))
    weights[0] = np.log(mean / (1 - mean))
    loss = _penalised(weights, rows, targets, ridge)
    for _ in range(_STEPS):
        likely = predict(weights, rows)
        gradient = whole.T @ (likely - targets) + ridge * weights
        spread = np.maximum(likely * (1 - likely), 1e-9)
        step = np.linalg.solve((whole.T * spread) @ whole + np.diag(ridge), gradient)
        size = 1.0
        while True:
            new = weights - size * step
            new_loss = _penalised(new, rows, targets, ridge)
            if new_loss <= loss or size < _CLOSE:
                break
            size /= 2
        gained, weights, loss = loss - new_loss, new, min(loss, new_loss)
        if gained < _CLOSE * max(1.0, loss):
            break
    return weights


def log_loss(likely: Any, targets: Any) -> float:
    """Give the mean of the log loss."""
    import numpy as np

    likely = np.clip(likely, 1e-12, 1 - 1e-12)
    return float(-(targets * np.log(likely) + (1 - targets) * np.log(1 - likely)).mean())


def folds_of(number: int, folds: int, seed: int) -> Any:
    """Give the fold of each row: as many of each, by chance."""
    import numpy as np

    return np.random.default_rng(seed).permutation(np.arange(number) % folds)


def out_of_fold(rows: Any, targets: Any, folds: Any, penalties: Sequence[float]) -> tuple[Any, float]:
    """Give for each row what is predicted by a fit to the other folds, and the penalty that predicts best."""
    import numpy as np

    best: tuple[float, Any, float] | None = None
    for penalty in penalties:
        likely = np.empty(len(targets))
        for fold in range(int(folds.max()) + 1):
            out = folds == fold
            likely[out] = predict(fit(rows[~out], targets[~out], penalty), rows[out])
        loss = log_loss(likely, targets)
        if best is None or loss < best[0]:
            best = loss, likely, penalty
    assert best is not None
    return best[1], best[2]


def _penalised(weights: Any, rows: Any, targets: Any, ridge: Any) -> float:
    loss = log_loss(predict(weights, rows), targets) * len(targets)
    return loss + float((ridge * weights * weights).sum()) / 2
