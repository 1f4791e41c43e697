"""Gemini's embeddings: `batchEmbedContents`.

https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import Message
from inferkit.pricing.terms import CostRules, WireField, refuse_always
from inferkit.providers.wires.embeddings.codec import EmbeddingCodec, WholeReply, texts_of
from inferkit.providers.wires.embeddings.vectors import as_list
from inferkit.providers.wires.extras import GEMINI
from inferkit.providers.wires.gemini.errors import error_in, read_error
from inferkit.providers.wires.gemini.models import resource_of
from inferkit.providers.wires.gemini.usage import read_usage
from inferkit.providers.wires.payload import Malformed, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.core.request import Request
    from inferkit.core.usage import Usage
    from inferkit.providers.embedding_quirks import EmbeddingQuirks

__all__ = ["COST_RULES", "TASKS", "GeminiEmbeddings", "read_request", "write_reply"]

TASKS = {"query": "RETRIEVAL_QUERY", "document": "RETRIEVAL_DOCUMENT"}
"""Words of other providers for its two tasks of retrieval."""

COST_RULES = CostRules(
    {
        "requests": WireField("option", "pass the texts themselves: embed(model, texts)"),
        "content": WireField("option", "pass the texts themselves: embed(model, texts)"),
        "model": WireField("option", "use the model argument"),
        "outputDimensionality": WireField("option", "use the option dimensions="),
        "taskType": WireField("option", "use the option task="),
        "title": WireField("measured", "its bytes count as input, with each text"),
    }
)


class GeminiEmbeddings(EmbeddingCodec):
    """The codec; see `EmbeddingCodec`."""

    name = GEMINI
    cost_rules = COST_RULES
    error_in = staticmethod(error_in)
    read_error = staticmethod(read_error)

    def path(self, request: Request) -> str:
        """See `Wire`."""
        return f"/{resource_of(request.model)}:batchEmbedContents"

    def payload(self, request: Request, quirks: EmbeddingQuirks) -> dict[str, Any]:  # noqa: ARG002
        """See `Codec`. Each text is a content of its own: several parts of one would have one vector together."""
        refuse_always(request.extra, COST_RULES)
        common: dict[str, Any] = {"model": resource_of(request.model).replace("{model}", request.model)}
        if request.task is not None:
            common["taskType"] = TASKS.get(request.task, request.task.upper())
        if request.dimensions is not None:
            common["outputDimensionality"] = request.dimensions
        common |= request.extra
        return {"requests": [{**common, "content": {"parts": [{"text": text}]}} for text in texts_of(request)]}

    def whole(self, content: dict[str, Any]) -> WholeReply:
        """See `EmbeddingCodec`. Vectors have no number; their order is that of the texts."""
        found = content.get("embeddings")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise Malformed("it has no list of vectors")
        return WholeReply([one.get("values") for one in found], read_usage(content.get("usageMetadata")))


_NAMED = re.compile(r"(?:models/)?(.+)", re.DOTALL)


def read_request(payload: Any) -> dict[str, Any]:
    """Read a request's JSON into fields of a `Request`. Raises `ConfigurationError` where it is none.

    What is asked for must be the same for all texts.
    """
    requests = payload.get("requests") if isinstance(payload, dict) else None
    if not isinstance(requests, list) or not requests or not all(isinstance(one, dict) for one in requests):
        raise ConfigurationError("requests is a list of objects, one for each text")
    common = [{name: value for name, value in one.items() if name != "content"} for one in requests]
    if any(one != common[0] for one in common):
        raise ConfigurationError("all requests of a batch ask for the same: one model, one task, one title")
    extra = dict(common[0])
    named = _NAMED.fullmatch(extra.pop("model", None) or "")
    if named is None:
        raise ConfigurationError("model is the name of a model")
    fields: dict[str, Any] = {
        "operation": "embed",
        "model": named[1],
        "messages": tuple([Message.user(_text_in(one.get("content"))) for one in requests]),
    }
    if isinstance(extra.get("taskType"), str):
        fields["task"] = extra.pop("taskType").lower()
    if type(extra.get("outputDimensionality")) is int:
        fields["dimensions"] = extra.pop("outputDimensionality")
    return {**fields, "extra": extra}


def _text_in(content: Any) -> str:
    parts = content.get("parts") if isinstance(content, dict) else None
    if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], dict) and parts[0].keys() == {"text"}:
        text = parts[0]["text"]
        if isinstance(text, str) and text:
            return text
    raise ConfigurationError("the content of a request is one part with a text that is not empty")


def write_reply(vectors: Sequence[bytes], *, usage: Usage | None) -> bytes:
    """Write what `GeminiEmbeddings` reads."""
    payload: dict[str, Any] = {"embeddings": [{"values": as_list(each)} for each in vectors]}
    if usage is not None:
        payload["usageMetadata"] = {"promptTokenCount": usage.input_tokens, "totalTokenCount": usage.input_tokens}
    return write(payload)
