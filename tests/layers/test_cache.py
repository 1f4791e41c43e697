import logging
import threading

import anyio
import pytest

from caching.replies import REPLY, SECONDS, ask, stands_for, text_of
from inferkit import Budget, BudgetExceeded, Insert, Price, Target
from inferkit.caching.control import CACHE
from inferkit.caching.disk import DiskStore, DiskTier
from inferkit.caching.memory import MemoryTier
from inferkit.caching.stored import decode, encode
from inferkit.core.attempt import Attempt
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.errors import ConfigurationError, RateLimited, StreamInterrupted
from inferkit.core.response import Response
from inferkit.core.usage import Usage
from inferkit.layers.cache import Cache
from inferkit.runtime import clock
from inferkit.runtime.direct import drive
from inferkit.testing import FakeProvider
from worlds import Gate, closing, directly, in_threads, on_a_loop


def memory_cache(*further, **options):
    return Cache(MemoryTier(), *further, **options)


async def answer(cache, request, provider):
    """Make a call and read it to its end."""
    response = await cache(request, provider)
    chunks = await response.read()
    return text_of(chunks)


def paid_at_the_end(nanos=None, kind="primary"):
    """A provider whose attempts are noted once their replies have been read, as the meter does."""
    attempt = Attempt(1, kind, "openai", "m", "completed", Usage(7, 2), nanos, "bundled", 0.1)
    return FakeProvider(lambda request: [*REPLY, lambda: request.record.attempts.append(attempt)])


async def is_kept(cache, runtime, provider):
    """Whether the next identical call is a hit."""
    await answer(cache, ask(runtime), provider)
    request = ask(runtime)
    await answer(cache, request, provider)
    return request.record.cache == "hit"


@pytest.fixture
def disk(tmp_path):
    disk = DiskTier(tmp_path / "cache")
    yield disk
    disk.close()


def test_a_repeated_request_is_answered_without_a_call(run):
    async def scenario(runtime):
        cache, provider = memory_cache(), FakeProvider(REPLY)
        first, second = ask(runtime), ask(runtime)
        assert await answer(cache, first, provider) == "Hello"
        assert await answer(cache, second, provider) == "Hello"
        assert len(provider.requests) == 1
        assert (first.record.cache, second.record.cache) == ("miss", "hit")
        assert (first.record.cache_tier, second.record.cache_tier) == (None, "memory")

    run(scenario)


def test_a_hit_has_the_text_tools_usage_and_ending_of_the_original(run):
    chunks = [
        Chunk(reasoning="Hm."),
        Chunk("Let me look"),
        Chunk(tool_calls=(ToolCallDelta(0, "call_1", "search", '{"q":'),)),
        Chunk(tool_calls=(ToolCallDelta(0, arguments=' "x"}'),)),
        Chunk(finish_reason="tool_calls"),
        Chunk(usage=Usage(7, 5, 3, reasoning_tokens=1)),
    ]

    async def scenario(runtime):
        cache, provider = memory_cache(), FakeProvider(chunks)

        async def named(request):
            return Response(await provider(request), runtime=runtime, model="gpt-5-mini", id="reply-1")

        await answer(cache, ask(runtime), named)
        response = await cache(ask(runtime), named)
        assert (response.model, response.id) == ("gpt-5-mini", "reply-1")
        assert await response.read() == [
            Chunk(reasoning="Hm."),
            Chunk("Let me look"),
            Chunk(tool_calls=(ToolCallDelta(0, "call_1", "search", '{"q": "x"}'),)),
            Chunk(finish_reason="tool_calls", usage=Usage(7, 5, 3, reasoning_tokens=1)),
        ]

    run(scenario)


