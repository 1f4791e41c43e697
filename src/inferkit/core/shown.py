"""How objects show themselves: what a person wants to know of them, and no prompt, no reply and no secret."""

from __future__ import annotations

import os
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from _typeshed import DataclassInstance

__all__ = [
    "escape",
    "fields_shown",
    "folded_html",
    "html_of",
    "shortened",
    "shown",
    "shows_text",
    "table_html",
    "text_html",
]

_SHOW_TEXT = "INFERKIT_SHOW_TEXT"
_MOST_CHARACTERS = 200
_CELL = "text-align:left;vertical-align:top;padding:0.1em 1.5em 0.1em 0"
_PRE = "white-space:pre-wrap;overflow-wrap:anywhere;margin:0.3em 0;text-align:left"


_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def escape(text: str) -> str:
    """Write a text so that it means itself in HTML, in an attribute too."""
    return text.translate(_ENTITIES)


def shown(thing: object, *values: object, **facts: object) -> str:
    """Write `Name(value, fact=...)`, leaving out facts that are None, False, or empty."""
    said = [str(value) for value in values]
    said += [f"{name}={value!r}" for name, value in facts.items() if not _is_nothing(value)]
    return f"{type(thing).__name__}({', '.join(said)})"


def fields_shown(thing: DataclassInstance) -> str:
    """Write a dataclass as whoever makes it would: the fields that are not as they are by themselves."""
    said: dict[str, object] = {}
    for field in fields(thing):
        value = getattr(thing, field.name)
        if field.repr and (field.default is MISSING or value != field.default):
            said[field.name] = value
    return f"{type(thing).__name__}({', '.join(f'{name}={value!r}' for name, value in said.items())})"


def _is_nothing(value: object) -> bool:
    return value is None or value is False or (isinstance(value, str | tuple | list | dict) and not value)


def shows_text() -> bool:
    """Whether somebody has chosen that replies show their text: `INFERKIT_SHOW_TEXT=1` in the environment."""
    return os.environ.get(_SHOW_TEXT, "").strip() not in ("", "0")


def shortened(text: str) -> str:
    """Give the beginning of a text."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


def html_of(title: str, *parts: str) -> str:
    """Put parts, which are HTML, under a title, which is not."""
    return f"<div><strong>{escape(title)}</strong>{''.join(parts)}</div>"


def text_html(text: str) -> str:
    """Give a text as it is, line by line, whatever stands in it."""
    return f'<pre style="{_PRE}">{escape(text)}</pre>'


def folded_html(title: str, text: str) -> str:
    """Give a text that is shown on demand."""
    return f"<details><summary>{escape(title)}</summary>{text_html(text)}</details>"


def table_html(rows: Iterable[Sequence[Any]], heads: Sequence[str] = ()) -> str:
    """Give a table of texts, whatever stands in them."""
    head = "".join(f'<th style="{_CELL}">{escape(each)}</th>' for each in heads)
    body = "".join(
        f"<tr>{''.join(f'<td style={chr(34)}{_CELL}{chr(34)}>{escape(str(cell))}</td>' for cell in row)}</tr>"
        for row in rows
    )
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
