"""`inferkit models bench`, as a person uses it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

import tiny_gguf
from command import command

__all__ = ["command"]

SETTINGS = ("--threads", "1", "--prompt", "16", "--generate", "4", "--repeats", "1")


@pytest.fixture(autouse=True)
def _one_core(one_core):
    """Models of several tests at once do not wait for each other."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "mine.txt").write_text("a he the hello " * 30)
    full = tiny_gguf.tiny(kind=tiny_gguf.F16).write(folder / "m-f16.gguf")
    return full, tiny_gguf.tiny(kind=tiny_gguf.Q8_0).write(folder / "m-q8_0.gguf"), folder / "mine.txt"


def test_speed_memory_and_loss_are_shown_in_eighty_columns_and_drawn(command, files, tmp_path):
    full, small, text = files
    plot = tmp_path / "bench.svg"
    ran = command(
        "models", "bench", small, "--against", full, "--text", text, "--tokens", 64, "--plot", plot, *SETTINGS
    )
    assert ran.code == 0, ran.err
    assert max(map(len, ran.out.splitlines())) <= 80
    rows = [line.split() for line in ran.out.splitlines() if line.startswith(("F16 ", "Q8_0 "))]
    assert [row[0] for row in rows] == ["F16", "Q8_0"] * 2
    assert rows[1][5:7] == [rows[1][5], "x"], "how many times as fast"
    assert rows[3][3:6:2] == ["±", "%"]
    assert rows[3][-1] == "%"
    drawing = ET.parse(plot).getroot()
    said = ["".join(text.itertext()) for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"F16", "Q8_0", "reply, tokens/s", "prompt, tokens/s", "memory at most", "perplexity"} < set(said)
    bars = list(drawing.iter("{http://www.w3.org/2000/svg}rect"))
    assert len(bars) == 2 * 4 + 1, "what the first has nothing to compare to is left out"
    assert {bar.get("class") for bar in bars} == {"first", "bar"}


def test_json_has_every_repeat(command, files):
    full, small, _ = files
    said = command("models", "bench", full, small, "--json", "--batch", "8,16", *SETTINGS[:-1], 2).json
    assert [(row["quantisation"], row["batch"]) for row in said["speeds"]] == [
        (kind, batch) for kind in ("F16", "Q8_0") for batch in (8, 16)
    ]
    assert all(len(row["reply_tokens_per_second"]) == 2 for row in said["speeds"])
    assert said["reference"] is None
    assert said["losses"] == []


def test_a_mistake_is_one_line_that_says_what_to_do(command, files, tmp_path):
    full, _, _ = files
    for options, message in (
        (("--threads", "0"), '--threads takes whole numbers from 1, with commas: 1,2,4; got "0"'),
        (("--batch", "a"), "--batch takes whole numbers"),
        (("--text", tmp_path / "absent"), "cannot be read as text"),
        (
            ("--plot", tmp_path / "absent" / "b.svg"),
            "b.svg cannot be written (No such file or directory); name another",
        ),
        (("--prompt", "4000"), "ask for fewer: --prompt, --generate"),
    ):
        ran = command("models", "bench", full, *options)
        assert ran.code == 1
        assert ran.said("ConfigurationError:", message)
