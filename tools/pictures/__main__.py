"""Draw the README's pictures anew, from what the commands really write: `python -m pictures`, in tools/.

`docs/trace.svg` is from the end of `inferkit demo`, `docs/report.svg` the beginning of `inferkit report` over a month
that is simulated.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from itertools import takewhile
from pathlib import Path

from pictures.terminal import drawn

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs"
WIDTH = 100  # columns


def main() -> None:
    """Write both pictures."""
    with tempfile.TemporaryDirectory() as folder:
        shown = run(folder, "demo")
        draw("trace", "inferkit demo", trace_of(shown))
        run(folder, "simulate", str(HERE / "shop.toml"), "--compare", "plain", "--ledger", "shop.db")
        shown = run(folder, "report", "--ledger", "shop.db", "--month", "2026-10", "--by", "customer", "--top", "5")
        draw("report", "inferkit report --month 2026-10 --by customer --top 5", report_of(shown))


def run(folder: str, *arguments: str) -> list[str]:
    """Run a command as in a terminal with colours, and give the lines that it writes."""
    env = {**os.environ, "FORCE_COLOR": "1", "COLORTERM": "truecolor", "COLUMNS": str(WIDTH), "INFERKIT_HOME": folder}
    command = [sys.executable, "-m", "inferkit", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


def trace_of(lines: list[str]) -> list[str]:
    """Take the table of costs, and the first two calls of the trace: one that was answered, and its repetition."""
    start = next(number for number, line in enumerate(lines) if "What it cost" in line)
    calls = [number for number, line in enumerate(lines) if "inferkit.call" in line]
    return [*lines[start : calls[2]], "..."]


def report_of(lines: list[str]) -> list[str]:
    """Take what a report begins with, up to what was saved."""
    return list(takewhile(lambda line: "Customers who pay nothing" not in line, lines))


def draw(name: str, title: str, lines: list[str]) -> None:
    """Write one picture, and say how large it is."""
    file = DOCS / f"{name}.svg"
    file.write_text(drawn(lines, title=title, width=WIDTH), encoding="utf-8")
    print(f"{file.name}: {file.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
