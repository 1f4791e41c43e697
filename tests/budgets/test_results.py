"""What a function with a budget returns, and does its work later, is charged to the budget, and its reader is not."""

import asyncio
import collections.abc
import contextlib
import copy
import gc
import inspect
import io
import itertools
import pickle
import threading
import types
import weakref
from decimal import Decimal

import anyio
import anyio.lowlevel
import pytest

from inferkit import AsyncClient, Budget, BudgetExceeded, Client, Price, budget, budgeted
from inferkit.budgets.context import current_scopes
from inferkit.testing import FakeProvider
from worlds import on_a_loop

FREE = Budget(usd="5.00", name="free")
PAYS = ["free"]


def accounts():
    return [scope.account for scope in current_scopes()]


def give_accounts(_):
    return accounts()


def steps(n=2):
    for _ in range(n):
        yield accounts()


async def async_steps(n=2):
    for _ in range(n):
        await anyio.lowlevel.checkpoint()
        yield accounts()


async def answer():
    await anyio.lowlevel.checkpoint()
    return accounts()


class Steps:
    """An iterator of one's own, with more to it."""

    def __init__(self):
        self.left = 2
        self.closed = self.label = None

    def __iter__(self):
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        self.left -= 1
        return accounts()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __len__(self):
        return self.left

    @property
    def rest(self):
        return steps(self.left)

    def whole(self):
        return list(self)

    def close(self):
        self.closed = accounts()


class AsyncSteps:
    def __init__(self):
        self.left = 2
        self.closed = None

    def __aiter__(self):
        return self

    async def __anext__(self):
        await anyio.lowlevel.checkpoint()
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return accounts()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.closed = accounts()


class Question:
    """An awaitable of one's own."""

    def __await__(self):
        return answer().__await__()


@types.coroutine
def old_coroutine():
    yield from answer().__await__()
    return accounts()


ITERATORS = {
    "generator": steps,
    "generator expression": lambda: (accounts() for _ in range(2)),
    "map": lambda: map(give_accounts, range(2)),
    "filter": lambda: filter(None, steps()),
    "chain": lambda: itertools.chain(steps(1), steps(1)),
    "islice": lambda: itertools.islice(steps(5), 2),
    "sentinel": lambda: iter(Steps().__next__, []),
    "own": Steps,
}


@pytest.mark.parametrize("make", ITERATORS.values(), ids=ITERATORS)
def test_an_iterator_that_is_returned_is_charged_in_its_steps_and_its_reader_is_not(make):
    @budgeted(FREE)
    def function():
        return make()

    read = function()
    assert iter(read) is read
    for _ in range(2):
        assert next(read) == PAYS
        assert accounts() == []
    assert list(read) == []


@on_a_loop
@pytest.mark.parametrize("make", [async_steps, lambda: (x async for x in async_steps()), AsyncSteps])
@pytest.mark.parametrize("is_async", [False, True])
def test_an_async_iterator_that_is_returned_is_charged_in_its_steps_and_its_reader_is_not(run, make, is_async):
    @budgeted(FREE)
    def function():
        return make()

    @budgeted(FREE)
    async def async_function():
        await anyio.lowlevel.checkpoint()
        return make()

    async def main(_):
        read = await async_function() if is_async else function()
        assert aiter(read) is read
        assert not hasattr(read, "__next__")
        return [(who, accounts()) async for who in read]

    assert run(main) == [(PAYS, []), (PAYS, [])]


@on_a_loop
@pytest.mark.parametrize("make", [answer, Question, old_coroutine])
def test_an_awaitable_that_is_returned_is_charged_until_it_is_done(run, make):
    @budgeted(FREE)
    def function():
        return make()

    @budgeted(FREE)
    async def async_function():
        return make()

    async def main(_):
        waiting = function()
        await anyio.lowlevel.checkpoint()
        assert inspect.isawaitable(waiting)
        assert accounts() == []
        return await waiting, await (await async_function()), accounts()

    assert run(main) == (PAYS, PAYS, [])


def test_a_coroutine_that_is_returned_may_become_a_task_and_is_one_to_those_who_ask():
    @budgeted(FREE)
    def function():
        return answer()

    async def main():
        one = function()
        assert inspect.iscoroutine(one)
        assert one.__qualname__ == "answer"
        return await asyncio.gather(asyncio.create_task(one), *(function() for _ in range(3)))

    assert asyncio.run(main()) == [PAYS] * 4


