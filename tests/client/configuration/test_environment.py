"""The variables of inferkit's: each is declared once, documented, and read in one way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inferkit import ConfigurationError
from inferkit.client.configuration.environment import read_environment, unknown_variables, variables
from inferkit.client.settings import SETTINGS

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _empty(monkeypatch):
    for name in variables():
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ROUTES", "cheapest", "cheapest"),
        ("DEFAULT", "fast", "fast"),
        ("PLANS", "plans.toml", "plans.toml"),
        ("DEFAULT_PLAN", "free", "free"),
        ("CACHE", "No", False),
        ("LEDGER", "1", True),
        ("LEDGER", "spent.db", "spent.db"),
        ("ON_STORE_ERROR", "allow", "allow"),
        ("ESTIMATES", "learned", "learned"),
        ("MAX_RETRIES", "0", 0),
        ("ON_INTERRUPT", "continue", "continue"),
        ("FOLLOW_LIMITS", "off", False),
        ("TIMEOUT", " 1e1 ", 10.0),
        ("PRELOAD", "TRUE", True),
    ],
)
def test_a_setting_is_read_as_what_it_is(monkeypatch, name, text, value):
    monkeypatch.setenv(f"INFERKIT_{name}", text)
    assert read_environment() == {name.lower(): value}
    assert type(read_environment()[name.lower()]) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("MAX_RETRIES", "-1", "INFERKIT_MAX_RETRIES is a whole number"),
        ("MAX_RETRIES", "2.0", "INFERKIT_MAX_RETRIES is a whole number"),
        ("CACHE", "perhaps", "INFERKIT_CACHE is true or false"),
        ("TIMEOUT", "nan", "INFERKIT_TIMEOUT is a number of seconds greater than 0"),
        ("TIMEOUT", "inf", "INFERKIT_TIMEOUT is a number of seconds greater than 0"),
        ("ESTIMATES", "stirct", 'INFERKIT_ESTIMATES is "strict" or "learned"'),
    ],
)
def test_what_makes_no_sense_is_said_with_what_is_taken(monkeypatch, name, text, said):
    monkeypatch.setenv(f"INFERKIT_{name}", text)
    with pytest.raises(ConfigurationError, match=said) as raised:
        read_environment()
    assert text not in str(raised.value) or text == "-1"


def test_what_nobody_reads_is_named_with_what_may_be_meant(monkeypatch):
    monkeypatch.setenv("INFERKIT_TIMOUT", "3")
    monkeypatch.setenv("INFERKIT_XYZ_QQQ", "3")
    found = {name: meant for name, meant in unknown_variables().items() if name[9:] in ("TIMOUT", "XYZ_QQQ")}
    assert found == {"INFERKIT_TIMOUT": "INFERKIT_TIMEOUT", "INFERKIT_XYZ_QQQ": ""}


def test_the_docs_have_all_of_them():
    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    section = page.split("## The environment\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{name}` | {takes} | {says} |" for name, (takes, says) in variables().items()]


def test_the_docs_say_of_each_setting_how_a_file_has_it():
    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    section = page.split("## What stands in a file\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)`", " ".join(cells)))
    plain = {"default", "default_plan", "on_store_error", "estimates", "max_retries", "on_interrupt", "timeout"}
    assert named == SETTINGS.keys() - plain - {"follow_limits", "home", "preload", "share"}


def test_there_is_no_other_way_to_read_one():
    for file in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"(environ|getenv)\b[^\n]*INFERKIT_", file.read_text("utf-8")), file
