"""`python -m benchmarks`: runs the benchmarks one after another, each in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

from benchmarks import ENTRIES
from benchmarks.figures import Figure, as_markdown, as_text
from benchmarks.suite import NAMES, run


def main() -> None:
    """Run what was asked for, print each result as it comes, and write the files that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what inferkit costs.")
    parser.add_argument("--only", action="append", choices=NAMES, help="run this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that all runs, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--markdown", action="store_true", help="print a table for the docs at the end")
    parser.add_argument("--entries", action="append", metavar="NUMBER", help="a further size for scale, such as 5e6")
    options = parser.parse_args()
    os.environ[ENTRIES] = ",".join(options.entries or ())
    results: dict[str, list[Figure]] = {}
    for name in options.only or NAMES:
        results[name] = run(name, quick=options.quick)
        print(as_text(name, results[name]), flush=True)
    if options.json is not None:
        written = {name: [asdict(figure) for figure in figures] for name, figures in results.items()}
        options.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    if options.markdown:
        print()
        print(as_markdown([figure for figures in results.values() for figure in figures]))


if __name__ == "__main__":
    main()
