"""A measured figure, the goal it is held against, and how both are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Figure", "as_markdown", "as_text"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. At most one of `at_most` and `at_least` is its goal; without either it is there for comparison."""

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def goal(self) -> str:
        """The goal in words, empty without one."""
        if self.at_most is not None:
            return f"≤ {_amount(self.at_most, self.unit)}"
        if self.at_least is not None:
            return f"≥ {_amount(self.at_least, self.unit)}"
        return ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.at_most is not None:
            return self.value <= self.at_most
        if self.at_least is not None:
            return self.value >= self.at_least
        return None

    @property
    def measured(self) -> str:
        """The value with its unit."""
        return _amount(self.value, self.unit)

    @property
    def verdict(self) -> str:
        """One word on the goal."""
        return {True: "met", False: "missed", None: ""}[self.met]


def _amount(value: float, unit: str) -> str:
    if value and value == int(value):
        digits = f"{value:,.0f}"
    else:
        digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{digits}{unit}" if unit == "x" else f"{digits} {unit}"


def as_text(name: str, figures: Iterable[Figure]) -> str:
    """Lay the figures of one benchmark out for a terminal."""
    lines = [name]
    lines += [
        f"  {figure.what:<66}{figure.measured:>18}  {figure.goal:<16}{figure.verdict}".rstrip() for figure in figures
    ]
    return "\n".join(lines)


def as_markdown(figures: Iterable[Figure]) -> str:
    """Lay figures out as a table for the docs."""
    lines = ["| what | measured | goal | |", "|---|---:|---:|---|"]
    lines += [f"| {figure.what} | {figure.measured} | {figure.goal} | {figure.verdict} |" for figure in figures]
    return "\n".join(lines)
