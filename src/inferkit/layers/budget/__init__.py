"""The budget layer, and what it is made of: quote, reservation, hold, settlement."""

from __future__ import annotations

from inferkit.layers.budget.layer import BudgetLayer

__all__ = ["BudgetLayer"]
