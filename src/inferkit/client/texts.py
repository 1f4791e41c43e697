"""What the text of an environment variable becomes, for the setting that declares it. What is none stays a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CHOICE", "NAME", "NUMBER", "PATH", "SWITCH", "SWITCH_OR_PATH", "WHOLE", "FromText"]

_SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class FromText:
    """How a variable is read, and what it takes in words; without any, those of the setting hold."""

    read: Callable[[str], Any] = str
    takes: str = ""


def _switch(text: str) -> bool | str:
    return _SWITCHES.get(text.lower(), text)


def _whole(text: str) -> int | str:
    return int(text) if text.isascii() and text.removeprefix("-").isdigit() else text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


CHOICE = FromText()
NAME = FromText(str, "a name")
PATH = FromText(str, "a path")
WHOLE = FromText(_whole, "a whole number")
NUMBER = FromText(_number)
SWITCH = FromText(_switch, "true or false")
SWITCH_OR_PATH = FromText(_switch, "true, false or a path")
