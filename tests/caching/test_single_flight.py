"""One key, many callers: on event loops with tasks, without one with threads."""

import contextlib
import gc
import threading
import weakref
from decimal import Decimal

import anyio
import pytest

from caching.replies import (
    REPLY,
    SECONDS,
    ask,
    text_of,
)
from inferkit.caching.single_flight import Flights
from inferkit.core.chunks import Chunk
from inferkit.core.errors import (
    BudgetExceeded,
    ConfigurationError,
    DeadlineExceeded,
    RateLimited,
    StreamError,
    StreamInterrupted,
)
from inferkit.core.response import Response
from inferkit.runtime import writer
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import AsyncRuntime
from worlds import Gate, Watched, on_a_loop, run_in

KEY = b"k"


class WatchedRuntime(DirectRuntime):
    """Says when a thread is about to wait for a lock: `asked` counts up once for every attempt."""

    def __init__(self):
        self.asked = threading.Semaphore(0)

    def lock(self):
        return _WatchedLock(super().lock(), self.asked)

    def wait_for_attempts(self, count):
        for _ in range(count):
            assert self.asked.acquire(timeout=SECONDS)


class _WatchedLock:
    def __init__(self, lock, asked):
        self._lock = lock
        self._asked = asked

    def acquire_nowait(self):
        return False  # so that every attempt is one that waits

    async def acquire(self, deadline=None):
        self._asked.release()
        await self._lock.acquire(deadline)

    def release(self):
        self._lock.release()


class Threads:
    """Runs coroutines in threads, and gives their results or errors."""

    def __init__(self):
        self._threads = []
        self._results = {}

    def start(self, name, coroutine):
        def work():
            try:
                self._results[name] = drive(coroutine)
            except BaseException as error:
                self._results[name] = error

        self._threads.append(threading.Thread(target=work, name=name))
        self._threads[-1].start()

    def join(self):
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive(), f"{thread.name} hangs"
        return self._results


class Body:
    """A reply that waits at a gate before some of its chunks, and opens its gates when it is closed, as a socket does.

    An exception among its chunks is raised in its turn.
    """

    def __init__(self, chunks=REPLY, gates=None):
        self.closed = 0
        self._chunks = enumerate(chunks)
        self._gates = gates or {}

    async def __anext__(self):
        for place, chunk in self._chunks:
            if place in self._gates:
                await self._gates[place]()
            if isinstance(chunk, BaseException):
                raise chunk
            return chunk
        raise StopAsyncIteration

    async def aclose(self):
        self.closed += 1
        for gate in self._gates.values():
            gate.open()


class Lead:
    """What a call would do by itself: `opening` and `body` say how."""

    def __init__(self, request, body=None, *, error=None, gate=None, on_close=None):
        self.request = request
        self.calls = 0
        self._body = body
        self._error = error
        self._gate = gate
        self._on_close = on_close

    async def __call__(self):
        self.calls += 1
        if self._gate is not None:
            await self._gate()
        if self._error is not None:
            raise self._error
        return Response(self._body or Body(), runtime=self.request.runtime, on_close=self._on_close, model="m", id="i")


async def join(flights, request, lead):
    response, leader = await flights.join(KEY, request, lead)
    return response, leader


async def join_and_read(flights, request, lead):
    response, leader = await flights.join(KEY, request, lead)
    return text_of(await response.read()), leader


# one after the other, everywhere


def test_two_identical_calls_share_one_stream(run):
    async def scenario(runtime):
        flights, body = Flights(), Body()
        first, second = ask(runtime), ask(runtime)
        one, leader = await join(flights, first, Lead(first, body))
        assert leader is None
        other, leader = await join(flights, second, Lead(second))
        assert leader is first.record
        assert (other.model, other.id) == ("m", "i")
        assert (await anext(one)).text == "Hel"
        assert text_of(await other.read()) == "Hello"
        assert text_of(await one.read()) == "lo"
        assert body.closed == 1
        assert len(flights) == 0

    run(scenario)


def test_every_reader_gets_every_chunk_whatever_the_order_of_reading(run):
    async def scenario(runtime):
        flights = Flights()
        readers = []
        for _ in range(3):
            request = ask(runtime)
            readers.append((await join(flights, request, Lead(request)))[0])
        heard = [[], [], []]
        for turn in (2, 0, 0, 1, 2, 2, 0, 1, 1):
            heard[turn].append(await anext(readers[turn]))
        assert heard == [list(REPLY)] * 3
        for reader in readers:
            assert await reader.read() == []

    run(scenario)


