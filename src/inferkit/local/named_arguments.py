"""Arguments that a model writes one by one under their names, as XML: the grammar for them, and their reader.

A text stands as it is, without quotes, up to what ends it; everything else is JSON, of which Python's spellings of
true, false and null are read too, since templates write these where they are given such values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferkit.local.grammar import FORMS, SchemaCompiler, both
from inferkit.typed.json_schema import check, referenced

if TYPE_CHECKING:
    from inferkit.local.call_form import NamedArguments
    from inferkit.local.rules import Item, Rules

__all__ = ["arguments_written", "grammar_for_named"]

_REMARKS = {"title", "description", "default", "examples", "$defs"}
_SPELLINGS = {"True": True, "False": False, "None": None}


def grammar_for_named(schema: Mapping[str, Any], form: NamedArguments) -> Rules:
    """Give the grammar of arguments that fit a schema. Raises `InvalidRequest` where none can."""
    compiler = _Compiler(schema, form.closing)
    return compiler.compiled(lambda: compiler.arguments(form))


class _Compiler(SchemaCompiler):
    """Makes rules of a function's parameters. A text ends where `end` begins, so it does not hold that."""

    def __init__(self, root: Mapping[str, Any], end: str) -> None:
        super().__init__(root)
        self._end = end

    def arguments(self, form: NamedArguments) -> list[Item]:
        """Give the items of all arguments, in their order."""
        known = self._root.get("properties") or {}
        required = [name for name in self._root.get("required") or () if isinstance(name, str)]
        schemas = {**known, **{name: {} for name in required if name not in known}}
        items: list[Item] = []
        for name, schema in schemas.items():
            before = ["text", f"{form.opening}{name}{form.middle}"]
            whole: list[Item] = [before, self.bare(schema), ["text", form.closing]]
            items.append(self.rule(whole) if name in required else self.rule(whole, []))
        return items

    def bare(self, schema: Any) -> Item:
        """Give the item of a value that stands without quotes where it is a text."""
        schema = referenced(schema, self._root)
        if not isinstance(schema, Mapping) or _says_nothing(schema):
            return self._any_words()
        chosen = self._chosen(schema)
        if chosen is not None:
            return chosen
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return self.rule(*([self.bare({**schema, "type": kind})] for kind in kinds))
        if kinds == "string":
            return self._words(schema)
        spellings = {"boolean": ("true", "false", "True", "False"), "null": ("null", "None")}.get(kinds or "")
        return self.rule(*([["text", word]] for word in spellings)) if spellings else self.value(schema)

    def _chosen(self, schema: Mapping[str, Any]) -> Item | None:
        """Give the item of a value that is one of some; None for any other one."""
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(values, list) and values:
            return self.rule(*([["text", one if isinstance(one, str) else json.dumps(one)]] for one in values))
        for name in ("anyOf", "oneOf"):
            choices = schema.get(name)
            if isinstance(choices, list) and choices:
                rest = {key: one for key, one in schema.items() if key != name}
                return self.rule(*([self.bare(both(rest, referenced(one, self._root)))] for one in choices))
        return None

    def _words(self, schema: Mapping[str, Any]) -> Item:
        """Give the item of a text. One whose length is bounded holds no sign that its end could begin with."""
        form = FORMS.get(str(schema.get("format")))
        if form is not None:
            return self.rule([*form])
        first = ord(self._end[0])
        sign: Item = ["not", [[0, 0], [first, first]]]
        least, most = schema.get("minLength"), schema.get("maxLength")
        least = least if isinstance(least, int) else 0
        if isinstance(most, int):
            return self.times(sign, least, most)
        return self.rule([self.times(sign, least, least), self._any_words()]) if least else self._any_words()

    def _any_words(self) -> Item:
        """Give the item of any text in which its end does not occur: one rule for each part of that which came."""
        end = self._end
        for came in range(len(end)):
            name = f"words{came}"
            if name in self.rules:
                continue
            goes_on = {one: _matched(end[:came] + one, end) for one in sorted(set(end[: came + 1]))}
            others = ["not", [[0, 0], *([ord(one), ord(one)] for one in goes_on)]]
            self.rules[name] = [
                *([["text", one], ["rule", f"words{length}"]] for one, length in goes_on.items() if length < len(end)),
                [others, ["rule", "words0"]],
                [],
            ]
        return ["rule", "words0"]


def _matched(came: str, end: str) -> int:
    """Say how much of `end` a text ends with."""
    return next(length for length in range(min(len(came), len(end)), -1, -1) if came.endswith(end[:length]))


def arguments_written(text: str, form: NamedArguments, schema: Mapping[str, Any], *, whole: bool) -> str:
    """Give arguments as JSON. Of those that were cut, what came, which is no JSON then."""
    found: dict[str, Any] = {}
    known = schema.get("properties") or {}
    while text.startswith(form.opening):
        name, middle, text = text[len(form.opening) :].partition(form.middle)
        words, closing, text = text.partition(form.closing)
        if middle and (closing or not whole):
            found[name] = _value(words, {**known.get(name, {}), "$defs": schema.get("$defs", {})})
    written = json.dumps(found, ensure_ascii=False)
    return written if whole else written[:-1]


def _value(words: str, schema: Mapping[str, Any]) -> Any:
    """Read a value: whatever fits its schema, and a text where nothing else does."""
    if _says_nothing(schema):
        return words
    try:
        value = _SPELLINGS[words] if words in _SPELLINGS else json.loads(words, parse_constant=_refused)
    except ValueError:
        return words
    if not check(schema, value):
        return value
    return words if not check(schema, words) or schema.get("type") == "string" else value


def _refused(word: str) -> None:
    raise ValueError(word)


def _says_nothing(schema: Mapping[str, Any]) -> bool:
    return not schema.keys() - _REMARKS
