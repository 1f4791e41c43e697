"""`inferkit models configured`."""

from __future__ import annotations

import pytest

from chat_wire import completion
from command import command
from wire import Wire, reply

__all__ = ["command"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(tmp_path, url):
    (tmp_path / "inferkit.toml").write_text(f"""
[models]
fast = ["work:small", "local"]
smart = ["work:small", "gone:large"]

[providers.work]
base_url = "{url}"
api_key_env = "WORK_API_KEY"

[providers.gone]
base_url = "http://127.0.0.1:9/v1"

[prices."work:small"]
input = 0.25
output = "2.00"
""")


def test_each_model_says_where_it_is_whether_it_answers_and_what_it_costs(command, tmp_path, monkeypatch):
    monkeypatch.setenv("WORK_API_KEY", "sk-very-secret")
    with Wire(lambda _: [reply(completion("unused"), 404)]) as server:
        write(tmp_path, server.url)
        ran = command("models", "configured")
        said = command("models", "configured", "--json")
    assert ran.code == said.code == 1
    assert max(map(len, ran.out.splitlines())) <= 80 or str(tmp_path) in ran.out.splitlines()[0]
    assert ran.said("fast, smart", "work:small", "there", "yes", "0.25", "2.00")
    assert ran.said("gone:large: http://127.0.0.1:9/v1 does not answer")
    assert "secret" not in ran.out + said.out
    work, local, gone = said.json
    assert (work["names"], work["key"], work["reachable"]) == (["fast", "smart"], "there", True)
    assert work["key_variable"] == "WORK_API_KEY"
    assert work["price"] == {"input": "0.25", "output": "2.00"}
    assert "tools" in work["can"]
    assert (local["model"], local["address"], local["problem"]) == ("local", None, None)
    assert local["can"] == ["schema", "logprobs", "grammar"], (
        "the embedded model calls no tools and gives no embeddings"
    )
    assert (gone["reachable"], gone["key"]) == (False, "not needed")
    assert [request.headers.get("authorization") for request in server.requests] == [None, None]


def test_a_key_that_is_missing_says_which_variable_to_set(command, tmp_path):
    write(tmp_path, "http://127.0.0.1:9/v1")
    ran = command("models", "configured", "--offline")
    assert ran.code == 1
    assert ran.said("work:small: it needs a key: set the environment variable WORK_API_KEY")


def test_without_a_configuration_there_is_the_embedded_model(command):
    ran = command("models", "configured")
    assert ran.code == 0
    assert ran.said("nothing is configured: these are the defaults", "local")
