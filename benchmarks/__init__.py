"""What inferkit costs, measured against what it is built on. Run `python -m benchmarks`; see docs/benchmarks.md."""

from __future__ import annotations

__all__ = ["ENTRIES"]

ENTRIES = "INFERKIT_BENCHMARK_ENTRIES"
"""The environment variable that adds sizes to the benchmark of scale, as numbers with commas between them."""
