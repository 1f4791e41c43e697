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
from inferkit.local.call_form import CallForm, NamedArguments
from inferkit.local.errors import PROVIDER, no_tools
from inferkit.local.prompts import Mark, PromptFormat, ToolTurn, add_text
from inferkit.local.stand_ins import StandIns
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jinja2 import Environment

    from inferkit.local.gguf.vocabulary import Vocabulary
    from inferkit.local.prompts import Segment, Turn

__all__ = ["ChatTemplate", "is_template", "named_variables"]

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

        self._source = source
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
        self._call_form: CallForm | None = None
        self._special = re.compile("(" + "|".join(map(re.escape, special)) + ")") if special else None

    def form(self) -> PromptFormat:
        """Give the template as a form of prompts."""
        knows_tools = "tools" in self._source and "tools" in named_variables(self._source)
        return PromptFormat("template", self.write, tools=self if knows_tools else None)

    def write(self, turns: Sequence[Turn]) -> list[Segment]:
        """Write a conversation down. Raises `InvalidRequest` where the template refuses it."""
        return self.write_with([ToolTurn(*turn) for turn in turns], ())

    def write_with(self, turns: Sequence[ToolTurn], tools: Sequence[dict[str, Any]]) -> list[Segment]:
        """See `WritesCalls`."""
        stand_ins = StandIns()
        messages = self._messages(turns, stand_ins)
        written = self._render(messages, tools=[self._declared(tool, stand_ins) for tool in tools])
        segments: list[Segment] = []
        own, *rest = stand_ins.parted(written)
        self._add_own_words(segments, own)
        for text, words in zip(rest[::2], rest[1::2], strict=True):
            add_text(segments, text)
            self._add_own_words(segments, words)
        return segments

    def call_form(self) -> CallForm:
        """See `WritesCalls`: what the template makes of a call shows it."""
        form = self._known_form()
        if form is None:
            raise no_tools("its chat template does not write calls with arguments in JSON, or each under its name")
        return form

    def _known_form(self) -> CallForm | None:
        if self._call_form is None:
            self._call_form = self._named_form() or self._json_form()
        return self._call_form

    def _json_form(self) -> CallForm | None:
        stand_ins = StandIns()
        opening, rest = self._example(stand_ins.of("{}", edge=""))
        parts = stand_ins.parted(rest)
        if len(parts) < 3:  # noqa: PLR2004 - before, arguments and behind
            return None
        closing = re.match(r"[}\]\s]*", parts[2])
        return CallForm(opening, parts[0], "" if closing is None else closing.group().rstrip())

    def _named_form(self) -> CallForm | None:
        """Find what stands around arguments by what is written of two of them, and of none.

        What is written between two of them in JSON, a comma, is not written before the first. This is asked first:
        some templates write arguments in their names, and a text of JSON too, but not as their model does.
        """
        stand_ins, names = StandIns(), [f"p{secrets.token_hex(8)}" for _ in range(2)]
        opening, rest = self._example({name: stand_ins.of("a") for name in names})
        parts = stand_ins.parted(rest)
        if len(parts) != 5:  # noqa: PLR2004 - two arguments, what stands between them, before and behind
            return None
        first, found, middle = parts[0].partition(names[0])
        between, found_too, same = parts[2].partition(names[1])
        none = self._words_before_control(self._example({})[1])
        before = first[: _shared(first, none)].rstrip("<[{")
        start = first[len(before) :]
        end = between.removesuffix(start)
        behind = self._words_before_control(parts[4])
        closing = behind.removeprefix(end).rstrip()
        fits = middle == same and none.rstrip() == f"{before}{closing}".rstrip() and end not in (between, "", behind)
        if not (found and found_too and before and start and fits):
            return None
        return CallForm(opening, before, closing, NamedArguments(start, middle, end))

    def _example(self, arguments: Any) -> tuple[str, str]:
        """Give what the template writes before the name of a function that was called, and behind it; or nothing."""
        name = f"f{secrets.token_hex(8)}"
        tools = [_declaration(name, "", {"type": "object", "properties": {}})]
        asks = {"role": "user", "content": "a"}
        before = self._render([asks], tools=tools)
        call = {"id": "call00000", "type": "function", "function": {"name": name, "arguments": arguments}}
        try:
            calls = {"role": "assistant", "content": "", "tool_calls": [call]}
            written = self._render([asks, calls], tools=tools, asks=False)
        except ModelFileError:  # it looks into the arguments, and finds something else than it takes
            return "", ""
        start = _shared(before, written)
        if start < len(before):  # it would have the model begin with something else, such as its thoughts
            start = written.rfind("\n", 0, start) + 1
        opening, found, rest = written[start:].partition(name)
        return (opening.lstrip(), rest) if found and opening.strip() else ("", "")

    def _words_before_control(self, words: str) -> str:
        return self._special.split(words)[0] if self._special else words

    def _declared(self, tool: dict[str, Any], stand_ins: StandIns) -> dict[str, Any]:
        """Give a function as templates are given it. It may come from anywhere, and forges no turn either."""
        name, description, parameters = (
            self._safe(tool[one], stand_ins) for one in ("name", "description", "parameters")
        )
        return _declaration(name, description, parameters)

    def _safe(self, value: Any, stand_ins: StandIns) -> Any:
        """Give a value in which no text, and no name, holds a control piece."""
        if isinstance(value, str):
            forged = self._special is not None and self._special.search(value)
            return stand_ins.of(json.dumps(value, ensure_ascii=False)[1:-1]) if forged else value
        if isinstance(value, dict):
            return {self._safe(name, stand_ins): self._safe(one, stand_ins) for name, one in value.items()}
        return [self._safe(one, stand_ins) for one in value] if isinstance(value, list) else value

    def _arguments(self, arguments: str, stand_ins: StandIns) -> Any:
        """Give what stands for a call's arguments: for their text, or for each of them."""
        form = self._known_form()
        if form is None or form.named is None:
            return stand_ins.of(arguments, edge="")
        try:
            found = json.loads(arguments)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise InvalidRequest("the arguments of a call are no JSON object; leave the call out", provider=PROVIDER)
        return {
            self._safe(name, stand_ins): stand_ins.of(value) if isinstance(value, str) else self._safe(value, stand_ins)
            for name, value in found.items()
        }

    def _messages(self, turns: Sequence[ToolTurn], stand_ins: StandIns) -> list[dict[str, Any]]:
        """Give turns as templates are given them. Calls get ids that every template takes: nine letters and digits."""
        messages: list[dict[str, Any]] = []
        called: dict[str, tuple[str, str]] = {}
        for turn in turns:
            message: dict[str, Any] = {
                "role": turn.role,
                "content": stand_ins.of(turn.text) if turn.text.strip() else turn.text,
            }
            for own_id, name, arguments in turn.calls:
                called[own_id] = f"call{len(called):05d}", self._safe(name, stand_ins)
                function = {"name": called[own_id][1], "arguments": self._arguments(arguments, stand_ins)}
                call = {"id": called[own_id][0], "type": "function", "function": function}
                message.setdefault("tool_calls", []).append(call)
            if turn.answers is not None:
                message["tool_call_id"], message["name"] = called.get(
                    turn.answers, (self._safe(turn.answers, stand_ins), "")
                )
            messages.append(message)
        return messages

    def _render(
        self, messages: list[dict[str, Any]], *, tools: Sequence[dict[str, Any]] = (), asks: bool = True
    ) -> str:
        vocabulary = self._vocabulary
        try:
            return self._template.render(
                messages=messages,
                add_generation_prompt=asks,
                **({"tools": tools} if tools else {}),
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
                add_text(segments, piece)


def _shared(one: str, other: str) -> int:
    """Count the characters that two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))


def _declaration(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    """Write JSON down. What stands for arguments stands for JSON, and not for a text of it."""
    written = json.dumps(value, ensure_ascii=False, indent=indent)
    return re.sub('"(\ue000[0-9a-f]+:[0-9]+\ue001)"', r"\1", written)


def _refuse(message: str) -> None:
    raise _Refusal(message)


def _now(form: str) -> str:
    return time.strftime(form, time.localtime(clock.time()))
