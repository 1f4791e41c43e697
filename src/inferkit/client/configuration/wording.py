"""Says in words what pydantic found wrong with a table. What stands there is quoted only where it is no text."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from inferkit.core.misspelt import near

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic_core import ErrorDetails

    from inferkit.plans.places import Path

__all__ = ["explained", "got", "is_secret", "no_key_here", "unknown_here"]

_KINDS = {
    "string_type": "a text, in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false, without quotes",
    "list_type": "a list: [...]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_SECRETS = {"api_key", "apikey", "api-key", "key", "password", "secret", "token", "access_token", "credentials"}


def explained(
    errors: Iterable[ErrorDetails], table: Mapping[str, Any], fields_at: Callable[[Path], Sequence[str]]
) -> list[tuple[Path, str]]:
    """Give what is wrong where; each place is named once, with everything that could stand there."""
    kinds: dict[Path, list[ErrorDetails]] = {}
    for error in errors:
        kinds.setdefault(_within(table, error["loc"]), []).append(error)
    found: list[tuple[Path, str]] = []
    for path, of in kinds.items():
        if of[0]["type"] == "missing":
            names = " and ".join(sorted({str(each["loc"][-1]) for each in of}))
            found.append((path, f"{names} {'is' if len(of) == 1 else 'are'} missing here"))
        elif of[0]["type"] == "extra_forbidden":
            found.append((path, unknown_here(str(path[-1]), fields_at(path[:-1]))))
        else:
            found.append((path, _wrong(path, of)))
    return found


def unknown_here(name: str, known: Iterable[str]) -> str:
    """Say that there is nothing of a name, and what may have been meant."""
    if is_secret(name):
        return no_key_here(name)
    known = sorted(known)
    return f"there is no {name} here{near({name}, known)}; what may stand here is: {', '.join(known)}"


def is_secret(name: str) -> bool:
    """Say whether what is named so is a key to something."""
    return name.lower() in _SECRETS


def no_key_here(name: str) -> str:
    """Say where keys belong."""
    return (
        f"{name} has no place in a file, which others read: put the key into an environment variable, and name that "
        'one here, for example api_key_env = "WORK_API_KEY"'
    )


def got(value: Any) -> str:
    """Say what stands there, without a word of it."""
    if isinstance(value, bool):
        return f"got {str(value).lower()}"
    if isinstance(value, Mapping):
        return "got a table"
    if isinstance(value, list):
        return "got a list"
    return "got a text" if isinstance(value, str) else f"got {value}"


def _within(table: Any, path: Path) -> Path:
    """Give the part of a path that leads through the table; pydantic adds which of several kinds it tried."""
    whole: Path = ()
    for part in path:
        is_there = part in table if isinstance(table, Mapping) else isinstance(table, list) and isinstance(part, int)
        if not is_there:
            break
        table, whole = table[part], (*whole, part)
    return whole


def _wrong(path: Path, errors: Sequence[ErrorDetails]) -> str:
    name, value = path[-1] if path else "it", errors[0]["input"]
    takes: list[str] = []
    choices: list[str] = []
    for error in errors:
        kind = error["type"]
        if kind == "literal_error":
            for each in str(error["ctx"]["expected"]).replace(" or ", ", ").split(", "):
                choices.append(each.strip("'"))
                takes.append("false" if each == "'none'" else each.replace("'", '"'))
        elif kind in ("too_short", "too_long"):
            takes.append(f"a list of {error['ctx'].get('min_length', error['ctx'].get('max_length'))}")
        else:
            takes.append(_KINDS.get(kind, "something else"))
    meant = get_close_matches(value, choices, 1) if isinstance(value, str) else []
    hint = f' (did you mean "{meant[0]}"?)' if meant else ""
    what = f"{path[-2]} {name + 1}" if isinstance(name, int) and len(path) > 1 else name
    return f"{what} is {_listed(list(dict.fromkeys(takes)))}{hint}; {got(value)}"


def _listed(takes: Sequence[str]) -> str:
    return " or ".join([", ".join(takes[:-1]), takes[-1]] if len(takes) > 1 else takes)
