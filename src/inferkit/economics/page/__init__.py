"""A report as one HTML page."""

from __future__ import annotations

from inferkit.economics.page.document import render_page
from inferkit.economics.page.markup import Section, Table
from inferkit.economics.page.played import what_if_sections

__all__ = ["Section", "Table", "render_page", "what_if_sections"]
