"""Which file a command means, and how sizes are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.local.adapter import EMBEDDED
from inferkit.local.finding import find_model

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["bytes_of", "file_of", "many"]

_KIB = 1024
_THOUSAND = 1000


def file_of(name: str) -> Path:
    """Give the file that a name stands for: as `models=` takes it, or without `local:`. Raises `ModelFileError`."""
    if name == "local":
        return EMBEDDED
    return find_model(name.removeprefix("local:"))


def bytes_of(size: float) -> str:
    """Write a number of bytes, to three digits or so: "812 KiB", "91.9 MiB", "1.42 GiB"."""
    unit = "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < _KIB or unit == "TiB":
            break
        size /= _KIB
    return f"{size:.0f} {unit}" if unit in ("bytes", "KiB") else f"{_short(size)} {unit}"


def many(number: float) -> str:
    """Write a large number in words: "135 million", "7.24 billion"."""
    for word, unit in (("billion", _THOUSAND**3), ("million", _THOUSAND**2)):
        if number >= unit:
            return f"{_short(number / unit)} {word}"
    return f"{number:,.0f}"


def _short(number: float) -> str:
    """Write three digits of a number, and all those before its point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"  # noqa: PLR2004
