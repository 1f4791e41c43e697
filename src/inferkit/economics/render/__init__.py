"""Reports for people and programs: tables in a terminal, JSON, CSV, and one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit._lazy import lazily

if TYPE_CHECKING:
    from inferkit.economics.render.page.page import render_page
    from inferkit.economics.render.tables import Section, Table
    from inferkit.economics.render.what_if_sections import what_if_sections

__all__ = ["Section", "Table", "render_page", "what_if_sections"]

__getattr__ = lazily(
    __name__,
    {
        "page.page": ("render_page",),
        "tables": ("Section", "Table"),
        "what_if_sections": ("what_if_sections",),
    },
)


def __dir__() -> list[str]:
    return __all__