def test_a_leader_that_leaves_early_is_only_one_reader_leaving(run):
    async def scenario(runtime):
        flights, ends = Flights(), []
        first, second = ask(runtime), ask(runtime)
        one, _ = await join(flights, first, Lead(first, on_close=ends.append))
        other, _ = await join(flights, second, Lead(second))
        await anext(one)
        await one.aclose()
        assert ends == []
        assert text_of(await other.read()) == "Hello"
        assert [end.outcome for end in ends] == ["completed"]

    run(scenario)


def test_the_stream_is_closed_when_the_last_reader_leaves(run):
    async def scenario(runtime):
        flights, ends, body = Flights(), [], Body()
        first, second = ask(runtime), ask(runtime)
        one, _ = await join(flights, first, Lead(first, body, on_close=ends.append))
        other, _ = await join(flights, second, Lead(second))
        await one.aclose()
        await one.aclose()
        assert (len(flights), body.closed) == (1, 0)
        await other.aclose()
        assert (len(flights), body.closed) == (0, 1)
        assert [end.outcome for end in ends] == ["closed"]

    run(scenario)


def test_a_new_call_after_the_last_one_left_opens_a_stream_of_its_own(run):
    async def scenario(runtime):
        flights = Flights()
        first, second = ask(runtime), ask(runtime)
        one, _ = await join(flights, first, Lead(first))
        await anext(one)
        await one.aclose()
        lead = Lead(second)
        assert await join_and_read(flights, second, lead) == ("Hello", None)
        assert lead.calls == 1

    run(scenario)


def test_an_error_in_the_stream_reaches_every_reader_after_the_chunks_before_it(run):
    async def scenario(runtime):
        flights = Flights()
        broken = StreamInterrupted("cut", provider="openai", partial="Hel")
        first, second = ask(runtime), ask(runtime)
        one, _ = await join(flights, first, Lead(first, Body([REPLY[0], broken])))
        other, _ = await join(flights, second, Lead(second))
        errors = []
        for reader in (one, other):
            assert (await anext(reader)).text == "Hel"
            with pytest.raises(StreamInterrupted) as caught:
                await anext(reader)
            errors.append(caught.value)
        assert errors[0] is broken
        assert errors[1] is not broken
        assert (errors[1].partial, errors[1].provider, errors[1].args) == ("Hel", "openai", ("cut",))
        assert len(flights) == 0

    run(scenario)


def test_a_failed_opening_leaves_nothing_behind(run):
    async def scenario(runtime):
        flights = Flights()
        for error in (RateLimited("slow down", provider="openai"), ConfigurationError("no")):
            request = ask(runtime)
            with pytest.raises(type(error)) as caught:
                await join(flights, request, Lead(request, error=error))
            assert caught.value is error
            assert len(flights) == 0

    run(scenario)


def test_a_reply_clamped_by_a_budget_is_not_shared(run):
    async def scenario(runtime):
        flights = Flights()
        first, second = ask(runtime), ask(runtime)
        first.record.clamped = True
        one, leader = await join(flights, first, Lead(first))
        assert leader is None
        lead = Lead(second)
        other, leader = await join(flights, second, lead)
        assert (leader, lead.calls) == (None, 1)
        assert text_of(await one.read()) == text_of(await other.read()) == "Hello"

    run(scenario)


def test_a_call_with_much_more_time_than_the_one_in_flight_makes_its_own(run):
    async def scenario(runtime):
        flights, now = Flights(), runtime.now()
        first = ask(runtime, deadline=now + 100)
        one, _ = await join(flights, first, Lead(first))
        for deadline, shared in [(now + 50, True), (now + 150, True), (now + 300, False), (None, False)]:
            request = ask(runtime, deadline=deadline)
            other, leader = await join(flights, request, Lead(request))
            assert (leader is first.record) == shared
            await other.aclose()
        await one.aclose()

    run(scenario)


def test_a_follower_keeps_its_own_deadline_and_the_leader_reads_on(run):
    async def scenario(runtime):
        flights, now = Flights(), runtime.now()
        first, second = ask(runtime), ask(runtime, deadline=now - 1)
        one, _ = await join(flights, first, Lead(first))
        with pytest.raises(DeadlineExceeded):
            await join_and_read(flights, second, Lead(second))
        assert text_of(await one.read()) == "Hello"

    run(scenario)


