"""OpenAI's embeddings, which most servers that speak Chat Completions give in the same form.

https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import Message
from inferkit.pricing.terms import CostRules, WireField, refuse_always
from inferkit.providers.wires.chat.errors import error_in, read_error
from inferkit.providers.wires.chat.usage import read_usage
from inferkit.providers.wires.cost_fields import all_of
from inferkit.providers.wires.embeddings.codec import EmbeddingCodec, WholeReply, texts_of
from inferkit.providers.wires.embeddings.vectors import as_base64, as_list
from inferkit.providers.wires.extras import CHAT
from inferkit.providers.wires.payload import Malformed, NotTakenError, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.core.request import Request
    from inferkit.core.usage import Usage
    from inferkit.providers.embedding_quirks import EmbeddingQuirks

__all__ = ["COST_RULES", "OpenAIEmbeddings", "read_request", "write_reply"]

_REFUSED = {400, 422}
_FORMAT = re.compile(rb"encoding_format|base64", re.IGNORECASE)

COST_RULES = CostRules(
    {
        "input": WireField("option", "pass the texts themselves: embed(model, texts)"),
        "model": WireField("option", "use the model argument"),
        "dimensions": WireField("option", "use the option dimensions="),
        "encoding_format": WireField("refused", "the form of the vectors is chosen here; they come as numbers"),
        **all_of(
            "free", "moves no cost", "user truncate truncation truncate_prompt_tokens normalize normalized priority"
        ),
        **all_of("measured", "its bytes count as input, with each text", "prompt instruction"),
    }
)


class OpenAIEmbeddings(EmbeddingCodec):
    """The codec; see `EmbeddingCodec`."""

    name = CHAT
    cost_rules = COST_RULES
    error_in = staticmethod(error_in)
    read_error = staticmethod(read_error)

    def path(self, request: Request) -> str:  # noqa: ARG002 - the same for all
        """See `Wire`."""
        return "/embeddings"

    def payload(self, request: Request, quirks: EmbeddingQuirks) -> dict[str, Any]:
        """See `Codec`."""
        payload: dict[str, Any] = {"model": request.model, "input": texts_of(request)}
        if quirks.base64:
            payload["encoding_format"] = "base64"
        for value, field, option in (
            (request.dimensions, quirks.dimensions_field, "dimensions="),
            (request.task, quirks.task_field, "task="),
        ):
            if value is not None:
                if field is None:
                    raise NotTakenError(option)
                payload[field] = value
        refuse_always(request.extra, COST_RULES)
        return payload | dict(request.extra)

    def lighter(self, request: Request, quirks: EmbeddingQuirks, status: int, body: bytes) -> EmbeddingQuirks | None:  # noqa: ARG002
        """See `Codec`."""
        if status in _REFUSED and quirks.base64 and _FORMAT.search(body):
            return replace(quirks, base64=False)
        return None

    def whole(self, content: dict[str, Any]) -> WholeReply:
        """See `EmbeddingCodec`."""
        data = content.get("data")
        if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
            raise Malformed("it has no list of vectors")
        model, id_ = content.get("model"), content.get("id")
        return WholeReply(
            [one.get("embedding") for one in _in_order(data)],
            read_usage(content.get("usage")),
            model=model if isinstance(model, str) else None,
            id=id_ if isinstance(id_, str) else None,
        )


def _in_order(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put vectors into the order of their texts, which their index tells, or where none has one, their own order."""
    places = [one.get("index") for one in data]
    if places.count(None) == len(places):
        return data
    placed = {place: one for place, one in zip(places, data, strict=True) if type(place) is int}
    if placed.keys() != set(range(len(data))):
        raise Malformed("its vectors are not numbered one by one")
    return [placed[place] for place in range(len(data))]


def read_request(payload: Any) -> dict[str, Any]:
    """Read a request's JSON into fields of a `Request`. Raises `ConfigurationError` where it is none.

    What else it holds stays as it came, in `extra`; the form of the vectors (`encoding_format`) too, which is for
    whoever writes the reply.
    """
    given = payload.get("input") if isinstance(payload, dict) else None
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise ConfigurationError("input is a text or a list of texts, none of them empty")
    extra = {name: value for name, value in payload.items() if name != "input"}
    fields: dict[str, Any] = {"operation": "embed", "messages": tuple(map(Message.user, texts))}
    model = extra.pop("model", None)
    if not isinstance(model, str) or not model:
        raise ConfigurationError("model is the name of a model")
    dimensions = extra.get("dimensions")
    if type(dimensions) is int and dimensions > 0:
        fields["dimensions"] = extra.pop("dimensions")
    return {**fields, "model": model, "extra": extra}


def write_reply(vectors: Sequence[bytes], *, model: str, usage: Usage, base64: bool) -> bytes:
    """Write what `OpenAIEmbeddings` reads."""
    data: list[Mapping[str, Any]] = [
        {"object": "embedding", "index": place, "embedding": as_base64(each) if base64 else as_list(each)}
        for place, each in enumerate(vectors)
    ]
    tokens = usage.input_tokens
    return write(
        {
            "object": "list",
            "data": data,
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )
