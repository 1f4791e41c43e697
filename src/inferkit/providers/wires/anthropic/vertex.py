"""The Anthropic wire as Google Cloud speaks it: the model stands in the address, the version in the body.

https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from inferkit.core.errors import ConfigurationError
from inferkit.providers.wires.anthropic.errors import error_in
from inferkit.providers.wires.anthropic.quirks import VERTEX
from inferkit.providers.wires.anthropic.wire import AnthropicWire
from inferkit.providers.wires.codec import error_reader
from inferkit.providers.wires.gemini.errors import error_in as error_of_google

if TYPE_CHECKING:
    from inferkit.core.request import Request

__all__ = ["VERTEX_WIRE", "AnthropicVertexWire"]

_WHOLE, _STREAMED = "rawPredict", "streamRawPredict"
_ADDRESS = re.compile(rf"(?:.*/)?models/([^/?]+):({_WHOLE}|{_STREAMED})(?:\?.*)?")


def _error_in(content: Any) -> Any:
    """Give the error object of a payload, or None: Google's own, or that of the model's provider behind it."""
    error = error_in(content)
    return error_of_google(content) if error is None or (isinstance(error, dict) and "status" in error) else error


class AnthropicVertexWire(AnthropicWire):
    """The codec; see `TwoWayWire`. An endpoint's quirks are like `VERTEX`."""

    plain = VERTEX
    error_in = staticmethod(_error_in)
    read_error = staticmethod(error_reader(_error_in))

    def path(self, request: Request) -> str:
        """See `Wire`."""
        return f"/models/{{model}}:{_STREAMED if request.stream else _WHOLE}"

    @staticmethod
    def read_path(path: str) -> dict[str, Any]:
        """Read what an address says of a request: its `model`, and `stream`. Raises `ConfigurationError` for others."""
        found = _ADDRESS.fullmatch(path)
        if found is None:
            raise ConfigurationError(f"the address of a request ends in /models/...:{_WHOLE}, or :{_STREAMED}")
        return {"model": unquote(found[1]), "stream": found[2] == _STREAMED}


VERTEX_WIRE = AnthropicVertexWire()
