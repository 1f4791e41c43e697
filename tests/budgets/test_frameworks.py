"""What a budgeted view of a web framework sends bit by bit is charged to its budget, and what serves it is not."""

import gc
import inspect
import json
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Annotated

import anyio
import anyio.lowlevel
import fastapi
import flask
import pytest
import starlette.applications
import starlette.background
import starlette.responses
import starlette.routing
from django.http import FileResponse, HttpResponse, StreamingHttpResponse

from django_site import django_app
from inferkit import AsyncClient, Budget, BudgetExceeded, Client, Price, budgeted
from inferkit.testing import FakeProvider
from web_servers import accounts, get, served_asgi, served_wsgi
from worlds import SECONDS, Gate, in_threads, on_a_loop

BUDGET = Budget(calls=2, per="total", name="views")
budgeted_view = budgeted(BUDGET, key=lambda *args, **kwargs: "ana")
ANSWERED = 'one two, then BudgetExceeded of views:ana; closed under ["views:ana"]'


@pytest.fixture
def llm(tmp_path):
    """Both clients, over one ledger."""
    settings = {
        "providers": {"f": FakeProvider("Hello!")},
        "models": {"a": "f:m"},
        "prices": {"f:m": Price(input="1", output="1")},
        "cache": False,
        "ledger": tmp_path / "ledger.db",
    }
    with Client(**settings) as client:
        yield SimpleNamespace(
            complete=client.complete,
            acomplete=AsyncClient(**settings).complete,
            ledger=client.ledger,
            ended=SimpleQueue(),
        )


def was_charged(llm):
    return BUDGET.usage("ana", ledger=llm.ledger).calls == 2


def talk(llm):
    """Make calls until there is no money left."""
    try:
        for word in ("one ", "two", "three"):
            llm.complete(word)
            yield word
    except BudgetExceeded as refusal:
        yield f", then BudgetExceeded of {refusal.scope}"
    finally:
        llm.ended.put(accounts())
    yield f"; closed under {json.dumps(accounts())}"


async def async_talk(llm):
    try:
        for word in ("one ", "two", "three"):
            await llm.acomplete(word)
            yield word
    except BudgetExceeded as refusal:
        yield f", then BudgetExceeded of {refusal.scope}"
    finally:
        llm.ended.put(accounts())
        await anyio.lowlevel.checkpoint()
    yield f"; closed under {json.dumps(accounts())}"


class Talk:
    """An iterable of one's own, that is no iterator."""

    def __init__(self, llm):
        self.llm = llm

    def __iter__(self):
        return talk(self.llm)


class AsyncTalk:
    def __init__(self, llm):
        self.llm = llm

    def __aiter__(self):
        return async_talk(self.llm)


TALKS = {"sync": talk, "async": async_talk, "iterable": Talk, "async iterable": AsyncTalk}
Streaming = starlette.responses.StreamingResponse


@pytest.mark.parametrize("kind", TALKS)
@pytest.mark.parametrize("view_is_async", [False, True])
def test_a_streaming_response_of_fastapi(llm, kind, view_is_async):
    app = fastapi.FastAPI()

    @budgeted_view
    def view():
        return Streaming(TALKS[kind](llm))

    @budgeted_view
    async def async_view():
        return Streaming(TALKS[kind](llm))

    app.get("/")(async_view if view_is_async else view)
    with served_asgi(app) as port:
        assert get(port, "/") == ANSWERED
    assert was_charged(llm)


@pytest.mark.parametrize("talking", [talk, async_talk])
def test_a_route_of_fastapi_that_is_a_generator(llm, talking):
    app = fastapi.FastAPI()

    if talking is talk:

        @app.get("/")
        @budgeted_view
        def view():
            yield from talk(llm)

    else:

        @app.get("/")
        @budgeted_view
        async def view():
            async for word in async_talk(llm):
                yield word

    with served_asgi(app) as port:
        words = [json.loads(line) for line in get(port, "/").splitlines()]
    assert "".join(words) == ANSWERED
    assert was_charged(llm)


