"""Reads JSON that was cut off anywhere, up to where it was."""

from __future__ import annotations

import json
import re

from inferkit.local.brevity import written

__all__ = ["CODE", "NoBeginningError", "end_of", "read_string", "skipped"]

CODE = 4
"""Digits of an escaped character."""

_SPACE = re.compile(r"[ \t\r\n]*")
_ESCAPES = ("\\u{:04x}", "\\u{:04X}")


class NoBeginningError(Exception):
    """What is there fits no schema of this kind, whatever follows."""


def skipped(text: str, at: int) -> int:
    """Say where space ends that begins here, if any does."""
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def end_of(text: str, said: str, pending: str | None) -> str | None:
    """Give what is missing of a text of which something is said, its quote included; None where it is another one.

    `pending` is as `read_string` gives it.
    """
    if not text.startswith(said):
        return None
    rest = text[len(said) :]
    if pending is None:
        return written(rest)[1:]
    for escape in (json.dumps(rest[:1])[1:-1], *(form.format(ord(rest[:1] or "x")) for form in _ESCAPES)):
        if rest and escape.startswith("\\" + pending):
            return escape[1 + len(pending) :] + written(rest[1:])[1:]
    return None


def read_string(text: str, at: int) -> tuple[int | None, str, str | None]:
    """Read a text from its quote on: where it ends, what it says, and of an escape that is cut off what is there.

    That is "" behind a backslash, or "u" and the digits that follow.
    """
    start = at = at + 1
    pending = None
    while at < len(text) and text[at] != '"':
        if text[at] < " ":
            raise NoBeginningError
        length = 1 if text[at] != "\\" else 2 + CODE * text.startswith("u", at + 1)
        if at + length > len(text):
            pending = text[at + 1 :]
            break
        at += length
    try:
        said = json.loads(f'"{text[start:at]}"')
    except ValueError:
        raise NoBeginningError from None
    is_over = pending is None and at < len(text)
    if not is_over and "\ud800" <= said[-1:] <= "\udbff":  # half a character
        raise NoBeginningError
    return at + 1 if is_over else None, said, pending