@on_a_loop
def test_what_an_awaitable_gives_is_charged_too(run):
    async def begin():
        return steps()

    @budgeted(FREE)
    def function():
        return begin()

    async def main(_):
        return list(await function())

    assert run(main) == [PAYS, PAYS]


def test_what_is_returned_is_of_the_kind_that_it_was():
    @budgeted(FREE)
    def give(thing):
        return thing

    assert inspect.isgenerator(give(steps()))
    assert give(steps()).__name__ == "steps"
    assert inspect.isasyncgen(give(async_steps()))
    mapped = give(map(str, "ab"))
    assert isinstance(mapped, map)
    assert isinstance(mapped, collections.abc.Iterator)
    own = give(Steps())
    assert isinstance(own, Steps)
    assert len(own) == 2
    assert "Steps object" in repr(own)
    assert not hasattr(mapped, "__len__")
    with pytest.raises(AttributeError):
        own.nothing  # noqa: B018
    own.label = "mine"
    assert own.label == "mine"
    del own.label
    assert not hasattr(own, "label")


def test_what_is_no_work_of_ones_own_is_returned_as_it_is(tmp_path):
    @budgeted(FREE)
    def give(thing):
        return thing

    path = tmp_path / "file"
    path.write_text("text")
    with path.open() as file:
        for thing in (None, "text", 7, ["a"], ("a", 1), {"a": 1}, {1}, file, io.BytesIO(b"x"), object(), Steps, steps):
            assert give(thing) is thing


def test_everything_that_an_iterator_of_ones_own_does_is_charged():
    @budgeted(FREE)
    def function():
        return Steps()

    with function() as read:
        assert next(read) == PAYS
        assert list(read.rest) == [PAYS]
        assert read.whole() == [PAYS]
    assert read.closed == PAYS
    assert accounts() == []


@on_a_loop
def test_everything_that_an_async_iterator_of_ones_own_does_is_charged(run):
    @budgeted(FREE)
    def function():
        return AsyncSteps()

    async def main(_):
        async with function() as read:
            assert await anext(read) == PAYS
            assert accounts() == []
        return read.closed

    assert run(main) == PAYS


@pytest.mark.parametrize("again", [copy.copy, pickle.dumps])
def test_a_copy_that_nobody_would_pay_for_is_refused(again):
    @budgeted(FREE)
    def function():
        return Steps()

    with pytest.raises(TypeError, match="paid for by nobody"):
        again(function())


@pytest.mark.parametrize("kind", [tuple, list])
def test_a_collection_of_what_is_done_later_carries_the_budget(kind):
    given = kind([steps(), 200, {"content-type": "text/plain"}])

    @budgeted(FREE)
    def function():
        return given

    body, status, headers = found = function()
    assert type(found) is kind
    assert (list(body), status, headers) == ([PAYS, PAYS], *given[1:])


def test_a_batch_of_coroutines_is_charged():
    @budgeted(FREE)
    def one_by_one():
        return [answer() for _ in range(3)]

    @budgeted(FREE)
    def by_name():
        return {name: answer() for name in "ab"}

    async def main():
        named = by_name()
        assert list(named) == ["a", "b"]
        return await asyncio.gather(*one_by_one(), *named.values())

    assert asyncio.run(main()) == [PAYS] * 5


def test_each_reader_of_a_generator_sends_throws_and_closes_as_before():
    seen = []

    def talk():
        try:
            while True:
                try:
                    seen.append((yield accounts()))
                except KeyError as error:
                    seen.append((error.args, accounts()))
        finally:
            seen.append(accounts())

    @budgeted(FREE)
    def function():
        return talk()

    talking = function()
    with pytest.raises(TypeError, match="just-started"):
        talking.send("too early")
    talking = function()
    next(talking)
    assert talking.send("hello") == PAYS
    assert talking.throw(KeyError("k")) == PAYS
    talking.close()
    assert seen == ["hello", (("k",), PAYS), PAYS]
    with pytest.raises(StopIteration):
        next(talking)


def test_what_a_generator_returns_is_what_it_returned():
    def talk():
        yield
        return "the end"

    @budgeted(FREE)
    def function():
        return talk()

    talking = function()
    next(talking)
    with pytest.raises(StopIteration) as end:
        next(talking)
    assert end.value.value == "the end"