def test_a_generator_that_fastapi_makes_a_list_of(llm):
    app = fastapi.FastAPI()

    @app.get("/")
    @budgeted_view
    def view():
        return talk(llm)

    with served_asgi(app) as port:
        assert "".join(json.loads(get(port, "/"))) == ANSWERED
    assert was_charged(llm)


@pytest.mark.parametrize("talking", [talk, async_talk])
def test_a_dependency_of_fastapi_that_is_a_generator(llm, talking):
    app = fastapi.FastAPI()
    seen = []

    if talking is talk:

        @budgeted_view
        def session():
            yield accounts()
            seen.append(accounts())

    else:

        @budgeted_view
        async def session():
            yield accounts()
            seen.append(accounts())

    @app.get("/")
    def view(session: Annotated[list, fastapi.Depends(session)]):
        return [session, accounts()]

    with served_asgi(app) as port:
        assert json.loads(get(port, "/")) == [["views:ana"], []]
    assert seen == [["views:ana"]]


@pytest.mark.parametrize("task", ["one", "several"])
def test_what_is_done_in_the_background_after_a_response(llm, task):
    done = []

    def work(word):
        done.append((word, accounts()))

    @budgeted_view
    async def view(request):
        if task == "one":
            return starlette.responses.PlainTextResponse("ok", background=starlette.background.BackgroundTask(work, 1))
        tasks = starlette.background.BackgroundTasks()
        tasks.add_task(work, 1)
        response = Streaming(async_talk(llm), background=tasks)
        response.background.add_task(work, 2)
        return response

    app = starlette.applications.Starlette(routes=[starlette.routing.Route("/", view)])
    with served_asgi(app) as port:
        assert get(port, "/") == ("ok" if task == "one" else ANSWERED)
    assert done == [(number + 1, ["views:ana"]) for number in range(len(done))]
    assert len(done) == (1 if task == "one" else 2)


@on_a_loop
@pytest.mark.parametrize("talking", [talk, async_talk])
def test_a_streaming_response_whose_reader_leaves_is_cleaned_up_under_its_budget(run, llm, talking):
    left = Gate()

    async def receive():
        await left()
        return {"type": "http.disconnect"}

    async def send(message):
        assert accounts() == []
        if message.get("body"):
            left.open()

    @budgeted_view
    async def view(request):
        return Streaming(talking(llm))

    app = starlette.applications.Starlette(routes=[starlette.routing.Route("/", view)])
    scope = {
        "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": [],
        "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "scheme": "http",
    }  # fmt: skip

    async def main(_):
        await app(scope, receive, send)
        return accounts()

    assert run(main) == []
    gc.collect()  # Starlette leaves what is not async to whoever finds it
    assert llm.ended.get(timeout=SECONDS) == ["views:ana"]


def test_responses_of_starlette_that_stream_nothing_are_left_alone(tmp_path):
    file = tmp_path / "file"
    file.write_text("text")

    @budgeted_view
    def view(response):
        return response

    for response in (
        starlette.responses.JSONResponse({}), starlette.responses.FileResponse(file), fastapi.Response("x"),
    ):  # fmt: skip
        assert view(response) is response
        assert response.background is None
        assert not hasattr(response, "body_iterator")


FLASK = {
    "response": lambda llm: flask.Response(talk(llm)),
    "generator": talk,
    "iterable in a response": lambda llm: flask.Response(Talk(llm)),
    "with a status": lambda llm: (talk(llm), 200, {"x-kind": "tuple"}),
    "response with a status": lambda llm: (flask.Response(talk(llm)), 200),
    "with its context": lambda llm: flask.Response(flask.stream_with_context(talk(llm))),
    "map": lambda llm: map(str, talk(llm)),
}


@pytest.mark.parametrize("kind", FLASK)
@pytest.mark.parametrize("view_is_async", [False, True])
def test_a_view_of_flask(llm, kind, view_is_async):
    app = flask.Flask(__name__)

    @budgeted_view
    def view():
        return FLASK[kind](llm)

    @budgeted_view
    async def async_view():
        return FLASK[kind](llm)

    app.get("/")(async_view if view_is_async else view)
    with served_wsgi(app) as port:
        assert get(port, "/") == ANSWERED
    assert was_charged(llm)
    assert llm.ended.get(timeout=SECONDS) == ["views:ana"]