def test_the_trace_learns_what_the_cache_decided(run):
    async def scenario(runtime):
        cache, provider = memory_cache(), FakeProvider(REPLY)
        events = []
        for _ in range(2):
            request = ask(runtime)
            await answer(cache, request, provider)
            events += request.record.events
        assert [event.name for event in events] == ["cache", "cache"]
        assert events[0].attributes == {"result": "miss"}
        age = events[1].attributes["age"]
        assert events[1].attributes == {"result": "hit", "tier": "memory", "age": age}
        assert 0 <= age < SECONDS

    run(scenario)


def test_one_entry_serves_streamed_and_whole_calls(run):
    async def scenario(runtime):
        cache, provider = memory_cache(), FakeProvider(REPLY)
        await answer(cache, ask(runtime, stream=True), provider)
        await answer(cache, ask(runtime, stream=False), provider)
        assert len(provider.requests) == 1

    run(scenario)


def test_a_reply_never_crosses_tenants_models_or_credentials():
    cache, provider = memory_cache(), FakeProvider(REPLY)
    drive(answer(cache, ask(), provider))
    drive(answer(cache, ask(tenant="acme"), provider))
    drive(answer(cache, ask(tenant="other"), provider))
    drive(answer(cache, ask(candidates=stands_for(model="gpt-5")), provider))
    drive(answer(cache, ask(candidates=stands_for("another key")), provider))
    assert len(provider.requests) == 5


def test_a_sampled_reply_is_kept_too():
    cache, provider = memory_cache(), FakeProvider(REPLY)
    for _ in range(2):
        drive(answer(cache, ask(temperature=1.5), provider))
    assert len(provider.requests) == 1


def test_a_hit_says_what_it_saved():
    cache, provider = memory_cache(), paid_at_the_end(4500)
    first, second = ask(), ask()
    drive(answer(cache, first, provider))
    drive(answer(cache, second, provider))
    assert (first.record.saved_nanos, second.record.saved_nanos) == (0, 4500)
    assert second.record.attempts == []


# what one call may ask for


def test_a_call_that_bypasses_the_cache_neither_reads_nor_writes_it(run):
    async def scenario(runtime):
        cache, provider = memory_cache(), FakeProvider(REPLY)
        for _ in range(2):
            request = CACHE.on(ask(runtime), "bypass")
            assert await answer(cache, request, provider) == "Hello"
            assert request.record.cache == "bypass"
        assert len(provider.requests) == 2
        await answer(cache, ask(runtime), provider)
        assert len(provider.requests) == 3

    run(scenario)


def test_a_call_that_refreshes_the_cache_replaces_the_entry(run):
    async def scenario(runtime):
        cache = memory_cache()
        new = FakeProvider([Chunk("New"), Chunk(finish_reason="stop")])
        await answer(cache, ask(runtime), FakeProvider(REPLY))
        request = CACHE.on(ask(runtime), "refresh")
        assert await answer(cache, request, new) == "New"
        assert request.record.cache == "miss"
        assert await answer(cache, CACHE.on(ask(runtime), "use"), FakeProvider(REPLY)) == "New"

    run(scenario)


def test_a_request_that_has_no_key_is_passed_by():
    cache, provider = memory_cache(), FakeProvider(REPLY)
    for _ in range(2):
        request = ask(extra={"hook": object()})
        assert drive(answer(cache, request, provider)) == "Hello"
        assert request.record.cache == "bypass"
    assert len(provider.requests) == 2


# what is kept


def test_a_reply_left_early_is_not_kept(run):
    async def scenario(runtime):
        cache, provider = memory_cache(), FakeProvider(REPLY)
        response = await cache(ask(runtime), provider)
        await anext(response)
        await response.aclose()
        assert (provider.sent, provider.open_streams) == (1, 0)
        await answer(cache, ask(runtime), provider)
        assert len(provider.requests) == 2

    run(scenario)


