"""Turns a conversation into a local model's prompt, in one of the forms that have a name.

Marks that are control tokens of the vocabulary go in by number; all other text, the user's above all, is spelled in
ordinary tokens, so that no text a user types becomes a control token. A mark that a vocabulary lacks is spelled too,
and can then be imitated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from inferkit.core.errors import InvalidRequest
from inferkit.local.errors import PROVIDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from inferkit.local.call_form import CallForm

__all__ = [
    "BEGUN",
    "FORMATS",
    "MARKS",
    "Mark",
    "PromptFormat",
    "Segment",
    "ToolTurn",
    "Turn",
    "WritesCalls",
    "add_text",
    "checked_turns",
]

BEGUN = "prefix"
"""What the message of a reply that has begun says in its `extra`: the model goes on with it."""

Turn: TypeAlias = tuple[str, str]
"""A role ("system", "user" or "assistant") and what was said."""


class ToolTurn(NamedTuple):
    """A turn that may call functions, or be what one gave: `calls` are ids, names and arguments as JSON text.

    `answers` is the id of the call whose result it is.
    """

    role: str
    text: str
    calls: Sequence[Sequence[str]] = ()
    answers: str | None = None


class WritesCalls(Protocol):
    """What can write down conversations with functions."""

    def write_with(self, turns: Sequence[ToolTurn], tools: Sequence[dict[str, Any]]) -> list[Segment]:
        """Write a conversation down, and which functions there are. Raises `InvalidRequest`."""

    def call_form(self) -> CallForm:
        """Say how the model writes a call. Raises `InvalidRequest` where that is not known."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A control piece of a prompt, such as `<|im_end|>`."""

    text: str


Segment: TypeAlias = str | Mark


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """How a conversation is written down. `stops` end a reply; `required` marks must be control tokens.

    `tools` writes those with functions, where the form knows such.
    """

    name: str
    write: Callable[[Sequence[Turn]], list[Segment]]
    stops: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    strip_space: bool = True
    tools: WritesCalls | None = None


def _plain(turns: Sequence[Turn]) -> list[Segment]:
    return ["\n".join(text for _, text in turns)]


def _chatml(turns: Sequence[Turn]) -> list[Segment]:
    parts: list[Segment] = []
    for role, text in turns:
        parts += [Mark("<|im_start|>"), f"{role}\n{text}", Mark("<|im_end|>"), "\n"]
    return [*parts, Mark("<|im_start|>"), "assistant\n"]


def _llama2(turns: Sequence[Turn]) -> list[Segment]:
    """Write `[INST] question [/INST] answer </s><s>[INST] ...`; instructions precede the first question."""
    rules = "\n".join(text for role, text in turns if role == "system")
    preface = f"<<SYS>>\n{rules}\n<</SYS>>\n\n" if rules else ""
    parts: list[Segment] = []
    text = ""
    for role, said in turns:
        if role == "user":
            text += f"[INST] {preface}{said} [/INST]"
            preface = ""
        elif role == "assistant":
            parts += [f"{text} {said} ", Mark("</s>"), Mark("<s>")]
            text = ""
    return [*parts, text] if text else parts


def _zephyr(turns: Sequence[Turn]) -> list[Segment]:
    parts: list[Segment] = []
    for role, text in turns:
        parts += [f"<|{role}|>\n{text}", Mark("</s>"), "\n"]
    return [*parts, "<|assistant|>\n"]


_ALPACA_TITLES = {"user": "### Instruction:\n", "assistant": "### Response:\n", "system": ""}


def _alpaca(turns: Sequence[Turn]) -> list[Segment]:
    text = "".join(f"{_ALPACA_TITLES[role]}{said}\n\n" for role, said in turns)
    return [f"{text}### Response:\n"]


def _triage(turns: Sequence[Turn]) -> list[Segment]:
    """Write the last user message on one line and the answer's mark; earlier turns and instructions are left out."""
    questions = [text for role, text in turns if role == "user"]
    if not questions:
        raise InvalidRequest("this model answers a user's message, and there is none", provider=PROVIDER)
    return [" ".join(questions[-1].split()), Mark("<|answer|>")]


FORMATS = {
    form.name: form
    for form in (
        PromptFormat("plain", _plain, strip_space=False),
        PromptFormat("chatml", _chatml, stops=("<|im_end|>", "<|im_start|>")),
        PromptFormat("llama-2", _llama2, stops=("</s>",)),
        PromptFormat("zephyr", _zephyr, stops=("</s>", "<|user|>", "<|system|>")),
        PromptFormat("alpaca", _alpaca, stops=("### Instruction:",)),
        PromptFormat("triage", _triage, required=("<|answer|>",)),
    )
}
"""Every known form, by the name that `inferkit.prompt_format` and `prompt_format=` take."""

MARKS = frozenset(
    {"<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|answer|>", "<|user|>", "<|assistant|>", "<|system|>"}
)
"""Pieces that a text never spells with one token, whatever type a file gives them."""


def checked_turns(turns: Iterable[Sequence[Any]]) -> list[Turn]:
    """Check the roles of a conversation without functions. Raises `InvalidRequest`."""
    result: list[Turn] = []
    for role, text, *_ in turns:
        if role not in _ALPACA_TITLES:
            raise InvalidRequest(f"a local model takes no {role!r} messages; send text", provider=PROVIDER)
        result.append((role, text))
    return result


def add_text(segments: list[Segment], text: str) -> None:
    """Join text to the text before it: a vocabulary splits them together."""
    if text and segments and isinstance(segments[-1], str):
        segments[-1] += text
    elif text:
        segments.append(text)
