"""How far a call walks through the package, which grows unnoticed otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from benchmarks.walk import steps
counts = steps()
print(counts.total(), len({file for file, _ in counts}))
"""


def test_a_call_with_five_chunks_passes_few_functions_in_few_files():
    """In a process of its own, where nothing else has set a profile or is covered."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    calls, files = map(int, done.stdout.split())
    assert calls <= 300
    assert files <= 35
