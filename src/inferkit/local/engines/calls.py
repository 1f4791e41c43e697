"""The grammar that holds a model to a call of one of some functions, or to an answer, and who reads what it writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import InvalidRequest
from inferkit.local.errors import PROVIDER
from inferkit.local.grammar import grammar_for
from inferkit.local.named_arguments import arguments_written, grammar_for_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.local.call_form import CallForm
    from inferkit.local.engines.interface import Caller
    from inferkit.local.rules import Item, Rules

__all__ = ["CallReader", "calling"]


def calling(form: CallForm, request: dict[str, Any], answer: Rules | None, caller: Caller) -> tuple[Rules, CallReader]:
    """Give the rules of a reply that calls functions of a request, or answers (by rules of its own), and its reader.

    Raises `InvalidRequest` where the one that has to be called is not there.
    """
    tools, choice = request["tools"], request.get("tool_choice")
    if choice not in (None, "auto", "required"):
        tools = [tool for tool in tools if tool["name"] == choice]
        if not tools:
            raise InvalidRequest("tool_choice= names none of the tools", provider=PROVIDER)
    return _rules(form, tools, answer=answer, must=choice not in (None, "auto")), CallReader(caller, form, tools)


def _rules(form: CallForm, tools: Sequence[dict[str, Any]], *, answer: Rules | None, must: bool) -> Rules:
    """Give the grammar of a reply that calls one of some functions, or (unless it `must`) answers.

    An answer keeps to rules of its own, or does not begin as a call does. Raises `InvalidRequest` for parameters that
    no grammar can hold.
    """
    rules: Rules = {"root": []}
    for number, tool in enumerate(tools):
        parameters = tool["parameters"]
        held = grammar_for(parameters) if form.named is None else grammar_for_named(parameters, form.named)
        arguments = _taken_over(rules, f"t{number}-", held)
        before = f"{form.opening}{_written(form, tool['name'])}{form.middle}"
        rules["root"].append([["text", before], arguments, ["text", form.closing]])
    if must:
        return rules
    if answer is not None:
        rules["root"].append([_taken_over(rules, "a-", answer)])
        return rules
    first = ord(form.opening[0])
    rules["anything"] = [[["chars", [[1, 0x10FFFF]]], ["rule", "anything"]], []]
    rules["root"].append([["not", [[first, first]]], ["rule", "anything"]])
    return rules


def _written(form: CallForm, name: str) -> str:
    """Give a function's name as a call has it: within JSON, or as it is."""
    return name if form.named is not None else json.dumps(name, ensure_ascii=False)[1:-1]


def _taken_over(rules: Rules, prefix: str, others: Rules) -> Item:
    """Add rules under other names, and give the item that stands for their root."""
    for name, alternatives in others.items():
        rules[prefix + name] = [
            [[kind, prefix + what] if kind == "rule" else [kind, what] for kind, what in one] for one in alternatives
        ]
    return ["rule", f"{prefix}root"]


class CallReader:
    """Stands between a model and its caller: a reply that begins as a call does reaches the caller as one."""

    def __init__(self, caller: Caller, form: CallForm, tools: Sequence[dict[str, Any]]) -> None:
        self._caller = caller
        self._form = form
        self._parameters = {_written(form, tool["name"]): tool["parameters"] for tool in tools}
        self._text = ""
        self._held: list[dict[str, Any]] = []
        self._decided: bool | None = None

    def gone(self) -> bool:
        """See `Caller`."""
        return self._caller.gone()

    def send(self, frame: dict[str, Any]) -> None:
        """See `Caller`. Text is held back while it may be a call."""
        if "text" in frame and self._decided is not False:
            self._text += frame["text"]
            self._held.append(frame)
            opening = self._form.opening
            if self._text.startswith(opening):
                self._decided = True
            elif not opening.startswith(self._text):
                self._decided = False
                self._let_go()
            return
        if "end" in frame:
            frame = self._ended(frame)
        self._caller.send(frame)

    def _let_go(self) -> None:
        for frame in self._held:
            self._caller.send(frame)
        self._held.clear()

    def _ended(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Give the last frame, after the call; a call that was cut has the arguments that came."""
        if not self._decided:
            self._let_go()
            return frame
        form = self._form
        name, middle, arguments = self._text[len(form.opening) :].partition(form.middle)
        if middle:
            whole = frame["end"] == "stop"
            if form.named is not None:
                arguments = arguments_written(arguments, form.named, self._parameters[name], whole=whole)
            else:
                name = json.loads(f'"{name}"')
                arguments = arguments.removesuffix(form.closing) if whole else arguments
            self._caller.send({"call": [name, arguments]})
        return {**frame, "end": "tool_calls"} if frame["end"] == "stop" else frame
