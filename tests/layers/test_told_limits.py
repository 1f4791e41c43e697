"""What one process was told of a provider's limits is kept to by another one with the same key."""

from __future__ import annotations

import pytest

from inferkit import Client, Overloaded, RateLimited, Response, Target
from inferkit.core.chunks import Chunk
from inferkit.layers.told_limits import ToldLimits
from inferkit.testing import FakeProvider

HEADERS = {
    "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "60s",
    "x-ratelimit-limit-tokens": "9000", "x-ratelimit-remaining-tokens": "4000", "x-ratelimit-reset-tokens": "20s",
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("now")  # nothing of a limit comes back meanwhile


class Telling(FakeProvider):
    """Says in its headers what is left."""

    def __init__(self, headers, *, refuses=False):
        super().__init__(name="p")
        self.headers, self.refuses = headers, refuses

    async def __call__(self, request):
        self.requests.append(request)
        if self.refuses:
            refusal = RateLimited("too many", provider="p", status=429)
            refusal.quota_headers = self.headers
            raise refusal
        chunks = [Chunk("Yes.", finish_reason="stop")]
        return Response.of(chunks, runtime=request.runtime, headers=self.headers)


@pytest.fixture
def start():
    made = []

    def start(headers=None, **how):
        provider = Telling(headers or {}, **how)
        llm = Client(providers={"p": provider}, models={"any": "p:m"}, cache=False, ledger=False, max_retries=0)
        made.append(llm)
        layer = next(layer for layer in llm.layers if layer.role == "limit")
        return llm, provider, layer, ToldLimits(layer)

    yield start
    for llm in made:
        llm.close()


def tell(one, other, provider):
    news = list(one.news())
    for each in news:
        other.hear(Target("p", "m", provider), "a", each.facts)
    return news


def test_a_call_waits_for_what_only_another_process_was_told(start):
    first, _, _, telling = start(HEADERS)
    second, provider, _, hearing = start()
    first.complete("any", "Hello?")
    assert telling is not hearing
    (news,) = tell(telling, hearing, provider)
    assert news.name == "p:m"
    assert len(news.facts["quotas"]) == 2
    with pytest.raises(Overloaded):
        second.complete("any", "Hello?", timeout=0.2)
    stands = second.health()["p:m"]
    assert (provider.requests, stands.told) == ([], ("limits",))
    assert 0 <= stands.left["requests"] < 1
    assert 3900 < stands.left["tokens"] <= 9000
    assert list(telling.news()) == [], "nothing new was observed"
    assert list(hearing.news()) == [], "what was heard is not told again"


def test_a_refusal_is_told_at_once(start):
    llm, _, layer, telling = start(HEADERS, refuses=True)
    hurried = []
    layer.hurry = lambda: hurried.append(len(list(telling.news())))
    with pytest.raises(RateLimited):
        llm.complete("any", "Hello?")
    assert hurried == [1]


def test_who_knows_it_later_from_the_provider_itself_keeps_to_that(start, now):
    first, _, _, telling = start(HEADERS)
    second, provider, _, hearing = start({**HEADERS, "x-ratelimit-remaining-requests": "30"})
    first.complete("any", "Hello?")
    now[0] += 0.1
    second.complete("any", "Hello?")
    tell(telling, hearing, provider)
    stands = second.health()["p:m"]
    assert (stands.told, stands.left["requests"] >= 29) == ((), True)


def test_what_was_heard_only_ever_lowers_what_is_known(start):
    first, provider, _, telling = start({**HEADERS, "x-ratelimit-remaining-requests": "30"})
    second, _, _, hearing = start({**HEADERS, "x-ratelimit-remaining-requests": "20"})
    second.complete("any", "Hello?")
    first.complete("any", "Hello?")
    tell(telling, hearing, provider)
    assert second.health()["p:m"].left["requests"] < 21


def test_who_follows_no_limits_is_told_none(start):
    first, _, _, telling = start(HEADERS)
    first.complete("any", "Hello?")
    _, provider, layer, hearing = start()
    layer._follow = False
    tell(telling, hearing, provider)
    assert layer.names == []


def test_a_forked_child_tells_anew_and_nonsense_is_refused(start):
    first, provider, _, telling = start(HEADERS)
    first.complete("any", "Hello?")
    (news,) = telling.news()
    telling.part_from("parent")
    assert len(list(telling.news())) == 1
    row = news.facts["quotas"][0]
    for place, wrong in ((0, "calls"), (1, "soon"), (2, None), (5, float("nan")), (8, "much"), (9, True)):
        with pytest.raises(ValueError, match=r"number|limit"):
            telling.hear(Target("p", "m", provider), "b", {"quotas": [[*row[:place], wrong, *row[place + 1 :]]]})