def test_an_error_of_a_generator_keeps_nothing_alive():
    class Held:
        pass

    def fail(held):
        yield
        raise KeyError(held)

    @budgeted(FREE)
    def function(held):
        return fail(held)

    gc.collect()
    gc.disable()
    try:
        held = Held()
        alive = weakref.ref(held)
        failing = function(held)
        next(failing)
        with contextlib.suppress(KeyError):
            failing.throw(KeyError("x"))
        del failing, held
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("ending", ["close", "drop", "break"])
def test_the_cleanup_of_a_generator_that_is_returned_is_charged(ending, begun):
    seen = []

    def talk():
        try:
            while True:
                yield
        finally:
            seen.append(accounts())

    @budgeted(FREE)
    def function():
        talking = talk()
        if begun:
            next(talking)
        return talking

    talking = function()
    if not begun:
        next(talking)
    if ending == "close":
        talking.close()
    elif ending == "break":
        for _ in talking:
            break
    del talking
    gc.collect()
    assert seen == [PAYS]
    assert accounts() == []


def in_a_cycle(thing):
    """Leave a thing in a cycle of garbage."""
    ring = [thing]
    ring.append(ring)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("kind", ["one", "many"])
def test_the_cleanup_of_a_generator_that_the_garbage_collector_finds_is_charged(begun, kind):
    seen = []

    def talk():
        try:
            while True:
                yield
        finally:
            seen.append(accounts())

    @budgeted(FREE)
    def function():
        talking = [talk() for _ in range(1 if kind == "one" else 3)]
        for each in talking if begun else ():
            next(each)
        return talking[0] if kind == "one" else talking

    gc.collect()
    given = function()
    for each in [given] if kind == "one" else given:
        next(each)
    in_a_cycle(given)
    del given, each
    gc.collect()
    assert seen == [PAYS] * (1 if kind == "one" else 3)
    assert accounts() == []


def test_the_cleanup_of_an_async_generator_that_the_garbage_collector_finds_is_charged():
    seen = []

    async def talk():
        try:
            while True:
                yield
        finally:
            await asyncio.sleep(0)
            seen.append(accounts())
            cleaned.set()

    cleaned = asyncio.Event()

    @budgeted(FREE)
    def function():
        return talk()

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
        talking = function()
        await anext(talking)
        in_a_cycle(talking)
        del talking
        gc.collect()
        await cleaned.wait()
        assert accounts() == []

    asyncio.run(asyncio.wait_for(main(), 10))
    gc.collect()
    assert seen == [PAYS]


