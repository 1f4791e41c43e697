"""What an object has to look like, from a Python type or a JSON schema, and how a model's text becomes one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.misspelt import near
from inferkit.typed.problems import MisfitError, Problem, known_names, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import ValidationError

__all__ = ["Form", "form_of", "is_form", "is_no_json", "partial_of", "problems_of"]

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)(?:\n\s*```\s*)?\Z", re.DOTALL | re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """What an object has to look like. `json_schema` is what the model is asked for, `name` what people call it.

    `parse` makes the object of a text; it raises `MisfitError`.
    """

    name: str
    json_schema: Mapping[str, Any]
    parse: Callable[[str], Any]


def is_form(value: Any) -> bool:
    """Say whether this can be what an object has to look like."""
    if isinstance(value, Mapping):
        return True
    return isinstance(value, type) and (
        dataclasses.is_dataclass(value) or hasattr(value, "model_validate_json") or hasattr(value, "__total__")
    )


def form_of(given: Any) -> Form:
    """Give the form of a pydantic model, a dataclass, a TypedDict or a JSON schema.

    Raises `ConfigurationError` for a type that has no JSON schema, and for a schema with types that JSON has none of.
    """
    return _of_schema(given) if isinstance(given, Mapping) else _of_type(given)


@lru_cache(maxsize=256)  # to make a validator takes a thousand times as long as to use it
def _of_type(kind: type) -> Form:
    from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter, ValidationError

    from inferkit.typed.closed import closed

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        schema = closed(adapter.json_schema())
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        what = str(error).partition("\n")[0]
        raise ConfigurationError(f"{kind.__name__} has no JSON schema: {what}") from error
    if schema.get("type") != "object":
        raise ConfigurationError(f"{kind.__name__} is no object in JSON; make it a field of a model, and ask for that")
    names = known_names(schema)

    def parse(text: str) -> Any:
        try:
            return adapter.validate_json(_bare(text))
        except ValidationError as error:
            raise MisfitError(problems_of(error, names)) from None

    return Form(kind.__name__, schema, parse)


def _of_schema(schema: Mapping[str, Any]) -> Form:
    from inferkit.typed.json_schema import TYPES, check, unknown_types

    try:
        unknown = next(unknown_types(schema), None)
    except RecursionError:
        raise ConfigurationError("the schema holds itself; write that as a $ref into its $defs") from None
    if unknown is not None:
        raise ConfigurationError(
            f'a schema has no type "{unknown}"{near({unknown}, TYPES)}; its types are: {", ".join(TYPES)}'
        )

    def parse(text: str) -> Any:
        from pydantic_core import from_json

        try:
            value = from_json(_bare(text))
        except ValueError as error:
            raise MisfitError([Problem("", "json_invalid", f"Invalid JSON: {error}")]) from None
        try:
            problems = check(schema, value)
        except RecursionError:  # a form that holds itself, and an object that goes down there for ever
            problems = [Problem("", "too_deep", "It is nested too deeply.")]
        if problems:
            raise MisfitError(problems)
        return value

    title = schema.get("title")
    return Form(title if isinstance(title, str) and title else "object", schema, parse)


def problems_of(error: ValidationError, names: frozenset[str]) -> list[Problem]:
    """Read what pydantic found wrong. Only its codes quote nothing: its messages may."""
    return [
        Problem(path_of(one["loc"], names), one["type"], one["msg"])
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def partial_of(text: str) -> Any:
    """Give what can be read of the beginning of a JSON text; None where that is nothing yet."""
    from pydantic_core import from_json

    bare = _bare(text)
    try:
        return from_json(bare, allow_partial="trailing-strings") if bare.strip() else None
    except ValueError:
        return None


def is_no_json(text: str) -> bool:
    """Say whether no JSON text begins like this, as far as that can be told before it is whole."""
    from pydantic_core import from_json

    try:
        from_json(_bare(text), allow_partial="trailing-strings")
    except ValueError as error:
        return not str(error).startswith("EOF")  # that of a text that only ends too early
    return False


def _bare(text: str) -> str:
    """Take the fence off that models put around JSON where no provider holds them to it."""
    fenced = _FENCE.match(text) if "```" in text else None
    return text if fenced is None else fenced[1]
