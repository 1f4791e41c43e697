"""Policies that leave out who cannot serve a call, or should not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import AudioPart, FilePart, ImagePart, Tool
from inferkit.pricing.likely import LikelyTokens
from inferkit.routing.policy import Narrowing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inferkit.core.request import Request, Target

__all__ = ["Fits", "Only"]


class Fits(Narrowing):
    """Leaves out models that cannot serve a call: into whose context it does not fit, or whose API has no form for it.

    A context window is what the price list, or the `Price` that was stated for the model, says. The prompt is counted
    as it is likely to be, and what the reply may have (`max_output_tokens`) is added. What an API has a form for
    (tools, images, sound, files, schemas, grammars, log-probabilities) is what its endpoint says of itself. Of what is
    not known nothing is held against a model.
    """

    name = "fits"

    def __init__(self) -> None:
        self._likely = LikelyTokens()

    def refuses(self, request: Request, target: Target) -> str | None:
        """See `Narrowing`."""
        capabilities = getattr(target.adapter, "capabilities", None)
        lacks = None if capabilities is None else _lacks(request, capabilities)
        if lacks is not None:
            return f"takes no {lacks}"
        window: int | None = getattr(target.price, "context_window", None)
        if window is None:
            return None
        needs = self._likely.input(request) + (request.max_output_tokens or 0)
        return None if needs <= window else f"holds {window:,} tokens, and about {needs:,} are needed"


def _lacks(request: Request, can: Any) -> str | None:
    """Say what of a request an API has no form for, if anything."""
    return next((what for what, is_met in _needs(request, can) if not is_met), None)


def _needs(request: Request, can: Any) -> Iterator[tuple[str, bool]]:
    """Give what a request needs, and whether an API that can do so much has it."""
    for tool in request.tools:
        yield ("tools", can.tools) if isinstance(tool, Tool) else ("tools written to in plain text", can.text_tools)
    if request.response_schema is not None:
        yield "schema", can.schema or can.tools
    if request.grammar is not None:
        yield "grammar", can.grammar
    if request.logprobs:
        yield "log-probabilities", can.logprobs
    for part in (part for message in request.messages for part in message.parts):
        if isinstance(part, ImagePart):
            yield f"images by {_way(part)}", _way(part) in can.images
        elif isinstance(part, FilePart):
            yield f"files by {_way(part)}", _way(part) in can.files
        elif isinstance(part, AudioPart):
            yield "sound", can.audio


def _way(part: ImagePart | FilePart) -> str:
    """Say how an image or a file comes."""
    if getattr(part, "file_id", None) is not None:
        return "file_id"
    url = part.url
    return "data" if url is None or url.startswith("data:") else "url"


class Only(Narrowing):
    """Leaves only those candidates of which `may(request, target)` is true: by region, by owner, by anything."""

    name = "only"

    def __init__(self, may: Callable[[Request, Target], bool]) -> None:
        if not callable(may):
            raise ConfigurationError("Only takes a function of a request and a target, which says if it may be asked")
        self._may = may

    def refuses(self, request: Request, target: Target) -> str | None:
        """See `Narrowing`."""
        return None if self._may(request, target) else "is not allowed by the route's own function"
