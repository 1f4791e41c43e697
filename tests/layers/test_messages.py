"""What callers are told when a budget cuts or refuses them, and what the log says of what was done for them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from budgets.stack import AT, Stack, make_request
from inferkit import (
    AuthenticationFailed,
    Budget,
    BudgetExceeded,
    Chunk,
    InvalidRequest,
    LedgerError,
    RateLimited,
    SqliteLedger,
    Unavailable,
    Usage,
)
from inferkit.budgets.scope import Scope
from inferkit.pricing.estimates import LearnedEstimates
from inferkit.testing import FakeProvider
from worlds import closing

RUNAWAY = ["word " * 200] * 40
END_OF_MONTH = datetime(2026, 12, 1, tzinfo=UTC)
SECRET = "what the prompt said"


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def cut(run, ledger, *scopes, model=None, **fields):
    """Have a reply cut, and give the error that its reader gets."""
    stack = Stack(ledger, model or FakeProvider(RUNAWAY))

    async def main(runtime):
        response = await stack(make_request(runtime, *scopes, **fields))
        with pytest.raises(BudgetExceeded) as caught:
            await response.read()
        return caught.value

    return run(main)


def test_a_cut_says_what_was_spent_of_which_limit_and_until_when(run, ledger):
    free = Budget(usd="0.0005", name="free", on_exceed="raise")
    error = cut(run, ledger, Scope(free, "ana"))
    balance = ledger.balance("free:ana", "month:2026-11-01")
    assert (error.scope, error.unit, error.limit) == ("free:ana", "usd", Decimal("0.0005"))
    assert error.spent == Decimal(balance.posted.usd) / 10**9 > 0
    assert error.resets_at == END_OF_MONTH
    assert f"{error.resets_at:%d %B}" == "01 December"
    assert "ran past what budget free:ana held for it" in str(error)
    assert "of $0.0005, until 2026-12-01 00:00 UTC" in str(error)


def test_a_cut_counts_what_others_have_spent_and_hold(run, ledger):
    tokens = Budget(tokens=3000, name="shared", grace="0.1")
    other = ledger.reserve("other", [Scope(tokens).line(AT)], *[_tokens(1000)] * 2, at=AT, lease_seconds=10**9)
    assert other.amounts.tokens == 1000
    ledger.top_up(Scope(tokens).line(AT), _tokens(200), at=AT)
    error = cut(run, ledger, Scope(tokens), max_output_tokens=100)
    balance = ledger.balance("shared", "month:2026-11-01")
    assert error.unit == "tokens"
    assert error.limit == 3000 + 300 + 200
    assert error.spent == balance.posted.tokens + 1000
    assert balance.posted.tokens > 0


def _tokens(amount):
    from inferkit.ledger.amounts import Amounts

    return Amounts(tokens=amount)


@pytest.mark.parametrize(
    ("budget", "resets_at"),
    [
        (Budget(usd="0.0005", per="total", name="b"), None),
        (Budget(usd="0.0005", per="call", name="b"), None),
        (Budget(usd="0.0005", per="day", name="b"), datetime(2026, 11, 19, tzinfo=UTC)),
        (Budget(usd="0.0005", per=timedelta(hours=1), name="b"), "in an hour"),
    ],
)
def test_a_cut_knows_when_there_is_room_again(run, ledger, budget, resets_at):
    error = cut(run, ledger, Scope(budget))
    if resets_at == "in an hour":
        assert timedelta(hours=1) < error.resets_at - datetime.fromtimestamp(AT, UTC) <= timedelta(minutes=63)
    else:
        assert error.resets_at == resets_at
    assert error.limit == Decimal("0.0005")
    assert error.spent > 0
    assert budget.per != "call" or "this call came to" in str(error)


def test_of_several_budgets_a_cut_names_the_one_that_has_least_left(run, ledger):
    roomy = Scope(Budget(usd="100", name="roomy"))
    quiet = Scope(Budget(usd="0.0003", name="quiet", on_exceed="truncate"))
    tight = Scope(Budget(usd="0.0005", tokens=10**6, name="tight"))
    error = cut(run, ledger, roomy, tight)
    assert error.scope == "tight"
    assert cut(run, ledger, roomy, quiet).scope == "roomy", "the other one would not have raised"


def test_a_cut_before_the_first_chunk_was_handed_on_says_the_same(run, ledger):
    stack = Stack(ledger, FakeProvider([["word " * 200] * 40]))
    attempt = stack.attempt

    async def read_first(request):
        response = await attempt(request)
        response.unread(await response.next_batch())
        await response.next_batch()  # what was read is handed over, then the cut is raised
        await response.next_batch()
        raise AssertionError("it is cut")

    stack.attempt = read_first

    async def main(runtime):
        with pytest.raises(BudgetExceeded) as caught:
            await stack(make_request(runtime, Scope(Budget(usd="0.0005", name="free"))))
        return caught.value

    error = run(main)
    assert error.resets_at == END_OF_MONTH
    assert error.spent == Decimal(ledger.balance("free", "month:2026-11-01").posted.usd) / 10**9


def test_a_ledger_that_fails_leaves_a_cut_what_is_known_without_it(run, ledger, monkeypatch):
    async def fail(*_, **__):
        raise LedgerError("gone")

    monkeypatch.setattr(ledger.accounts, "balance", fail)
    error = cut(run, ledger, Scope(Budget(usd="0.0005", name="free")))
    assert (error.scope, error.limit, error.resets_at) == ("free", Decimal("0.0005"), END_OF_MONTH)
    assert error.spent > 0


ENGLISH = "What is the way from here to there, and how long does it take? " * 20


@pytest.mark.parametrize(
    "budget", [Budget(usd="0.0005", name="b"), Budget(tokens=500, name="b"), Budget(tokens=500, per="call", name="b")]
)
def test_a_refusal_that_comes_from_the_strict_bound_says_so_and_names_the_remedy(run, ledger, budget):
    def refused(text, **options):
        stack = Stack(ledger, FakeProvider("Hi"), **options)

        async def main(runtime):
            with pytest.raises(BudgetExceeded) as caught:
                await stack(make_request(runtime, Scope(budget), text=text))
            return str(caught.value)

        return run(main)

    text = refused(ENGLISH)
    assert 'the strict bound of a token a byte, which is too many for what is left; Client(estimates="learned")' in text
    assert "What is the way" not in text
    assert "strict bound" not in refused(ENGLISH * 50), "that would not fit either way"
    assert "strict bound" not in refused(ENGLISH, learned=LearnedEstimates()), "that was asked for already"


def test_a_refusal_for_the_number_of_calls_says_nothing_of_estimates(run, ledger):
    once = Scope(Budget(calls=1, tokens=10**9, name="once"))
    stack = Stack(ledger, FakeProvider("Hi"))

    async def main(runtime):
        await (await stack(make_request(runtime, once, text=ENGLISH))).read()
        with pytest.raises(BudgetExceeded) as caught:
            await stack(make_request(runtime, once, text=ENGLISH))
        return str(caught.value)

    assert "strict bound" not in run(main)


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.INFO, "inferkit")

    def lines():
        found = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "inferkit"]
        assert not [line for _, line in found if SECRET in line or "sk-" in line]
        return found

    return lines


def ask(world, *providers, fails=False, **settings):
    """Ask a client whose candidates these are; give the reply's text."""
    named = {f"p{place}": provider for place, provider in enumerate(providers)}
    settings.setdefault("models", {"a": [f"{name}:m" for name in named]})

    async def main(world):
        async with closing(world.client(providers=named, **settings)) as llm:
            return (await llm.complete("a", SECRET, max_output_tokens=50)).text

    return world.run(main)


