"""The plugin as the tests of an application use it: each of these runs pytest."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

pytest_plugins = ("pytester",)

FORBIDDEN = """
[pytest]
inferkit_real_calls = forbid
addopts = --strict-markers -W error
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest in a process of its own, without the plugins of others, which take seconds to load."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return partial(pytester.runpytest_subprocess, "-p", "pytest_inferkit", "-p", "no:cacheprovider")


SHOP = """
from inferkit import Client

llm = None

def answer(user, question):
    return llm.complete("fast", question, user=user).text
"""


def test_the_tests_in_the_documentation_pass(pytester, run):
    page = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"^```text\n# (\w+)\.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    pytester.makepyfile(**files, shop=SHOP)
    run("-W", "error").assert_outcomes(passed=3)


def test_settings_say_more_and_an_async_client_is_there(pytester, run):
    pytester.makepyfile("""
        import asyncio

        import pytest
        from inferkit.testing import FakeProvider, calls

        mine = FakeProvider("From mine")

        @pytest.mark.inferkit_client(models={"smart": "mine:m"}, providers={"mine": mine})
        def test_on_a_loop(inferkit_async_client, inferkit_ledger):
            assert asyncio.run(inferkit_async_client.complete("smart", "Hi")).text == "From mine"
            assert len(calls(inferkit_ledger)) == 1

        def test_as_it_is(inferkit_client, inferkit_provider):
            assert inferkit_client.complete("Hi").text == "A reply."
            assert inferkit_provider.requests[0].messages[0].text == "Hi"
            assert inferkit_client.complete("Hi").cost > 0
    """)
    run("-W", "error").assert_outcomes(passed=2)


def test_a_session_that_uses_none_of_it_imports_nothing_of_inferkit(pytester, run):
    pytester.makeini(FORBIDDEN)
    pytester.makepyfile("""
        import os, sys

        def test_nothing():
            assert not [name for name in sys.modules if name.split(".")[0] == "inferkit"]
            assert os.environ["INFERKIT_REAL_CALLS"] == "forbid"
    """)
    run().assert_outcomes(passed=1)


def test_real_calls_fail_a_test_also_where_it_caught_the_error(pytester, run):
    pytester.makeini(FORBIDDEN)
    pytester.makepyfile("""
        import subprocess, sys

        import pytest
        from inferkit import Client, InferkitError, OpenAIChat, Unavailable

        there = OpenAIChat(base_url="http://api.invalid/v1", api_key="k", name="there")
        llm = Client(providers={"there": there}, models={"a": "there:gpt-5"}, cache=False, ledger=False, max_retries=0)

        def test_raised():
            llm.complete("Hi")

        def test_caught():
            with pytest.raises(InferkitError):
                llm.complete("Hi")

        def test_caught_and_failed_later():
            with pytest.raises(InferkitError):
                llm.complete("Hi")
            raise KeyError("later")

        @pytest.mark.inferkit_real_calls
        def test_meant():
            with pytest.raises(Unavailable):
                llm.complete("Hi")

        def test_in_a_process_of_its_own():
            code = "from inferkit.providers.http import real_calls; assert real_calls.forbidden"
            subprocess.run([sys.executable, "-c", code], check=True)

        def test_none(inferkit_client):
            assert inferkit_client.complete("Hi").text == "A reply."
    """)
    done = run()
    done.assert_outcomes(passed=3, failed=3)
    done.stdout.fnmatch_lines([
        "*a real call was refused, to there:gpt-5 at api.invalid: INFERKIT_REAL_CALLS=forbid*",
        "*real calls were refused in this test: there:gpt-5 at api.invalid. The code under test caught the error*",
        "*real calls were refused: there:gpt-5 at api.invalid",
    ])  # fmt: skip


def test_the_environment_forbids_them_too_and_is_left_as_it_was(pytester, run, monkeypatch):
    monkeypatch.setenv("INFERKIT_REAL_CALLS", "forbid")
    pytester.makepyfile("""
        import os, pytest
        from inferkit.providers.http import real_calls

        def test_forbidden():
            assert real_calls.forbidden

        @pytest.mark.inferkit_real_calls
        def test_allowed():
            assert not real_calls.forbidden

        @pytest.mark.inferkit_tape
        def test_a_tape_that_is_played(inferkit_tape):
            assert real_calls.forbidden
    """)
    run("-k", "not tape").assert_outcomes(passed=2, deselected=1)
    recording = run("--inferkit-record", "-k", "tape")
    recording.stdout.fnmatch_lines(["*assert real_calls.forbidden*"])
    recording.assert_outcomes(failed=1, deselected=2)


def test_a_switch_that_is_misspelt_is_no_switch(pytester, run):
    pytester.makeini("[pytest]\ninferkit_real_calls = forbidden\n")
    done = run()
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(['*inferkit_real_calls is "allow" or "forbid"; got *forbidden*'])
