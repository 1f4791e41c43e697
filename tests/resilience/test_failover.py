"""The policy of failures: what follows from each kind, as the page says it, and what makes no sense."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest

from inferkit import (
    AuthenticationFailed,
    BudgetExceeded,
    Client,
    ConfigurationError,
    ContentFiltered,
    ContextOverflow,
    Failover,
    InvalidRequest,
    LocalModelError,
    Overloaded,
    Price,
    RateLimited,
    Target,
    Unavailable,
)
from inferkit.resilience.failover import ACTIONS, Failovers, holds_more, kind_of, kinds

PAGE = Path(__file__).parents[2] / "docs" / "timeouts.md"


def of(kind, **details):
    return kind("no", provider="p", **details)


ERRORS = [
    (of(RateLimited, status=429), "rate_limited", "retry"),
    (of(RateLimited, status=402, retryable=False), "out_of_credit", "next"),
    (of(Unavailable), "unavailable", "retry"),
    (of(Unavailable, retryable=False), "unavailable", "next"),
    (of(Overloaded), "overloaded", "next"),
    (of(Overloaded, retryable=True), "overloaded", "retry"),
    (of(AuthenticationFailed, status=401), "key_refused", "elsewhere"),
    (of(AuthenticationFailed, status=403), "forbidden", "next"),
    (of(InvalidRequest, status=404), "not_found", "next"),
    (of(InvalidRequest, status=400), "invalid", "next"),
    (of(InvalidRequest, status=400, retryable=True), "invalid", "retry"),
    (of(ContextOverflow, status=400), "too_long", "larger"),
    (of(ContentFiltered, status=400), "filtered", "raise"),
    (LocalModelError("no"), "cannot_run", "next"),
    (BudgetExceeded("no", scope="s", limit=Decimal(1), spent=Decimal(1)), "not_covered", "next"),
]


@pytest.mark.parametrize(("error", "kind", "action"), ERRORS)
def test_each_failure_has_a_kind_and_what_follows_from_it(error, kind, action):
    assert kind_of(error) == kind
    assert Failover().action(error) == action


def test_every_kind_is_one_of_some_error():
    assert {kind for _, kind, _ in ERRORS} == set(kinds())


def test_the_page_has_the_table_of_the_defaults_and_that_of_the_actions():
    default = Failover()
    failures = [f"| `{name}` | {when} | `{getattr(default, name)}` |" for name, when in kinds().items()]
    actions = [f"| `{name}` | {what} |" for name, what in ACTIONS.items()]
    text = PAGE.read_text(encoding="utf-8")
    assert "\n".join(["| failure | what it is | default |", "|---|---|---|", *failures, ""]) in text
    assert "\n".join(["| action | what follows |", "|---|---|", *actions, ""]) in text


@pytest.mark.parametrize("wrong", [{"invalid": "again"}, {"filtered": "larger"}, {"unavailable": None}])
def test_what_is_no_action_is_refused_with_those_that_are(wrong):
    with pytest.raises(ConfigurationError, match="of a Failover is one of retry, stay, next"):
        Failover(**wrong)


def test_every_other_kind_takes_every_other_action():
    for each in fields(Failover):
        for action in ACTIONS.keys() - {"larger"}:
            assert getattr(Failover(**{each.name: action}), each.name) == action


def window(name, tokens=None):
    price = None if tokens is None else Price("1", "1", context_window=tokens)
    return Target(name, "m", None, price)


@pytest.mark.parametrize(
    ("failed", "other", "details", "may"),
    [
        (8000, 200_000, {}, True),
        (8000, 8000, {}, False),
        (8000, None, {}, True),
        (None, 8000, {}, True),
        (None, 8000, {"context_length": 16_000}, False),
        (None, 8000, {"prompt_tokens": 9000}, False),
        (4000, 8000, {"prompt_tokens": 5000}, True),
        (200_000, 8000, {"context_length": 4000}, True),  # as its server was started
    ],
)
def test_a_prompt_that_does_not_fit_goes_to_larger_windows_alone(failed, other, details, may):
    error = of(ContextOverflow, **details)
    assert holds_more(window("b", other), window("a", failed), error) is may


def test_a_name_may_have_a_policy_of_its_own():
    own = Failover(filtered="next")
    policies = Failovers({"fast": own})
    assert policies.find("fast") is own
    assert policies.find("other") == Failover()
    assert Failovers(own).find("any") is own


@pytest.mark.parametrize("wrong", ["next", {"local": "next"}, [Failover()]])
def test_what_is_no_policy_is_refused_at_the_door(wrong):
    with pytest.raises(ConfigurationError, match="failover is a Failover, or a dictionary"):
        Client(failover=wrong)


def test_a_policy_for_a_name_that_nobody_knows_is_refused():
    with pytest.raises(ConfigurationError, match='failover= has a policy for "fsat", but no model stands behind'):
        Client(models={"fast": "local"}, failover={"fsat": Failover()}, ledger=False, cache=False)
