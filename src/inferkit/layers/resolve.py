"""A name becomes the candidates that can serve it, once a call; every layer further in reads them on the request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from inferkit.core.request import Handler, Request, Target
    from inferkit.core.response import Response

__all__ = ["Names", "Resolve", "resolved"]


class Names(Protocol):
    """What knows the names that callers use."""

    def resolve(self, name: str, /) -> tuple[Target, ...]:
        """Give the candidates for a name, best first. Raises `NoRoute` for one that nothing stands behind."""


class Resolve:
    """Puts the candidates for `request.model` on the request, unless somebody has done so.

    Raises `NoRoute` for a name that nothing stands behind.
    """

    role = "resolve"

    def __init__(self, names: Names) -> None:
        self._names = names

    def __repr__(self) -> str:
        return "Resolve()"

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Resolve and pass on."""
        request.record.names = names = _Found()
        names.source = self._names
        if not request.candidates:
            request = request.replace(candidates=names[request.model])
        return await call_next(request)


class _Found(dict[str, "tuple[Target, ...]"]):
    """What stands behind the names of one call, which never sees two meanings of one."""

    __slots__ = ("source",)
    source: Names

    def __missing__(self, name: str) -> tuple[Target, ...]:
        found = self[name] = self.source.resolve(name)
        return found


def resolved(request: Request) -> Request:
    """Give the request with its candidates, also where its `model` was replaced on the way.

    Raises `NoRoute` for a name that nothing stands behind, `ConfigurationError` in a stack that resolves no names.
    """
    if request.candidates:
        return request
    names: _Found | None = request.record.names
    if names is None:
        raise ConfigurationError(
            "nobody has said what stands behind the model's name: put the resolve layer before this one, or "
            "candidates=(Target(...),) on the request"
        )
    return request.replace(candidates=names[request.model])
