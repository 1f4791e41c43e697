"""Rebuilds the model: `python -m triage_model`, or some steps of it by name.

With `--start FILE.gguf` training goes on from that file's weights, with its vocabulary. The steps `teacher`, `lessons`,
`teach` and `finish` are done only where they are named; they take what `requirements.txt` here names.
"""

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from distil.evaluate import answers, in_engine, in_torch, served
from distil.export import About, load, read, write
from distil.train import Plan, train
from distil.vocabulary import Vocabulary, learn
from gguf import GGMLQuantizationType as Kind

from . import evaluate, handwritten
from .generate import ticket
from .labels import FRAME
from .places import CHECKPOINT, F32, LESSONS, SHIPPED, TEACHER, VOCABULARY, WORK
from .replies import table
from .slots import order_number
from .sources import Mixed, coder, known_answers

PIECES = 1520
HARD, COUNT = 13_503, 80_000
"""Messages to train on in the files from `train_j` on, the hard ones; lessons to prepare."""
LONGEST = {"order_id": 20, "reply": 240}
"""How many characters an order number and a reply have at most: the file says it, and `Local` holds the model to it."""


def learn_vocabulary(options: argparse.Namespace) -> None:
    """Trains the vocabulary on generated and varied messages and on the replies, or takes the one of a file."""
    WORK.mkdir(exist_ok=True)
    if options.start is not None:
        words = read(options.start, FRAME)[1]
    else:
        rng = random.Random(1)
        hand, _ = handwritten.split()
        texts = [ticket(rng, noise=rng.random() < 0.5).message for _ in range(25_000)]
        texts += [handwritten.vary(rng.choice(hand), hand, rng).message for _ in range(25_000)]
        texts += [one.message for one in hand] * 6
        texts += [text.replace("{ID}", "") for pair in table().values() for text in pair] * 60
        words = Vocabulary(learn(texts, PIECES), FRAME)
    words.check(known_answers())
    words.save(VOCABULARY)
    print(f"{len(words)} pieces")


def train_network(options: argparse.Namespace) -> None:
    """Trains with the settings of the shipped model."""
    plan = Plan(seconds=options.minutes and 60 * options.minutes, start=options.start)
    if options.start is not None:
        plan = Plan(seconds=plan.seconds, start=plan.start, rate=plan.rate / 4, rate_adam=plan.rate_adam / 4)
    dev = [one.example() for one in handwritten.split()[1]]
    train(plan, coder(json.loads(VOCABULARY.read_text("utf-8"))), Mixed(), dev, CHECKPOINT, invent=order_number)


def tune_teacher(_: argparse.Namespace) -> None:
    """Fine-tunes the teacher on the messages to train on."""
    from . import teacher

    teacher.fine_tune(*handwritten.split(), TEACHER)


def prepare_lessons(_: argparse.Namespace) -> None:
    """Has the teacher label messages that nobody wrote, those of the hard files twice as often as others."""
    from . import lessons, teacher

    hand = handwritten.split()[0]
    lessons.prepare(teacher.load(TEACHER), hand + hand[-HARD:], COUNT, seed=1).save(LESSONS)


def teach_network(options: argparse.Namespace) -> None:
    """Trains a file's network further, on the lessons. Raises `ValueError` where no file is given."""
    from . import lessons, student

    if options.start is None:
        msg = "teach goes on from a file: name it with --start"
        raise ValueError(msg)
    plan = Plan(
        seconds=options.minutes and 60 * options.minutes, start=options.start, average=0.996, threads=1, seed=13
    )
    plan = replace(plan, rate=plan.rate / 2, rate_adam=plan.rate_adam / 2)
    words, dev = coder(json.loads(VOCABULARY.read_text("utf-8"))), handwritten.split()[1]
    student.teach(plan, words, lessons.Lessons.load(LESSONS), dev, CHECKPOINT)


def finish_network(options: argparse.Namespace) -> None:
    """Trains what `teach` made for some minutes more, on whole replies, whose ends are forgotten on the way.

    It is the file of `--start` that it goes on from: the full-precision one that `export` wrote after `teach`.
    """
    from . import lessons, student

    plan = Plan(
        seconds=options.minutes and 60 * options.minutes, start=options.start, average=0.95, threads=1, seed=17,
        rate=1.5e-3, rate_adam=2.5e-4,
    )  # fmt: skip
    words, dev = coder(json.loads(VOCABULARY.read_text("utf-8"))), handwritten.split()[1]
    student.teach(plan, words, lessons.Lessons.load(LESSONS), dev, CHECKPOINT, whole=True)


def write_files(_: argparse.Namespace) -> None:
    """Writes the file that ships, and the full-precision one to compare it with."""
    about = About(
        "inferkit-triage",
        "Customer-support triage: a message in, one line of JSON out",
        "MIT",
        FRAME.schema(LONGEST),
    )
    words = Vocabulary.load(VOCABULARY, FRAME)
    write(load(CHECKPOINT), words, F32, Kind.F32, about)
    write(load(CHECKPOINT), words, SHIPPED, Kind.Q8_0, about)
    print(f"{SHIPPED.name}: {SHIPPED.stat().st_size:,} bytes")


def measure_files(options: argparse.Namespace) -> None:
    """Prints the figures of the model card; with `--blind`, those of the blind sets alone."""
    words = read(SHIPPED, FRAME)[1]
    among = evaluate.blind() if options.blind else evaluate.sets()
    if not options.blind:
        print(f"messages cut differently by the engine: {evaluate.tokens_that_differ(SHIPPED, words, 4000)}")
    if CHECKPOINT.exists():
        exact = in_torch(load(CHECKPOINT), in_engine(SHIPPED))
        evaluate.measure("before quantising:", lambda messages: answers(exact, messages, words), among)
    evaluate.measure("after quantising:", lambda messages: served(SHIPPED, messages), among)


STEPS: dict[str, Callable[[argparse.Namespace], None]] = {
    "vocabulary": learn_vocabulary,
    "train": train_network,
    "teacher": tune_teacher,
    "lessons": prepare_lessons,
    "teach": teach_network,
    "finish": finish_network,
    "export": write_files,
    "evaluate": measure_files,
}

BY_DEFAULT = ("vocabulary", "train", "export", "evaluate")


def main() -> None:
    """Runs the steps that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m triage_model", description=__doc__)
    parser.add_argument(
        "steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)}; by default {', '.join(BY_DEFAULT)}"
    )
    parser.add_argument("--start", type=Path, help="the GGUF file to train further")
    parser.add_argument("--minutes", type=float, help="train for so long, instead of a fixed number of steps")
    parser.add_argument("--blind", action="store_true", help="measure on the blind sets, and on nothing else")
    options = parser.parse_args()
    unknown = [name for name in options.steps if name not in STEPS]
    if unknown:
        parser.error(f"unknown step {unknown[0]!r}; the steps are {', '.join(STEPS)}")
    for name in options.steps or BY_DEFAULT:
        STEPS[name](options)


if __name__ == "__main__":  # the process that makes batches imports this file too
    main()
