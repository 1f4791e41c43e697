"""Whether an object fits a JSON schema: the keywords that providers hold a model to, without a package for it.

Source: JSON Schema 2020-12, https://json-schema.org/draft/2020-12/json-schema-validation. `pattern`, `format` and what
else is not here are left to the provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from inferkit.typed.problems import Problem, known_names, path_of

__all__ = ["TYPES", "check", "referenced", "unknown_types"]

_Place: TypeAlias = tuple[int | str, ...]
_Found: TypeAlias = tuple[_Place, str, str]

TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
}
"""What a value of each type is."""
_OF_PARTS_BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
_OF_PARTS = ("items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf", "not")
_BOUNDS: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any, Any], bool], str]] = {
    "minimum": ("number", lambda value: value, lambda value, bound: value >= bound, "at least"),
    "maximum": ("number", lambda value: value, lambda value, bound: value <= bound, "at most"),
    "exclusiveMinimum": ("number", lambda value: value, lambda value, bound: value > bound, "above"),
    "exclusiveMaximum": ("number", lambda value: value, lambda value, bound: value < bound, "below"),
    "minLength": ("string", len, lambda value, bound: value >= bound, "at least this long:"),
    "maxLength": ("string", len, lambda value, bound: value <= bound, "at most this long:"),
    "minItems": ("array", len, lambda value, bound: value >= bound, "a list of at least"),
    "maxItems": ("array", len, lambda value, bound: value <= bound, "a list of at most"),
}


def check(schema: Mapping[str, Any], value: Any) -> list[Problem]:
    """Give what is wrong with a value, the outermost first; nothing where it fits."""
    names = known_names(schema)
    return [Problem(path_of(place, names), code, words) for place, code, words in _wrong(schema, value, (), schema)]


def unknown_types(schema: Any) -> Iterator[str]:
    """Give what a schema calls types and JSON has none of, by which every value would fit. Capitals are Gemini's."""
    if not isinstance(schema, Mapping):
        return
    kinds = schema.get("type")
    for kind in [kinds] if isinstance(kinds, str) else _listed(kinds):
        if not isinstance(kind, str) or kind.lower() not in TYPES:
            yield str(kind)
    for name in _OF_PARTS_BY_NAME:
        parts = schema.get(name)
        for part in parts.values() if isinstance(parts, Mapping) else ():
            yield from unknown_types(part)
    for name in _OF_PARTS:
        given = schema.get(name)
        for part in [given] if isinstance(given, Mapping) else _listed(given):
            yield from unknown_types(part)


def referenced(schema: Any, root: Mapping[str, Any]) -> Any:
    """Follow a `$ref` within the schema; what leads nowhere is itself."""
    seen = 0
    while isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str) and seen <= len(root):
        found: Any = root
        for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
            if step:
                found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping):
            return {}
        schema, seen = {**found, **{name: one for name, one in schema.items() if name != "$ref"}}, seen + 1
    return schema


def _wrong(schema: Any, value: Any, place: _Place, root: Mapping[str, Any]) -> Iterator[_Found]:
    schema = referenced(schema, root)
    if schema is False:
        yield place, "not_allowed", "is not allowed here"
    if not isinstance(schema, Mapping):
        return
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else _listed(kinds)
    if kinds and not any(TYPES.get(str(kind), _anything)(value) for kind in kinds):
        yield place, "type", f"should be of type {' or '.join(map(str, kinds))}"
        return
    if "const" in schema and not _same(schema["const"], value):
        yield place, "const", f"should be {schema['const']!r}"
    allowed = schema.get("enum")
    if isinstance(allowed, list | tuple) and not any(_same(one, value) for one in allowed):
        yield place, "enum", f"should be one of {list(allowed)!r}"
    for name, (kind, size, fits, words) in _BOUNDS.items():
        bound = schema.get(name)
        if isinstance(bound, int | float) and TYPES[kind](value) and not fits(size(value), bound):
            yield place, name, f"should be {words} {bound}"
    yield from _in_parts(schema, value, place, root)
    yield from _in_choices(schema, value, place, root)


def _in_parts(schema: Mapping[str, Any], value: Any, place: _Place, root: Mapping[str, Any]) -> Iterator[_Found]:
    if isinstance(value, dict):
        properties, others = schema.get("properties"), schema.get("additionalProperties", True)
        known: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
        for name in _listed(schema.get("required")):
            if isinstance(name, str) and name not in value:
                yield (*place, name), "missing", "is missing"
        for name, each in value.items():
            if name in known:
                yield from _wrong(known[name], each, (*place, name), root)
            elif others is False:
                yield (*place, name), "not_allowed", f"{name!r} is not a property that may be here"
            else:
                yield from _wrong(others, each, (*place, name), root)
    elif isinstance(value, list):
        first, rest = _listed(schema.get("prefixItems")), schema.get("items", True)
        for index, each in enumerate(value):
            yield from _wrong(first[index] if index < len(first) else rest, each, (*place, index), root)


def _in_choices(schema: Mapping[str, Any], value: Any, place: _Place, root: Mapping[str, Any]) -> Iterator[_Found]:
    for each in _listed(schema.get("allOf")):
        yield from _wrong(each, value, place, root)
    for name in ("anyOf", "oneOf"):
        choices = _listed(schema.get(name))
        if not choices:
            continue
        tried = [list(_wrong(each, value, place, root)) for each in choices]
        fitting = sum(not found for found in tried)
        if not fitting:
            yield from min(tried, key=_misses)  # what it was most likely meant to be
        elif name == "oneOf" and fitting > 1:
            yield place, "oneOf", "fits several of the forms that it should fit one of"


def _misses(found: list[_Found]) -> tuple[bool, int]:
    return found[0][1] in {"type", "const", "enum"}, len(found)


def _listed(value: Any) -> Sequence[Any]:
    """Take a keyword's list; what is written there by mistake demands nothing."""
    return value if isinstance(value, list | tuple) else ()


def _anything(_: Any) -> bool:
    return True


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
