"""What `inferkit models configured` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from inferkit.cli.candidates import candidates
from inferkit.cli.configured import configuration, configured_client
from inferkit.cli.reaching import reach
from inferkit.cli.showing import Column, progress, say, show_table, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.cli.candidates import ConfiguredModel
    from inferkit.cli.reaching import Reached

__all__ = ["show_configured"]

_COLUMNS = (
    Column("Name"),
    Column("Model", fold=True),
    Column("Where", 4, fold=True),
    Column("Key", 2),
    Column("Answers", 1),
    Column("$ in", right=True),
    Column("out", right=True),
    Column("Can", 3, fold=True),
)
_KEYS = {"there": "there", "missing": "missing", "not needed": "-", "elsewhere": "found later"}


def show_configured(*, offline: bool, as_json: bool) -> bool:
    """Show the models, and say whether each can be called, as far as that is known. Raises `ConfigurationError`."""
    with configured_client() as llm:
        found = candidates(llm)
    reached: Mapping[str, Reached] = {}
    if not offline:
        with progress("asking the servers") as step:
            reached = reach([each.address for each in found if each.address is not None], step)
    fine = all(each.problem is None and _answers(each, reached) != "no" for each in found)
    if as_json:
        write_json([_as_json(each, reached) for each in found])
        return fine
    file = configuration().file
    say(f"configured in {file.path}" if file is not None else "nothing is configured: these are the defaults")
    rows = [_row(each, reached) for each in found]
    styles = ["red" if each.problem is not None or _answers(each, reached) == "no" else "" for each in found]
    show_table(_COLUMNS, rows, styles=styles)
    for each in found:
        if each.problem is not None:
            say(f"{each.name}: {each.problem}", "red")
        elif each.address is not None and _answers(each, reached) == "no":
            say(f"{each.name}: {each.address} does not answer: {reached[each.address].error}", "red")
    say("$ in and out: a million tokens")
    return fine


def _row(each: ConfiguredModel, reached: Mapping[str, Reached]) -> list[str]:
    where = "here" if each.is_local else urlsplit(each.address or "").netloc
    price = ("-", "-") if each.price is None else (f"{each.price.input}", f"{each.price.output}")
    names = ", ".join(name for name in each.names if name != each.name) or "-"
    return [names, each.name, where, _KEYS[each.key], _answers(each, reached), *price, ", ".join(each.can)]


def _answers(each: ConfiguredModel, reached: Mapping[str, Reached]) -> str:
    if each.problem is not None and each.address is None:
        return "no"
    if each.address is None or each.address not in reached:
        return "yes" if each.is_local else ""
    return "no" if reached[each.address].status is None else "yes"


def _as_json(each: ConfiguredModel, reached: Mapping[str, Reached]) -> dict[str, Any]:
    server = reached.get(each.address or "")
    price = None if each.price is None else {"input": str(each.price.input), "output": str(each.price.output)}
    return {
        "model": each.name,
        "names": each.names,
        "address": each.address,
        "key": each.key,
        "key_variable": each.key_variable,
        "reachable": None if server is None else server.status is not None,
        "price": price,
        "can": list(each.can),
        "problem": each.problem if each.problem is not None else (server.error or None) if server is not None else None,
    }
