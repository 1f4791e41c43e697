"""The schema that a file states for its answers: a small model that was made for one form of answer is held to it.

The metadata key `inferkit.answer_schema` holds a JSON schema. A request that brings no rules of its own is then
answered under that schema's, so that no field is missing, no label is unheard of, and no text runs on without end.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import InvalidRequest, ModelFileError

if TYPE_CHECKING:
    from inferkit.local.gguf.model_file import ModelFile
    from inferkit.local.rules import Rules

__all__ = ["KEY", "answer_rules"]

KEY = "inferkit.answer_schema"


def answer_rules(model: ModelFile) -> Rules | None:
    """Give the rules of a file's answers, if it states any. Raises `ModelFileError` where they are no schema."""
    stated = model.metadata.get(KEY)
    if stated is None:
        return None
    from inferkit.local.grammar import grammar_for

    try:
        return grammar_for(_schema(str(stated)))
    except (ValueError, TypeError, InvalidRequest) as error:
        raise ModelFileError(f"{model.path}: what it states as the schema of its answers is none: {error}") from None


def _schema(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError("it is no object")
    return found
