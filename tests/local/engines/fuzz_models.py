"""Damages a small model file in many ways, and runs whatever the checks let through.

Run as a program: `fuzz_models.py FOLDER ENGINE FIRST_SEED COUNT`. Each accepted file is loaded and run in a fork of its
own, as the worker does it. Prints, as JSON, how many were refused, ran, were refused while running, died and hung.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import json
import os
import random
import signal
import struct
import sys
from collections import Counter
from pathlib import Path

import tiny_gguf
from inferkit import InferkitError
from inferkit.local.engines.choice import inspect, load
from inferkit.local.engines.ctransformers import library
from inferkit.local.engines.interface import EngineSettings
from inferkit.local.engines.xllamacpp.binding import bind
from inferkit.local.engines.xllamacpp.library import find_library

EDGES = (0, 1, 2, 3, 255, 1 << 15, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
SECONDS = 20


class Nobody:
    def gone(self) -> bool:
        return False

    def send(self, frame: dict[str, object]) -> None:
        json.dumps(frame)


@functools.cache
def sound_model(kind: int) -> tiny_gguf.Spec:
    return tiny_gguf.tiny(kind=kind)


def damaged(seed: int) -> bytes:
    """Make a file and damage it: bytes and bits anywhere, words at the head, values, shapes, the length."""
    chance = random.Random(seed)
    whole = sound_model(chance.choice((tiny_gguf.F32, tiny_gguf.F16, tiny_gguf.Q8_0)))
    spec = dataclasses.replace(whole, metadata=dict(whole.metadata), tensors=dict(whole.tensors))
    way = chance.randrange(8)
    if way in (0, 1):
        damage_metadata(spec, chance)
    elif way == 2:
        damage_tensor(spec, chance)
    raw = bytearray(spec.to_bytes())
    head = len(raw) - sum(len(data) for _, _, data in spec.tensors.values())
    if way == 3:
        for _ in range(chance.randint(1, 8)):
            raw[chance.randrange(head)] = chance.randrange(256)
    elif way == 4:
        place = chance.randrange(head - 8)
        form = chance.choice(("<I", "<Q"))
        struct.pack_into(form, raw, place, chance.choice(EDGES) % (1 << struct.calcsize(form) * 8))
    elif way == 5:
        for _ in range(chance.randint(1, 200)):
            raw[chance.randrange(head, len(raw))] = chance.randrange(256)
        if chance.random() < 0.3:
            del raw[chance.randrange(len(raw)) :]
    elif way == 6:
        del raw[chance.randrange(head) :]
    elif way == 7:
        raw[chance.randrange(head)] ^= 1 << chance.randrange(8)
    return bytes(raw)


def damage_metadata(spec: tiny_gguf.Spec, chance: random.Random) -> None:
    key = chance.choice(list(spec.metadata))
    kind, value = spec.metadata[key]
    if chance.random() < 0.15:
        spec.drop(key)
    elif kind == "uint32":
        spec.set(key, kind, chance.choice([*EDGES[:9], value * 2, value // 2, value + 1, max(0, value - 1)]))
    elif kind == "float32":
        spec.set(key, kind, chance.choice((0.0, -1.0, float("nan"), float("inf"), 1e-30, 1e30)))
    elif kind == "string":
        spec.set(key, kind, chance.choice(("", "gpt2", "llama", "falcon", "\0", "x" * 1000)))
    else:
        inner, items = value
        items = list(items)
        for _ in range(chance.randint(1, 40)):
            place = chance.randrange(len(items))
            if inner == "string":
                items[place] = chance.choice(("", "<0x41>", "▁", "a" * 300, "<0xZZ>", "\x7f", "hello", items[0]))
            elif inner == "float32":
                items[place] = chance.choice((float("inf"), float("-inf"), 1e38, -1e38, 0.0))
            else:
                items[place] = chance.choice((1, 2, 3, 4, 5, 6, 0, 7, -1))
        if chance.random() < 0.2:
            items = items[: chance.randrange(len(items))]
        spec.set(key, kind, (inner, items))


def damage_tensor(spec: tiny_gguf.Spec, chance: random.Random) -> None:
    name = chance.choice(list(spec.tensors))
    shape, kind, raw = spec.tensors[name]
    if chance.random() < 0.2:
        del spec.tensors[name]
        return
    if chance.random() < 0.5:
        kind = chance.choice((0, 1, 2, 3, 6, 7, 8, 9, 10, 12, 14, 15, 16, 17, 18, 30))
    if chance.random() < 0.5:
        shape = tuple(chance.choice((0, 1, size, size * 2, 1 << 33)) for size in shape)
    spec.tensors[name] = (shape, kind, raw + bytes(chance.choice((0, 0, len(raw)))))


def run(path: Path, engine: str) -> None:
    """Load and run a file as the worker does."""
    session = load(EngineSettings(str(path), engine=engine, threads=1, prompt_threads=1))
    for options in ({}, {"temperature": 1.0, "seed": 1}, {"repeat_penalty": 1.3, "temperature": 0.5}):
        session.serve({"prompt": "hello <s> the 😀 Q Z \0 <0x41>", "max_tokens": 8, **options}, Nobody())


def verdict(path: Path, engine: str) -> str:
    try:
        inspect(path, engine)
    except InferkitError:
        return "refused"
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            run(path, engine)
        except InferkitError:
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "hung" if os.WTERMSIG(status) == signal.SIGALRM else "died"
    return {0: "ran", 3: "refused while running"}.get(os.WEXITSTATUS(status), "died")


def main() -> None:
    folder, engine, first, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if engine == "xllamacpp":
        bind(find_library())  # once, and not in each fork
    else:
        ctypes.CDLL(str(library.find_library(gpu=False)))
    verdicts: Counter[str] = Counter()
    seeds: dict[str, list[int]] = {}
    for seed in range(first, first + count):
        path = folder / "mutant.gguf"
        path.write_bytes(damaged(seed))
        result = verdict(path, engine)
        verdicts[result] += 1
        if result in ("died", "hung"):
            seeds.setdefault(result, []).append(seed)
    print(json.dumps({"verdicts": verdicts, "seeds": seeds}))


if __name__ == "__main__":
    main()
