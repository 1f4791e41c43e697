"""One name has one limit, wherever in a program it is said; and who relies on a function's name is told."""

import gc
import importlib
import logging
import sys
from datetime import timedelta

import pytest

from inferkit import Budget, Chunk, Client, ConfigurationError, Response, budget, budgeted
from inferkit.budgets.known_limits import KnownLimits
from inferkit.testing import FakeProvider


@pytest.fixture
def llm(tmp_path):
    with make_client(tmp_path / "ledger.db") as client:
        yield client


def make_client(path, **settings):
    return Client(providers={"f": FakeProvider("Hello!")}, models={"a": "f:m"}, cache=False, ledger=path, **settings)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module, and import it or load it again."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = []

    def write(name, code):
        (tmp_path / f"{name}.py").write_text("from inferkit import Budget, budgeted\n" + code)
        importlib.invalidate_caches()
        if name in sys.modules:
            return importlib.reload(sys.modules[name])
        names.append(name)
        return importlib.import_module(name)

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_a_name_with_two_limits_is_refused_where_the_second_one_is_said():
    @budgeted(usd="5", name="declared-twice")
    def one():
        pass

    with pytest.raises(ConfigurationError) as refused:

        @budgeted(usd="7.50", name="declared-twice")
        def two():
            pass

    text = str(refused.value)
    assert "budget declared-twice has two limits per month: $5" in text
    assert "$7.5" in text
    assert "locals>.one" in text
    assert "locals>.two" in text
    assert "give them the same limit, or one of them another name" in text


def test_two_modules_that_disagree_are_refused_and_one_that_is_loaded_again_is_not(module):
    code = '@budgeted(calls={}, name="declared-in-modules")\ndef {}():\n    pass\n'
    module("declared_one", code.format(5, "answer"))
    module("declared_two", code.format(5, "summary"))
    module("declared_one", code.format(5, "answer"))  # as it was
    with pytest.raises(ConfigurationError, match=r"5 calls on declared_\w+.\w+, and 6 calls on declared_three.answer"):
        module("declared_three", code.format(6, "answer"))


def test_a_function_that_is_defined_again_may_have_another_limit(module, llm):
    code = '@budgeted(calls={}, name="declared-again")\ndef answer(llm):\n    return llm.complete("Hi").text\n'
    assert module("declared_again", code.format(5)).answer(llm) == "Hello!"
    assert module("declared_again", code.format(6)).answer(llm) == "Hello!"


def test_what_a_function_declared_is_forgotten_with_it(tmp_path):
    async def answer(request):  # a FakeProvider remembers its requests, with who paid for them
        return Response.of([Chunk("Hello!", finish_reason="stop")], runtime=request.runtime)

    llm = Client(providers={"f": answer}, models={"a": "f:m"}, cache=False, ledger=tmp_path / "ledger.db")

    def declare(calls):
        class Service:  # a class is in a cycle: it is there until the collector finds it
            @budgeted(calls=calls, name="declared-for-a-while")
            def answer(self):
                return llm.complete("Hi").text

        return Service()

    def declare_elsewhere(calls):
        @budgeted(calls=calls, name="declared-for-a-while")
        def answer():
            return llm.complete("Hi").text

        return answer

    gc.collect()
    gc.disable()
    try:
        assert declare(5).answer() == "Hello!"
        assert declare_elsewhere(6)() == "Hello!"
    finally:
        gc.enable()
        llm.close()


def test_the_same_limit_another_unit_another_period_and_limits_on_each_call_are_no_contradiction():
    shared = Budget(usd="5", name="declared-well")
    for given in (
        shared,
        Budget(usd="5.00", name="declared-well"),
        Budget(calls=10, name="declared-well"),
        Budget(usd="1", per="day", name="declared-well"),
        Budget(usd="1", per=timedelta(hours=1), name="declared-well"),
        Budget(usd="0.01", per="call", name="declared-well"),
        Budget(usd="0.02", per="call", name="declared-well"),
    ):
        function = lambda: None  # noqa: E731 - each has a name of its own
        function.__qualname__ = f"function_{given!r}"
        budgeted(given)(function)


def test_a_larger_budget_that_is_meant_in_two_ways_is_refused():
    @budgeted(calls=1, name="declared-small", within=Budget(calls=10, name="declared-large"))
    def one():
        pass

    with pytest.raises(ConfigurationError, match=r"declared-large has two limits per month: 10 calls"):

        @budgeted(calls=1, name="declared-small", within=Budget(calls=11, name="declared-large"))
        def two():
            pass


def test_a_client_is_told_of_two_limits_when_it_is_made_or_on_the_first_call_that_says_the_second(tmp_path, llm):
    with pytest.raises(ConfigurationError, match="has two limits in total: 5 calls, and 6 calls"):
        make_client(tmp_path / "other.db", budget=[Budget(calls=n, per="total", name="n") for n in (5, 6)])
    with make_client(tmp_path / "third.db", budget=Budget(calls=5, name="n")) as other:
        other.complete("Hi", budget=Budget(calls=5, name="n"))
        with pytest.raises(ConfigurationError, match="two limits"):
            other.complete("Hi", budget=Budget(calls=4, name="n"))
        with pytest.raises(ConfigurationError, match="two limits"), budget(calls=6, name="n"):
            other.complete("Hi")

        @budgeted(calls=7, name="n")
        def function():
            return other.complete("Hi")

        with pytest.raises(ConfigurationError, match=r"5 calls, and 7 calls on test_a_client_is_told"):
            function()
    assert llm.complete("Hi", budget=Budget(calls=4, name="n")).text == "Hello!"  # another ledger, another account


def test_blocks_without_a_name_are_accounts_of_their_own(llm):
    for calls in range(1, 5):
        with budget(calls=calls):
            assert llm.complete("Hi").text == "Hello!"


def test_names_that_come_from_users_do_not_fill_the_memory():
    known = KnownLimits()
    for number in range(3000):
        known.check(Budget(calls=5, name=f"user-{number}"))
    assert len(known.latest) <= 1024
    with pytest.raises(ConfigurationError, match="two limits"):
        known.check(Budget(calls=6, name="user-2999"))


def test_a_budget_that_goes_by_its_functions_name_says_so_once(caplog):
    def declare(**fields):
        @budgeted(**fields)
        def answer():
            pass

        return answer

    caplog.set_level(logging.INFO, "inferkit")
    for _ in range(2):
        function = declare(usd="5")
        assert caplog.messages == [] or len(caplog.messages) == 1
        function()
        function()
    (told,) = caplog.records
    assert told.levelno == logging.WARNING
    assert "renamed or moved, it starts anew" in told.message
    assert f"{__name__}.test_a_budget_that_goes_by_its_functions_name_says_so_once.<locals>.declare" in told.message


def test_a_budget_with_a_name_and_one_for_each_call_say_nothing(caplog):
    caplog.set_level(logging.INFO, "inferkit")

    @budgeted(usd="5", name="declared-by-name")
    def named():
        pass

    @budgeted(usd="5", per="call")
    def each_call():
        pass

    named()
    each_call()
    assert caplog.messages == []