def failing(kind, **details):
    return FakeProvider(kind(f"no: {SECRET}", provider="p0", detail=f"{SECRET} sk-123", **details))


def test_a_retry_is_one_line(world, logged, monkeypatch):
    monkeypatch.setattr("inferkit.layers.retry.backoff", lambda *_, **__: 0.0)
    provider = FakeProvider(Unavailable(SECRET, provider="p0", status=503), "Hello!")
    assert ask(world, provider) == "Hello!"
    ((level, line),) = logged()
    assert level == "INFO"
    assert line.endswith(": p0:m is asked again (Unavailable, HTTP 503)")
    assert line.startswith("call ")


@pytest.mark.parametrize(
    ("failure", "level", "hint"),
    [
        (failing(Unavailable, status=503), "INFO", ""),
        (failing(RateLimited, status=429), "INFO", ""),
        (failing(InvalidRequest, status=400), "INFO", ""),
        (failing(AuthenticationFailed, status=401), "WARNING", ": its key is refused; set the right one"),
        (failing(RateLimited, retryable=False), "WARNING", ": its account has no credit left; top it up"),
        (failing(InvalidRequest, status=404), "WARNING", ": it does not know the model; correct the name in models="),
    ],
)
def test_a_fallback_is_one_line_and_a_warning_where_somebody_should_act(world, logged, failure, level, hint):
    assert ask(world, failure, FakeProvider("Hello!")) == "Hello!"
    ((found, line),) = logged()
    assert found == level
    assert "p1:m is asked after p0:m failed (" in line
    assert line.endswith(f"){hint}")


def test_a_call_that_goes_well_says_nothing(world, logged, tmp_path):
    assert ask(world, FakeProvider("Hello!"), ledger=tmp_path / "ledger.db") == "Hello!"
    assert logged() == []


def test_a_degraded_call_is_one_line(world, logged, tmp_path):
    small = Budget(calls=1, per="total", name="small", on_exceed="degrade", degrade_to="b")
    models = {"a": "p0:m", "b": "p1:m"}
    settings = {"models": models, "budget": small, "ledger": tmp_path / "ledger.db"}
    assert ask(world, FakeProvider("big"), FakeProvider("little"), **settings) == "big"
    assert ask(world, FakeProvider("big"), FakeProvider("little"), **settings) == "little"
    ((level, line),) = logged()
    assert level == "INFO"
    assert line.endswith(": b answers instead of a, since budget small does not cover it (calls)")


def test_a_reply_that_a_budget_cuts_short_is_one_line(run, logged, ledger):
    stack = Stack(ledger, FakeProvider(RUNAWAY))

    async def main(runtime):
        truncating = Scope(Budget(usd="0.0005", name="short", on_exceed="truncate"), "ana")
        await (await stack(make_request(runtime, truncating))).read()

    run(main)
    ((level, line),) = logged()
    assert level == "INFO"
    assert "the reply of test:cheap was cut short, after " in line
    assert line.endswith("by what is left of its budgets: short:ana")


def test_a_reply_that_ends_at_the_length_that_a_budget_set_is_one_line(run, logged, ledger):
    stack = Stack(ledger, FakeProvider([Chunk("Hello", finish_reason="length", usage=Usage(5, 100))]))

    async def main(runtime):
        await (await stack(make_request(runtime, Scope(Budget(usd="0.0005", name="short"))))).read()

    run(main)
    ((_, line),) = logged()
    assert "cut short, after 100 tokens" in line
