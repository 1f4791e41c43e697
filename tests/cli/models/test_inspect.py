"""`inferkit models inspect`, as a person uses it."""

from __future__ import annotations

import pytest

import tiny_gguf
from command import command

__all__ = ["command"]

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}"
)


@pytest.fixture
def spec():
    return tiny_gguf.tiny(kind=tiny_gguf.Q8_0).set("tokenizer.chat_template", "string", TEMPLATE)


def test_it_says_what_a_file_is_in_eighty_columns(command, tmp_path, spec):
    file = spec.drop("inferkit.prompt_format").write(tmp_path / "tiny.gguf")
    ran = command("models", "inspect", file)
    assert ran.code == 0, ran.err
    assert max(map(len, ran.out.splitlines())) <= 80
    assert ran.said(
        "architecture llama, 41,440 parameters",
        "quantisation Q8_0 mostly, 8.6 bits a number",
        "tokeniser llama, 357 tokens",
        "trained for 128 tokens of context",
        "engine ctransformers",
        f"ChatML, {len(TEMPLATE)} characters; takes system messages; takes tools",
    )
    rows = [line.split() for line in ran.out.splitlines()]
    assert ["Q8_0", "16", "41,280", "43", "KiB"] in rows
    assert ["F32", "5", "160", "640", "bytes"] in rows
    assert [row[0] for row in rows if row[-1:] == ["MiB"]] == ["128"], "no context over what it was trained for"


def test_json_has_the_same_and_whole_numbers(command, tmp_path, spec):
    file = spec.write(tmp_path / "tiny.gguf")
    said = command("models", "inspect", file, "--json").json
    assert said["path"] == str(file)
    assert said["size"] == file.stat().st_size
    assert said["parameters"] == sum(share["parameters"] for share in said["packings"]) == 41_440
    assert said["template"] == {"name": "plain", "length": None, "system": True, "tools": False}, "the file says so"
    (need,) = said["memory"]
    assert need["total"] == need["context"] + said["size"]


def test_contexts_grow_up_to_the_trained_one(command, tmp_path):
    file = tiny_gguf.tiny(context=10_000).write(tmp_path / "tiny.gguf")
    needs = command("models", "inspect", file, "--json").json["memory"]
    assert [need["context_length"] for need in needs] == [512, 2048, 8192, 10_000]
    assert [need["context"] for need in needs] == sorted(need["context"] for need in needs)


def test_a_file_that_no_engine_runs_is_described_all_the_same(command, tmp_path, spec):
    file = spec.set("general.architecture", "string", "mamba-of-mine").write(tmp_path / "other.gguf")
    ran = command("models", "inspect", file)
    assert ran.code == 1
    assert ran.said("architecture mamba-of-mine, 41,440 parameters", "none: ", "plain")
    said = command("models", "inspect", file, "--json").json
    assert said["engine"] is None
    assert said["problem"]
    assert said["memory"] == []


def test_what_helps_is_named_where_an_engine_is_not_installed(command, tmp_path, spec, monkeypatch):
    spec.set("tokenizer.ggml.model", "string", "gpt2").set("tokenizer.ggml.merges", "array", ("string", ["a b"]))
    file = spec.write(tmp_path / "modern.gguf")
    monkeypatch.setattr("inferkit.local.engines.xllamacpp.library.VERSION", "0.0.1")
    ran = command("models", "inspect", file)
    assert ran.code == 1
    assert ran.said("its tokeniser is of the kind 'gpt2'", "pip install 'inferkit[llama]'")


def test_a_template_that_takes_no_instructions_is_found_by_trying(command, tmp_path, spec):
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}"
    deaf = "{% for message in messages if message.role == 'user' %}{{ message.content }}{% endfor %}"
    for template in (strict, deaf):
        spec.drop("tokenizer.chat_template").set("tokenizer.chat_template", "string", template)
        spec.metadata.pop("inferkit.prompt_format", None)
        file = spec.write(tmp_path / "tiny.gguf")
        assert command("models", "inspect", file).said("no system messages; no tools")


def test_a_file_without_a_template_or_with_a_broken_one_says_so(command, tmp_path, spec):
    spec.drop("inferkit.prompt_format").drop("tokenizer.chat_template")
    assert command("models", "inspect", spec.write(tmp_path / "a.gguf")).said("it has no chat template", "chatml")
    spec.set("tokenizer.chat_template", "string", "{% for %}")
    assert command("models", "inspect", spec.write(tmp_path / "b.gguf")).said("its chat template is no Jinja template")


def test_what_is_no_model_is_one_line(command, tmp_path):
    (tmp_path / "page.gguf").write_text("<html>")
    for name in ("page.gguf", "absent.gguf"):
        ran = command("models", "inspect", tmp_path / name)
        assert ran.code == 1
        assert ran.out == ""
        assert ran.err.startswith("ModelFileError: ")
        assert len(ran.err.splitlines()) == 1


def test_names_of_an_application_are_taken_too(command):
    for name in ("local", "local:inferkit"):
        assert command("models", "inspect", name).said("inferkit-triage", "engine ctransformers")


def test_a_name_in_a_file_does_nothing_to_a_terminal(command, tmp_path, spec):
    file = spec.drop("general.name").set("general.name", "string", "\x1b[31mred[/]").write(tmp_path / "tiny.gguf")
    assert "\x1b" not in command("models", "inspect", file).out


def test_no_weight_is_read(command, tmp_path, spec):
    whole = spec.to_bytes()
    file = tmp_path / "sparse.gguf"
    head = len(whole) - sum(len(raw) for _, _, raw in spec.tensors.values())
    with file.open("wb") as sparse:
        sparse.write(whole[:head])
        sparse.truncate(len(whole))
    assert command("models", "inspect", file, "--json").json["engine"] == "ctransformers"
