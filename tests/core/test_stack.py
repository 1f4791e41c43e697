"""Composition, and the warnings about orders that do harm."""

from __future__ import annotations

import warnings

import pytest

from inferkit import StackOrderWarning, compose
from inferkit.core.stack import check_order
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


class Named:
    def __init__(self, role):
        self.role = role


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
