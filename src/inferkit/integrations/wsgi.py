"""The middleware for WSGI applications (Flask, Django, Bottle, Pyramid...): whom each request is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.budgets.attributed import attributed
from inferkit.budgets.context import current_scopes
from inferkit.budgets.generators import Keeper
from inferkit.budgets.results import carried_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inferkit.budgets.keys import KeyValue

    Environ = dict[str, Any]
    From = KeyValue | Callable[[Environ], KeyValue | None] | None

__all__ = ["WsgiMiddleware"]


class WsgiMiddleware:
    """Says of the model calls of each request whom they are for.

    ```python
    app.wsgi_app = WsgiMiddleware(app.wsgi_app, user=lambda environ: environ.get("REMOTE_USER"), feature="support")
    ```

    `user`, `tenant` and `feature` are values, or functions of the environment that give one (or None); what they raise
    fails the request. They run before the application does: what only that finds out, it says with
    `identify(user=...)`. Either holds for everything that the request does, and for each piece of the body that it
    streams afterwards, which is closed as the server would close it.
    """

    def __init__(
        self, app: Callable[..., Iterable[bytes]], *, user: From = None, tenant: From = None, feature: From = None
    ) -> None:
        self.app = app
        self._from = {"user": user, "tenant": tenant, "feature": feature}

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        keeper = Keeper()  # older than what it keeps
        told: dict[str, Any] = {
            name: given(environ) if callable(given) else given for name, given in self._from.items()
        }
        with attributed(**told):
            body = self.app(environ, start_response)
            scopes = current_scopes()
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            return body  # a file, which the server sends in a way of its own
        given: Iterable[bytes] = carried_body(body, scopes, keeper)
        return given
