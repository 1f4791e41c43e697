"""What a decorated function does is charged to its budget, and nothing else is."""

import asyncio
import contextvars
import functools
import gc
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio
import trio.lowlevel

from inferkit.budgets.arguments import BudgetFields
from inferkit.budgets.budget import Budget
from inferkit.budgets.context import current_scopes
from inferkit.budgets.decorator import budgeted
from inferkit.core.errors import ConfigurationError


def accounts():
    return [scope.account for scope in current_scopes()]


FREE = Budget(usd="5.00", name="free")


@budgeted(FREE, key="user")
def plain(user, *, question="?"):
    return accounts()


@budgeted(FREE, key="user")
async def asynchronous(question, user="nobody"):
    await asyncio.sleep(0)
    return accounts()


@budgeted(FREE, key="user")
def generator(user):
    """Yield who pays."""
    received = yield accounts()
    while True:
        received = yield (received, accounts())


@budgeted(FREE, key="user")
async def async_generator(user):
    received = yield accounts()
    while True:
        await asyncio.sleep(0)
        received = yield (received, accounts())


def test_a_function_is_charged_while_it_runs():
    assert plain("alice") == ["free:alice"]
    assert plain(user="bob", question="why") == ["free:bob"]
    assert accounts() == []


def test_a_coroutine_is_charged_while_it_runs():
    async def main():
        both = await asyncio.gather(asynchronous("a", "alice"), asynchronous("b", user="bob"), asynchronous("c"))
        return both, accounts()

    assert asyncio.run(main()) == ([["free:alice"], ["free:bob"], ["free:nobody"]], [])
    assert trio.run(main_on_trio) == ["free:alice"]


async def main_on_trio():
    @budgeted(FREE, key="user")
    async def inside(user):
        await trio.lowlevel.checkpoint()
        return accounts()

    return await inside("alice")


def test_an_error_leaves_nobody_charged():
    @budgeted(FREE)
    def fail():
        raise KeyError(*accounts())

    with pytest.raises(KeyError, match="free"):
        fail()
    assert accounts() == []


def test_a_generator_is_charged_in_its_steps_and_its_reader_is_not():
    steps = generator("alice")
    assert next(steps) == ["free:alice"]
    assert accounts() == []
    assert steps.send("hello") == ("hello", ["free:alice"])
    other = generator("bob")
    assert next(other) == ["free:bob"]
    assert next(steps) == (None, ["free:alice"])
    assert accounts() == []
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_an_async_generator_is_charged_in_its_steps_and_its_reader_is_not():
    async def main():
        steps = async_generator("alice")
        assert await anext(steps) == ["free:alice"]
        assert accounts() == []
        assert await steps.asend("hello") == ("hello", ["free:alice"])
        with pytest.raises(ZeroDivisionError):
            await steps.athrow(ZeroDivisionError("x"))
        async for first in async_generator("bob"):
            assert (first, accounts()) == (["free:bob"], [])
            break
        return accounts()

    assert asyncio.run(main()) == []


def cleaning(seen):
    @budgeted(FREE, key="user")
    def steps(user):
        try:
            while True:
                yield
        finally:
            seen.append(accounts())

    return steps


@pytest.mark.parametrize("ending", ["close", "throw", "drop", "break"])
def test_the_cleanup_of_a_generator_is_charged_to_it(ending):
    seen = []
    steps = cleaning(seen)("alice")
    next(steps)
    if ending == "close":
        steps.close()
    elif ending == "throw":
        with pytest.raises(KeyError):
            steps.throw(KeyError("x"))
    elif ending == "break":
        for _ in steps:
            break
        steps.close()
    del steps
    gc.collect()
    assert seen == [["free:alice"]]
    assert accounts() == []


@pytest.mark.parametrize("ending", ["aclose", "drop", "other task"])
def test_the_cleanup_of_an_async_generator_is_charged_to_it(ending):
    seen = []

    @budgeted(FREE, key="user")
    async def steps_of(user):
        try:
            while True:
                yield
        finally:
            await asyncio.sleep(0)
            seen.append(accounts())
            cleaned.set()

    cleaned = asyncio.Event()

    async def main():
        steps = steps_of("alice")
        await anext(steps)
        if ending == "aclose":
            await steps.aclose()
        elif ending == "other task":
            await asyncio.create_task(steps.aclose())
        else:
            del steps
            gc.collect()
            await cleaned.wait()  # the loop runs the cleanup in a task of its own
        assert accounts() == []

    asyncio.run(asyncio.wait_for(main(), 10))
    assert seen == [["free:alice"]]


