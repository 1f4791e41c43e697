"""How servers that give embeddings differ, as data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EmbeddingQuirks"]


@dataclass(frozen=True, slots=True)
class EmbeddingQuirks:
    """One server's ways. The defaults are those of a server about which nothing is known.

    One request holds `max_inputs` texts at most, and `max_tokens` in all; None is no limit. `base64` says whether it is
    asked for vectors in that form, which is shorter and read faster; where it refuses, that is remembered.
    `dimensions_field` is its name for the number of dimensions, and `task_field` for what the vectors are for; None
    where it cannot be told. `path` is where such requests go under its base URL, if not where the wire says.
    """

    max_inputs: int | None = 32  # as the least of the common servers takes
    max_tokens: int | None = None
    base64: bool = True
    dimensions_field: str | None = "dimensions"
    task_field: str | None = None
    path: str | None = None
