"""The middleware for Django: whom each request is for, by whoever is logged in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.budgets.attributed import attributed
from inferkit.budgets.context import current_scopes
from inferkit.budgets.generators import Keeper
from inferkit.budgets.results import carried

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.budgets.keys import KeyValue

__all__ = ["DjangoMiddleware"]


class DjangoMiddleware:
    """Says of the model calls of each request whom they are for.

    `"inferkit.integrations.DjangoMiddleware"` goes into `MIDDLEWARE`, below Django's `AuthenticationMiddleware`. It
    holds for the view, and for what a `StreamingHttpResponse` sends after it, under WSGI and ASGI.

    The user is the primary key of whoever is logged in. For anything else, make a class of it that says so in `user`,
    `tenant` and `feature`, and name that in `MIDDLEWARE`; or call `identify(...)` in the view.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        from asgiref.sync import iscoroutinefunction, markcoroutinefunction

        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def user(self, request: Any) -> KeyValue | None:
        """Say who asks, or None."""
        user = getattr(request, "user", None)
        return user.pk if user is not None and user.is_authenticated else None

    def tenant(self, request: Any) -> KeyValue | None:  # noqa: ARG002 - for classes made of this one
        """Say whose user that is, or None."""
        return None

    def feature(self, request: Any) -> str | None:  # noqa: ARG002 - for classes made of this one
        """Say what the request is for, or None."""
        return None

    def __call__(self, request: Any) -> Any:
        """Answer a request."""
        if self._is_async:
            return self._answer(request)
        keeper = Keeper()
        with attributed(**self._told(request)):
            response = self.get_response(request)
            scopes = current_scopes()
        return carried(response, scopes, keeper)

    async def _answer(self, request: Any) -> Any:
        from asgiref.sync import sync_to_async

        keeper = Keeper()
        told = await sync_to_async(self._told)(request)  # whoever is logged in may have to be read from a database
        with attributed(**told):
            response = await self.get_response(request)
            scopes = current_scopes()
        return carried(response, scopes, keeper)

    def _told(self, request: Any) -> dict[str, Any]:
        return {"user": self.user(request), "tenant": self.tenant(request), "feature": self.feature(request)}
