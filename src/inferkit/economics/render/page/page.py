"""A report as one HTML page that needs nothing else: no script, and nothing from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.economics.formatting import printable
from inferkit.economics.render.document import document_of
from inferkit.economics.render.page.charts import chart
from inferkit.runtime import imports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from inferkit.economics.render.tables import Section, Table
    from inferkit.economics.report.report import Report

__all__ = ["render_page"]


def render_page(
    report: Report, *, title: str = "What the calls cost and brought in", what_if: Sequence[Section] = ()
) -> str:
    """Write a report as HTML, to be saved as UTF-8. `what_if` are further sections, after those of the report itself.

    The page loads nothing and runs nothing; a policy in it forbids that too. The templates are in `templates/` beside
    this file; all text in them is escaped.
    """
    document = document_of(report, title=title, what_if=what_if)
    return _environment().get_template("page.html").render(document=document, chart=chart, bars=drawn)


def _environment() -> Environment:
    imports.load("jinja2")
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("inferkit.economics.render.page"),
        autoescape=True,
        finalize=_printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _printable(value: Any) -> Any:
    """Write what cannot be printed as its escape; what is HTML already has been made here."""
    return printable(value) if type(value) is str else value


def drawn(table: Table) -> list[tuple[str, float, float]]:
    """Give a bar's class, its left end and its width, in per cent, for each row that has one, and "" for the others.

    Bars begin at zero, on a scale from the least to the most; from the left where all are below zero.
    """
    values = [0, *(value for value in table.bars if value is not None)]
    low, high = min(values), max(values)
    found = []
    for value in table.bars:
        if not value:
            found.append(("", 0.0, 0.0))
            continue
        width = abs(value) * 100 / (high - low)
        zero = -low * 100 / (high - low) if high else 0
        left = zero - width if value < 0 < high else zero
        found.append(("bar-below-zero" if value < 0 else "bar-above-zero", left, width))
    return found
