"""Rebuilds the model from nothing: `python -m triage_model`, or one step of it by name."""

import random
import sys
from collections.abc import Callable

from gguf import GGMLQuantizationType as Kind

from . import evaluate, export, handwritten, train, vocabulary
from .generate import ticket
from .places import F32, SHIPPED, VOCABULARY, WORK
from .replies import table

PIECES = 1520


def learn_vocabulary() -> None:
    """Trains the vocabulary on generated and varied messages and on the replies."""
    rng = random.Random(1)
    hand, _ = handwritten.split()
    texts = [ticket(rng, noise=rng.random() < 0.5).message for _ in range(25_000)]
    texts += [handwritten.vary(rng.choice(hand), hand, rng).message for _ in range(25_000)]
    texts += [one.message for one in hand] * 6
    texts += [text.replace("{ID}", "") for pair in table().values() for text in pair] * 60
    learned = vocabulary.Vocabulary(vocabulary.learn(texts, PIECES))
    learned.check()
    WORK.mkdir(exist_ok=True)
    learned.save(VOCABULARY)
    print(f"{len(learned)} pieces")


def train_network() -> None:
    """Trains with the settings of the shipped model."""
    train.train(train.Plan())


def write_files() -> None:
    """Writes the file that ships, and the full-precision one to compare it with."""
    export.export(F32, Kind.F32)
    export.export(SHIPPED, Kind.Q8_0)
    print(f"{SHIPPED.name}: {SHIPPED.stat().st_size:,} bytes")


def measure_files() -> None:
    """Prints the figures of the model card."""
    words = vocabulary.Vocabulary.load(VOCABULARY)
    print(f"messages cut differently by the engine: {evaluate.differences_in_tokens(SHIPPED, words, 4000)}")
    shipped = evaluate.in_engine(SHIPPED)
    evaluate.measure("torch", evaluate.in_torch(export.load(), shipped), words)
    evaluate.measure("q8_0", shipped, words)


STEPS: dict[str, Callable[[], None]] = {
    "vocabulary": learn_vocabulary,
    "train": train_network,
    "export": write_files,
    "evaluate": measure_files,
}

if __name__ == "__main__":  # the process that makes batches imports this file too
    for name in sys.argv[1:] or STEPS:
        if name not in STEPS:
            sys.exit(f"unknown step {name!r}; the steps are {', '.join(STEPS)}")
        STEPS[name]()
