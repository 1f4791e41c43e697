"""A small grammar language: `[a|b]` chooses, `{slot}` fills in, files hold one template a line."""

import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

Fill = Callable[[str, random.Random], str]


class Slot(str):
    """The name of a slot, to be filled by the caller."""

    __slots__ = ()


class Choice(list["list[str | Slot | Choice]"]):
    """Alternatives, of which one is taken."""


def _parse(text: str, at: int, closing: str) -> tuple[Choice, int]:
    branches, literal = Choice(), ""
    current: list[str | Slot | Choice] = []

    def flush() -> None:
        nonlocal literal
        if literal:
            current.append(literal)
        literal = ""

    while at < len(text) and text[at] != closing:
        character = text[at]
        if character == "[":
            flush()
            inner, at = _parse(text, at + 1, "]")
            current.append(inner)
        elif character == "|" and closing:
            flush()
            branches.append(current)
            current = []
        elif character == "{" and (slot := re.match(r"\{(\w+)\}", text[at:])):
            flush()
            current.append(Slot(slot[1]))
            at += slot.end() - 1
        else:
            literal += character
        at += 1
    flush()
    branches.append(current)
    return branches, at


@cache
def parse(template: str) -> Choice:
    """The template as a tree; a template is parsed once."""
    return _parse(template, 0, "")[0]


def _expand(tree: Choice, fill: Fill, rng: random.Random) -> str:
    out = []
    for piece in rng.choice(tree):
        if isinstance(piece, Choice):
            out.append(_expand(piece, fill, rng))
        elif isinstance(piece, Slot):
            out.append(fill(piece, rng))
        else:
            out.append(piece)
    return "".join(out)


def expand(template: str, fill: Fill, rng: random.Random) -> str:
    """One random expansion of the template."""
    return " ".join(_expand(parse(template), fill, rng).split())


def sections(path: Path) -> dict[str, list[str]]:
    """The templates of a grammar file under their `== name` headings."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("== "):
            name = line[3:].strip()
            found[name] = []
        elif line.strip():
            found[name].append(line.strip())
    return found
