"""Calls keep to what a provider's headers say is left: against a server that really refuses what is above its limit."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from anthropic_wire import message
from chat_wire import completion
from inferkit import (
    Anthropic,
    Chunk,
    Client,
    Health,
    OpenAIChat,
    Overloaded,
    RateLimited,
    Response,
    Usage,
)
from wire import Wire, reply
from worlds import closing

CALLS, CALLERS = 96, 16


class Limited:
    """Answers so many requests at once, and so many a second; says in its headers what is left; refuses the rest."""

    def __init__(self, burst=24, per_second=60.0, style="openai", body=None):
        self.burst, self.per_second, self.style = burst, per_second, style
        self.body = body or completion("hello")
        self.level, self.at = float(burst), time.monotonic()
        self.lock = threading.Lock()
        self.served = self.refused = 0
        self.keys = set()

    def __call__(self, request):
        with self.lock:
            now = time.monotonic()
            self.level = min(self.burst, self.level + (now - self.at) * self.per_second)
            self.at = now
            self.keys.add(request.headers.get("authorization"))
            ok = self.level >= 1
            if ok:
                self.level -= 1
                self.served += 1
            else:
                self.refused += 1
            headers = self.headers()
        yield reply(
            self.body if ok else {"error": {"message": "too many", "type": "rate"}}, 200 if ok else 429, **headers
        )

    def headers(self):
        full = (self.burst - self.level) / self.per_second
        left, limit = str(int(self.level)), str(self.burst)
        if self.style == "openai":
            return {
                "x_ratelimit_limit_requests": limit,
                "x_ratelimit_remaining_requests": left,
                "x_ratelimit_reset_requests": f"{full * 1000:.0f}ms",
            }
        if self.style == "anthropic":
            back = datetime.fromtimestamp(time.time() + full, UTC).isoformat()
            kind = "anthropic_ratelimit_requests"
            return {f"{kind}_limit": limit, f"{kind}_remaining": left, f"{kind}_reset": back}
        return {}


def client(world, wire, **settings):
    return world.client(
        providers={"p": OpenAIChat(base_url=wire.url, api_key="k", name="p")}, max_retries=0, **settings
    )


async def load(world, llm):
    """Make a call, and then many from some callers; give their errors."""
    errors = []

    async def caller():
        for _ in range(CALLS // CALLERS):
            try:
                await llm.complete("p:m", "Hello?", timeout=60)
            except (RateLimited, Overloaded) as error:
                errors.append(error)

    async with closing(llm):
        await llm.complete("p:m", "Hello?")
        await world.beside(*[caller] * CALLERS)
    return errors


def test_calls_wait_for_a_limit_that_the_provider_tells_instead_of_being_refused(world):
    server = Limited()
    with Wire(server) as wire:
        errors = world.run(lambda world: load(world, client(world, wire)))
    assert server.served + len(errors) == CALLS + 1
    assert len(errors) <= 0.2 * CALLS, "few, however busy this machine is; see test_quotas.py"


def test_without_following_most_of_them_are_refused(world):
    server = Limited(burst=12, per_second=0.1, style="silent")
    plain = Health(breaker=None, retries=None)
    with Wire(server) as wire:
        errors = world.run(lambda world: load(world, client(world, wire, follow_limits=False, health=plain)))
    assert len(errors) > 0.8 * CALLS


def test_limits_are_followed_as_anthropic_tells_them(world):
    server = Limited(style="anthropic", body=message())
    with Wire(server) as wire:
        adapter = Anthropic(api_key="k", base_url=wire.url)
        errors = world.run(lambda world: load(world, world.client(providers={"p": adapter}, max_retries=0)))
    assert len(errors) <= 0.2 * CALLS


class Telling:
    """Answers at once, and says what is left in headers that a test gives."""

    def __init__(self, name, headers=(), *, fingerprint=None):
        self.name, self.headers, self.fingerprint = name, dict(headers), fingerprint or name
        self.asked = 0
        self.refuses = False

    async def __call__(self, request):
        self.asked += 1
        if self.refuses:
            error = RateLimited("too many", provider=self.name, status=429)
            error.quota_headers = self.headers
            raise error
        chunk = Chunk(f"from {self.name}", finish_reason="stop", usage=Usage(1, 1))
        return Response.of([chunk], runtime=request.runtime, headers=self.headers)


def quota(remaining, limit=60, reset="60s", kind="requests"):
    return {
        f"x-ratelimit-limit-{kind}": str(limit),
        f"x-ratelimit-remaining-{kind}": str(remaining),
        f"x-ratelimit-reset-{kind}": reset,
    }


def made(*providers, **settings):
    given = {one.name: one for one in providers}
    models = {"fast": [f"{name}:m" for name in given]}
    return Client(providers=given, models=models, max_retries=0, cache=False, ledger=False, **settings)


@pytest.mark.usefixtures("now")
def test_a_turn_that_comes_after_the_deadline_is_not_waited_for():
    telling = Telling("p", quota(0, limit=6))
    with made(telling) as llm:
        llm.complete("fast", "Hello?")
        with pytest.raises(
            Overloaded, match=r"p:m has nothing left of its limit, as its provider says, and its turn"
        ) as e:
            llm.complete("fast", "Hello?", timeout=3)
    assert telling.asked == 1
    assert (e.value.code, e.value.attempts) == ("limited", ())


def test_a_call_that_can_ask_another_model_at_once_does_not_wait():
    first, second = Telling("p", quota(0, limit=6)), Telling("q")
    with made(first, second) as llm:
        assert llm.complete("fast", "Hello?").text == "from p"
        reply = llm.complete("fast", "Hello?", timeout=60)
        assert (reply.text, [one.kind for one in reply.attempts]) == ("from q", ["fallback"])
        assert llm.health()["p:m"].is_asked, "its limit is no failure of the model's"


def test_it_waits_where_the_other_model_cannot_be_asked_either():
    first, second = Telling("p", quota(0, limit=60, reset="6s")), Telling("q", quota(0, limit=6))
    with made(first, second) as llm:
        llm.complete("p:m", "Hello?")
        llm.complete("q:m", "Hello?")
        assert llm.complete("fast", "Hello?", timeout=60).text == "from p"


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize(
    "headers",
    [
        quota(0, reset="7d"),
        quota(0, limit=0),
        quota(0, limit="many", reset="soon"),
        quota(9, limit=5),
        quota(-3),
        {"x-ratelimit-remaining-requests": "0"},
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "-1"},
        {"x-ratelimit-limit": "", "x-ratelimit-remaining": "", "x-ratelimit-reset": ""},
        quota(0, kind="tokens", limit=1_000_000, reset="2031-01-01T00:00:00Z"),
    ],
)
def test_headers_that_make_no_sense_stall_nobody(headers):
    telling = Telling("p", headers)
    with made(telling) as llm:
        for _ in range(5):
            llm.complete("fast", "Hello?", timeout=0.9)
    assert telling.asked == 5


@pytest.mark.usefixtures("now")
def test_another_key_has_limits_of_its_own():
    telling = Telling("p", quota(0, limit=6))
    with made(telling) as llm:
        llm.complete("fast", "Hello?")
        with pytest.raises(Overloaded):
            llm.complete("fast", "Hello?", timeout=1)
        telling.fingerprint, telling.headers = "another", quota(5, limit=6, reset="10s")
        for _ in range(3):
            llm.complete("fast", "Hello?", timeout=1)


@pytest.mark.usefixtures("now")
def test_two_names_for_one_server_and_key_share_its_limit():
    one = Telling("one", quota(1, limit=6, reset="50s"), fingerprint="k")
    other = Telling("other", quota(0, limit=6), fingerprint="k")
    with made(one, other) as llm:
        llm.complete("one:m", "Hello?")
        llm.complete("other:m", "Hello?")
        with pytest.raises(Overloaded):
            llm.complete("one:m", "Hello?", timeout=1)


@pytest.mark.usefixtures("now")
def test_tokens_are_held_to_what_is_left_of_them():
    telling = Telling("p", quota(100, limit=6000, reset="59s", kind="tokens"))
    with made(telling) as llm:
        llm.complete("fast", "Hello?")
        assert llm.complete("fast", "Hello?", max_output_tokens=50, timeout=1).text == "from p"
        with pytest.raises(Overloaded):
            llm.complete("fast", "Hello?", max_output_tokens=900, timeout=1)
    assert telling.asked == 2


@pytest.mark.usefixtures("now")
def test_a_refusal_says_what_is_left_too():
    telling = Telling("p", quota(0, limit=6))
    telling.refuses = True
    with made(telling, health=Health(breaker=None, retries=None)) as llm:
        with pytest.raises(RateLimited):
            llm.complete("fast", "Hello?")
        with pytest.raises(Overloaded):
            llm.complete("fast", "Hello?", timeout=1)
    assert telling.asked == 1


@pytest.mark.usefixtures("now")
def test_what_a_provider_says_is_not_followed_where_nobody_wants_it():
    telling = Telling("p", quota(0, limit=6))
    with made(telling, follow_limits=False) as llm:
        for _ in range(3):
            llm.complete("fast", "Hello?", timeout=1)
