"""How likely each token of a reply was, in the form of the Chat Completions wire, asked for, read and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import TokenLogprob
from inferkit.providers.wires.payload import NotTakenError
from inferkit.providers.wires.token_logprobs import makes_sense, read_tokens, write_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferkit.core.request import Request
    from inferkit.providers.wires.chat.quirks import ChatQuirks

__all__ = ["ask_for_logprobs", "read_logprobs", "read_wish", "write_logprobs"]


def ask_for_logprobs(request: Request, quirks: ChatQuirks, payload: dict[str, Any]) -> None:
    """Write what a request wants to know of its tokens. Raises `NotTakenError` where the server never says it."""
    wanted, others = request.logprobs, request.top_logprobs
    if not wanted and others is None:
        if wanted is False and quirks.logprobs == "switch":
            payload["logprobs"] = False
        return
    if quirks.logprobs is None:
        raise NotTakenError("logprobs")
    if quirks.logprobs == "number":
        payload["logprobs"] = max(1, others or 0)
        return
    payload["logprobs"] = True
    if others is not None:
        payload["top_logprobs"] = others


def read_wish(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    """Take what `ask_for_logprobs` writes out of the wire's fields."""
    others = extra.get("top_logprobs")
    if not isinstance(extra.get("logprobs"), bool):
        return
    if "top_logprobs" in extra and (type(others) is not int or others < 0 or extra["logprobs"] is False):
        return
    fields["logprobs"] = extra.pop("logprobs")
    if "top_logprobs" in extra:
        fields["top_logprobs"] = extra.pop("top_logprobs")


def read_logprobs(given: Any) -> tuple[TokenLogprob, ...]:
    """Read what a choice says of its tokens; what makes no sense is passed over."""
    if not isinstance(given, dict):
        return ()
    tokens = given.get("tokens")
    if isinstance(tokens, list):  # Together's
        likely = given.get("token_logprobs")
        pairs = zip(tokens, likely, strict=False) if isinstance(likely, list) else ()
        return tuple([TokenLogprob(*pair) for pair in pairs if makes_sense(*pair)])
    return tuple([one for name in ("content", "refusal") for one in read_tokens(given.get(name))])


def write_logprobs(tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
    """Write what `read_logprobs` reads."""
    return {"content": write_tokens(tokens), "refusal": None}