def test_a_reply_that_broke_is_not_kept(run):
    async def scenario(runtime):
        cut = StreamInterrupted("cut", provider="openai")
        cache, provider = memory_cache(), FakeProvider([Chunk("Hel"), Chunk(finish_reason="stop"), cut])
        with pytest.raises(StreamInterrupted):
            await answer(cache, ask(runtime), provider)
        assert await answer(cache, ask(runtime), FakeProvider(REPLY)) == "Hello"

    run(scenario)


def test_an_error_is_not_kept(run):
    async def scenario(runtime):
        cache, provider = memory_cache(), FakeProvider(RateLimited("slow down", provider="openai"), REPLY)
        with pytest.raises(RateLimited):
            await answer(cache, ask(runtime), provider)
        assert await answer(cache, ask(runtime), provider) == "Hello"
        assert len(provider.requests) == 2

    run(scenario)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("stop", True),
        ("tool_calls", True),
        ("length", True),
        ("content_filter", False),
        ("budget", False),
        ("something_new", False),
        (None, False),
    ],
)
def test_only_a_reply_that_ended_by_itself_is_kept(reason, kept):
    async def body():
        yield Chunk("Hello")
        yield Chunk(finish_reason=reason)

    async def provider(request):
        return Response(body(), runtime=request.runtime)

    assert directly(lambda runtime: is_kept(memory_cache(), runtime, provider)) == kept


@pytest.mark.parametrize(("reason", "kept"), [("stop", True), ("length", False)])
def test_a_reply_cut_to_fit_a_budget_is_not_kept_unless_it_ended_before_the_cut(reason, kept):
    cache, provider = memory_cache(), FakeProvider([Chunk("Hello"), Chunk(finish_reason=reason)])

    async def clamping(request):
        request.record.clamped = True
        return await provider(request)

    drive(answer(cache, ask(), clamping))
    request = ask()
    drive(answer(cache, request, provider))
    assert (request.record.cache == "hit") == kept


@pytest.mark.parametrize(("kind", "kept"), [("primary", True), ("retry", True), ("fallback", False)])
def test_a_reply_of_a_fallback_is_not_kept_beyond_the_outage(kind, kept):
    cache, provider = memory_cache(), paid_at_the_end(kind=kind)
    drive(answer(cache, ask(), provider))
    request = ask()
    drive(answer(cache, request, provider))
    assert (request.record.cache == "hit") == kept


def test_a_hit_and_a_shared_reply_name_the_model_that_served_them(run):
    async def scenario(runtime):
        def script(request):
            request.record.provider, request.record.model = "openai", "gpt-5-mini"
            return REPLY

        cache, provider, requests = memory_cache(), FakeProvider(script), [ask(runtime) for _ in range(3)]
        leader, follower = await cache(requests[0], provider), await cache(requests[1], provider)
        await leader.read()
        await follower.read()
        await answer(cache, requests[2], provider)
        assert [request.record.cache for request in requests] == ["miss", "coalesced", "hit"]
        assert {(request.record.provider, request.record.model) for request in requests} == {("openai", "gpt-5-mini")}

    run(scenario)


def test_a_reply_that_is_too_long_is_not_kept():
    cache = memory_cache(max_reply_characters=10)
    long = FakeProvider([Chunk("x" * 6), Chunk("x" * 6), Chunk("y"), Chunk(finish_reason="stop")])
    for _ in range(2):
        assert drive(answer(cache, ask(), long)) == "x" * 12 + "y"
    assert len(long.requests) == 2


def test_an_entry_lives_as_long_as_was_said(monkeypatch, disk):
    cache, provider = memory_cache(disk, ttl=60), FakeProvider(REPLY)
    drive(answer(cache, ask(), provider))
    now = clock.time()
    for later, calls in [(59, 1), (61, 2), (62, 2), (-5, 3)]:
        monkeypatch.setattr(clock, "time", lambda later=later: now + later)
        drive(answer(cache, ask(), provider))
        assert len(provider.requests) == calls, later


# the tier on disk


