"""How many input tokens a request may come to on a model: at most, or as its recent calls have shown.

The strict bound counts a token a byte, four times what English takes. A model's recent calls say how dense its texts
really are; the highest density of the last ones, and a quarter more, is then what the bytes of the next one count as.
Such an estimate can be exceeded, by a text that is denser than all of those.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from inferkit.pricing.tokens import has_images, input_tokens_bound, unscaled_tokens
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.pricing.habits import Model

__all__ = ["LearnedEstimates", "input_tokens"]

_CALLS = 64
_FEWEST_CALLS = 8
_SHORTEST_TEXT = 256  # bytes; in a shorter one the markers around it outweigh what it says
_PRECISION = 1_000_000
_MOST_MODELS = 1024


def input_tokens(request: Request, learned: LearnedEstimates | None) -> int:
    """Say how many input tokens a request may come to on its provider and model: the strict bound unless `learned`."""
    if learned is None:
        return input_tokens_bound(request, request.model)
    return learned.of(request, (request.provider or "", request.model))


class LearnedEstimates:
    """Learns from each call how many tokens a byte of input comes to on its model.

    Kept in memory, for the last 1024 models that were called; safe from any thread.
    """

    def __init__(self) -> None:
        self._densities: dict[Model, deque[int]] = {}  # tokens for a million bytes, rounded up
        self._expected: dict[Model, int] = {}  # the same with the margin, for models that are known well enough
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Start afresh in a forked child, with what is known."""
        self._lock = threading.Lock()

    def of(self, request: Request, model: Model) -> int:
        """Give the estimate for a request: the strict bound for a model of which fewer than eight calls are known."""
        strict = input_tokens_bound(request, model[1])
        density = self._expected.get(model)
        if density is None or density >= _PRECISION:
            return strict
        unscaled = unscaled_tokens(request, model[1])
        return unscaled + -(-(strict - unscaled) * density // _PRECISION)

    def learn(self, request: Request, tokens: int) -> None:
        """Note how many input tokens the provider reported for a request.

        Images are counted in their own way, and short texts say little: such requests are passed over.
        """
        if tokens <= 0 or has_images(request):
            return
        text = input_tokens_bound(request) - unscaled_tokens(request)
        if text < _SHORTEST_TEXT:
            return
        model = (request.provider or "", request.model)
        density = -(-tokens * _PRECISION // text)
        with self._lock:
            recent = self._densities.pop(model, None) or deque(maxlen=_CALLS)
            recent.append(density)
            self._densities[model] = recent  # last, as the one that was called last
            if len(recent) >= _FEWEST_CALLS:
                self._expected[model] = max(recent) * 5 // 4 + 1
            if len(self._densities) > _MOST_MODELS:  # names that come from outside must not fill the memory
                longest_ago = next(iter(self._densities))
                del self._densities[longest_ago]
                self._expected.pop(longest_ago, None)
