"""A setting or a call option says in one place what it takes, what it becomes, its default and its meaning.

That place is the `Annotated` type of a field of a TypedDict, so that type checkers read the type and everything else
is read from the `Declared` beside it: the check and the conversion of what is passed, the message about what makes no
sense, the lists in `help()`, and the tables in docs/settings.md. Read once, when the module of the TypedDict is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.client.texts import FromText

__all__ = ["UNSET", "Declared", "declared_in", "documents", "reader", "with_defaults"]

T = TypeVar("T")
UNSET = object()


@dataclass(frozen=True, slots=True)
class Declared:
    """What a setting or a call option declares of itself.

    `check` says whether a value makes sense, `expected` what one that does looks like. `convert` makes of it what the
    library works with. `default` is its value where it is not given; where nothing stands for that, `otherwise` says
    what happens. None counts as not given, unless `none_counts` has it checked like any value. `from_text` is how an
    environment variable says it of a setting; None where none may.
    """

    check: Callable[[Any], bool]
    expected: str
    meaning: str
    default: Any = UNSET
    otherwise: str = ""
    convert: Callable[[Any], Any] | None = None
    none_counts: bool = False
    from_text: FromText | None = None

    @property
    def without(self) -> str:
        """What holds where it is not given, in words."""
        return self.otherwise or f"`{self.default!r}`"

    def explained(self, name: str, value: Any) -> ConfigurationError:
        """Say what was expected; quote only what cannot be anybody's words."""
        return ConfigurationError(f"{name} is {self.expected}; got {self._got(value)}")

    def _got(self, value: Any) -> str:
        if isinstance(value, Mapping) and self.check({}):  # so it is an entry that makes no sense
            for name, each in value.items():
                if isinstance(name, str) and not self.check({name: each}):
                    return f'{_named(each)} for "{name}"'
        return _named(value)


def _named(value: Any) -> str:
    if value is None or isinstance(value, int | float):
        return repr(value)
    if value == "":
        return "an empty text"
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def declared_in(kind: type) -> dict[str, Declared]:
    """Give what each field of a TypedDict declares. Its module must not postpone the evaluation of annotations."""
    return {name: annotated.__metadata__[0] for name, annotated in kind.__annotations__.items()}


def reader(
    declared: Mapping[str, Declared], unknown: Callable[[set[str]], ConfigurationError]
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Make the function that gives what was passed, checked and converted, without what counts as not given.

    Every call passes there: it costs nothing for what is absent. It raises `ConfigurationError` for a value that makes
    no sense, and what `unknown` makes of names that nobody declared.
    """
    find = declared.get

    def read(given: Mapping[str, Any]) -> dict[str, Any]:
        taken: dict[str, Any] = {}
        for name, value in given.items():
            one = find(name)
            if one is None:
                raise unknown(given.keys() - declared.keys())
            if value is None and not one.none_counts:
                continue
            if not one.check(value):
                raise one.explained(name, value)
            taken[name] = value if one.convert is None else one.convert(value)
        return taken

    return read


def with_defaults(taken: Mapping[str, Any], declared: Mapping[str, Declared]) -> dict[str, Any]:
    """Add the defaults of what was not given."""
    return {name: one.default for name, one in declared.items() if one.default is not UNSET} | dict(taken)


def documents(kind: type, but: str = "") -> Callable[[T], T]:
    """Make the decorator that lists the fields of a TypedDict `but` one at the end of a docstring, for `help()`."""
    fields = [
        f"- `{name}`: {one.meaning}\n  Takes {one.expected} (default: {one.without})."
        for name, one in declared_in(kind).items()
        if name != but
    ]

    def document(thing: T) -> T:
        thing.__doc__ = "\n".join([cleandoc(thing.__doc__ or ""), *fields])
        return thing

    return document