def test_a_dropped_reader_counts_as_having_left(run):
    async def scenario(runtime):
        flights, ends = Flights(), []
        first, second = ask(runtime), ask(runtime)
        one, _ = await join(flights, first, Lead(first, on_close=ends.append))
        other, _ = await join(flights, second, Lead(second))
        await anext(one)
        del one
        gc.collect()
        assert writer.endings.flush()
        assert (len(flights), ends) == (1, [])
        del other
        gc.collect()
        assert writer.endings.flush()
        assert len(flights) == 0
        assert [end.outcome for end in ends] == ["abandoned"]

    run(scenario)


def test_no_chunk_is_kept_after_the_last_reader(run):
    async def scenario(runtime):
        flights = Flights()
        request = ask(runtime)
        text = Watched("Hello")
        alive = weakref.ref(text)
        response, _ = await join(flights, request, Lead(request, Body([Chunk(text), *REPLY[2:]])))
        del text
        assert text_of(await response.read()) == "Hello"
        del request
        gc.collect()
        assert alive() is None

    run(scenario)


# at the same time, on an event loop


@on_a_loop
def test_followers_wait_for_the_opening_and_read_the_stream_as_it_comes(run):
    async def scenario(runtime):
        flights, opening, more = Flights(), Gate(), Gate()
        body, leads, heard = Body(gates={1: more}), [], {}

        async def caller(name):
            request = ask(runtime)
            lead = Lead(request, body, gate=opening)
            leads.append(lead)
            response, _ = await join(flights, request, lead)
            heard[name] = []
            async for chunk in response:
                heard[name].append(chunk)

        async with anyio.create_task_group() as tasks:
            for name in range(5):
                tasks.start_soon(caller, name)
            await anyio.wait_all_tasks_blocked()
            assert heard == {}
            opening.open()
            await anyio.wait_all_tasks_blocked()
            assert heard == {name: [REPLY[0]] for name in range(5)}
            more.open()
        assert heard == {name: list(REPLY) for name in range(5)}
        assert sum(lead.calls for lead in leads) == 1
        assert len(flights) == 0

    run(scenario)


@on_a_loop
def test_a_provider_error_at_the_opening_is_shared_by_those_who_waited(run):
    async def scenario(runtime):
        flights, opening = Flights(), Gate()
        leads, errors = [], []

        async def caller():
            request = ask(runtime)
            lead = Lead(request, error=RateLimited("slow down", provider="openai", retry_after=3), gate=opening)
            leads.append(lead)
            try:
                await join(flights, request, lead)
            except RateLimited as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(caller)
            await anyio.wait_all_tasks_blocked()
            opening.open()
        assert sum(lead.calls for lead in leads) == 1
        assert [error.retry_after for error in errors] == [3] * 4
        assert len({id(error) for error in errors}) == 4
        assert len(flights) == 0

    run(scenario)


@on_a_loop
@pytest.mark.parametrize(
    "error",
    [
        BudgetExceeded("alice is out of money", scope="alice", limit=Decimal(1), spent=Decimal(1)),
        DeadlineExceeded("too late"),
        ConfigurationError("no such thing"),
    ],
)
def test_after_a_failure_of_the_leaders_own_the_next_one_leads(run, error):
    async def scenario(runtime):
        flights, opening = Flights(), Gate()
        results = []

        async def caller(lead):
            try:
                results.append(await join_and_read(flights, lead.request, lead))
            except type(error) as caught:
                results.append(caught)

        first, *others = (ask(runtime) for _ in range(3))
        leads = [Lead(first, error=error, gate=opening), *[Lead(request) for request in others]]
        async with anyio.create_task_group() as tasks:
            for lead in leads:
                tasks.start_soon(caller, lead)
                await anyio.wait_all_tasks_blocked()
            opening.open()
        assert error in results
        assert sum(result == ("Hello", None) for result in results if result is not error) == 1
        assert [result[0] for result in results if result is not error] == ["Hello", "Hello"]
        assert sum(lead.calls for lead in leads) == 2

    run(scenario)


