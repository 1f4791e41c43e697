"""What clients are set up with outside of the code: arguments go before the environment, that before the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.client.configuration.environment import read_environment
from inferkit.client.configuration.files import find_file
from inferkit.client.declarations import UNSET
from inferkit.client.home import cache_folder, ledger_file
from inferkit.client.settings import SETTINGS
from inferkit.core.errors import ConfigurationFileError
from inferkit.core.misspelt import near
from inferkit.runtime.variables import PREFIX, read_variable

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from inferkit.client.configuration.files import ConfigurationFile
    from inferkit.core.errors import InferkitError

__all__ = ["Configuration", "read_configuration"]

_READ_ELSEWHERE = ("home", "transport")  # whose variables count for more than clients
NOT_IN_FILES = {"layers": "layers are objects", "telemetry": "a Telemetry is an object"}
"""The settings that no file can hold, and why."""


class Configuration:
    """What was found: `file`, where there is one, and from where each setting comes in `sources`."""

    def __init__(self, file: ConfigurationFile | None, environment: Mapping[str, Any]) -> None:
        self.file = file
        self._environment = environment
        self._table: Mapping[str, Any] = {} if file is None else file.table
        self.sources: dict[str, str] = {name: file.named(name) for name in self._table} if file is not None else {}
        self.sources |= {name: PREFIX + name.upper() for name in environment}
        for name in _READ_ELSEWHERE:
            if read_variable(name.upper()) is not None:
                self.sources[name] = PREFIX + name.upper()

    def settings(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Give what a client is to be made with, where `given` are the arguments in the code.

        Raises `ConfigurationFileError`, which says of everything in the file that makes no sense where it stands.
        """
        known = dict(self._environment)
        known |= {name: value for name, value in (given or {}).items() if value is not None or _none_counts(name)}
        if self.file is None:
            return known
        from inferkit.client.configuration.making import Making
        from inferkit.client.configuration.values import FIRST, make

        making = Making(self.file, known)
        for name in sorted(self._table, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)):
            if name in known:
                continue
            value = self._table[name]
            if name in _READ_ELSEWHERE and read_variable(name.upper()) is not None:  # the rest of a table counts
                value = {k: each for k, each in value.items() if k != "library"} if isinstance(value, dict) else None
            made = None if value is None else make(making, name, value)
            if made is not None:
                known[name] = made
        if making.problems:
            raise self.file.wrong(making.problems)
        return known

    def explained(self, error: InferkitError, given: Mapping[str, Any]) -> InferkitError:
        """Give the error that a client could not be made with, with its place where a setting in the file is to blame.

        `given` are the arguments in the code.
        """
        if self.file is None or isinstance(error, ConfigurationFileError) or not given.keys() <= SETTINGS.keys():
            return error
        from inferkit.plans.models import blamed

        field = blamed(str(error), {name: self.sources[name] for name in self._table if name not in given})
        if not field or self.sources[str(field[0])].startswith(PREFIX):
            return error
        return self.file.wrong([(self.file.key(*field), str(error))])

    @property
    def ledger(self) -> Path | None:
        """The ledger's file; None where none is kept. Raises `ConfigurationFileError`."""
        given = self._one("ledger")
        if given is False:
            return None
        return ledger_file(self._one("home")) if given is True else Path(given).expanduser().absolute()

    @property
    def cache(self) -> Path | None:
        """The folder of cached replies; None where none are kept on disk. Raises `ConfigurationFileError`."""
        given = self._one("cache")
        if given is False or (isinstance(given, dict) and given.get("disk") is False):
            return None
        disk = given.get("disk") if isinstance(given, dict) else None
        folder = disk.get("folder") if isinstance(disk, dict) else None
        if self.file is not None and isinstance(folder, str):
            return Path(self.file.beside(folder))
        return cache_folder(self._one("home"))

    def _one(self, name: str) -> Any:
        """Give one setting that is a path or a switch, without looking at the others."""
        declared = SETTINGS[name]
        default = None if declared.default is UNSET else declared.default
        if name in _READ_ELSEWHERE and read_variable(name.upper()) is not None:
            return None
        if self.file is None or name in self._environment or name not in self._table:
            return self._environment.get(name, default)
        value = self._table[name]
        if not declared.check(value) and not (name == "cache" and isinstance(value, dict)):
            raise self.file.wrong([(self.file.value(name), str(declared.explained(name, value)))])
        return self.file.beside(value) if isinstance(value, str) else value


def _none_counts(name: str) -> bool:
    return name not in SETTINGS or SETTINGS[name].none_counts


def read_configuration(path: str | os.PathLike[str] | None = None) -> Configuration:
    """Find out what is set up: in the file at `path`, or the one that is found, and in the environment.

    Raises `ConfigurationError` for a file that is not there and for a variable that makes no sense, and
    `ConfigurationFileError` for a file that is no TOML or has settings that do not exist.
    """
    file = find_file(path)
    if file is not None:
        problems = [(file.key(name), _unknown(name)) for name in file.table if name not in SETTINGS]
        problems += [(file.key(name), _not_here(name)) for name in file.table if name in NOT_IN_FILES]
        if problems:
            raise file.wrong(problems)
    return Configuration(file, read_environment())


_MEANT = {"aliases": "models", "endpoints": "providers", "retries": "max_retries", "log": "ledger"}


def _unknown(name: str) -> str:
    known = sorted(SETTINGS.keys() - NOT_IN_FILES)
    meant = f" (did you mean {_MEANT[name]}?)" if name in _MEANT else near({name}, known)
    if name in {"api_key", "api_keys", "key", "keys", "secrets"}:
        return (
            "a key has no place in a file: name the environment variable that holds it, for example "
            '[providers.work] api_key_env = "WORK_API_KEY"'
        )
    return f"there is no setting {name}{meant}; the settings are: {', '.join(known)}"


def _not_here(name: str) -> str:
    return f"{name} is not for a file, since {NOT_IN_FILES[name]}: pass it in the code, from_config({name}=...)"
