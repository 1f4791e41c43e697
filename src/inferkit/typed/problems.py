"""What is wrong with an object that a model wrote: where, by a code that quotes nothing, and in full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MisfitError", "Problem", "in_full", "in_short", "known_names", "path_of"]

_SHOWN = 3


class Problem(NamedTuple):
    """One thing that is wrong. `path` names a field, `code` what is wrong with it ("missing", "int_parsing").

    Both are the schema's own words. `words` say it in full, and may quote what the model wrote.
    """

    path: str
    code: str
    words: str

    def __repr__(self) -> str:
        """Leave out the words."""
        return f"Problem({self.path!r}, {self.code!r})"


class MisfitError(Exception):
    """A text or an object is not what was asked for."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(in_short(problems))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive copying between processes."""
        return type(self), (self.problems,), self.__dict__


def in_short(problems: Sequence[Problem]) -> str:
    """Say which fields are wrong, and how: nothing of what is in them."""
    told = [f"{one.path} ({one.code})" if one.path else one.code for one in problems[:_SHOWN]]
    more = len(problems) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def in_full(problems: Iterable[Problem]) -> str:
    """Say what is wrong, a line each."""
    return "\n".join(f"- {one.path}: {one.words}" if one.path else f"- {one.words}" for one in problems)


def known_names(schema: Any) -> frozenset[str]:
    """Give the names of all properties in a JSON schema: what may be told of a path, since the model made none up."""
    names: set[str] = set()
    left = [schema]
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            properties = one.get("properties")
            if isinstance(properties, Mapping):
                names.update(map(str, properties))
            left += one.values()
        elif isinstance(one, list | tuple):
            left += one
    return frozenset(names)


def path_of(place: Iterable[int | str], names: frozenset[str]) -> str:
    """Write down where something is; what is no field's name (a key that the model chose) becomes a star."""
    return ".".join([str(step) if isinstance(step, int) or step in names else "*" for step in place])
