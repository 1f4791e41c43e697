"""A grammar that holds a model to a JSON schema while it writes: rules that both engines can follow (see `rules`).

What is written under a grammar fits the schema's types, properties, enumerations, lengths and most bounds. Keywords
that it cannot hold (`pattern`, `multipleOf`, sums of choices) are left to the check that every reply with a schema
passes.
JSON Schema 2020-12, https://json-schema.org/draft/2020-12/json-schema-core

It is longer than other modules, since the keywords of a schema are compiled by one class that they all need.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inferkit.core.errors import InvalidRequest
from inferkit.local.errors import PROVIDER
from inferkit.local.rules import RULES_LIMIT, Item, RuleBook, Rules, begins_with_itself
from inferkit.typed.json_schema import referenced

__all__ = ["DIGIT", "FORMS", "HEX", "SchemaCompiler", "both", "bounds", "grammar_for"]

_COUNT_LIMIT = 1000
_SPAN_LIMIT = 200
_DIGITS = 15

DIGIT: list[Any] = ["chars", [[48, 57]]]
HEX: list[Any] = ["chars", [[48, 57], [97, 102]]]
_ANY = ("object", "array", "string", "number", "boolean", "null")


def grammar_for(schema: Mapping[str, Any]) -> Rules:
    """Give the grammar of a JSON schema. Raises `InvalidRequest` where no value can fit it, or it is far too large."""
    compiler = SchemaCompiler(schema)
    return compiler.compiled(lambda: [compiler.value(schema)])


def _impossible(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"a local model cannot be held to this schema: {why}; change it, or send the call to another model",
        provider=PROVIDER,
        code="unsupported",
    )


def _text(words: str) -> list[Any]:
    return ["text", words]


class SchemaCompiler(RuleBook):
    """Makes rules of the parts of a schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        super().__init__()
        self._root = root
        self._references: dict[str, str] = {}

    def compiled(self, write: Callable[[], list[Item]]) -> Rules:
        """Give the grammar of what is written. Raises `InvalidRequest` as `grammar_for` does."""
        rules = self.rules
        rules["root"] = []
        try:
            rules["root"].append(write())
        except RecursionError:
            raise _impossible("it goes round in a circle") from None
        except OverflowError:
            raise _impossible("it is too large") from None
        if len(rules) > RULES_LIMIT or begins_with_itself(rules):
            raise _impossible("it is too large, or goes round in a circle")
        return rules

    def shared(self, name: str, *alternatives: list[list[Any]]) -> list[Any]:
        """Add a rule that has a name, once."""
        self.rules.setdefault(name, list(alternatives))
        return ["rule", name]

    def times(self, item: list[Any], least: int, most: int | None) -> list[Any]:
        """See `RuleBook`. What is longer than a grammar can count is left to the check of the reply."""
        if most is not None and most < least:
            raise _impossible("a length's lower bound is above its upper one")
        return super().times(item, min(least, _COUNT_LIMIT), None if most is None or most > _COUNT_LIMIT else most)

    def value(self, schema: Any) -> list[Any]:
        """Give the item of a schema."""
        if isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str) and len(schema) == 1:
            reference = schema["$ref"]
            name = self._references.get(reference)
            if name is None:
                name = self._references[reference] = f"r{len(self.rules)}"
                self.rules[name] = []
                self.rules[name] += [[self._plain(referenced(schema, self._root))]]
            return ["rule", name]
        return self._plain(referenced(schema, self._root))

    def _anything(self) -> list[Any]:
        if "json" not in self.rules:
            alternatives = self.rules["json"] = []
            alternatives += [[self._of_kind(kind, {})] for kind in _ANY]
        return ["rule", "json"]

    def _plain(self, schema: Any) -> list[Any]:
        if schema is False:
            raise _impossible("it forbids a value that it asks for")
        if not isinstance(schema, Mapping) or not schema:
            return self._anything()
        if "const" in schema:
            return _literal(schema["const"])
        allowed = schema.get("enum")
        if isinstance(allowed, Sequence) and not isinstance(allowed, str):
            if not allowed:
                raise _impossible("an enumeration is empty")
            return self.rule(*([_literal(one)] for one in allowed))
        chosen = self._combined(schema)
        return self._of_kinds(schema) if chosen is None else chosen

    def _combined(self, schema: Mapping[str, Any]) -> list[Any] | None:
        """Give the item of a schema that is put together from others; None for any other one."""
        for name in ("anyOf", "oneOf"):
            choices = schema.get(name)
            if isinstance(choices, Sequence) and choices:
                rest = {key: one for key, one in schema.items() if key != name}
                return self.rule(*([self.value(both(rest, one)) if rest else self.value(one)] for one in choices))
        whole = schema.get("allOf")
        if isinstance(whole, Sequence) and whole:
            merged: Any = {key: one for key, one in schema.items() if key != "allOf"}
            for each in whole:
                merged = both(merged, referenced(each, self._root))
            return self._plain(merged)
        return None

    def _of_kinds(self, schema: Mapping[str, Any]) -> list[Any]:
        kinds = schema.get("type")
        if kinds is None:
            kinds = ["object"] if "properties" in schema else ["array"] if "items" in schema else _ANY
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        items = [self._of_kind(str(kind), schema) for kind in kinds]
        return items[0] if len(items) == 1 else self.rule(*([item] for item in items))

    def _of_kind(self, kind: str, schema: Mapping[str, Any]) -> list[Any]:
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            return self._array(schema)
        if kind == "string":
            return self._string(schema)
        if kind in ("number", "integer"):
            return self._number(schema, whole=kind == "integer")
        if kind == "boolean":
            return self.shared("boolean", [_text("true")], [_text("false")])
        if kind == "null":
            return _text("null")
        raise _impossible(f"it has the unknown type {kind[:40]!r}")

    def _object(self, schema: Mapping[str, Any]) -> list[Any]:
        properties = schema.get("properties")
        known: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
        required = {name for name in schema.get("required") or () if isinstance(name, str)}
        others = schema.get("additionalProperties", True)
        parts = [
            ([_text(json.dumps(name, ensure_ascii=False) + ": "), self.value(one)], name in required)
            for name, one in known.items()
            if one is not False
        ]
        parts += [([self._key(name), self.value(others)], True) for name in sorted(required - known.keys())]
        if not parts:
            if others is False:
                return _text("{}")
            pair = self.rule([self._string({}), _text(": "), self.value(others)])
            more = self.times(self.rule([_text(", "), pair]), 0, None)
            return self.rule([_text("{}")], [_text("{"), pair, more, _text("}")])
        return self.rule([_text("{"), self._parts(parts), _text("}")])

    def _key(self, name: str) -> list[Any]:
        return _text(json.dumps(name, ensure_ascii=False) + ": ")

    def _parts(self, parts: list[tuple[list[list[Any]], bool]]) -> list[Any]:
        """Write properties in their order, with a comma before each but the first that is there."""
        first: list[Any] = self.rule([])
        later: list[Any] = first
        for part, needed in reversed(parts):
            with_part: list[list[list[Any]]] = [[*part, later]]
            after: list[list[list[Any]]] = [[_text(", "), *part, later]]
            if not needed:
                with_part.append([first])
                after.append([later])
            first, later = self.rule(*with_part), self.rule(*after)
        return first

    def _array(self, schema: Mapping[str, Any]) -> list[Any]:
        first = schema.get("prefixItems")
        rest = schema.get("items", True)
        fixed = [self.value(one) for one in first] if isinstance(first, Sequence) else []
        least, most = _count(schema, "minItems") or 0, _count(schema, "maxItems")
        if rest is False:
            most = len(fixed) if most is None else min(most, len(fixed))
        if most is not None and least > most:
            raise _impossible("a length's lower bound is above its upper one")
        if fixed:
            fixed = fixed[: most if most is not None else None]
            inside: list[list[Any]] = []
            for item in fixed:
                inside += [*([_text(", ")] if inside else []), item]
            if most is None or most > len(fixed):
                more = self.rule([_text(", "), self.value(rest)])
                room = None if most is None else most - len(fixed)
                inside.append(self.times(more, max(0, least - len(fixed)), room))
            return self.rule([_text("["), *inside, _text("]")])
        if most == 0:
            return _text("[]")
        item = self.value(rest)
        more = self.rule([_text(", "), item])
        full = [_text("["), item, self.times(more, max(0, least - 1), None if most is None else most - 1), _text("]")]
        return self.rule(full) if least else self.rule([_text("[]")], full)

    def _string(self, schema: Mapping[str, Any]) -> list[Any]:
        form = FORMS.get(str(schema.get("format")))
        if form is not None:
            return self.rule([_text('"'), *form, _text('"')])
        four = [HEX] * 4
        escaped = self.shared(
            "escaped", [["chars", [[ord(one), ord(one)] for one in '"\\/bfnrt']]], [_text("u"), *four]
        )
        plain = ["not", [[0, 31], [34, 34], [92, 92], [127, 127]]]
        character = self.shared("character", [plain], [_text("\\"), escaped])
        least, most = _count(schema, "minLength") or 0, _count(schema, "maxLength")
        if not least and most is None:
            self.rules.setdefault("characters", [[character, ["rule", "characters"]], []])
            return self.shared("string", [_text('"'), ["rule", "characters"], _text('"')])
        return self.rule([_text('"'), self.times(character, least, most), _text('"')])

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> list[Any]:
        low, high = bounds(schema, whole=whole)
        if whole and low is not None and high is not None:
            if low > high:
                raise _impossible("a number's lower bound is above its upper one")
            if high - low <= _SPAN_LIMIT:
                return self.rule(*([_text(str(one))] for one in range(int(low), int(high) + 1)))
        digits = _DIGITS if high is None or low is None else max(len(str(abs(int(low)))), len(str(abs(int(high)))))
        digits = min(digits, _DIGITS)
        name = f"natural{digits}"
        if name not in self.rules:
            self.shared(name, [_text("0")], [["chars", [[49, 57]]], self.times(DIGIT, 0, digits - 1)])
        parts: list[list[Any]] = [["rule", name]]
        if not whole:
            if "fraction" not in self.rules:
                self.shared("fraction", [_text("."), self.times(DIGIT, 1, _DIGITS)], [])
            parts.append(["rule", "fraction"])
        if low is not None and low >= 0:
            return self.rule(parts)
        return self.rule(parts, [_text("-"), *parts])