def test_a_reply_is_found_on_disk_by_the_next_process(run, disk):
    async def scenario(runtime):
        await answer(memory_cache(disk), ask(runtime), FakeProvider(REPLY))
        later, provider = memory_cache(disk), FakeProvider(REPLY)
        tiers = []
        for _ in range(2):
            request = ask(runtime)
            assert await answer(later, request, provider) == "Hello"
            tiers.append(request.record.cache_tier)
        assert tiers == ["disk", "memory"]
        assert len(provider.requests) == 0

    run(scenario)


@on_a_loop
def test_opening_the_database_does_not_stop_the_event_loop(run, tmp_path, monkeypatch):
    opened_in, open_store = [], DiskStore.open

    def watched(store):
        opened_in.append(threading.current_thread())
        open_store(store)

    monkeypatch.setattr(DiskStore, "open", watched)

    async def scenario(runtime):
        cache = Cache(None, DiskTier(tmp_path / "cache"))
        for _ in range(2):
            await answer(cache, ask(runtime), FakeProvider(REPLY))
        cache.close()
        return threading.current_thread()

    loops = run(scenario)
    assert len(opened_in) == 1
    assert opened_in[0] is not loops


class Kept:
    """A tier of one's own, which waits as a server's client would."""

    name = "server"

    def __init__(self):
        self.rows, self.told, self.closed = {}, [], 0

    async def get(self, runtime, key, /):
        await runtime.sleep(0)
        data = self.rows.get(key)
        return None if data is None else decode(data, key)

    async def put(self, runtime, key, entry, /, *, ttl):
        await runtime.sleep(0)
        self.told.append(ttl)
        self.rows[key] = encode(entry, key)

    def open(self):
        pass

    def close(self):
        self.closed += 1


def test_a_tier_of_ones_own_is_asked_after_those_before_it_and_fills_them(run):
    async def scenario(runtime):
        server = Kept()
        await answer(memory_cache(server), ask(runtime), FakeProvider(REPLY))
        assert len(server.rows) == 1
        later, provider, tiers = memory_cache(server), FakeProvider(REPLY), []
        for _ in range(2):
            request = ask(runtime)
            assert await answer(later, request, provider) == "Hello"
            tiers.append(request.record.cache_tier)
        assert tiers == ["server", "memory"]
        assert len(provider.requests) == 0
        later.close()
        assert server.closed == 1

    run(scenario)


def test_tiers_are_told_how_long_an_entry_lives():
    server = Kept()
    for ttl in (60.0, None):
        drive(answer(Cache(server, ttl=ttl), ask(seed=len(server.told)), FakeProvider(REPLY)))
    assert server.told == [60.0, None]


def test_the_disk_alone_is_a_cache_too(run, disk):
    async def scenario(runtime):
        cache, provider = Cache(None, disk), FakeProvider(REPLY)
        for _ in range(3):
            assert await answer(cache, ask(runtime), provider) == "Hello"
        assert len(provider.requests) == 1

    run(scenario)


def test_without_tiers_identical_calls_in_flight_still_share():
    cache, provider = Cache(None), FakeProvider(REPLY)
    first, second = ask(), ask()
    one, other = drive(cache(first, provider)), drive(cache(second, provider))
    assert text_of(drive(one.read())) == text_of(drive(other.read())) == "Hello"
    assert len(provider.requests) == 1
    drive(answer(cache, ask(), provider))
    assert len(provider.requests) == 2


# a cache that fails


class Broken:
    """A tier in which nothing works."""

    name = "broken"

    async def get(self, runtime, key):
        raise OSError("no get")

    async def put(self, runtime, key, entry, **options):
        raise OSError("no put")


