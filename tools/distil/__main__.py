"""Makes a student of a data set: `python -m distil data.jsonl --out student.gguf --field label --at-least 0.9`.

Exit code 0: the student passed its gate and was written. 1: it did not pass, and nothing was written to `--out`.
2: the data set cannot be learned from.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import dataset
from .gate import ALL, Gate
from .student import KINDS, Settings, make


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        msg = "a share lies between 0 and 1"
        raise argparse.ArgumentTypeError(msg)
    return share


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m distil", description=__doc__)
    parser.add_argument("data", type=Path, nargs="+", help="files of lines with a message and its answer")
    parser.add_argument("--out", type=Path, required=True, help="the GGUF file to write")
    parser.add_argument("--field", default=ALL, help="the field whose accuracy counts; by default all of them at once")
    parser.add_argument("--at-least", type=_share, required=True, help="where the 95 %% interval must begin, as 0.9")
    parser.add_argument("--held-out", type=Path, help="a file to measure on; by default a share of the data")
    parser.add_argument("--held-out-share", type=_share, default=0.2, help="the share that is set aside (0.2)")
    parser.add_argument("--to", choices=sorted(KINDS), default="q8_0", help="how the file is quantised (q8_0)")
    parser.add_argument("--minutes", type=float, help="train for so long, instead of --steps")
    parser.add_argument("--steps", type=int, default=2400, help="how many batches of 64 to train on (2400)")
    parser.add_argument("--width", type=int, default=256, help="the network's width, of eight heads (256)")
    parser.add_argument("--layers", type=int, default=4, help="its layers (4)")
    parser.add_argument("--pieces", type=int, default=1500, help="the size of its vocabulary at most (1500)")
    parser.add_argument("--threads", type=int, default=2, help="one on a busy machine: two wait for each other (2)")
    parser.add_argument("--seed", type=int, default=11, help="for everything that is drawn (11)")
    parser.add_argument("--name", help="the model's name (that of the file)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the recipe and says how it went."""
    options = _options(arguments)
    gate = Gate(options.field, options.at_least)
    settings = Settings(
        out=options.out, kind=options.to, name=options.name or options.out.stem, pieces=options.pieces,
        minutes=options.minutes, steps=options.steps, width=options.width, layers=options.layers, seed=options.seed,
        threads=options.threads,
    )  # fmt: skip
    try:
        examples = dataset.without_conflicts([one for path in options.data for one in dataset.load(path)])
        if options.held_out is not None:
            held_out = dataset.load(options.held_out)
            examples = dataset.without(examples, held_out)
        else:
            examples, held_out = dataset.split(examples, options.held_out_share, options.seed)
        refusal = make(examples, held_out, gate, settings)
    except (dataset.DatasetError, OSError) as error:
        print(f"distil: {error}", file=sys.stderr)
        return 2
    if refusal is not None:
        print(f"refused: {refusal}", file=sys.stderr)
        return 1
    print(f"passed: {options.out} is written")
    return 0


if __name__ == "__main__":  # the process that makes batches imports this file too
    sys.exit(main())