def test_generators_that_were_never_started_leave_nothing_behind():
    generator("alice")
    async_generator("alice")
    gc.collect()
    assert accounts() == []


def test_a_coroutine_that_is_dropped_in_the_middle_leaves_nothing_behind():
    async def main():
        coroutine = asynchronous("a", "alice")
        contextvars.copy_context().run(coroutine.send, None)
        coroutine.close()  # in another context than the one it began in
        return accounts()

    assert asyncio.run(main()) == []


def test_nested_functions_all_pay():
    team = Budget(calls=10, name="team")

    @budgeted(team)
    def outer():
        return plain("alice"), next(generator("bob")), accounts()

    assert outer() == (["team", "free:alice"], ["team", "free:bob"], ["team"])


def test_a_generator_is_paid_for_by_those_who_called_it():
    @budgeted(calls=10, name="team")
    def make():
        return generator("alice")

    assert next(make()) == ["team", "free:alice"]


def test_tasks_and_threads_of_a_function_are_charged():
    @budgeted(FREE, key="user")
    async def outer(user):
        async def child():
            return accounts()

        return await asyncio.create_task(child()), await asyncio.to_thread(accounts)

    assert asyncio.run(outer("alice")) == (["free:alice"], ["free:alice"])

    @budgeted(FREE, key="user")
    def in_threads(user):
        with ThreadPoolExecutor(1) as pool:
            bare = pool.submit(accounts).result()
            return bare, pool.submit(contextvars.copy_context().run, accounts).result()

    assert in_threads("alice") == (["free:alice"], ["free:alice"])


def test_threads_do_not_see_each_other():
    barrier = threading.Barrier(8)

    @budgeted(FREE, key="user")
    def wait(user):
        barrier.wait(10)
        return accounts()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(wait, "abcdefgh")) == [[f"free:{letter}"] for letter in "abcdefgh"]


class Service:
    @budgeted(FREE, key="user")
    def method(self, user):
        return accounts()

    @staticmethod
    @budgeted(FREE, key="user")
    def static(user):
        return accounts()

    @classmethod
    @budgeted(FREE, key=lambda cls, user: f"{cls.__name__}/{user['id']}")
    def of_class(cls, user):
        return accounts()


def test_methods_are_charged():
    assert Service().method("alice") == ["free:alice"]
    assert Service.static("alice") == ["free:alice"]
    assert Service.of_class({"id": 7}) == ["free:Service/7"]


def test_a_budget_without_a_name_is_the_functions_own():
    shared = Budget(calls=5)

    @budgeted(shared)
    def one():
        return accounts()

    @budgeted(shared)
    def two():
        return accounts()

    assert one() != two()
    assert one() == [f"{__name__}.test_a_budget_without_a_name_is_the_functions_own.<locals>.one"]


def test_the_function_keeps_its_face():
    assert generator.__doc__ == "Yield who pays."
    assert list(inspect.signature(plain).parameters) == ["user", "question"]
    assert inspect.iscoroutinefunction(asynchronous)


@pytest.mark.parametrize("key", ["nobody", "args", "kwargs"])
def test_a_key_that_names_no_argument_is_refused_at_decoration(key):
    def function(user, *args, **kwargs):
        pass

    with pytest.raises(ConfigurationError, match="it has: user, args, kwargs"):
        budgeted(FREE, key=key)(function)


@pytest.mark.parametrize("value", [None, ""])
def test_a_call_without_a_key_is_refused(value):
    with pytest.raises(ConfigurationError, match="anonymous"):
        plain(value)
    with pytest.raises(ConfigurationError, match="its callable"):
        budgeted(FREE, key=lambda: value)(lambda: None)()


def test_a_wrong_call_fails_as_it_would_without_a_budget():
    with pytest.raises(TypeError, match="user"):
        plain()
    with pytest.raises(TypeError, match="user"):
        generator()


def test_decorating_the_wrong_thing_is_refused():
    with pytest.raises(ConfigurationError, match="takes a Budget or its fields: @budgeted"):
        budgeted(plain)
    with pytest.raises(ConfigurationError, match="not both"):
        budgeted(FREE, usd="5")
    for thing in (staticmethod(plain), classmethod(plain), Service, "text"):
        with pytest.raises(ConfigurationError, match="right above its def"):
            budgeted(FREE)(thing)
    with pytest.raises(ConfigurationError, match="name"):
        budgeted(calls=5)(functools.partial(plain, "alice"))
    with pytest.raises(ConfigurationError, match="needs a limit"):
        budgeted(per="day")


def test_a_function_and_a_block_take_every_field_of_a_budget():
    assert BudgetFields.__annotations__.keys() == Budget.__dataclass_fields__.keys()
