"""A grammar of what is missing of a JSON text that was cut off: whatever follows it, the whole fits a schema.

As little as the schema allows is written: what has begun is ended, required properties that are missing come in their
order, optional ones and further items do not, and texts are short. Spaces, the order of properties and the escapes of
what is there may be anybody's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from inferkit.core.errors import InvalidRequest
from inferkit.local.brevity import BriefCompiler, property_of, required_of, says, written
from inferkit.local.cut_text import CODE, NoBeginningError, end_of, read_string, skipped
from inferkit.local.errors import PROVIDER
from inferkit.local.grammar import DIGIT, FORMS, HEX, both, bounds
from inferkit.local.rules import Item, Rules
from inferkit.typed.json_schema import check, referenced

__all__ = ["completion_for"]

_INTEGER_DIGITS, _FRACTION_DIGITS = 6, 3
_SPAN_LIMIT = 200
_NUMBER = re.compile(r"-?[0-9]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?")
_WORDS = {"true": "boolean", "false": "boolean", "null": "null"}
_NAME_LENGTH = 16

_Rest = int | list[Item]
"""Where a value ends that is whole, or what is missing of one that is not."""


def completion_for(schema: Mapping[str, Any], text: str, *, words: bool = True) -> Rules | None:
    """Give the grammar of what is missing of a text; None where nothing is.

    Without `words`, a text that has begun ends with an ellipsis, and those that have not are left out or empty.
    Raises `InvalidRequest` where nothing can follow that makes it fit the schema.
    """
    completer = _Completer(schema, text, words=words)
    whole = False

    def rest() -> list[Item]:
        nonlocal whole
        found = completer.rest(schema, 0)
        if isinstance(found, list):
            return found
        if skipped(text, found) < len(text):
            raise NoBeginningError
        whole = True
        return []

    try:
        rules = completer.compiled(rest)
    except NoBeginningError:
        raise InvalidRequest(
            "what a reply begins with is no beginning of an object that fits its schema", provider=PROVIDER
        ) from None
    return None if whole else rules


class _Completer(BriefCompiler):
    def __init__(self, root: Mapping[str, Any], text: str, *, words: bool) -> None:
        super().__init__(root, words=words)
        self._text = text

    def rest(self, schema: Any, at: int) -> _Rest:  # noqa: C901, PLR0911 - one for each kind of schema
        """Say where the value ends that begins here, or what is missing of it."""
        text, root = self._text, self._root
        at = skipped(text, at)
        if at == len(text):
            return [self.value(schema)]
        schema = referenced(schema, root)
        if schema is False:
            raise NoBeginningError
        schema = schema if isinstance(schema, Mapping) else {}
        for name in ("anyOf", "oneOf"):
            if isinstance(schema.get(name), Sequence) and schema[name]:
                others = {key: one for key, one in schema.items() if key != name}
                return self._first_of([both(others, referenced(one, root)) for one in schema[name]], at)
        if isinstance(schema.get("allOf"), Sequence) and schema["allOf"]:
            merged: Any = {key: one for key, one in schema.items() if key != "allOf"}
            for each in schema["allOf"]:
                merged = both(merged, referenced(each, root))
            return self.rest(merged, at)
        if "const" in schema or "enum" in schema:
            return self._listed([schema["const"]] if "const" in schema else schema["enum"], at)
        sign = text[at]
        if sign == "{" and _may_be("object", schema):
            return self._open_object(schema, at)
        if sign == "[" and _may_be("array", schema):
            return self._open_array(schema, at)
        if sign == '"' and _may_be("string", schema):
            return self._open_string(schema, at)
        if sign in "-0123456789" and (_may_be("number", schema) or _may_be("integer", schema)):
            return self._open_number(schema, at)
        return self._listed([json.loads(word) for word, kind in _WORDS.items() if _may_be(kind, schema)], at)

    def _first_of(self, choices: list[Any], at: int) -> _Rest:
        found: list[list[Item]] = []
        for choice in choices:
            try:
                rest = self.rest(choice, at)
            except NoBeginningError:
                continue
            if isinstance(rest, int):
                return rest
            found.append(rest)
        return self._either(found)

    def _either(self, found: list[list[Item]]) -> list[Item]:
        if not found:
            raise NoBeginningError
        return found[0] if len(found) == 1 else [self.rule(*found)]

    def _listed(self, allowed: Sequence[Any], at: int) -> _Rest:
        """Go on with one of some values."""
        text = self._text
        if text[at] == '"':
            end, said, pending = read_string(text, at)
            texts = [one for one in allowed if isinstance(one, str)]
            if end is not None and said in texts:
                return end
            if end is not None:
                raise NoBeginningError
            return self._either([[says(rest)] for one in texts if (rest := end_of(one, said, pending)) is not None])
        others = sorted((written(one) for one in allowed if not isinstance(one, str)), key=len, reverse=True)
        for one in others:
            if text.startswith(one, at):
                return at + len(one)
        return self._either([[says(one[len(text) - at :])] for one in others if one.startswith(text[at:])])

    def _open_object(self, schema: Mapping[str, Any], at: int) -> _Rest:  # noqa: C901, PLR0911 - every place to be cut at
        text, seen = self._text, set[str]()
        at = skipped(text, at + 1)
        if at == len(text):
            return self.rest_of_object(schema, seen, comma=False)
        while text[at] != "}" or seen:
            if text[at] != '"':
                raise NoBeginningError
            end, name, pending = read_string(text, at)
            if end is None:
                return self._open_name(schema, seen, (name, pending))
            value = property_of(schema, name)
            if name in seen or value is False:
                raise NoBeginningError
            seen.add(name)
            at = skipped(text, end)
            if at == len(text):
                return [says(": "), self.value(value), *self.rest_of_object(schema, seen)]
            if text[at] != ":":
                raise NoBeginningError
            found = self.rest(value, at + 1)
            if isinstance(found, list):
                return [*found, *self.rest_of_object(schema, seen)]
            at = skipped(text, found)
            if at == len(text):
                return self.rest_of_object(schema, seen)
            if text[at] != ",":
                break
            at = skipped(text, at + 1)
            if at == len(text):
                return self._open_name(schema, seen)
        if text[at] != "}" or not seen.issuperset(required_of(schema)):
            raise NoBeginningError
        return at + 1

    def _open_name(
        self, schema: Mapping[str, Any], seen: set[str], begun: tuple[str, str | None] | None = None
    ) -> list[Item]:
        """Go on with a property whose name has begun, as `read_string` says; or with one, since there is a comma."""
        properties = schema.get("properties")
        required, known = required_of(schema), list(properties) if isinstance(properties, Mapping) else []
        names = [one for one in dict.fromkeys((*required, *known)) if one not in seen]
        if begun is None and names and names[0] in required:
            names = names[:1]
        found = [
            [says(f"{end}: "), self.value(property_of(schema, one)), *self.rest_of_object(schema, {*seen, one})]
            for one in names
            if (end := written(one) if begun is None else end_of(one, *begun)) is not None
            and property_of(schema, one) is not False
        ]
        others = schema.get("additionalProperties", True)
        if not found and others is not False and (begun is None or begun[1] is None):
            self._string({})  # it has the rules of characters
            name = [says("" if begun else '"'), self.times(["rule", "character"], not begun, _NAME_LENGTH), says('": ')]
            found = [[*name, self.value(others), *self.rest_of_object(schema, seen)]]
        return self._either(found)

    def _open_array(self, schema: Mapping[str, Any], at: int) -> _Rest:  # noqa: C901 - every place to be cut at
        text = self._text
        first, rest = schema.get("prefixItems"), schema.get("items", True)
        fixed = list(first) if isinstance(first, Sequence) else []
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if rest is False:
            most = len(fixed) if most is None else min(most, len(fixed))

        def item(place: int) -> Any:
            if most is not None and place >= most:
                raise NoBeginningError
            return fixed[place] if place < len(fixed) else rest

        def more(count: int, *, comma: bool = True) -> list[Item]:
            items: list[Item] = []
            for place in range(count, least):
                items += [says(", " if comma else ""), self.value(item(place))]
                comma = True
            return [*items, says("]")]

        at, count = skipped(text, at + 1), 0
        if at == len(text):
            return more(0, comma=False)
        while text[at] != "]" or count:
            found = self.rest(item(count), at)
            count += 1
            if isinstance(found, list):
                return [*found, *more(count)]
            at = skipped(text, found)
            if at == len(text):
                return more(count)
            if text[at] != ",":
                break
            at = skipped(text, at + 1)
            if at == len(text):
                return [self.value(item(count)), *more(count + 1)]
        if text[at] != "]" or count < least:
            raise NoBeginningError
        return at + 1

    def _open_string(self, schema: Mapping[str, Any], at: int) -> _Rest:
        end, said, pending = read_string(self._text, at)
        if end is not None:
            return self._checked(schema, said, end)
        form = FORMS.get(str(schema.get("format")))
        if form is not None:
            if len(said) > len(form) or pending is not None:
                raise NoBeginningError
            return [*form[len(said) :], says('"')]
        length = len(said) + (pending is not None)
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if most is not None and length > most:
            raise NoBeginningError
        least = max(0, least - length)
        room = max(least, self.text_length)
        self._string({})  # it has the rules of characters
        rest = self.times(["rule", "character"], least, room if most is None else min(room, most - length))
        escape: list[Item] = [] if pending is None else [["rule", "escaped"]]
        if pending:
            escape = [HEX] * (CODE - len(pending) + 1)
        if not self.words and not least and pending is None and (most is None or length < most):
            return [says('…"')]
        return [*escape, rest, says('"')]

    def _open_number(self, schema: Mapping[str, Any], at: int) -> _Rest:  # noqa: PLR0911 - every place to be cut at
        text, found = self._text, _NUMBER.match(self._text, at)
        said = "" if found is None else found.group()
        if at + len(said) < len(text):
            try:
                return self._checked(schema, json.loads(said), at + len(said))
            except ValueError:
                raise NoBeginningError from None
        whole = not _may_be("number", schema)
        if whole and not said.removeprefix("-").isdigit() and said != "-":
            raise NoBeginningError
        low, high = bounds(schema, whole=whole)
        if whole and low is not None and high is not None and high - low <= _SPAN_LIMIT:
            numbers = [str(one) for one in range(int(low), int(high) + 1)]
            return self._either([[says(one[len(said) :])] for one in numbers if one.startswith(said)])
        if said == "-":
            return [["chars", [[49, 57]]]]
        if said[-1] in "eE+-":
            return [DIGIT]
        if said[-1] == ".":
            return [self.times(DIGIT, 1, _FRACTION_DIGITS)]
        if "e" in said.lower() or said in ("0", "-0"):
            return [says("")]
        most = _FRACTION_DIGITS if "." in said else _INTEGER_DIGITS
        if high is not None and "." not in said:
            most = max(0, min(most, len(str(int(high))) - len(said)))
        return [self.times(DIGIT, 0, most)]

    def _checked(self, schema: Mapping[str, Any], value: Any, end: int) -> int:
        if check(schema, value):
            raise NoBeginningError
        return end


def _may_be(kind: str, schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    return kinds is None or kind == kinds or (not isinstance(kinds, str) and kind in kinds)