@on_a_loop
@pytest.mark.parametrize("ending", ["aclose", "athrow", "other task", "end of the loop"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # trio wants such generators closed
def test_the_cleanup_of_an_async_generator_that_is_returned_is_charged(run, ending):
    seen = []
    kept = []

    async def talk():
        try:
            while True:
                yield
        finally:
            if ending != "end of the loop":  # where trio lets nobody wait
                await anyio.lowlevel.checkpoint()
            seen.append(accounts())

    @budgeted(FREE)
    def function():
        return talk()

    async def main(_):
        talking = function()
        await anext(talking)
        if ending == "aclose":
            await talking.aclose()
        elif ending == "athrow":
            with pytest.raises(KeyError):
                await talking.athrow(KeyError("k"))
        elif ending == "other task":
            async with anyio.create_task_group() as group:
                group.start_soon(talking.aclose)
        else:
            kept.append(talking)  # which its event loop closes when it ends
        return accounts()

    assert run(main) == []
    assert seen == [PAYS]


def test_a_generator_is_read_by_many_threads_one_after_the_other():
    @budgeted(FREE)
    def function():
        return steps(4)

    read, found = function(), []
    for _ in range(4):
        thread = threading.Thread(target=lambda: found.append((next(read), accounts())))
        thread.start()
        thread.join(10)
    assert found == [(PAYS, [])] * 4


def test_what_is_returned_through_several_functions_is_paid_for_by_all_of_them_once():
    @budgeted(FREE, key="user")
    def inner(user):
        return steps()

    @budgeted(calls=5, name="team")
    def outer():
        return inner("ana")

    assert list(outer()) == [["team", "free:ana"]] * 2
    for kind in (map, Steps):

        @budgeted(FREE)
        def own(kind=kind):
            return kind(give_accounts, range(2)) if kind is map else kind()

        @budgeted(calls=5, name="team")
        def around(own=own):
            return own()

        assert list(around()) == [["team", "free"]] * 2


@on_a_loop
def test_async_kinds_that_are_returned_through_several_functions_are_paid_for_by_all(run):
    @budgeted(calls=5, name="team")
    def outer(function):
        return function()

    async def main(_):
        results = [who async for who in outer(budgeted(FREE)(async_steps))]
        return results, await outer(budgeted(FREE)(answer))

    both = ["team", "free"]
    assert run(main) == ([both, both], both)


def test_a_block_that_a_generator_is_in_the_middle_of_is_put_back_with_its_next_step():
    def talk():
        with budget(calls=5, name="b"):
            yield accounts()
            yield accounts()
        yield accounts()

    @budgeted(FREE)
    def function():
        talking = talk()
        next(talking)
        return talking

    talking = function()
    assert accounts() == []
    assert [next(talking), accounts(), next(talking), accounts()] == [["free", "b"], [], ["free"], []]


def test_what_only_was_made_in_a_block_is_not_charged_to_it():
    @budgeted(FREE)
    def function():
        with budget(calls=5, name="b"):
            return steps()

    assert list(function()) == [PAYS, PAYS]


def test_a_coroutine_that_nobody_awaits_is_warned_of_under_its_own_name():
    @budgeted(FREE)
    def function():
        return answer()

    with pytest.warns(RuntimeWarning, match="coroutine 'answer' was never awaited") as warned:  # noqa: PT031
        function()
        gc.collect()
    assert len(warned) == 1


@on_a_loop
def test_entering_and_leaving_a_context_manager_is_charged_and_the_block_inside_is_not(run):
    seen = []

    @budgeted(FREE)
    @contextlib.contextmanager
    def session():
        yield accounts()
        seen.append(accounts())

    @budgeted(FREE)
    @contextlib.asynccontextmanager
    async def async_session():
        await anyio.lowlevel.checkpoint()
        yield accounts()
        seen.append(accounts())

    async def main(_):
        with session() as before, pytest.raises(KeyError):
            assert (before, accounts()) == (PAYS, [])
            raise KeyError
        async with async_session() as before:
            assert (before, accounts()) == (PAYS, [])

    run(main)
    assert seen == [PAYS, PAYS]


@pytest.fixture
def settings(tmp_path):
    return {
        "providers": {"f": FakeProvider(["Hel", "lo!"])},
        "models": {"a": "f:m"},
        "prices": {"f:m": Price(input="1", output="1")},
        "cache": False,
        "ledger": tmp_path / "ledger.db",
    }


TWO = Budget(calls=2, per="total", name="two")


@pytest.mark.parametrize("kind", ["generator", "expression", "map", "stream"])
def test_calls_that_are_made_later_are_paid_for_and_refused(settings, kind):
    with Client(**settings) as llm:

        def inner():
            for number in range(3):
                yield llm.complete(f"Question {number}").text

        @budgeted(TWO)
        def function():
            if kind == "generator":
                return inner()
            if kind == "expression":
                return (llm.complete(f"Question {number}").text for number in range(3))
            if kind == "map":
                return map(llm.complete, ["One", "Two", "Three"])
            return [llm.stream(f"Question {number}") for number in range(3)]

        answers = function()
        llm.complete("not of the function")
        if kind == "stream":
            assert isinstance(answers[0], type(llm.stream("?")))
            answers = ("".join(chunk.text for chunk in stream) for stream in answers)
        elif kind == "map":
            answers = (reply.text for reply in answers)
        assert [next(answers), next(answers)] == ["Hello!"] * 2
        with pytest.raises(BudgetExceeded, match="two"):
            next(answers)
        assert TWO.usage(ledger=llm.ledger).calls == 2
        assert TWO.usage(ledger=llm.ledger).held_usd == Decimal(0)


@on_a_loop
def test_a_stream_that_is_left_early_is_settled_to_the_budget_once(run, settings):
    async def main(_):
        async with AsyncClient(**settings) as llm:

            async def inner():
                async with llm.stream("Hi") as reply:
                    async for chunk in reply:
                        yield chunk.text

            @budgeted(TWO)
            async def function():
                return inner()

            read = await function()
            assert await anext(read) == "Hel"
            await read.aclose()
            return TWO.usage(ledger=llm.ledger), len(list(llm.ledger.entries()))

    spent, entries = run(main)
    assert (spent.calls, spent.held_calls, entries) == (1, 0, 1)
