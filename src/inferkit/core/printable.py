"""What is safe to write into a terminal or a line of a log, whoever the text came from."""

from __future__ import annotations

__all__ = ["printable"]

_JOINED = "\N{NO-BREAK SPACE}"


def printable(text: str) -> str:
    """Write control characters, marks that turn a line's direction, and half characters as their escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == _JOINED else ascii(c)[1:-1] for c in text)
