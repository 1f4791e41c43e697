"""Unit economics: what calls cost, what customers bring in, and what other plans would change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit._lazy import lazily

if TYPE_CHECKING:
    from inferkit.economics.report.report import Period, Report, Row, build_report
    from inferkit.economics.what_if.file import read_scenario
    from inferkit.economics.what_if.scenario import Scenario
    from inferkit.economics.what_if.what_if import WhatIf, play

__all__ = ["Period", "Report", "Row", "Scenario", "WhatIf", "build_report", "play", "read_scenario"]

__getattr__ = lazily(
    __name__,
    {
        "report.report": ("Period", "Report", "Row", "build_report"),
        "what_if.file": ("read_scenario",),
        "what_if.scenario": ("Scenario",),
        "what_if.what_if": ("WhatIf", "play"),
    },
)


def __dir__() -> list[str]:
    return __all__
