"""What the parts of a file are made with: where each stands, what is wrong so far, and the settings made before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.client.configuration.forms import form_of
from inferkit.client.configuration.wording import got
from inferkit.core.errors import InferkitError
from inferkit.plans.models import TableError, blamed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inferkit.client.configuration.files import ConfigurationFile, Problem
    from inferkit.plans.places import Path

__all__ = ["Making", "Noting"]

T = TypeVar("T")


class Noting:
    """Notes an error of inferkit, and goes on behind what raised it."""

    def __init__(self, making: Making, path: Path, table: Any) -> None:
        self._making = making
        self._path = path
        self._table = table

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, InferkitError):
            return False
        field = blamed(str(error), self._table) if isinstance(self._table, dict) else ()
        if isinstance(error, TableError):
            field = error.field
        self._making.wrong((*self._path, *field), str(error))
        return True


class Making:
    """A file while settings are made of it. What is wrong is gathered in `problems`, so that all of it is said at once.

    `settings` are those of the arguments and the environment, and what was made of the file so far.
    """

    def __init__(self, file: ConfigurationFile, settings: dict[str, Any]) -> None:
        self.file = file
        self.settings = settings
        self.problems: list[Problem] = []

    def wrong(self, path: Path, message: str, *, of_value: bool = False) -> None:
        """Note what is wrong at a path: with the value there, or with what stands before it."""
        self.problems.append((self.file.value(*path) if of_value else self.file.key(*path), message))

    def mistaken(self, path: Path, expected: str, value: Any) -> None:
        """Note that a value is none of what was expected."""
        self.wrong(path, f"{path[-1]} is {expected}; {got(value)}", of_value=True)

    def noting(self, path: Path, table: Any = None) -> Noting:
        """Note what whoever makes something of a table says is wrong with it, at the field that is to blame."""
        return Noting(self, path, table)

    def made(self, kind: Callable[..., T], value: Any, path: Path, but: frozenset[str] = frozenset()) -> T | None:
        """Make something of a table of its parameters; None where the table says something wrong."""
        given = self.read(kind, value, path, but)
        if given is not None:
            with self.noting(path, given):
                return kind(**given)
        return None

    def read(
        self,
        kind: Callable[..., Any],
        value: Any,
        path: Path,
        but: frozenset[str] = frozenset(),
        also: Sequence[str] = (),
    ) -> dict[str, Any] | None:
        """Give what a table says of the parameters of something; None where it says something wrong.

        Parameters are left out of that `but` names, and `also` are the table's fields that are read elsewhere.
        """
        if not isinstance(value, dict):
            self.mistaken(path, "a table", value)
            return None
        given, wrong = form_of(kind, but).read(value, also)
        for where, message in wrong:
            self.wrong((*path, *where), message)
        return None if wrong else given

    def tables(self, value: Any, path: Path, expected: str) -> Mapping[str, Any]:
        """Give the tables by name that something is to be; none where it is something else."""
        if isinstance(value, dict):
            return value
        self.mistaken(path, expected, value)
        return {}
