"""A Python function as a tool: what the model is told of it, and how what the model writes becomes its arguments."""

from __future__ import annotations

import inspect
import re
import types
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, get_args, get_origin, get_type_hints

from inferkit.core.errors import ConfigurationError, InvalidReply
from inferkit.core.messages import Tool
from inferkit.typed.docstrings import described
from inferkit.typed.form import problems_of
from inferkit.typed.problems import MisfitError, Problem, in_full, in_short, known_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Function", "function_of", "plain_arguments"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class _Described:
    """What is known of a function apart from itself, so that it is worked out once and keeps no function alive."""

    tool: Tool
    validate: Callable[[str], dict[str, Any]]
    positional: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function that the model may ask for. `tool` is what it is told of it."""

    tool: Tool
    call: Callable[..., Any] = field(repr=False)
    _validate: Callable[[str], dict[str, Any]] = field(repr=False)
    _positional: tuple[str, ...] = ()

    @property
    def is_async(self) -> bool:
        """Whether what it gives has to be awaited."""
        call = inspect.unwrap(self.call)
        return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004

    def arguments(self, text: str) -> dict[str, Any]:
        """Give the arguments that a model wrote, by name and in the function's own types. Raises `InvalidReply`."""
        try:
            return self._validate(text or "{}")
        except MisfitError as misfit:
            raise InvalidReply(
                f"the arguments of {self.tool.name} do not fit: {in_short(misfit.problems)}; they are in .partial, and "
                "what is wrong in .detail",
                partial=text,
                detail=in_full(misfit.problems),
                problems=tuple([(one.path, one.code) for one in misfit.problems]),
            ) from None

    def run(self, arguments: Mapping[str, Any]) -> Any:
        """Call it."""
        if not self._positional:
            return self.call(**arguments)
        rest = {name: value for name, value in arguments.items() if name not in self._positional}
        return self.call(*[arguments[name] for name in self._positional if name in arguments], **rest)


_known: weakref.WeakKeyDictionary[Any, _Described] = weakref.WeakKeyDictionary()
_known_methods: weakref.WeakKeyDictionary[Any, _Described] = weakref.WeakKeyDictionary()


def function_of(call: Callable[..., Any]) -> Function:
    """Make a tool of a function, a method or another callable. Raises `ConfigurationError` where it cannot be one."""
    known, key = _known, call
    if isinstance(call, types.MethodType):
        known, key = _known_methods, call.__func__
    if not isinstance(key, types.FunctionType):
        one = _describe(call)
    else:
        found = known.get(key)
        one = found if found is not None else known.setdefault(key, _describe(call))
    return Function(one.tool, call, one.validate, one.positional)


def _describe(call: Callable[..., Any]) -> _Described:
    from pydantic import ConfigDict, PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter, ValidationError
    from typing_extensions import TypedDict

    from inferkit.typed.closed import for_tool

    plain: Any = getattr(call, "func", call)  # of a functools.partial
    name = getattr(plain, "__name__", type(plain).__name__)
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"a tool's name is made of letters, digits, _ and -; give {name!r} a name with def")
    try:
        parameters = inspect.signature(call).parameters
        hints = get_type_hints(plain if hasattr(plain, "__name__") else type(plain).__call__, include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise ConfigurationError(f"{name} cannot be a tool: {error}") from error
    summary, told = described(plain.__doc__, parameters)
    types_of: dict[str, Any] = {}
    for one in parameters.values():
        if one.kind not in _BY_NAME and one.kind is not inspect.Parameter.POSITIONAL_ONLY:
            raise ConfigurationError(f"{name} cannot be a tool: its arguments have names, and {one} has none")
        kind = _annotated(hints.get(one.name, Any), told.get(one.name))
        types_of[one.name] = kind if one.default is one.empty else NotRequired[kind]
    made_of: Any = TypedDict
    holder = made_of(name, types_of)
    holder.__pydantic_config__ = ConfigDict(extra="forbid")
    try:
        adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(holder)
        schema = for_tool(adapter.json_schema())
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise ConfigurationError(f"{name} cannot be a tool: {str(error).partition(chr(10))[0]}") from error
    for each in parameters.values():
        if type(each.default) in _PLAIN:
            schema["properties"][each.name].setdefault("default", each.default)
    names = known_names(schema)

    def validate(text: str) -> dict[str, Any]:
        try:
            return adapter.validate_json(text)
        except ValidationError as error:
            raise MisfitError(problems_of(error, names)) from None

    positional = tuple([one.name for one in parameters.values() if one.kind is one.POSITIONAL_ONLY])
    return _Described(Tool(name, summary, schema), validate, positional)


def _annotated(kind: Any, told: str | None) -> Any:
    """Put what is said of a parameter with its type: beside it, or in the docstring. `Annotated` has the first word."""
    from pydantic import Field
    from pydantic.fields import FieldInfo

    if get_origin(kind) is Annotated:
        for one in get_args(kind)[1:]:
            words = one if isinstance(one, str) else getattr(one, "documentation", None)
            if isinstance(words, str):
                return Annotated[kind, Field(description=words)]
            if isinstance(one, FieldInfo) and one.description:
                return kind
    return Annotated[kind, Field(description=told)] if told else kind


def plain_arguments(name: str, text: str) -> Any:
    """Give the arguments of a call that no function stands behind, as plain data. Raises `InvalidReply`."""
    from pydantic_core import from_json

    try:
        return from_json(text or "{}")
    except ValueError as error:
        problem = Problem("", "json_invalid", f"Invalid JSON: {error}")
        raise InvalidReply(
            f"the arguments of {name} are no JSON; they are in .partial",
            partial=text,
            detail=in_full([problem]),
            problems=(("", "json_invalid"),),
        ) from None
