"""Finds the file that says how clients are set up, and reads it, so that what is wrong in it can be shown in its place.

A path that is given goes before the environment variable `INFERKIT_CONFIG`, and that before what lies nearest: an
`inferkit.toml`, or a `pyproject.toml` with `[tool.inferkit]`, in the working folder or the closest folder above it.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError, ConfigurationFileError
from inferkit.plans.places import Places, Position
from inferkit.runtime.variables import read_variable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ConfigurationFile", "Problem", "find_file", "read_file"]

OWN, PROJECT = "inferkit.toml", "pyproject.toml"
_SECTION = ("tool", "inferkit")
_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")

Problem = tuple[Position, str]
"""Something wrong with a file, and where."""


@dataclass(frozen=True)
class ConfigurationFile:
    """A file, and what it says of clients: `table`, which stands in it at `section`."""

    path: Path
    table: Mapping[str, Any]
    section: tuple[str, ...]
    text: str = field(repr=False)

    @cached_property
    def places(self) -> Places:
        """Where everything in it stands."""
        return Places(self.text)

    def key(self, *path: str | int) -> Position:
        """Give where a key of the table stands."""
        return self.places.of((*self.section, *path))

    def value(self, *path: str | int) -> Position:
        """Give where the value of a key of the table stands."""
        return self.places.value_of((*self.section, *path))

    def named(self, *path: str | int) -> str:
        """Name a place in the file, for those who want to look there."""
        return f"{self.path.name}:{self.key(*path).line}"

    def wrong(self, problems: list[Problem]) -> ConfigurationFileError:
        """Make the error that says what is wrong where, from the top of the file to its end."""
        return _wrong(self.path, problems)

    def beside(self, path: str) -> str:
        """Give the path of a file that this one names: from its own folder on."""
        return str(_absolute(self.path.parent / Path(path).expanduser()))


def find_file(given: str | os.PathLike[str] | None = None) -> ConfigurationFile | None:
    """Find the file and read it; None where there is none.

    Raises `ConfigurationError` for one that was named and is not there, and `ConfigurationFileError` for one that is no
    TOML.
    """
    named, by = (given, "") if given is not None else (read_variable("CONFIG"), ", which INFERKIT_CONFIG names,")
    if named is not None:
        path = _absolute(named)
        if path.is_dir():
            raise ConfigurationError(f"{path}{by} is a folder; name the file in it: {path / OWN}")
        found = read_file(path, by)
        if found is None:
            raise ConfigurationError(f"{path}{by} says nothing of inferkit; add a table [tool.inferkit]")
        return found
    here = Path.cwd()
    for folder in (here, *here.parents):
        for name in (OWN, PROJECT):
            path = folder / name
            if path.is_file():
                found = read_file(path)
                if found is not None:
                    _check_trust(path)
                    return found
    return None


def read_file(path: Path, by: str = "") -> ConfigurationFile | None:
    """Read a file; None for a `pyproject.toml` that says nothing of inferkit."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path}{by} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}{by} is not a text in UTF-8: {error.reason}") from error
    is_project = path.name == PROJECT
    if is_project and "inferkit" not in text:  # most say nothing of it: they are not worth reading
        return None
    table: Any = _parsed(path, text)
    for name in _SECTION if is_project else ():
        table = table.get(name)
        if not isinstance(table, dict):
            return None
    return ConfigurationFile(path, table, _SECTION if is_project else (), text)


def _parsed(path: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:  # besides syntax: numbers too long for Python, tables too deep
        said = str(error)
        found = _WHERE.search(said)
        where = Position(1, 1)
        if found is not None:
            lines = text.split("\n")
            where = Position(int(found[1]), int(found[2])) if found[1] else Position(len(lines), len(lines[-1]) + 1)
        raise _wrong(path, [(where, f"this is not TOML: {_WHERE.sub('', said)}")]) from None


def _wrong(path: Path, problems: list[Problem]) -> ConfigurationFileError:
    problems = sorted(dict.fromkeys(problems))
    lines = [f"{path}:{place.line}:{place.column}: {message}" for place, message in problems]
    first = problems[0][0]
    return ConfigurationFileError("\n".join(lines), file=str(path), line=first.line, column=first.column)


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - without "..", and with links as they are


def _check_trust(path: Path) -> None:
    """Refuse a file that was merely found where anybody may have put it: it says where keys and prompts are sent."""
    if not hasattr(os, "getuid"):
        return
    everybody_writes = path.parent.stat().st_mode & stat.S_IWOTH
    if everybody_writes and path.stat().st_uid not in {os.getuid(), 0}:
        raise ConfigurationError(
            f"{path} is another user's, in a folder where everybody may write, and was not asked for; if it is meant, "
            f"say so: INFERKIT_CONFIG={path}"
        )