@on_a_loop
def test_a_leader_cancelled_at_the_opening_hands_over_to_the_next(run):
    async def scenario(runtime):
        flights, opening = Flights(), Gate()
        first, second = ask(runtime), ask(runtime)
        results = []

        async def leader():
            with scope:
                await join(flights, first, Lead(first, gate=opening))

        async def follower():
            results.append(await join_and_read(flights, second, Lead(second)))

        scope = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leader)
            await opening.reached.wait()
            tasks.start_soon(follower)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
        assert results == [("Hello", None)]
        assert len(flights) == 0

    run(scenario)


@on_a_loop
def test_a_reader_cancelled_while_it_pulls_breaks_nobody_elses_stream(run):
    async def scenario(runtime):
        flights, more, ends = Flights(), Gate(), []
        first, second = ask(runtime), ask(runtime)
        one, _ = await join(flights, first, Lead(first, Body(gates={1: more}), on_close=ends.append))
        other, _ = await join(flights, second, Lead(second))
        scope, heard = anyio.CancelScope(), []

        async def leader():
            with scope:
                await one.read()

        async def follower():
            heard.extend(await other.read())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leader)
            await more.reached.wait()
            tasks.start_soon(follower)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert heard == []
            more.open()
        assert heard == list(REPLY)
        assert [end.outcome for end in ends] == ["completed"]

    run(scenario)


@on_a_loop
def test_a_lone_reader_cancelled_while_it_pulls_ends_the_stream_and_the_next_starts_anew(run):
    async def scenario(runtime):
        flights, more, ends = Flights(), Gate(), []
        first, second = ask(runtime), ask(runtime)
        body = Body(gates={1: more})
        one, _ = await join(flights, first, Lead(first, body, on_close=ends.append))
        scope, results = anyio.CancelScope(), []

        async def leader():
            with scope:
                await one.read()

        async def newcomer():  # arrives in the middle of the pull, and so has to wait for its end
            results.append(await join_and_read(flights, second, Lead(second)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leader)
            await more.reached.wait()
            tasks.start_soon(newcomer)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
        assert results == [("Hello", None)]
        assert [end.outcome for end in ends] == ["cancelled"]
        assert body.closed == 1
        assert len(flights) == 0

    run(scenario)


@on_a_loop
def test_all_readers_cancelled_close_the_stream(run):
    async def scenario(runtime):
        flights, more, ends = Flights(), Gate(), []
        body = Body(gates={1: more})
        requests = [ask(runtime) for _ in range(3)]
        readers = [(await join(flights, r, Lead(r, body, on_close=ends.append)))[0] for r in requests]
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                for reader in readers:
                    tasks.start_soon(reader.read)
                await more.reached.wait()
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert body.closed == 1
        assert len(ends) == 1
        assert len(flights) == 0

    run(scenario)


@on_a_loop
def test_a_cancelled_waiter_leaves_the_others_waiting(run):
    async def scenario(runtime):
        flights, opening = Flights(), Gate()
        first, second = ask(runtime), ask(runtime)
        scope, results = anyio.CancelScope(), []

        async def leader():
            results.append(await join_and_read(flights, first, Lead(first, gate=opening)))

        async def waiter():
            with scope:
                await join(flights, second, Lead(second))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leader)
            await opening.reached.wait()
            tasks.start_soon(waiter)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            opening.open()
        assert results == [("Hello", None)]
        assert len(flights) == 0

    run(scenario)