@pytest.mark.parametrize("kinds", [[Broken], [Broken, MemoryTier], [MemoryTier, Broken]])
def test_a_tier_that_fails_breaks_no_call_and_is_passed_by(run, kinds, caplog):
    async def scenario(runtime):
        cache, provider = Cache(*(kind() for kind in kinds)), FakeProvider(REPLY)
        for _ in range(2):
            assert await answer(cache, ask(runtime), provider) == "Hello"
        assert len(provider.requests) == (2 if kinds == [Broken] else 1)

    run(scenario)
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_a_cache_before_the_layer_that_resolves_names_says_so():
    with pytest.raises(ConfigurationError, match="resolve layer"):
        drive(memory_cache()(ask(candidates=()), FakeProvider(REPLY)))


def test_a_name_that_was_replaced_on_the_way_has_what_it_stands_for_in_its_key(world):
    providers = {name: FakeProvider(f"from {name}") for name in ("a", "b")}

    async def to_b(request, call_next):
        return await call_next(request.replace(model="b"))

    async def body(world):
        cache = memory_cache()
        models = {"a": "a:m", "b": "b:m"}
        one = world.client(providers=providers, models=models, cache=cache)
        settings = {"providers": providers, "models": models, "cache": cache}
        other = world.client(**settings, layers=[Insert(to_b, after="resolve")])
        async with closing(one), closing(other):
            replies = [await one.complete("a", "Hi"), await other.complete("a", "Hi"), await one.complete("b", "Hi")]
        return [(reply.text, reply.cache) for reply in replies]

    assert world.run(body) == [("from a", "miss"), ("from b", "miss"), ("from b", "hit")]


def test_a_closed_cache_opens_again_when_it_is_used(disk):
    cache, provider = Cache(None, disk), FakeProvider(REPLY)
    drive(answer(cache, ask(), provider))
    cache.close()
    cache.close()
    drive(answer(cache, ask(), provider))
    assert len(provider.requests) == 1
    memory_cache().close()


def test_an_adapter_whose_fingerprint_fails_breaks_no_call(caplog):
    class Adapter:
        @property
        def fingerprint(self):
            raise LookupError("no such file: my secret")

    cache, provider = memory_cache(), FakeProvider(REPLY)
    request = ask(question="my question", candidates=(Target("openai", "m", Adapter()),))
    assert drive(answer(cache, request, provider)) == "Hello"
    assert request.record.cache == "bypass"
    assert request.record.id in caplog.text
    assert "my question" not in caplog.text


