"""The middleware for ASGI applications (FastAPI, Starlette, Django, Litestar, Quart...): whom each request is for."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from inferkit.budgets.attributed import attributed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from inferkit.budgets.keys import KeyValue

    Message = MutableMapping[str, Any]
    Connection = MutableMapping[str, Any]
    Told = KeyValue | None
    From = Told | Callable[[Connection], Told | Awaitable[Told]]
    App = Callable[
        [Connection, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
    ]

__all__ = ["AsgiMiddleware"]

_REQUESTS = frozenset({"http", "websocket"})


class AsgiMiddleware:
    """Says of the model calls of each request whom they are for.

    ```python
    app.add_middleware(AsgiMiddleware, user=lambda scope: scope["session"].get("user"), feature="support")
    ```

    `user`, `tenant` and `feature` are values, or functions of the connection's scope that give one (or None), also
    coroutine functions; what they raise fails the request. They run before the application does: what only that finds
    out, it says with `identify(user=...)`. Either holds for everything that the request does: its handlers and
    dependencies in whatever thread, the body that it streams, its background tasks, and the tasks it starts.

    It is plain ASGI, opens no task of its own and touches no message; it needs no framework.
    """

    def __init__(self, app: App, *, user: From = None, tenant: From = None, feature: From = None) -> None:
        self.app = app
        self._from = {"user": user, "tenant": tenant, "feature": feature}

    async def __call__(
        self,
        scope: Connection,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer a request."""
        if scope["type"] not in _REQUESTS:
            return await self.app(scope, receive, send)
        told: dict[str, Any] = {}
        for name, given in self._from.items():
            value: Any = given(scope) if callable(given) else given
            told[name] = await value if inspect.isawaitable(value) else value
        with attributed(**told):
            return await self.app(scope, receive, send)
