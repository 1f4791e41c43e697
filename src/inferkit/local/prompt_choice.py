"""Chooses the form of a model's prompts: what the user states, or else what the file does.

A file that says nothing is refused, since any form but the one that it was trained on makes a model worse in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.errors import ModelFileError
from inferkit.local.chat_template import ChatTemplate, is_template
from inferkit.local.prompts import FORMATS

if TYPE_CHECKING:
    from inferkit.local.gguf.model_file import ModelFile
    from inferkit.local.prompts import PromptFormat

__all__ = ["format_of"]


def format_of(model: ModelFile, wanted: str | None = None) -> PromptFormat:
    """Choose the form for a model: the one asked for (a name or a template), the file's own, or its template's.

    Raises `ModelFileError` where there is none, where it is unknown, or where the vocabulary lacks a mark it needs.
    """
    name = wanted or model.metadata.get("inferkit.prompt_format")
    source = str(name) if name is not None else model.chat_template
    if source is None:
        raise ModelFileError(
            f"{model.path}: it has no chat template, so nothing says how its conversations are written down; state "
            f'it with prompt_format=, one of {", ".join(FORMATS)} or a Jinja template ("plain" where it is no chat '
            "model)"
        )
    if name is None or is_template(source):
        return ChatTemplate(source, model.vocabulary, model.path).form()
    form = FORMATS.get(source)
    if form is None:
        raise ModelFileError(
            f"{model.path}: the prompt format {source[:60]!r} is unknown; "
            f"set prompt_format= to one of {', '.join(FORMATS)}, or to a Jinja template"
        )
    missing = [mark for mark in form.required if model.vocabulary.special(mark) is None]
    if missing:
        raise ModelFileError(
            f"{model.path}: the prompt format {form.name!r} needs the control token {missing[0]}, which the vocabulary "
            "lacks; set prompt_format= to another"
        )
    return form
