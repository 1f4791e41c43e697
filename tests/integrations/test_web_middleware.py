"""Whom a web request is for holds for everything that the request does, and for nothing else."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import fastapi
import flask
import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from django_site import django_app
from inferkit import AsyncClient, Budget, BudgetExceeded, Client, attributed, identify
from inferkit.budgets.context import current_scopes
from inferkit.integrations import AsgiMiddleware, DjangoMiddleware, WsgiMiddleware
from inferkit.testing import FakeProvider
from web_servers import get, served_asgi, served_wsgi
from worlds import in_threads


@pytest.fixture
def llm():
    """Both clients, of a provider that answers whom a call is for."""
    asked = FakeProvider(lambda request: f"{request.user} {request.tenant} {request.feature}; ")
    settings = {"providers": {"f": asked}, "models": {"a": "f:m"}, "cache": False, "ledger": False}
    with Client(**settings) as client:
        yield SimpleNamespace(complete=client.complete, acomplete=AsyncClient(**settings).complete)


def who(llm):
    return llm.complete("Hi").text


async def async_who(llm):
    return (await llm.acomplete("Hi")).text


def first_part(scope):
    return scope["path"][1:]


def starlette_app(view, **who_asks):
    app = Starlette(routes=[Route("/{user}", view)])
    app.add_middleware(AsgiMiddleware, **who_asks)
    return app


def test_it_holds_for_a_streamed_body_and_for_background_tasks(llm):
    done = []

    async def view(request):
        async def body():
            for _ in range(2):
                yield await async_who(llm)

        return StreamingResponse(body(), background=BackgroundTask(lambda: done.append(who(llm))))

    with served_asgi(starlette_app(view, user=first_part, tenant="acme", feature="support")) as port:
        assert get(port, "/ana") == "ana acme support; " * 2
    assert done == ["ana acme support; "]


def test_a_body_that_is_read_in_threads_and_a_view_that_runs_in_one_are_covered(llm):
    def view(request):
        return StreamingResponse(who(llm) for _ in range(2))

    with served_asgi(starlette_app(view, user=first_part)) as port:
        assert get(port, "/ana") == "ana None None; " * 2


def test_what_has_to_be_found_out_is_awaited(llm):
    async def user(scope):
        await asyncio.sleep(0)
        return 4711

    async def view(request):
        return PlainTextResponse(await async_who(llm))

    with served_asgi(starlette_app(view, user=user)) as port:
        assert get(port, "/x") == "4711 None None; "


@pytest.mark.parametrize("is_async", [False, True])
def test_a_dependency_of_fastapi_says_who_it_is(llm, is_async):
    app = fastapi.FastAPI()
    app.add_middleware(AsgiMiddleware, feature="support")

    async def async_known(user: str):
        identify(user=user)

    def known(user: str):  # FastAPI runs it in a thread
        identify(user=user)

    dependency = fastapi.Depends(async_known if is_async else known)

    @app.get("/{user}", dependencies=[dependency])
    async def view(user):
        async def body():
            yield await async_who(llm)

        return StreamingResponse(body())

    with served_asgi(app) as port:
        assert get(port, "/ana") == "ana None support; "
        assert get(port, "/ben") == "ben None support; "


def test_it_holds_inside_of_middleware_that_runs_the_application_in_a_task_of_its_own(llm):
    async def view(request):
        async def body():
            yield await async_who(llm)

        return StreamingResponse(body())

    async def passing(request, call_next):
        return await call_next(request)

    app = Starlette(routes=[Route("/{user}", view)])
    app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    app.add_middleware(AsgiMiddleware, user="ana")
    app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    with served_asgi(app) as port:
        assert get(port, "/x") == "ana None None; "


def test_requests_at_once_do_not_see_each_other(llm):
    async def view(request):
        async def body():
            for _ in range(3):
                await asyncio.sleep(0)
                yield await async_who(llm)

        return StreamingResponse(body())

    def check(number):
        assert get(port, f"/user-{number}") == f"user-{number} None None; " * 3

    with served_asgi(starlette_app(view, user=first_part)) as port:
        in_threads(check, range(16))


def test_a_connection_that_is_no_request_passes_untouched():
    seen = []

    async def app(scope, receive, send):
        seen.append((scope["type"], current_scopes()))

    def never(scope):
        raise AssertionError("there is no user of a lifespan")

    asyncio.run(AsgiMiddleware(app, user=never)({"type": "lifespan"}, None, None))
    assert seen == [("lifespan", ())]


def test_a_budget_for_each_user_and_the_cache_of_each_tenant_go_by_it(tmp_path):
    fake = FakeProvider(lambda request: f"for {request.tenant}")
    budget = Budget(calls=1, per="total", name="each", each="user")
    with Client(budget=budget, providers={"f": fake}, models={"a": "f:m"}, home=tmp_path) as llm:

        def view(request):
            return PlainTextResponse(llm.complete("Hi").text)

        with served_asgi(starlette_app(view, user=first_part, tenant=first_part)) as port:
            assert get(port, "/ana") == "for ana"
            assert get(port, "/ana") == "for ana"  # from the cache, where nobody else's is
            assert get(port, "/ben") == "for ben"
        with attributed(user="ana", tenant="another"), pytest.raises(BudgetExceeded, match="each:ana"):
            llm.complete("Hi")


FLASK = {
    "whole": who,
    "generator": lambda llm: (who(llm) for _ in range(1)),
    "response": lambda llm: flask.Response(who(llm) for _ in range(1)),
}


@pytest.mark.parametrize("kind", FLASK)
def test_flask(llm, kind):
    app = flask.Flask(__name__)
    app.wsgi_app = WsgiMiddleware(app.wsgi_app, tenant=lambda environ: environ["HTTP_HOST"][:3], feature="support")

    @app.before_request
    def known():
        identify(user=flask.request.view_args["user"])

    @app.get("/<user>")
    def view(user):
        return FLASK[kind](llm)

    with served_wsgi(app) as port:
        assert get(port, "/ana") == "ana 127 support; "
        assert get(port, "/ben") == "ben 127 support; "


def test_a_body_of_wsgi_is_closed_under_it_and_files_and_lists_are_handed_on_as_they_are(llm):
    class Body:
        def __iter__(self):
            return iter([who(llm).encode()])

        def close(self):
            ended.append(who(llm))

    class File:
        def __iter__(self):
            return iter(())

    ended, file, words = [], File(), [b"a"]
    bodies = iter([Body(), file, words])
    app = WsgiMiddleware(lambda environ, start_response: next(bodies), user="ana")
    body = app({}, None)
    assert list(body) == [b"ana None None; "]
    body.close()
    assert ended == ["ana None None; "]
    assert app({"wsgi.file_wrapper": File}, None) is file
    assert app({}, None) is words
    assert current_scopes() == ()


class WithATenant(DjangoMiddleware):
    def tenant(self, request):
        return "acme"

    def feature(self, request):
        return request.path


def logged_in(get_response):
    """Do what Django's AuthenticationMiddleware does, without its database."""

    def known(request):
        name = request.GET.get("user")
        request.user = SimpleNamespace(pk=name, is_authenticated=name is not None)
        return get_response(request)

    return known


LOGGED_IN = f"{__name__}.logged_in"


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("asgi", [False, True])
def test_django_knows_it_by_whoever_is_logged_in(llm, asgi, streams):
    def view(request):
        return StreamingHttpResponse(who(llm) for _ in range(1)) if streams else HttpResponse(who(llm))

    async def async_view(request):
        async def body():
            yield await async_who(llm)

        return StreamingHttpResponse(body()) if streams else HttpResponse(await async_who(llm))

    with override_settings(MIDDLEWARE=[LOGGED_IN, "inferkit.integrations.DjangoMiddleware"]):
        app = django_app(async_view if asgi else view, asgi=asgi)
    with (served_asgi if asgi else served_wsgi)(app) as port:
        assert get(port, "/?user=ana") == "ana None None; "
        assert get(port, "/") == "None None None; "


def test_a_class_made_of_djangos_says_the_tenant_and_the_feature_and_a_view_the_rest(llm):
    def view(request):
        identify(user=7)
        return StreamingHttpResponse(who(llm) for _ in range(1))

    with override_settings(MIDDLEWARE=[f"{__name__}.WithATenant"]):
        app = django_app(view, asgi=False)
    with served_wsgi(app) as port:
        assert get(port, "/") == "7 acme /; "
