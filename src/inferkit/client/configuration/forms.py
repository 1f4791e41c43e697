"""What a table of a file may hold, told by what is made of it: the parameters of a constructor, checked by pydantic.

So nothing is listed twice: what `Hedge` or an adapter takes in Python, its table takes by the same name. What is no
number, text, switch, list or table is left out of it; where None would say something, `false` does.
"""

from __future__ import annotations

import functools
import inspect
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from inferkit.client.configuration.wording import explained
from inferkit.core.errors import ConfigurationError
from inferkit.plans.models import TableError, blamed
from inferkit.plans.places import Path
from inferkit.providers.embedding_quirks import EmbeddingQuirks
from inferkit.providers.http.settings import Http, Library
from inferkit.providers.http.transport import Timeouts, Transport
from inferkit.providers.wires.anthropic.quirks import AnthropicQuirks
from inferkit.providers.wires.chat.quirks import ChatQuirks
from inferkit.providers.wires.gemini.quirks import GeminiQuirks
from inferkit.providers.wires.prefill import Prefill
from inferkit.providers.wires.responses.quirks import ResponsesQuirks
from inferkit.resilience.breaker import BreakerRules
from inferkit.resilience.retry_budget import RetryRules

__all__ = ["TableForm", "Wrong", "as_floats", "form_of"]

Wrong = tuple[Path, str]
"""Where something is wrong in a table, and what."""

_TABLES = (
    AnthropicQuirks, BreakerRules, ChatQuirks, EmbeddingQuirks, GeminiQuirks, Prefill, ResponsesQuirks, RetryRules,
    Timeouts,
)  # fmt: skip
_NAMES: dict[str, Any] = {
    **{kind.__name__: kind for kind in (*_TABLES, Http, Transport)},
    "Library": Library, "Mapping": Mapping, "Sequence": Sequence, "Any": Any, "Literal": Literal, "os": os,
    "SSLContext": ssl.SSLContext, "Callable": Callable, "Tier": object,
}  # fmt: skip
_NONE = "none"  # what `false` is read as, where that may be said


class _Form(BaseModel):
    """A table. What may stand in it are its fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    made_of: ClassVar[Callable[..., Any]]

    def given(self, path: Path = ()) -> dict[str, Any]:
        """Give what the table says, and nothing of what it leaves out; tables in it are made into what they are."""
        return {name: _made(getattr(self, name), (*path, name)) for name in self.model_fields_set}


class TableForm:
    """The tables that something is made of."""

    def __init__(self, model: type[_Form]) -> None:
        self._model = model
        self.names = frozenset(model.model_fields)

    def read(self, table: Mapping[str, Any], also: Sequence[str] = ()) -> tuple[dict[str, Any], list[Wrong]]:
        """Give what a table says, or what is wrong with it, before anything is made of it as a whole.

        `also` are fields that such a table has besides, and that somebody else reads.
        """
        try:
            return self._model.model_validate(as_floats(table)).given(), []
        except ValidationError as error:
            return {}, explained(
                error.errors(), table, lambda path: [*self._fields_at(path), *(also if not path else ())]
            )
        except TableError as error:
            return {}, [(error.field, str(error))]

    def _fields_at(self, path: Path) -> Sequence[str]:
        """Give the fields of the table at a path."""
        model: Any = self._model
        for part in path:
            field = None if model is None else model.model_fields.get(part)
            model = None if field is None else _model_in(field.annotation)
        return () if model is None else sorted(model.model_fields)


@functools.cache
def form_of(kind: Callable[..., Any], but: frozenset[str] = frozenset()) -> TableForm:
    """Give the form of the tables that this is called with, `but` for some of its parameters."""
    return TableForm(_model_of(kind, but))


@functools.cache
def _model_of(kind: Callable[..., Any], but: frozenset[str] = frozenset()) -> type[_Form]:
    fields: dict[str, Any] = {}
    hints = _hints(kind)
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in but or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = parameter.default
        taken = _taken(hints[name], none=default is not None and default is not parameter.empty)
        if taken is not None:
            fields[name] = (taken, Field() if default is parameter.empty else Field(default=None))
    model = create_model(f"Of{getattr(kind, '__name__', 'It')}", __base__=_Form, **fields)
    model.made_of = kind
    return model


def _hints(kind: Callable[..., Any]) -> dict[str, Any]:
    plain = isinstance(kind, type) and not is_dataclass(kind) and not issubclass(kind, tuple)
    return get_type_hints(kind.__init__ if plain else kind, localns=_NAMES)


def _taken(kind: Any, *, none: bool = False) -> Any:
    """Give what pydantic is to take for a type; None where nothing in a file can be of it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        taken = [one for each in arguments if each is not NoneType and (one := _taken(each)) is not None]
        if none and NoneType in arguments:
            taken.append(Annotated[Literal["none"], BeforeValidator(lambda given: _NONE if given is False else given)])
        return Union[tuple(taken)] if taken else None  # noqa: UP007 - made of a list
    if kind in _TABLES:
        return _model_of(kind)
    if origin is Literal or kind in (str, int, float, bool):
        return kind
    if origin in (tuple, frozenset, Sequence):
        return _list(origin, arguments)
    return dict[str, arguments[1]] if origin is Mapping else None  # type: ignore[valid-type]


def _list(origin: Any, arguments: Sequence[Any]) -> Any:
    """Give the list that becomes a tuple or a set: of any length, or of as many as a tuple says."""
    of = arguments[0]
    each: Any = _list(tuple, get_args(of)) if get_origin(of) is tuple else of
    if origin is tuple and arguments[-1] is not Ellipsis:
        many = len(arguments)
        return Annotated[list[each], Field(min_length=many, max_length=many), AfterValidator(tuple)]
    return Annotated[list[each], AfterValidator(frozenset if origin is frozenset else tuple)]


def _made(value: Any, path: Path) -> Any:
    if isinstance(value, _Form):
        given = value.given(path)
        try:
            return type(value).made_of(**given)
        except ConfigurationError as error:
            raise TableError(str(error), (*path, *blamed(str(error), given))) from error
    return None if value == _NONE and isinstance(value, str) else value


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, _Form):
        return annotation
    return next((each for each in get_args(annotation) if isinstance(each, type) and issubclass(each, _Form)), None)


def as_floats(value: Any) -> Any:
    """Give the numbers of a table as floats: those that have to be exact are read elsewhere."""
    if isinstance(value, Mapping):
        return {name: as_floats(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_floats(each) for each in value]
    return float(value) if isinstance(value, Decimal) else value
