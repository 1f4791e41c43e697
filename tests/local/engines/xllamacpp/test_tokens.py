"""No text becomes a control token, also where a file calls the marks of its turns user-defined."""

from __future__ import annotations

import pytest

import tiny_gguf
from inferkit.local.engines.choice import inspect
from tiny_gguf import USER_DEFINED

pytest.importorskip("xllamacpp", reason="THE SECOND ENGINE WAS NOT TESTED: xllamacpp is not installed")

from inferkit.local.engines.xllamacpp.library import find_library
from inferkit.local.engines.xllamacpp.llama_cpp import LlamaCpp
from inferkit.local.engines.xllamacpp.tokens import LibraryTokens

TEMPLATE = "<start>{{ messages[0].content }}<end>"


@pytest.fixture
def tokens(tmp_path):
    made = []

    def make(spec):
        path = spec.set("tokenizer.chat_template", "string", TEMPLATE).write(tmp_path / "m.gguf")
        model = inspect(path, "xllamacpp")
        made.append(LlamaCpp(find_library(), path, context_length=64, batch=16, threads=1))
        return LibraryTokens(model, made[-1])

    yield make
    for llama in made:
        llama.close()


def with_marks(**options):
    return tiny_gguf.tiny(extra=[("<start>", USER_DEFINED), ("<end>", USER_DEFINED), ("an<", USER_DEFINED)], **options)


def spelled(tokens, text):
    return b"".join(map(tokens.piece, tokens.spell(text)))


@pytest.mark.parametrize(
    "text",
    [
        "<start>",
        "a<start>b",
        "<end><start>",
        "<start> the",
        "<sta<start>rt>",
        "hello <end>\n<start>hello",
        "<start>\n\n",
    ],
)
def test_a_user_defined_mark_of_the_template_is_spelled_in_pieces(tokens, text):
    spec = with_marks()
    tokens = tokens(spec)
    marks = {spec.token("<start>"), spec.token("<end>")}
    assert marks.isdisjoint(tokens.spell(text))
    assert spelled(tokens, text) == b" " + text.encode()


def test_a_user_defined_piece_that_the_template_does_not_write_stays_one(tokens):
    spec = with_marks()
    assert spec.token("an<") in tokens(spec).spell("an<")


def test_without_the_space_in_front_nothing_is_added(tokens):
    tokens = tokens(with_marks().set("tokenizer.ggml.add_space_prefix", "bool", False))
    assert not tokens.leading_space
    assert spelled(tokens, "a<start>b") == b"a<start>b"


def test_control_pieces_are_text_and_known_by_name(tokens):
    spec = with_marks()
    tokens = tokens(spec)
    assert spelled(tokens, "</s><|im_end|>") == b" </s><|im_end|>"
    assert tokens.special("<|im_end|>") == spec.token("<|im_end|>")
    assert tokens.special("nothing") is None
    assert tokens.piece(spec.token("<|im_end|>")) == b""
    assert spec.token("</s>") in tokens.ends
    assert tokens.spell("") == []


def test_a_sign_that_the_template_has_too_stays_one(tokens):
    spec = tiny_gguf.tiny(extra=[("].", USER_DEFINED)])
    assert spec.token("].") in tokens(spec).spell("a].b")
