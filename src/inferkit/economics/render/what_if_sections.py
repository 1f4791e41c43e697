"""What a what-if would have changed, as sections of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.economics.formatting import count, money, name
from inferkit.economics.render.tables import Section, Table

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
    if len(what_if.changes) > 1:
        found.append(Section("What if: each change alone, and all together", "", _changes(what_if)))
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


def _changes(what_if: WhatIf) -> Table:
    brought = what_if.before.total.revenue
    return Table(
        ("Change", "Users met", "Users refused", "Calls refused", "Saved", "More revenue"),
        [
            (
                name(change.what[:1].upper() + change.what[1:]), count(change.met), count(change.refused_users),
                count(change.refused), money(change.saved), money(change.revenue - brought),
            )
            for change in what_if.changes
        ],
        total=(
            "All together", count(what_if.met), count(what_if.refused_users), count(what_if.refused),
            money(what_if.saved), money(what_if.after.total.revenue - brought),
        ),
    )  # fmt: skip


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
