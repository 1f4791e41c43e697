"""`pytest --inferkit-record`: a test records once and plays for ever after, and others pay nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from chat_wire import completion
from wire import Wire, reply

TEST = """
import pytest
from inferkit import Client, OpenAIChat

@pytest.mark.inferkit_tape(in_order=False)
@pytest.mark.parametrize("question", ["Where is my order?"])
def test_an_order(inferkit_tape, question):
    adapter = OpenAIChat(base_url={url!r}, name="p", api_key_env="SOME_KEY", transport=inferkit_tape.transport)
    with Client(models={{"m": "p:x"}}, providers={{"p": adapter}}, cache=False, ledger=False, max_retries=0) as llm:
        assert llm.complete("m", question).text == "On its way."
    adapter.close()
    assert inferkit_tape.url("https://api.test/v1").endswith("/v1")
"""


@pytest.fixture
def run_pytest(tmp_path):
    """Run pytest on a file that holds a test; give what it said."""

    def run(test, *options, **environment):
        (tmp_path / "test_it.py").write_text(test)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_inferkit", "-p", "no:cacheprovider", *options]
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
        variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those of others take seconds
        return subprocess.run(
            [*command, "--rootdir", str(tmp_path), str(tmp_path)],
            cwd=tmp_path,
            env=variables | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_a_test_is_recorded_once_and_played_without_the_provider_and_its_key(run_pytest, tmp_path):
    with Wire(lambda _: [reply(completion("On its way."))]) as wire:
        test = TEST.format(url=wire.url)
        done = run_pytest(test, "--inferkit-record", "--strict-markers", SOME_KEY="secret-key-4711")
        assert done.returncode == 0, done.stdout
        assert len(wire.requests) == 1
    (tape,) = tmp_path.glob("tapes/test_it/*.jsonl")
    assert "secret-key-4711" not in tape.read_text()
    done = run_pytest(test, SOME_KEY="another")
    assert done.returncode == 0, done.stdout
    done = run_pytest(test.replace("Where is my order?", "Where is my order? "), SOME_KEY="another")
    assert "there is no tape at" in done.stdout
    done = run_pytest(test.replace('complete("m", question)', "complete(\"m\", question + '?')"), SOME_KEY="another")
    assert done.returncode == 1
    assert "not on the tape at" in done.stdout
    assert "POST /v1/chat/completions" in done.stdout


def test_without_a_tape_it_says_how_to_make_one(run_pytest):
    done = run_pytest(TEST.format(url="http://127.0.0.1:1/v1"))
    assert done.returncode == 1
    assert "record it with `pytest --inferkit-record`" in done.stdout


def test_a_provider_that_is_known_by_name_needs_no_key_to_be_played(run_pytest, tmp_path):
    test = """
from inferkit import Client

def test_a_name(inferkit_tape):
    settings = dict(models={"m": "openai:x"}, transport=inferkit_tape.transport, cache=False, ledger=False)
    with Client(**settings) as llm:
        assert llm.complete("m", "Hi").text == "On its way."
"""
    from inferkit import OpenAIChat
    from inferkit.core.messages import Message
    from inferkit.runtime.direct import DirectRuntime, drive
    from inferkit.testing import Tape
    from ways import close, text

    tape = Tape.recording(tmp_path / "tapes" / "test_it" / "test_a_name.jsonl")
    with Wire(lambda _: [reply(completion("On its way."))]) as wire:
        adapter = OpenAIChat(
            base_url=wire.url, api_key="k", max_tokens_field="max_completion_tokens", transport=tape.recorder()
        )
        runtime = DirectRuntime()
        assert drive(text(adapter, runtime, Message.user("Hi"), model="x", stream=False)) == "On its way."
        drive(close(adapter, runtime))
    done = run_pytest(test, INFERKIT_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stdout


def test_pytest_imports_nothing_of_inferkit_where_no_test_asks_for_a_tape(run_pytest):
    done = run_pytest(
        "import sys\n\ndef test_nothing():\n    assert not [n for n in sys.modules if n.split('.')[0] == 'inferkit']\n"
    )
    assert done.returncode == 0, done.stdout
