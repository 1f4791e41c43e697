"""What inferkit costs, measured against what it is built on. Run `python -m benchmarks`; see docs/benchmarks.md."""
