"""Commands work on what is configured, where no option names another thing."""

from __future__ import annotations

import pytest

from command import command
from inferkit import Client
from inferkit.testing import FakeProvider

__all__ = ["command"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Client(providers={"f": FakeProvider("Hi.")}, models={"a": "f:m"}, ledger="spent.db", cache=False) as llm:
        llm.complete("hello")
    (tmp_path / "inferkit.toml").write_text('ledger = "spent.db"\n')


def test_every_command_takes_the_ledger_of_the_configuration(command, tmp_path):
    for arguments in (["doctor"], ["report"], ["ledger", "compact", "--before", "2020-01-01"]):
        ran = command(*arguments)
        assert ran.code == 0, ran.err
    assert command("doctor").said(str(tmp_path / "spent.db"))


def test_another_file_may_be_named_for_one_command(command, tmp_path):
    (tmp_path / "other.toml").write_text("ledger = false\n")
    ran = command("--config", "other.toml", "report")
    assert ran.code == 1
    assert ran.said("no ledger is kept here, as other.toml:1 says; name one: --ledger")
    assert command("report").code == 0


def test_an_option_goes_before_the_configuration(command):
    assert command("report", "--ledger", "none.db").said("there is no ledger at", "none.db")


def test_a_mistake_in_the_configuration_is_a_clear_line(command, tmp_path):
    (tmp_path / "inferkit.toml").write_text("legder = 1\n")
    ran = command("report")
    assert ran.code == 1
    assert f"{tmp_path}/inferkit.toml:1:1: there is no setting legder (did you mean ledger?)" in ran.err
