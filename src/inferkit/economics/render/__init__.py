"""Reports for people and programs: tables in a terminal, JSON, and one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit._lazy import lazily

if TYPE_CHECKING:
    from inferkit.economics.render.page.document import render_page
    from inferkit.economics.render.page.markup import Section, Table
    from inferkit.economics.render.page.what_if_sections import what_if_sections

__all__ = ["Section", "Table", "render_page", "what_if_sections"]

__getattr__ = lazily(
    __name__,
    {
        "page.document": ("render_page",),
        "page.markup": ("Section", "Table"),
        "page.what_if_sections": ("what_if_sections",),
    },
)


def __dir__() -> list[str]:
    return __all__
