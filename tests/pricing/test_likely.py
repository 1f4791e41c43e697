"""What is booked for a call whose provider reported nothing, beside what a provider counts with a real vocabulary."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest

from chat_wire import completion, delta
from economics.bookkeeping import report_of
from inferkit import (
    Budget,
    BudgetExceeded,
    Chunk,
    Client,
    DeadlineExceeded,
    OpenAIChat,
    Price,
    SqliteLedger,
    Unavailable,
    Usage,
)  # fmt: skip
from inferkit.economics.report.report import Period
from inferkit.testing import FakeProvider
from texts import KINDS, SIZES, tokens_in, vocabulary
from wire import RESET, UNTIL_CLOSED, Wire, event, nobody_listening, reply, sse
from worlds import in_time

SHARES = (0.1, 0.5, 0.9)


def pieces_of(text, tokens):
    """Cut a text into pieces of so many tokens, as a server sends them."""
    pieces, held = [], b""
    ids = vocabulary().encode(text)
    for start in range(0, len(ids), tokens):
        held += b"".join(map(vocabulary().decode_single_token_bytes, ids[start : start + tokens]))
        try:
            pieces.append(held.decode())
        except UnicodeDecodeError:  # a token ends within a character
            continue
        held = b""
    return pieces


class Counting:
    """A `Wire`'s script that streams `pieces`, of which it writes the first `most`, and counts what it has written.

    To who does not stream it gives all of them at once, and its counts where it `reports`.
    """

    def __init__(self):
        self.pieces, self.most, self.asked, self.written = [], None, 0, 0
        self.reports = True
        self.wrote = threading.Event()

    def __call__(self, request):
        asked = request.json
        self.asked = 3 + sum(4 + tokens_in(message["content"]) for message in asked["messages"])
        pieces = self.pieces if self.most is None else self.pieces[: self.most]
        self.written = tokens_in("".join(pieces))
        counts = {"prompt_tokens": self.asked, "completion_tokens": self.written}
        if not asked.get("stream"):
            yield reply(completion("".join(pieces)) | {"usage": counts if self.reports else None})
            return
        end = [event(delta(finish="stop")), event({"choices": [], "usage": counts}), event("[DONE]")]
        yield from sse(self._said(pieces, end))

    def _said(self, pieces, end):
        self.wrote.clear()
        yield from (event(delta(piece)) for piece in pieces)
        self.wrote.set()
        yield from end if self.most is None else [UNTIL_CLOSED]


@pytest.fixture
def counting(tmp_path):
    """Give the server, a client of it, and what the last call was booked as."""
    server = Counting()
    ledger = SqliteLedger(tmp_path / "ledger.db")
    with Wire(server) as wire, contextlib.closing(ledger):
        provider = OpenAIChat(base_url=wire.url, api_key="k", name="own")
        prices = {f"own:{number}": Price("1", "10") for number in range(64)}
        with Client(providers={"own": provider}, prices=prices, ledger=ledger, cache=False) as llm:
            yield server, llm, lambda: list(ledger.entries())[-1].charge


def close_to(booked, written):
    return written <= booked <= 1.35 * written or abs(booked - written) <= 8


def too_little(booked, written):
    return booked < 0.97 * written and written - booked > 8


@pytest.mark.parametrize("size", [1, 5, 40], ids="{} tokens a piece".format)
@pytest.mark.parametrize("mixed", [False, True], ids=["20 calls of its kind", "20 mixed calls"])
def test_what_is_booked_for_a_stream_that_was_left_is_close_to_what_its_server_has_written(counting, mixed, size):
    server, llm, booked = counting
    chance = random.Random(size)
    found = []
    for number, kind in enumerate(KINDS):
        model = f"own:{number}"
        taught = [kind] * 20 if not mixed else [each for each in KINDS for _ in range(4)][:20]
        for each in taught if not mixed else chance.sample(taught, 20):
            server.pieces, server.most = pieces_of(KINDS[each](chance, chance.choice(SIZES)), size), None
            with llm.stream(model, KINDS[each](chance, chance.choice(SIZES))) as stream:
                list(stream)
        for share in SHARES * 2:
            server.pieces = pieces_of(KINDS[kind](chance, chance.choice(SIZES)), size)
            server.most = max(1, int(len(server.pieces) * share))
            with llm.stream(model, KINDS[kind](chance, chance.choice(SIZES))) as stream:
                for _ in range(server.most):
                    next(stream)
            charge = booked()
            assert charge.estimated
            found += [
                (kind, share, "output", charge.output_tokens, server.written),
                (kind, share, "input", charge.input_tokens, server.asked),
            ]
    wrong = [each for each in found if not close_to(*each[3:])]
    assert len(wrong) <= 0.05 * len(found), wrong
    assert [each for each in found if too_little(*each[3:])] == []


def test_the_first_call_to_a_model_is_booked_by_what_texts_usually_come_to(counting):
    server, llm, booked = counting
    chance = random.Random(5)
    found = []
    for number, kind in enumerate(list(KINDS) * 3):
        server.pieces = pieces_of(KINDS[kind](chance, 1000), 5)
        server.most = len(server.pieces)
        with llm.stream(f"own:{number}", "Where is my order?") as stream:
            for _ in range(server.most):
                next(stream)
        charge = booked()
        found.append((kind, charge.output_tokens, server.written))
        assert charge.input_tokens <= 15
    assert [each for each in found if not 0.9 * each[2] <= each[1] <= 1.4 * each[2]] == []


def lines_of(llm):
    """Give the calls and the dollars that the report calls overrun, in nano-dollars."""
    now = datetime.now(UTC)
    overrun = report_of(llm.ledger, Period(now - timedelta(hours=2), now + timedelta(hours=2))).overrun
    return overrun.calls, overrun.usd


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("taught", [0, 5])
def test_a_runaway_reply_ends_within_one_and_a_half_times_its_cap_and_all_that_was_seen_is_booked(
    counting, kind, size, taught
):
    server, llm, booked = counting
    chance, cap = random.Random(7), 300
    for _ in range(taught):
        server.pieces = pieces_of(KINDS[kind](chance, 1000), size)
        with llm.stream("own:1", "Hello") as stream:
            list(stream)
    text = KINDS[kind](chance, 12_000)
    server.pieces, server.most = pieces_of(text, size), 10**6
    seen = ""
    budget = Budget(usd="1", per="total", name="all")
    with pytest.raises(BudgetExceeded), llm.stream("own:1", "Hello", budget=budget, max_output_tokens=cap) as stream:
        for chunk in stream:
            seen += chunk.text
    assert cap <= tokens_in(seen) <= 1.5 * cap
    charge = booked()
    assert charge.output_tokens >= 0.97 * tokens_in(seen)
    assert 0 < charge.overrun < charge.usd - cap * 10_000
    assert charge.usd - charge.overrun < cap * 10_000 + 200 * 1_000
    assert budget.usage(ledger=llm.ledger).held_usd == 0
    assert lines_of(llm) == (1, charge.overrun)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reports", [True, False], ids=["with counts", "without"])
def test_a_whole_reply_beyond_its_cap_is_booked_all_of_it_and_what_the_hold_did_not_cover_is_a_line_of_the_report(
    counting, kind, reports
):
    server, llm, booked = counting
    server.pieces, server.reports, cap = [KINDS[kind](random.Random(8), 4000)], reports, 300
    budget = Budget(usd="1", per="total", name="all")
    text = llm.complete("own:1", "Hello", budget=budget, max_output_tokens=cap).text
    charge = booked()
    assert server.written > 2 * cap
    if reports:
        assert (charge.output_tokens, charge.estimated) == (tokens_in(text), False)
    else:
        assert close_to(charge.output_tokens, tokens_in(text))
        assert charge.estimated
    assert 0 < charge.overrun <= charge.usd - cap * 10_000
    assert budget.usage(ledger=llm.ledger).held_usd == 0
    assert lines_of(llm) == (1, charge.overrun)


def test_a_reply_within_its_cap_is_not_cut_where_earlier_counts_held_more_than_their_texts():
    words = [
        f"{word} "
        for word in ["Your", "order", "left", "the", "warehouse", "this", "morning", "and", "arrives", "on", "Thursday"]
    ] * 40
    odd = [*words[:60], Chunk(finish_reason="stop", usage=Usage(10, 400))]
    provider = FakeProvider(*[odd] * 5, [*words[:400], Chunk(finish_reason="stop", usage=Usage(10, 400))])
    with Client(providers={"own": provider}, prices={"own:1": Price("1", "10")}, cache=False) as llm:
        budget = Budget(usd="1", per="total", name="all")
        for _ in range(5):
            llm.complete("own:1", "Hello", budget=budget, max_output_tokens=500)
        assert llm.complete("own:1", "Hello", budget=budget, max_output_tokens=500).text == "".join(words[:400])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_ahead_of_its_reader_is_booked_too(counting, kind):
    """The server has written all of its reply when the reader leaves at a tenth; it waits in the socket's buffers."""
    server, llm, booked = counting
    server.pieces = pieces_of(KINDS[kind](random.Random(9), 4000), 1)
    server.most = len(server.pieces)
    with llm.stream("own:1", "Hello") as stream:
        for _ in range(server.most // 10):
            next(stream)
        server.wrote.wait(20)
    assert close_to(booked().output_tokens, server.written)


def attempt_that_nobody_answered(world, scheme, seconds):
    """Give the attempt of a call to whoever listens and never says a word, None where it came to none in that time.

    So TLS never begins, and a request over it is never written.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/v1"
    settings = {"providers": {"own": OpenAIChat(base_url=url, api_key="k", name="own")}, "max_retries": 0}

    async def body(world):
        async with world.client(prices={"own:1": Price("1", "10")}, preload=True, **settings) as llm:
            with pytest.raises(DeadlineExceeded) as caught:
                await llm.complete("own:1", "Where is my order?", timeout=seconds, max_output_tokens=100)
            return caught.value.attempts

    with listener:
        return next(iter(world.run(body)), None)


def test_a_request_that_was_written_and_never_answered_costs_its_input_and_its_time(world):
    def written_after(seconds):
        attempt = attempt_that_nobody_answered(world, "http", seconds)
        return attempt if attempt and attempt.usage.total_tokens else None

    usage = in_time(written_after).usage
    assert 8 <= usage.input_tokens <= 16
    assert 0 < usage.output_tokens <= 100
    assert usage.estimated


@pytest.mark.parametrize("world", ["direct"], indirect=True)
def test_a_request_that_was_not_written_when_its_time_was_over_costs_nothing(world):
    attempt = in_time(lambda seconds: attempt_that_nobody_answered(world, "https", seconds))
    assert (attempt.cost_nanos, attempt.usage.total_tokens) == (0, 0)


def lost_call(world, url):
    async def body(world):
        provider = OpenAIChat(base_url=url, api_key="k", name="own")
        async with world.client(
            providers={"own": provider}, prices={"own:1": Price("1", "10")}, max_retries=0, ledger=True
        ) as llm:
            with pytest.raises(Unavailable) as caught:
                await llm.complete("own:1", "Where is my order?", max_output_tokens=100)
            return caught.value.attempts[0], list(getattr(llm, "inner", llm).ledger.entries())

    return world.run(body)


def test_a_call_whose_connection_was_reset_before_the_first_byte_is_booked_at_its_input_and_its_time(world):
    def script(_):
        yield RESET

    with Wire(script) as wire:
        attempt, (entry,) = lost_call(world, wire.url)
    assert 8 <= attempt.usage.input_tokens <= 16
    assert 0 < attempt.usage.output_tokens <= 100
    assert entry.charge.estimated
    assert (
        entry.charge.usd
        == attempt.cost_nanos
        == 1_000 * attempt.usage.input_tokens + 10_000 * attempt.usage.output_tokens
    )


def test_a_call_that_nobody_listened_to_costs_nothing_and_is_not_in_the_books(world):
    with nobody_listening() as url:
        attempt, entries = lost_call(world, url)
    assert (attempt.cost_nanos, attempt.usage.total_tokens, entries) == (0, 0, [])


def test_what_was_written_ahead_of_a_reader_is_booked_in_every_world(world):
    wrote = threading.Event()

    def script(_):
        yield from sse(said())

    def said():
        yield from [event(delta("word "))] * 900
        wrote.set()
        yield UNTIL_CLOSED

    async def body(world):
        provider = OpenAIChat(base_url=wire.url, api_key="k", name="own")
        async with world.client(providers={"own": provider}, prices={"own:1": Price("1", "10")}, ledger=True) as llm:
            async with llm.stream("own:1", "Hello") as stream:
                async for _ in stream:
                    break
                wrote.wait(20)
            return next(iter(getattr(llm, "inner", llm).ledger.entries())).charge.output_tokens

    with Wire(script) as wire:
        assert 900 <= world.run(body) <= 1.35 * 900
