"""The whole recipe on a small data set: from a file of examples to a GGUF file that `Local` runs."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from inferkit import Client, Local

TOOLS = Path(__file__).parents[2] / "tools"
NEEDED = ("torch", "sentencepiece", "gguf", "numpy")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
WORDS = {
    "status": ["Where is {}?", "When does {} come?", "Any news of {}?", "Has {} been sent yet?"],
    "refund": ["I want my money back for {}.", "Please refund {}.", "A refund for {}, please.", "Pay {} back to me."],
}


def need_torch():
    if MISSING:
        pytest.skip(
            f"THE RECIPE FOR STUDENTS WAS NOT RUN: {', '.join(MISSING)} is not installed "
            "(pip install -r tools/distil/requirements.txt)"
        )


def write_data(path, count):
    rng, rows = random.Random(1), []
    for number in range(count):
        kind = rng.choice(list(WORDS))
        order = f"A-{rng.randint(10000, 99999)}" if rng.random() < 0.8 else None
        message = rng.choice(WORDS[kind]).format(f"order {order}" if order else f"my parcel no. {number} of {count}")
        reply = {"status": "We will look where it is.", "refund": "We will check your refund."}[kind]
        rows.append({"message": message, "answer": {"kind": kind, "order": order, "reply": reply}})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def distil(*arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TOOLS), *sys.path])}
    command = [sys.executable, "-m", "distil", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def test_a_student_is_made_held_to_its_form_and_served(tmp_path):
    need_torch()
    write_data(tmp_path / "data.jsonl", 400)
    data, size = tmp_path / "data.jsonl", ["--width", 64, "--layers", 2, "--pieces", 150, "--threads", 1]
    gate = ["--field", "kind", "--at-least", 0.8]
    made = distil(data, "--out", tmp_path / "s.gguf", *gate, *size, "--steps", 80)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "order: copied, may be null" in made.stdout
    assert "before quantising, on 80 held-out messages" in made.stdout
    with Client(providers={"s": Local(tmp_path / "s.gguf")}, models={"m": "s:m"}, cache=False, ledger=False) as llm:
        answer = json.loads(llm.complete("m", "A refund for order A-20817, please.").text)
        assert list(answer) == ["kind", "order", "reply"]
        assert answer["kind"] == "refund"
        strange = json.loads(llm.complete("m", "x" * 200).text)
        assert list(strange) == ["kind", "order", "reply"]

    refused = distil(data, "--out", tmp_path / "t.gguf", "--at-least", 0.999, *size, "--steps", 2)
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "refused: all:" in refused.stderr
    assert not (tmp_path / "t.gguf").exists()


def test_too_little_to_measure_on_is_refused_before_training(tmp_path):
    need_torch()
    write_data(tmp_path / "data.jsonl", 100)
    done = distil(tmp_path / "data.jsonl", "--out", tmp_path / "s.gguf", "--at-least", 0.8)
    assert done.returncode == 2
    assert "20 held-out messages are too few" in done.stderr
