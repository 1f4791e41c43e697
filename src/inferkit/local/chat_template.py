"""A model's own chat template, the Jinja program in its file, written out so that no message can forge a turn.

The templates are made for Hugging Face's `apply_chat_template`, and are given here what it gives them. They are
somebody else's programs: they run in Jinja's sandbox, and inside of the worker process (or of a command that was asked
what a file is).

Each message is stood in for by a mark that no template knows, so what the template wrote can be told from what a user
did: only in the template's own words do control pieces count as such. Where a template strips a message's ends, its
text is stripped. A template that looks into a message for words sees the stand-in.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import InvalidRequest, ModelFileError
from inferkit.local.errors import PROVIDER
from inferkit.local.prompts import Mark, PromptFormat
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jinja2 import Environment

    from inferkit.local.gguf.vocabulary import Vocabulary
    from inferkit.local.prompts import Segment, Turn

__all__ = ["ChatTemplate", "is_template", "named_variables"]

_EDGE = "\u2003"
"""A space that every template strips where it strips, and that none writes."""

_REASON_LENGTH = 200


def is_template(text: str) -> bool:
    """Say whether a text is a Jinja template, and not a name."""
    return "{{" in text or "{%" in text


def named_variables(source: str) -> frozenset[str]:
    """Give what a template asks for, such as `tools`; nothing for what is no template."""
    from jinja2 import TemplateError, meta

    try:
        return frozenset(meta.find_undeclared_variables(_environment().parse(source)))
    except TemplateError:
        return frozenset()


def _environment() -> Environment:
    from jinja2 import sandbox

    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    return environment


class _Refusal(Exception):
    """What a template raises where it cannot write a conversation down."""


class ChatTemplate:
    """Writes conversations down as a model's template does. Raises `ModelFileError` for a template that is none."""

    def __init__(self, source: str, vocabulary: Vocabulary, path: Path) -> None:
        from jinja2 import TemplateError

        self._vocabulary = vocabulary
        self._path = path
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise ModelFileError(
                f"{path}: its chat template is no Jinja template ({type(error).__name__}); state the form of its "
                "conversations with prompt_format="
            ) from error
        special = sorted(vocabulary.special_texts(), key=len, reverse=True)
        self._special = re.compile("(" + "|".join(map(re.escape, special)) + ")") if special else None

    def form(self) -> PromptFormat:
        """Give the template as a form of prompts."""
        return PromptFormat("template", self.write)

    def write(self, turns: Sequence[Turn]) -> list[Segment]:
        """Write a conversation down. Raises `InvalidRequest` where the template refuses it."""
        nonce = secrets.token_hex(8)
        messages = [
            {"role": role, "content": f"{_EDGE}\ue000{nonce}:{at}\ue001{_EDGE}" if text.strip() else text}
            for at, (role, text) in enumerate(turns)
        ]
        written = self._render(messages)
        found = re.split(f"({_EDGE}?)\ue000{nonce}:(\\d+)\ue001({_EDGE}?)", written)
        segments: list[Segment] = []
        self._add_own_words(segments, found[0])
        for left, at, right, words in zip(found[1::4], found[2::4], found[3::4], found[4::4], strict=True):
            text = turns[int(at)][1]
            text = text if left else text.lstrip()
            _add_text(segments, text if right else text.rstrip())
            self._add_own_words(segments, words)
        return segments

    def _render(self, messages: list[dict[str, str]]) -> str:
        vocabulary = self._vocabulary
        try:
            return self._template.render(
                messages=messages,
                add_generation_prompt=True,
                bos_token=vocabulary.text(vocabulary.bos),
                eos_token=vocabulary.text(vocabulary.eos),
            )
        except _Refusal as refusal:
            raise InvalidRequest(
                f"the model's chat template takes no such conversation: {str(refusal)[:_REASON_LENGTH]}",
                provider=PROVIDER,
            ) from None
        except Exception as error:
            raise ModelFileError(
                f"{self._path}: its chat template failed ({type(error).__name__}); state the form of its conversations "
                "with prompt_format="
            ) from error

    def _add_own_words(self, segments: list[Segment], words: str) -> None:
        """Add what the template wrote: its control pieces are marks."""
        pieces = self._special.split(words) if self._special else [words]
        for at, piece in enumerate(pieces):
            if at % 2:
                segments.append(Mark(piece))
            else:
                _add_text(segments, piece)


def _add_text(segments: list[Segment], text: str) -> None:
    """Join text to the text before it: a vocabulary splits them together."""
    if text and segments and isinstance(segments[-1], str):
        segments[-1] += text
    elif text:
        segments.append(text)


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise _Refusal(message)


def _now(form: str) -> str:
    return time.strftime(form, time.localtime(clock.time()))