@on_a_loop
def test_a_follower_whose_time_is_over_while_another_pulls_leaves_alone(run):
    async def scenario(runtime):
        flights, more = Flights(), Gate()
        first, second = ask(runtime), ask(runtime, deadline=runtime.now() + 0.05)
        one, _ = await join(flights, first, Lead(first, Body(gates={1: more})))
        other, _ = await join(flights, second, Lead(second))
        results = []

        async def leader():
            results.append(text_of(await one.read()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leader)
            await more.reached.wait()
            with pytest.raises(DeadlineExceeded):
                await other.read()
            more.open()
        assert results == ["Hello"]

    run(scenario)


@on_a_loop
def test_a_follower_whose_time_is_over_while_it_pulls_itself_leaves_the_stream_to_the_leader(run):
    async def scenario(runtime):
        flights, more = Flights(), Gate()
        first, second = ask(runtime), ask(runtime, deadline=runtime.now() + 0.05)
        one, _ = await join(flights, first, Lead(first, Body(gates={1: more})))
        other, _ = await join(flights, second, Lead(second))
        with pytest.raises(DeadlineExceeded):
            await other.read()
        more.open()
        assert text_of(await one.read()) == "Hello"

    run(scenario)


@on_a_loop
def test_followers_of_a_clamped_reply_call_for_themselves_at_the_same_time(run):
    async def scenario(runtime):
        flights, opening = Flights(), Gate()
        first, *others = (ask(runtime) for _ in range(3))
        first.record.clamped = True
        leads = [Lead(request, gate=opening) for request in (first, *others)]
        results = []

        async def caller(lead):
            results.append(await join_and_read(flights, lead.request, lead))

        async with anyio.create_task_group() as tasks:
            for lead in leads:
                tasks.start_soon(caller, lead)
                await anyio.wait_all_tasks_blocked()
            opening.open()
        assert results == [("Hello", None)] * 3
        assert [lead.calls for lead in leads] == [1, 1, 1]
        assert len(flights) == 0

    run(scenario)


def test_two_event_loops_never_share():
    flights, leads = Flights(), []

    async def scenario(runtime):
        assert isinstance(runtime, AsyncRuntime)
        request = ask(runtime)
        leads.append(Lead(request))
        response, leader = await join(flights, request, leads[-1])
        if len(leads) == 1:
            second = threading.Thread(target=run_in, args=("asyncio", scenario))
            second.start()
            second.join(SECONDS)
        assert leader is None
        assert text_of(await response.read()) == "Hello"

    run_in("asyncio", scenario)
    assert [lead.calls for lead in leads] == [1, 1]


# at the same time, in threads


def test_threads_share_a_stream_as_it_comes():
    runtime, flights = WatchedRuntime(), Flights()
    opening, more = Gate(), Gate()
    body, leads, threads = Body(gates={1: more}), [], Threads()
    first_chunks = threading.Barrier(6)

    async def caller():
        request = ask(runtime)
        lead = Lead(request, body, gate=opening)
        leads.append(lead)
        response, _ = await join(flights, request, lead)
        chunks = [await anext(response)]
        first_chunks.wait(SECONDS)
        return chunks + await response.read()

    for name in range(5):
        threads.start(name, caller())
    drive(opening.reached.wait())
    runtime.wait_for_attempts(5)
    opening.open()
    first_chunks.wait(SECONDS)  # all have the first chunk while the second is held back
    more.open()
    assert threads.join() == {name: list(REPLY) for name in range(5)}
    assert sum(lead.calls for lead in leads) == 1
    assert len(flights) == 0


def test_a_thread_gets_its_chunk_though_another_has_gone_on_to_pull_the_next():
    runtime, flights, threads = WatchedRuntime(), Flights(), Threads()
    now, later, heard = Gate(), Gate(), threading.Event()
    first, second = ask(runtime), ask(runtime)
    one, _ = drive(join(flights, first, Lead(first, Body(gates={0: now, 1: later}))))
    other, _ = drive(join(flights, second, Lead(second)))

    async def follow():
        chunk = await anext(other)
        heard.set()
        return [chunk, *await other.read()]

    runtime.wait_for_attempts(2)
    threads.start("leader", one.read())
    drive(now.reached.wait())
    threads.start("follower", follow())
    runtime.wait_for_attempts(2)
    now.open()
    drive(later.reached.wait())
    assert heard.wait(SECONDS)
    later.open()
    assert threads.join() == {"leader": list(REPLY), "follower": list(REPLY)}


def test_what_comes_while_a_reader_takes_what_there_is_is_not_given_twice():
    class Filling(list):
        """Another thread puts a chunk in whenever somebody has looked how many there are."""

        def __len__(self):
            size = super().__len__()
            self.extend(left[:1])
            del left[:1]
            return size

    flights, request = Flights(), ask()
    response, _ = drive(join(flights, request, Lead(request, Body([]))))
    (flight,) = flights._flights.values()
    left = [Chunk(f"{number} ") for number in range(50)]
    whole, flight.chunks = list(left), Filling()
    assert drive(response.read()) == whole


def test_direct_runtimes_of_several_clients_are_one_place():
    flights = Flights()
    first, second = ask(DirectRuntime()), ask(DirectRuntime())
    one, _ = drive(join(flights, first, Lead(first)))
    other, leader = drive(join(flights, second, Lead(second)))
    assert leader is first.record
    assert text_of(drive(one.read())) == text_of(drive(other.read())) == "Hello"


def test_a_failed_opening_in_one_thread_fails_all_that_waited_with_errors_of_their_own():
    runtime, flights, threads = WatchedRuntime(), Flights(), Threads()
    opening, leads = Gate(), []

    async def caller():
        request = ask(runtime)
        leads.append(Lead(request, error=RateLimited("slow down", provider="openai"), gate=opening))
        return await join(flights, request, leads[-1])

    for name in range(4):
        threads.start(name, caller())
    runtime.wait_for_attempts(4)
    opening.open()
    results = threads.join()
    assert all(isinstance(result, RateLimited) for result in results.values())
    assert len({id(result) for result in results.values()}) == 4
    assert sum(lead.calls for lead in leads) == 1


def test_after_a_budget_stopped_one_thread_the_next_leads():
    runtime, flights, threads = WatchedRuntime(), Flights(), Threads()
    opening = Gate()
    refused = BudgetExceeded("out of money", scope="alice", limit=Decimal(1), spent=Decimal(1))
    first, second = ask(runtime), ask(runtime)
    threads.start("leader", join(flights, first, Lead(first, error=refused, gate=opening)))
    drive(opening.reached.wait())
    threads.start("follower", join_and_read(flights, second, Lead(second)))
    runtime.wait_for_attempts(2)
    opening.open()
    results = threads.join()
    assert results["leader"] is refused
    assert results["follower"] == ("Hello", None)


def test_a_thread_waits_for_the_opening_no_longer_than_its_deadline():
    runtime, flights, threads = WatchedRuntime(), Flights(), Threads()
    opening = Gate()
    first, second = ask(runtime), ask(runtime, deadline=runtime.now() + 0.02)
    threads.start("leader", join_and_read(flights, first, Lead(first, gate=opening)))
    drive(opening.reached.wait())
    with pytest.raises(DeadlineExceeded):
        drive(join(flights, second, Lead(second)))
    opening.open()
    assert threads.join()["leader"] == ("Hello", None)
    assert len(flights) == 0


def test_a_lone_stream_closed_from_another_thread_is_woken_and_closed():
    runtime, flights, threads = DirectRuntime(), Flights(), Threads()
    more, ends = Gate(), []
    request = ask(runtime)
    body = Body(gates={1: more})
    response, _ = drive(join(flights, request, Lead(request, body, on_close=ends.append)))
    threads.start("reader", response.read())
    drive(more.reached.wait())
    drive(response.aclose())
    assert isinstance(threads.join()["reader"], StreamError)
    assert body.closed == 1
    assert [end.outcome for end in ends] == ["closed"]
    assert len(flights) == 0


def test_a_reader_closed_from_another_thread_while_it_pulls_leaves_the_chunk_to_the_rest():
    runtime, flights, threads = WatchedRuntime(), Flights(), Threads()
    more = Gate()
    first, second = ask(runtime), ask(runtime)
    one, _ = drive(join(flights, first, Lead(first, Body(gates={1: more}))))
    other, _ = drive(join(flights, second, Lead(second)))
    threads.start("leader", one.read())
    drive(more.reached.wait())
    drive(one.aclose())
    threads.start("follower", other.read())
    more.open()
    results = threads.join()
    assert isinstance(results["leader"], StreamError)
    assert results["follower"] == list(REPLY)


def test_an_interrupt_in_one_thread_is_not_raised_in_another():
    flights = Flights()
    first, second = ask(), ask()
    one, _ = drive(join(flights, first, Lead(first, Body([REPLY[0], KeyboardInterrupt()]))))
    other, _ = drive(join(flights, second, Lead(second)))
    with pytest.raises(KeyboardInterrupt):
        drive(one.read())
    with pytest.raises(StreamInterrupted, match="broken off"):
        drive(other.read())


def test_a_forked_child_does_not_wait_for_its_parents_calls():
    flights = Flights()
    request = ask()
    one, _ = drive(join(flights, request, Lead(request)))
    with flights._guard:  # as another thread of the parent may, in the moment of the fork
        flights.renew()
        lead = Lead(ask())
        assert drive(join_and_read(flights, lead.request, lead)) == ("Hello", None)
    assert lead.calls == 1
    with contextlib.suppress(StreamError):
        drive(one.aclose())
