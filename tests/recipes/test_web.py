"""The web applications among the recipes, behind real servers."""

from __future__ import annotations

import contextlib
import json

from chat_wire import delta
from recipes.runs import RECIPES, ask, booked, connected, environment, running, shop, uvicorn
from wire import SSE_HEAD, UNTIL_CLOSED, chunked, endless, event

ANSWER = "It is on its way, and comes tomorrow."
QUESTION = json.dumps({"text": "Where is it?"})
JSON = {"content-type": "application/json"}


def post(connection, path, customer="ana"):
    return ask(connection, "POST", path, QUESTION, x_customer=customer, content_type="application/json")


def get(connection, path, customer="ana"):
    return ask(connection, "GET", path, x_customer=customer)


def one_to_each(stack, port):
    """Open connections until there is one to each of two workers, which it stays with."""
    found = {}
    for number in range(100):
        connection = stack.enter_context(connected(port))
        status, said = post(connection, "/answer", f"knock-{number}")
        assert status == 200
        found[json.loads(said)["worker"]] = connection
        if len(found) == 2:
            return list(found.values())
    raise AssertionError("there is one worker alone")


def begins(received):
    """Begin a stream, and go on only until the connection is closed."""
    yield SSE_HEAD
    yield chunked(event(delta("It is ")))
    yield UNTIL_CLOSED


# Plain code learns that its reader is gone when it has something for them: so a model that goes on.
goes_on = endless(SSE_HEAD + chunked(event(delta("It is "))), chunked(event(delta("and so on, "))))


def leave(wire, port, *request, script=begins):
    """Have a customer read the first word, and leave; see that the model's server is left, too."""
    wire.script, before = script, wire.closed
    with connected(port) as connection:
        connection.request(*request)
        response = connection.getresponse()
        assert response.read1().startswith(b"It is ")
        response.close()
    assert wire.wait_until_closed(before + 1)


def test_fastapi_with_two_workers_holds_one_budget_over_both(tmp_path):
    """And a customer who leaves is not answered on, and pays for what came; a busy model is no fault of the desk's."""
    with shop() as wire, contextlib.ExitStack() as stack:
        env = environment(wire, tmp_path, SHOP_CALLS_A_DAY="6")
        port = stack.enter_context(uvicorn("fastapi_app:app", env, workers=2))[1]
        workers = one_to_each(stack, port)
        came = [post(workers[number % 2], "/answer") for number in range(9)]
        assert [status for status, _ in came] == [200] * 6 + [402] * 3
        answers = [json.loads(said) for _, said in came[:6]]
        assert len({each["worker"] for each in answers}) == 2
        assert {each["answer"] for each in answers} == {ANSWER}
        assert json.loads(came[-1][1])["again"]
        assert post(workers[0], "/stream")[0] == 402  # and no stream that breaks
        assert post(workers[1], "/stream", "ben") == (200, ANSWER)
        leave(wire, port, "POST", "/stream", QUESTION, JSON | {"x-customer": "cem"})
        wire.script = lambda _: [b"HTTP/1.1 503 X\r\nretry-after: 90\r\ncontent-length: 0\r\n\r\n"]
        assert post(workers[0], "/stream", "dora")[0] == 503
    charges = booked(tmp_path)  # all of it was written before the server had stopped
    assert sum(charge.attribution.user == "ana" for charge in charges) == 6
    assert {charge.attribution.feature for charge in charges} == {"support"}
    (left,) = (charge for charge in charges if charge.attribution.user == "cem")
    assert left.estimated
    assert 0 < left.output_tokens < 50


def test_django_streams_and_refuses_and_stops_where_a_customer_leaves(tmp_path):
    with shop() as wire:
        env = environment(wire, tmp_path, SHOP_CALLS_A_DAY="2")
        with uvicorn("django_app:application", env) as started:
            with connected(started[1]) as connection:
                assert get(connection, "/stream?text=Where") == (200, ANSWER)
                assert get(connection, "/stream?text=When") == (200, ANSWER)
                assert get(connection, "/stream?text=Why")[0] == 402
                assert get(connection, "/stream?text=Why", "ben") == (200, ANSWER)
            leave(wire, started[1], "GET", "/stream?text=Where", None, {"x-customer": "cem"})
    charges = booked(tmp_path)
    assert [charge.attribution[:3] for charge in charges] == [
        (user, None, "support") for user in ("ana", "ana", "ben", "cem")
    ]
    assert [charge.estimated for charge in charges] == [False, False, False, True]


def test_flask_streams_and_refuses_and_stops_where_a_customer_leaves(tmp_path):
    with shop() as wire:
        answers = wire.script
        env = environment(wire, tmp_path, SHOP_CALLS_A_DAY="2")
        command = ["-m", "flask", "--app", RECIPES / "flask_app.py", "run", "--port", "0"]
        with running(*command, env=env, until=[r"Running on http://127.0.0.1:(\d+)"]) as started:
            for customer, status in (("ana", 200), ("ana", 200), ("ana", 402), ("ben", 200)):
                with connected(started[1]) as connection:  # Flask's own server closes each
                    came = get(connection, "/stream?text=Where", customer)
                    assert came[0] == status
                    assert came[1] == ANSWER or status == 402
            leave(wire, started[1], "GET", "/stream?text=Where", None, {"x-customer": "cem"}, script=goes_on)
            wire.script = answers
            for status in (200, 402):  # the one that was left is one of two, and holds nothing any more
                with connected(started[1]) as connection:
                    assert get(connection, "/stream?text=Why", "cem")[0] == status
    charges = booked(tmp_path)
    assert [charge.attribution[:3] for charge in charges] == [
        (user, None, "support") for user in ("ana", "ana", "ben", "cem", "cem")
    ]
    assert [charge.estimated for charge in charges] == [False, False, False, True, False]
    assert charges[3].output_tokens > 0
