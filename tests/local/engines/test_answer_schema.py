"""A file that states a schema for its answers is held to it, on both engines, where nothing else was asked for."""

from __future__ import annotations

import json

import pytest

import tiny_gguf
from inferkit import Client
from inferkit.core.errors import ModelFileError
from local_calls import finish

RUNS_ON = ["<|answer|>", '"', "b", "c", "d", "e", "9"]
BOUNDED = json.dumps({"type": "string", "maxLength": 4})
HELLO = [["user", "hello"]]


def stating(tmp_path, schema, chain=RUNS_ON):
    spec = tiny_gguf.scripted(chain, prompt_format="triage").set("inferkit.answer_schema", "string", schema)
    return spec.write(tmp_path / "m.gguf")


def test_an_answer_that_would_run_on_ends_within_its_bound(start, tmp_path):
    free = start(tiny_gguf.scripted(RUNS_ON, prompt_format="triage").write(tmp_path / "free.gguf"))
    assert finish(free.open({"messages": HELLO, "max_tokens": 20})).text == '"bcde' + "9" * 15
    held = start(stating(tmp_path, BOUNDED))
    for _ in range(2):
        reply = finish(held.open({"messages": HELLO, "max_tokens": 20}))
        assert (reply.text, reply.end["end"]) == ('"bcde"', "stop")


def test_the_callers_own_rules_come_first(start, tmp_path):
    held = start(stating(tmp_path, BOUNDED))
    rules = {"root": [[["text", '"bcde999"']]]}
    assert finish(held.open({"messages": HELLO, "grammar": rules, "max_tokens": 20})).text == '"bcde999"'


def test_other_prompts_than_the_files_own_are_answered_freely(start, tmp_path):
    path = stating(tmp_path, BOUNDED, ["o", '"', "b", "c", "d", "e", "9"])
    raw = finish(start(path).open({"prompt": "o", "max_tokens": 9}))
    assert raw.text == '"bcde9999'
    other = start(path, prompt_format="plain")
    assert finish(other.open({"messages": [["user", "o"]], "max_tokens": 9})).text == '"bcde9999'


@pytest.mark.parametrize("schema", ["{", "[]", '{"type": "text"}', '{"enum": []}'])
def test_what_is_no_schema_is_said_of_the_file(start, tmp_path, schema):
    with pytest.raises(ModelFileError, match="what it states as the schema of its answers is none"):
        finish(start(stating(tmp_path, schema)).open({"messages": HELLO}))


def test_the_embedded_model_copies_no_long_number_without_end():
    with Client(models={"triage": "local"}, ledger=False, cache=False) as llm:
        for number in ("JD" + "0123456789" * 4, "9" * 60, "1Z999AA10123456784 " * 6):
            answer = json.loads(llm.complete("triage", f"Where is my order {number}?").text)
            assert list(answer) == ["category", "priority", "order_id", "reply"]
            assert len(answer["order_id"] or "") <= 20