def test_a_folder_that_cannot_be_used_breaks_no_call(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache, provider = memory_cache(DiskTier(tmp_path / "file" / "cache")), FakeProvider(REPLY)
    for _ in range(3):
        assert drive(answer(cache, ask(), provider)) == "Hello"
    assert len(provider.requests) == 1


@pytest.mark.parametrize("ttl", [0, -1])
def test_a_ttl_that_keeps_nothing_is_refused(ttl):
    with pytest.raises(ConfigurationError, match="seconds"):
        memory_cache(ttl=ttl)


# identical calls in flight


class OpeningSlowly(FakeProvider):
    def __init__(self, gate):
        super().__init__(REPLY)
        self.gate = gate

    async def __call__(self, request):
        await self.gate()
        return await super().__call__(request)


@on_a_loop
def test_a_hundred_identical_calls_make_one(run):
    async def scenario(runtime):
        cache, gate = memory_cache(), Gate()
        provider, requests, replies = OpeningSlowly(gate), [ask(runtime) for _ in range(100)], []

        async def caller(request):
            replies.append(await answer(cache, request, provider))

        async with anyio.create_task_group() as tasks:
            for request in requests:
                tasks.start_soon(caller, request)
            await anyio.wait_all_tasks_blocked()
            gate.open()
        assert replies == ["Hello"] * 100
        assert len(provider.requests) == 1
        results = [request.record.cache for request in requests]
        assert (results.count("miss"), results.count("coalesced")) == (1, 99)

    run(scenario)


def test_identical_calls_in_threads_make_one_or_hit():
    cache, provider = memory_cache(), FakeProvider(REPLY)
    start, replies = threading.Barrier(8), []

    def caller():
        start.wait(SECONDS)
        replies.append(drive(answer(cache, ask(), provider)))

    in_threads(lambda _: caller(), range(8))
    assert replies == ["Hello"] * 8
    assert len(provider.requests) == 1


def test_a_shared_reply_is_kept_though_its_leader_left(run):
    async def scenario(runtime):
        cache, provider = memory_cache(), FakeProvider(REPLY)
        leader = await cache(ask(runtime), provider)
        follower = await cache(ask(runtime), provider)
        await leader.aclose()
        await follower.read()
        request = ask(runtime)
        await answer(cache, request, provider)
        assert request.record.cache == "hit"

    run(scenario)


def test_a_follower_names_its_leader_and_says_what_it_saved(run):
    async def scenario(runtime):
        cache, provider = memory_cache(), paid_at_the_end(4500)
        first, second = ask(runtime), ask(runtime)
        leader, follower = await cache(first, provider), await cache(second, provider)
        await follower.read()
        await leader.read()
        assert second.record.cache == "coalesced"
        assert second.record.saved_nanos == 4500
        assert second.record.attempts == []
        assert second.record.events[-1].attributes == {"result": "coalesced", "leader": first.record.id}

    run(scenario)


def test_a_call_that_refreshes_shares_nothing(run):
    async def scenario(runtime):
        cache, provider = memory_cache(), FakeProvider(REPLY)
        first = await cache(ask(runtime), provider)
        second = await cache(CACHE.on(ask(runtime), "refresh"), provider)
        assert len(provider.requests) == 2
        await first.aclose()
        await second.aclose()

    run(scenario)


def test_a_call_that_looked_just_before_the_reply_was_kept_looks_again():
    class Slow(MemoryTier):
        looked = False

        async def get(self, runtime, key):
            found = await super().get(runtime, key)
            if not self.looked:
                self.looked = True
                await answer(cache, ask(), provider)  # an identical call comes and goes in another thread meanwhile
            return found

    cache, provider = Cache(Slow()), FakeProvider(REPLY)
    request = ask()
    assert drive(answer(cache, request, provider)) == "Hello"
    assert len(provider.requests) == 1
    assert request.record.cache == "hit"


def test_a_clients_identical_calls_in_flight_share_one_stream(world):
    provider = FakeProvider("One reply for all")

    async def body(world):
        client = world.client(providers={"fake": provider}, models={"any": "fake:m"}, cache=True)
        async with closing(client) as llm, llm.stream("any", "Hi") as first:
            await anext(first)
            return await llm.complete("any", "Hi")

    reply = world.run(body)
    assert (reply.text, reply.cache) == ("One reply for all", "coalesced")
    assert len(provider.requests) == 1


def test_a_stream_that_one_callers_budget_cuts_is_only_interrupted_for_the_others(world):
    """The provider ignores the length, and the first caller's budget pays no more."""
    budget = Budget(usd="5", each="user", name="seat")

    async def body(world):
        client = world.client(
            providers={"fake": FakeProvider(["word " * 100] * 50)},
            models={"any": "fake:m"},
            prices={"fake:m": Price(input="1", output="2")},
            budget=budget,
            ledger=True,
            cache=True,
        )
        async with closing(client) as llm:
            streams = [llm.stream("any", "Hi", user=user, max_output_tokens=100) for user in ("ana", "bob")]
            async with streams[0] as ana, streams[1] as bob:
                await anext(ana)
                assert bob.reply.cache == "coalesced"
                with pytest.raises(BudgetExceeded) as cut:
                    await rest_of(ana)
                with pytest.raises(StreamInterrupted) as interrupted:
                    await rest_of(bob)
            return cut.value, interrupted.value

    cut, interrupted = world.run(body)
    assert cut.scope == "seat:ana"
    assert "ana" not in str(interrupted)
    assert interrupted.partial.startswith("word word")


async def rest_of(stream):
    async for _ in stream:
        pass