def test_a_view_of_flask_that_is_a_generator_function(llm):
    app = flask.Flask(__name__)

    @app.get("/")
    @budgeted_view
    def view():
        yield from talk(llm)

    with served_wsgi(app) as port:
        assert get(port, "/") == ANSWERED


def test_a_response_of_flask_whose_reader_leaves_is_cleaned_up_under_its_budget(llm):
    app = flask.Flask(__name__)

    @app.get("/")
    @budgeted_view
    def view():
        return flask.Response(talk(llm))

    response = app.test_client().get("/", buffered=False)
    assert next(response.response) == b"one "
    assert accounts() == []
    response.close()
    assert llm.ended.get(timeout=SECONDS) == ["views:ana"]


def test_a_file_that_flask_sends_is_left_to_the_server(tmp_path):
    file = tmp_path / "file"
    file.write_text("text")
    app = flask.Flask(__name__)
    given = []

    @app.get("/")
    @budgeted_view
    def view():
        given.append(flask.send_file(file))
        given.append(given[0].response)
        return given[0]

    with app.test_request_context("/"):
        response = view()
        assert response is given[0]
        assert response.response is given[1]
        response.close()


@pytest.mark.parametrize("kind", ["sync", "iterable"])
@pytest.mark.parametrize("view_is_async", [False, True])
def test_a_streaming_response_of_django_behind_wsgi(llm, kind, view_is_async):
    @budgeted_view
    def view(request):
        return StreamingHttpResponse(TALKS[kind](llm))

    @budgeted_view
    async def async_view(request):
        return StreamingHttpResponse(TALKS[kind](llm))

    with served_wsgi(django_app(async_view if view_is_async else view, asgi=False)) as port:
        assert get(port, "/") == ANSWERED
    assert was_charged(llm)


@pytest.mark.parametrize("kind", ["async", "async iterable"])
@pytest.mark.parametrize("view_is_async", [False, True])
def test_a_streaming_response_of_django_behind_asgi(llm, kind, view_is_async):
    @budgeted_view
    def view(request):
        return StreamingHttpResponse(TALKS[kind](llm))

    @budgeted_view
    async def async_view(request):
        return StreamingHttpResponse(TALKS[kind](llm))

    with served_asgi(django_app(async_view if view_is_async else view, asgi=True)) as port:
        assert get(port, "/") == ANSWERED
    assert was_charged(llm)


def test_a_response_of_django_whose_reader_leaves_is_cleaned_up_under_its_budget(llm):
    @budgeted_view
    def inner(request):
        return StreamingHttpResponse(talk(llm))

    @budgeted(calls=5, name="team")
    def view(request):
        return inner(request)

    response = view(None)
    assert next(iter(response)) == b"one "
    assert accounts() == []
    response.close()
    assert llm.ended.get(timeout=SECONDS) == ["team", "views:ana"]


def test_a_file_and_a_whole_response_of_django_are_sent_as_they_are(tmp_path):
    file = tmp_path / "file"
    file.write_text("text")

    @budgeted_view
    def view(request):
        return FileResponse(file.open("rb"))

    with served_wsgi(django_app(view, asgi=False)) as port:
        assert get(port, "/") == "text"
    whole = HttpResponse("whole")
    assert budgeted_view(lambda: whole)() is whole


def test_requests_at_once_do_not_see_each_other(llm):
    app = fastapi.FastAPI()

    @app.get("/{user}")
    @budgeted(calls=9, name="many", key="user")
    async def view(user: str):
        async def body():
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
                yield f"{user in str(accounts())}{len(accounts())} "

        return Streaming(body())

    assert inspect.signature(view).parameters["user"].annotation is str
    with served_asgi(app) as port:
        in_threads(lambda n: _same(get(port, f"/user-{n}-"), "True1 " * 3), range(24))


def _same(one, other):
    assert one == other
