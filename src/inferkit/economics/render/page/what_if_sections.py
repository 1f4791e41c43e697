"""What a what-if would have changed, as sections of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.economics.formatting import count, money, name
from inferkit.economics.render.page.markup import Section, Table

if TYPE_CHECKING:
    from inferkit.economics.report.report import Dimension, Row
    from inferkit.economics.what_if.what_if import WhatIf

__all__ = ["what_if_sections"]

_FIGURES = ("cost", "revenue", "margin")


def what_if_sections(what_if: WhatIf) -> list[Section]:
    """Say what each limit would have done, and compare plans and models before and after."""
    found = [Section(f"What if: {name(what_if.scenario.name)}", " ".join(what_if.sentences), _by(what_if, "plan"))]
    if what_if.scenario.prices or what_if.scenario.reroute:
        found.append(Section("What if: models", "", _by(what_if, "model")))
    if what_if.effects:
        found.append(Section("What if: limits", "", _limits(what_if)))
    return found


def _by(what_if: WhatIf, dimension: Dimension) -> Table:
    return Table(
        (dimension.capitalize(), *(column for figure in _FIGURES for column in (figure.capitalize(), "then"))),
        [(name(each), *_figures(before, after)) for each, before, after in what_if.by(dimension)],
        total=("In all", *_figures(what_if.before.total, what_if.after.total)),
    )


def _figures(*rows: Row | None) -> list[str]:
    return [money(0 if row is None else getattr(row, figure)) for figure in _FIGURES for row in rows]


def _limits(what_if: WhatIf) -> Table:
    return Table(
        ("Limit", "Users refused", "Calls refused", "Cut short", "Saved"),
        [
            (
                what_if.named(limit),
                count(len(effect.users)),
                count(effect.refused),
                count(effect.cut),
                money(effect.saved),
            )
            for limit, effect in what_if.effects.items()
        ],
    )
