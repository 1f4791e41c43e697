"""Who is asked, and in which order: policies over the candidates of a call, and what they go by.

A policy is a pure function of a request: it reads the candidates that were resolved, what was measured of them and the
call's own clock, and waits for nothing. So the budget can ask it before the route does, and `explain` without a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit._lazy import lazily

if TYPE_CHECKING:
    from inferkit.routing.cascade import Calibration, Cascade, calibrate, confidence, is_valid
    from inferkit.routing.combining import During, InTurn, When
    from inferkit.routing.economics import ByBudgetLeft, ByMargin
    from inferkit.routing.explanation import Considered, Explanation
    from inferkit.routing.fitting import Fits, Only
    from inferkit.routing.learned.policy import Learned
    from inferkit.routing.policy import Narrowing, Ordered, Policy, Ranking
    from inferkit.routing.ranking import Best, Cheapest, Fastest, Sticky, Weighted
    from inferkit.routing.standing import STANDING, BudgetStanding, MarginStanding, Standing

__getattr__ = lazily(
    "inferkit.routing",
    {
        "explanation": ("Considered", "Explanation"),
        "cascade": ("Calibration", "Cascade", "calibrate", "confidence", "is_valid"),
        "combining": ("During", "InTurn", "When"),
        "economics": ("ByBudgetLeft", "ByMargin"),
        "fitting": ("Fits", "Only"),
        "learned.policy": ("Learned",),
        "policy": ("Narrowing", "Ordered", "Policy", "Ranking"),
        "ranking": ("Best", "Cheapest", "Fastest", "Sticky", "Weighted"),
        "standing": ("STANDING", "BudgetStanding", "MarginStanding", "Standing"),
    },
)

__all__ = [
    "STANDING",
    "Best",
    "BudgetStanding",
    "ByBudgetLeft",
    "ByMargin",
    "Calibration",
    "Cascade",
    "Cheapest",
    "Considered",
    "During",
    "Explanation",
    "Fastest",
    "Fits",
    "InTurn",
    "Learned",
    "MarginStanding",
    "Narrowing",
    "Only",
    "Ordered",
    "Policy",
    "Ranking",
    "Standing",
    "Sticky",
    "Weighted",
    "When",
    "calibrate",
    "confidence",
    "is_valid",
]


def __dir__() -> list[str]:
    return list(__all__)
