"""`inferkit models quantise`, as a person uses it."""

from __future__ import annotations

import tiny_gguf
from command import command

__all__ = ["command"]


def test_files_are_made_and_shown(command, tmp_path):
    source = tiny_gguf.tiny(kind=tiny_gguf.F16).write(tmp_path / "m-f16.gguf")
    ran = command("models", "quantise", source, "--to", "q8_0, q4_0")
    assert ran.code == 0, ran.err
    assert max(map(len, ran.out.splitlines())) <= 80
    rows = [line.split() for line in ran.out.splitlines()]
    assert [row[0] for row in rows if row and row[-1] == "ctransformers"] == ["m-q8_0.gguf", "m-q4_0.gguf"]
    again = command("models", "quantise", source, "--to", "q4_0")
    assert again.code == 1
    assert again.said("ConfigurationError:", "is there already; say --force")


def test_what_was_made_is_said_as_json(command, tmp_path):
    source = tiny_gguf.tiny(kind=tiny_gguf.F16).write(tmp_path / "m-f16.gguf")
    ran = command("models", "quantise", source, "--to", "q8_0,q4_0", "--json")
    assert ran.code == 0, ran.err
    made = [tmp_path / "m-q8_0.gguf", tmp_path / "m-q4_0.gguf"]
    assert ran.json == [
        {
            "kind": kind,
            "path": str(path),
            "size": path.stat().st_size,
            "source_size": source.stat().st_size,
            "engine": "ctransformers",
        }
        for kind, path in zip(("q8_0", "q4_0"), made, strict=True)
    ]


def test_a_kind_that_there_is_not_names_those_there_are(command, tmp_path):
    source = tiny_gguf.tiny(kind=tiny_gguf.F16).write(tmp_path / "m-f16.gguf")
    assert command("models", "quantise", source, "--to", "int4").said("ConfigurationError:", "q8_0, q6_k, q5_k_m")
