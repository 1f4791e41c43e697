"""What differs between generations of Gemini models, told from their names."""

from __future__ import annotations

import re

__all__ = ["generation", "resource_of"]

_NUMBERED = re.compile(r"gemini-(?:[a-z]+-)*(\d{1,3})(?:\.(\d{1,3}))?")
_COLLECTED = re.compile(r"(?:models|tunedModels)/[A-Za-z0-9._-]+")


def resource_of(model: str) -> str:
    """Give what a model is called in an address: with its collection, which its name may say, as "tunedModels/mine"."""
    return model if _COLLECTED.fullmatch(model) else "models/{model}"


def generation(model: str) -> tuple[int, int] | None:
    """Give the number of a model's generation, (2, 5) for example; None where its name has none."""
    found = _NUMBERED.search(model)
    return None if found is None else (int(found[1]), int(found[2] or 0))
