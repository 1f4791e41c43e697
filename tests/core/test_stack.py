"""Composition, and the warnings about orders that do harm."""

from __future__ import annotations

import warnings

import pytest

from inferkit import ConfigurationError, Insert, StackOrderWarning, compose
from inferkit.core.stack import ROLES, check_order, insert
from inferkit.runtime.direct import drive
from inferkit.testing import FakeProvider, make_request


def test_the_first_layer_sees_the_request_first_and_the_reply_last():
    seen = []

    def layer(name):
        async def run(request, call_next):
            seen.append(f"{name} in")
            response = await call_next(request)
            seen.append(f"{name} out")
            return response

        return run

    drive(compose([layer("a"), layer("b")], FakeProvider("hi"))(make_request()))
    assert seen == ["a in", "b in", "b out", "a out"]


def names(layers):
    return [layer.role for layer in layers]


def usual(*without):
    return [Named(role) for role in ROLES if role not in without]


def test_a_layer_of_ones_own_sees_each_call_once_as_its_caller_made_it():
    assert names(insert(usual(), [Named("a"), Named("b")]))[:4] == ["trace", "a", "b", "resolve"]


def test_a_layer_goes_before_or_after_another_or_in_its_place():
    own = [
        Insert(Named("a"), after="retry"),
        Insert(Named("b"), before="retry"),
        Insert(Named("c"), after="retry"),
        Insert(Named("d"), before="retry"),
        Insert(Named("mine"), instead_of="budget"),
        Insert(Named("last"), after="meter"),
        Insert(Named("first"), before="trace"),
    ]
    assert names(insert(usual(), own)) == [
        "first", "trace", "resolve", "cache", "mine", "repair", "route", "continuation", "b", "d", "retry", "a", "c",
        "hedge", "limit", "attempt", "meter", "last",
    ]  # fmt: skip


def test_a_layer_has_its_place_though_the_one_it_is_named_after_is_not_there():
    own = [Insert(Named("a"), before="cache"), Insert(Named("b"), after="resolve")]
    found = insert(usual("cache"), own)
    assert names(found)[:5] == ["trace", "resolve", "b", "a", "budget"]


def test_a_place_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(ConfigurationError, match="no layer 'retries'; its layers are: trace, .*retry.*, meter"):
        Insert(Named("a"), before="retries")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Insert(Named("a")),
        lambda: Insert(Named("a"), before="retry", after="cache"),
        lambda: Insert("retry", before="cache"),
        lambda: Insert(Insert(Named("a"), before="retry"), before="retry"),
    ],
)
def test_an_insertion_that_makes_no_sense_is_refused(make):
    with pytest.raises(ConfigurationError, match=r"Insert takes a layer|goes to one place"):
        make()


class Named:
    def __init__(self, role):
        self.role = role

    def __call__(self, request, call_next):
        return call_next(request)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (["budget", "cache"], "a cache hit would be charged"),
        (["retry", "budget"], "every retry would reserve anew"),
        (["retry", "cache"], "look the reply up again"),
        (["cache", "trace"], "cache hits would not be traced"),
        (["budget", "trace"], "refused calls would not be traced"),
        (["cache", "resolve"], "what stands behind a name"),
        (["budget", "resolve"], "what stands behind a name"),
        (["retry", "route"], "no candidates"),
    ],
)
def test_an_order_that_does_harm_is_warned_about(order, why):
    with pytest.warns(StackOrderWarning, match=why):
        check_order([Named(role) for role in order])


def test_the_usual_order_and_layers_of_ones_own_are_not_warned_about():
    async def own(request, call_next):
        return await call_next(request)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_order([Named(role) for role in ("trace", "resolve", "cache", "budget", "route", "retry")] + [own])
