"""What a client says of its models before any of them is called, and local models that cannot run being passed by."""

from __future__ import annotations

import logging

import pytest

import tiny_gguf
from inferkit import Client, LocalModelError, ModelFileError, ModelInfo
from inferkit.routing import Cascade
from inferkit.testing import FakeProvider


@pytest.fixture
def client():
    """Make a client without a ledger or a cache."""
    made = []

    def make(**settings):
        made.append(Client(ledger=False, cache=False, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def damaged(tmp_path):
    spec = tiny_gguf.tiny().set("llama.block_count", "uint32", 0)
    return spec.write(tmp_path / "damaged.gguf")


def of_another_kind(tmp_path):
    """Sound, but with no template: found out by the worker, and not when it is named."""
    return tiny_gguf.tiny(prompt_format=None).write(tmp_path / "bare.gguf")


def test_every_candidate_is_listed_and_local_ones_say_what_they_are(client, tmp_path):
    path = tiny_gguf.tiny().write(tmp_path / "m.gguf")
    llm = client(providers={"fake": FakeProvider("Hi")}, models={"fast": ["fake:m", f"local:{path}"], "small": "local"})
    first, second = llm.models["fast"]
    assert first == ModelInfo("fake:m", "fake", "m")
    assert (second.provider, second.model, second.engine) == ("local", "m", "ctransformers")
    assert (second.architecture, second.tokeniser, second.quantisation) == ("llama", "llama", "F32")
    assert second.context_length == 128
    assert [one.engine for one in llm.models["small"]] == ["ctransformers"]
    assert llm.check() == ()


def test_the_check_names_what_cannot_be_called_with_what_to_do(client, tmp_path):
    names = [f"local:{damaged(tmp_path)}", f"local:{of_another_kind(tmp_path)}", f"local:{tmp_path}/gone.gguf"]
    llm = client(models={"fast": [*names, "local"]})
    problems = {one.name: one.problem for one in llm.check()}
    assert list(problems) == names
    assert "download or convert it again" in problems[names[0]]
    assert "prompt_format=" in problems[names[1]]
    assert "there is no file" in problems[names[2]]


@pytest.mark.parametrize("kind", ["damaged", "bare", "gone"])
def test_a_local_model_that_cannot_run_is_passed_by_with_a_warning(client, tmp_path, caplog, kind):
    path = {"damaged": damaged, "bare": of_another_kind}.get(kind, lambda folder: folder / "gone.gguf")(tmp_path)
    fake = FakeProvider("Hi", "Ho")
    llm = client(providers={"fake": fake}, models={"fast": [f"local:{path}", "fake:m"]}, max_retries=0)
    with caplog.at_level(logging.WARNING, logger="inferkit"):
        reply = llm.complete("fast", "hello")
    assert (reply.text, reply.provider) == ("Hi", "fake")
    (told,) = [record.getMessage() for record in caplog.records]
    assert "is asked after local:" in told
    assert str(path) in told
    assert "hello" not in told
    assert llm.complete("fast", "hello").text == "Ho"


def test_one_that_is_alone_or_the_last_raises_what_is_wrong(client, tmp_path):
    path = damaged(tmp_path)
    fake = FakeProvider(ModelFileError("not this one"))
    llm = client(providers={"fake": fake}, models={"fast": ["fake:m", f"local:{path}"], "own": f"local:{path}"})
    for name in ("fast", "own"):
        with pytest.raises(ModelFileError, match="llama.block_count is 0"):
            llm.complete(name, "hello")
    with pytest.raises(LocalModelError, match="there is no file"):
        client(models={"gone": f"local:{tmp_path}/gone.gguf"}).complete("gone", "hello")


def test_a_file_that_comes_later_is_found(client, tmp_path):
    path = tmp_path / "m.gguf"
    fake = FakeProvider("Hi")
    llm = client(providers={"fake": fake}, models={"fast": [f"local:{path}", "fake:m"]})
    assert llm.complete("fast", "hello").provider == "fake"
    tiny_gguf.tiny().write(path)
    assert llm.complete("fast", "hello", max_output_tokens=1).provider == "local"


def test_a_cascade_passes_it_by_too(client, tmp_path, caplog):
    fake = FakeProvider("Hi")
    names = [f"local:{damaged(tmp_path)}", "fake:m"]
    llm = client(providers={"fake": fake}, models={"fast": names}, routes={"fast": Cascade(lambda _: True)})
    with caplog.at_level(logging.WARNING, logger="inferkit"):
        assert llm.complete("fast", "hello").text == "Hi"
    assert "gives no reply to judge (ModelFileError: " in caplog.text
