"""Resolves the name that was asked for into the candidates that can serve it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferkit.client.catalog import Catalog
    from inferkit.core.request import Handler, Request
    from inferkit.core.response import Response

__all__ = ["Route"]


class Route:
    """Puts the candidates for `request.model` on the request, in order of preference.

    Raises `NoRoute` for a name that nothing stands behind.
    """

    role = "route"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Resolve and pass on."""
        candidates = self._catalog.resolve(request.model)
        request.record.note("route", policy="ordered", candidates=len(candidates), chosen=candidates[0].name)
        return await call_next(request.replace(candidates=candidates))
