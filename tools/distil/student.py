"""From examples to a file: vocabulary, training, the file, and what the gate says to it."""

from dataclasses import dataclass
from pathlib import Path

from gguf import GGMLQuantizationType as Kind

from .batches import Coder, Material
from .dataset import DatasetError, Example
from .evaluate import answers, differences_in_tokens, in_engine, in_torch, scores, served
from .export import About, write
from .frame import Frame, learned
from .gate import ALL, VALID, Gate
from .sources import Invented, Shuffled, copied_values
from .train import Plan, train
from .vocabulary import learn

KINDS = {"f16": Kind.F16, "q8_0": Kind.Q8_0, "q4_0": Kind.Q4_0}
FEWEST = 50
"""With fewer held-out messages than this no gate above 93 % can be passed, and few others mean anything."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the student is to be, and how long it learns."""

    out: Path
    kind: str = "q8_0"
    name: str = "student"
    pieces: int = 1500
    minutes: float | None = None
    steps: int = 2400
    width: int = 256
    layers: int = 4
    seed: int = 11
    threads: int = 2


def make(examples: list[Example], held_out: list[Example], gate: Gate, settings: Settings) -> str | None:
    """Makes a student, and writes it if it passes the gate; gives why it did not.

    Raises `DatasetError` where there is too little to learn from or to measure on.
    """
    frame = learned(examples)
    _check(frame, examples, held_out, gate)
    coder, values = _coder(frame, examples, settings), copied_values(frame, examples)
    width = settings.width
    plan = Plan(
        steps=settings.steps, seed=settings.seed, width=width, hidden=2 * width,
        layers=settings.layers, seconds=settings.minutes and 60 * settings.minutes,
        threads=settings.threads,
    )  # fmt: skip
    kept_at = settings.out.with_suffix(".npz")
    watched = held_out[:: max(1, len(held_out) // 100)]
    model = train(plan, coder, Shuffled(examples, frame), watched, kept_at, invent=Invented(values) if values else None)
    longest = {field.name: _longest(field.name, examples) for field in frame.fields if field.kind != "label"}
    written = ", ".join(field.name for field in frame.fields)
    about = About(settings.name, f"writes {written}", None, frame.schema(longest))
    unproven = settings.out.with_suffix(".unproven.gguf")
    write(model, coder.vocabulary, unproven, KINDS[settings.kind], about)
    odd = differences_in_tokens(unproven, coder.vocabulary, (one.message for one in held_out))
    messages = [one.message for one in held_out]
    exact = answers(in_torch(model, in_engine(unproven)), messages, coder.vocabulary)
    before, after = scores(held_out, exact), scores(held_out, served(unproven, messages))
    for title, found in (("before quantising", before), (f"after, {settings.kind}", after)):
        print(f"{title}, on {found.total} held-out messages")
        print("\n".join(f"  {line}" for line in found.lines()), flush=True)
    if odd:
        return f"the engine reads {odd} of {len(held_out)} messages differently from the training"
    refusal = gate.refusal(before, after)
    if refusal is None:
        unproven.replace(settings.out)
    return refusal


def _check(frame: Frame, examples: list[Example], held_out: list[Example], gate: Gate) -> None:
    names = [field.name for field in frame.fields]
    if gate.field not in (*names, ALL, VALID):
        raise DatasetError(f'there is no field "{gate.field}" to pass a gate by; there are {", ".join(names)}, {ALL}')
    if any(list(one.answer) != names for one in held_out):
        raise DatasetError("the held-out answers have other fields than the examples")
    if len(held_out) < FEWEST:
        raise DatasetError(f"{len(held_out)} held-out messages are too few to tell anything; give {FEWEST} or more")
    print(f"{len(examples)} examples, {len(held_out)} held out")
    for field in frame.fields:
        among = f" of {len(field.labels)}" if field.labels else ""
        print(f"  {field.name}: {field.kind}{among}{', may be null' if field.nullable else ''}")


def _coder(frame: Frame, examples: list[Example], settings: Settings) -> Coder:
    texts = [one.message for one in examples]
    texts += [value for one in examples for value in one.answer.values() if value]
    pieces = learn(texts, settings.pieces)
    kinds = sorted({frame.first_label(one.answer) or "" for one in examples})
    coder = Coder(Material(pieces, frame, [one.answer for one in examples], tuple(kinds)))
    coder.vocabulary.check(one.answer for one in examples)
    return coder


def _longest(name: str, examples: list[Example]) -> int:
    """A quarter more characters than the longest value seen."""
    return max(len(one.answer[name] or "") for one in examples) * 5 // 4 + 4
