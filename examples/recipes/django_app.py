"""The same desk on Django, in one file: settings, a view that streams, and budgets by customer.

Run it:

    python -m uvicorn --app-dir examples/recipes django_app:application
    curl -N 'localhost:8000/stream?text=Where+is+it' -H 'x-customer: ana'
"""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import django
from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from shop import CUSTOMER, SETTINGS

from inferkit import AsyncClient, BudgetExceeded
from inferkit.integrations import DjangoMiddleware

settings.configure(  # what stands in settings.py
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    SECRET_KEY="only this example's",  # noqa: S106
    MIDDLEWARE=["django_app.CustomerMiddleware", "django_app.OverBudget"],
    INFERKIT={"budget": CUSTOMER, **SETTINGS},
)
django.setup()

llm = AsyncClient(**settings.INFERKIT)


class CustomerMiddleware(DjangoMiddleware):
    """As it is, `DjangoMiddleware` takes whoever is logged in."""

    def user(self, request: HttpRequest) -> str | None:
        customer: str | None = request.headers.get("x-customer")
        return customer

    def feature(self, request: HttpRequest) -> str:
        return "support"


class OverBudget:
    """Says so where a customer has asked all that its budget allows, whatever the view."""

    async_capable, sync_capable = True, False

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> Any:
        return await self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, BudgetExceeded):
            return None
        return JsonResponse({"error": "you have asked all that your plan allows"}, status=402)


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    reply = llm.stream("answer", request.GET["text"], max_output_tokens=200)
    first = await anext(reply, None)  # a refusal is raised here, while the status can still say so

    async def body() -> AsyncIterator[str]:
        async with aclosing(reply):
            if first is not None:
                yield first.text
            async for chunk in reply:
                yield chunk.text

    return StreamingHttpResponse(body(), content_type="text/plain")


urlpatterns = [path("stream", stream)]
application = get_asgi_application()