def _digits(count: int) -> list[list[Any]]:
    return [DIGIT] * count


_MONTH_AND_DAY: list[list[Any]] = [["chars", [[48, 49]]], DIGIT, ["text", "-"], ["chars", [[48, 51]]], DIGIT]
_DATE: list[list[Any]] = [*_digits(4), ["text", "-"], *_MONTH_AND_DAY]
_SIXTY: list[list[Any]] = [["text", ":"], ["chars", [[48, 53]]], DIGIT]
_TIME: list[list[Any]] = [["chars", [[48, 50]]], DIGIT, *_SIXTY, *_SIXTY]
FORMS: dict[str, list[list[Any]]] = {
    "date": _DATE,
    "time": [*_TIME, ["text", "Z"]],
    "date-time": [*_DATE, ["text", "T"], *_TIME, ["text", "Z"]],
    "uuid": [
        *[HEX] * 8,
        *[part for count in (4, 4, 4, 12) for part in ([["text", "-"], *[HEX] * count])],
    ],
}
"""Forms of text whose values differ in their signs alone. Whether a date exists is for the check of the reply."""


def _literal(value: Any) -> list[Any]:
    return _text(json.dumps(value, ensure_ascii=False))


def both(one: Mapping[str, Any], other: Any) -> Any:
    """Put two schemas together that must both hold, as far as a grammar can."""
    if not isinstance(other, Mapping):
        return one if other is not False else False
    merged = {**one, **other}
    for name in ("properties", "$defs"):
        if isinstance(one.get(name), Mapping) and isinstance(other.get(name), Mapping):
            merged[name] = {**one[name], **other[name]}
    if one.get("required") and other.get("required"):
        merged["required"] = [*one["required"], *other["required"]]
    return merged


def _count(schema: Mapping[str, Any], name: str) -> int | None:
    value = schema.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def bounds(schema: Mapping[str, Any], *, whole: bool) -> tuple[float | None, float | None]:
    """Give the least and the greatest value; of numbers with a fraction about."""

    def number(name: str) -> float | None:
        value = schema.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    low, high = number("minimum"), number("maximum")
    above, below = number("exclusiveMinimum"), number("exclusiveMaximum")
    step = 1 if whole else 0
    lows = [one for one in (low, None if above is None else above + step) if one is not None]
    highs = [one for one in (high, None if below is None else below - step) if one is not None]
    return max(lows, default=None), min(highs, default=None)
