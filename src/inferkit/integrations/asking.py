"""A call that a framework asks for through a model of inferkit's own: the same stack, from either client.

What only some wires have a word for is asked of those, and what the one that served the call was not sent is noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferkit.client.call import Call
from inferkit.client.options import read_options
from inferkit.client.shared import engine_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.client.shared import Shared
    from inferkit.core.messages import Message
    from inferkit.core.record import CallRecord
    from inferkit.core.reply import Reply

__all__ = ["PRIVATE", "Question", "facts_of", "missing", "target_of"]

PRIVATE = "inferkit"
"""Under what name a framework's message has what only inferkit reads: seals, and what has no form there."""


@dataclass(slots=True)
class Question:
    """What a framework asks: `options` are inferkit's own, `words` what each wire calls a wish of the framework's.

    `words` has for a wish the field and value by the wire: `{"top_k": {"anthropic": {"top_k": 5}}}`. `schema` is the
    JSON schema of the reply, which the framework checks itself.
    """

    model: str | None
    messages: Sequence[Message]
    options: dict[str, Any] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None

    def call(self, llm: Shared, *, stream: bool) -> Call:
        """Make the call. Raises `ConfigurationError` for what makes no sense."""
        options = {name: value for name, value in self.options.items() if value is not None or name == "timeout"}
        extra: dict[str, Any] = dict(options.pop("extra", None) or {})
        for wires in self.words.values():
            for wire, fields in wires.items():
                extra[wire] = {**extra.get(wire, {}), **fields}
        if extra:
            options["extra"] = extra
        read_options(options)
        fields = {} if self.schema is None else {"response_schema": self.schema}
        return Call(engine_of(llm), self.model, list(self.messages), options, stream=stream, fields=fields)  # type: ignore[arg-type]

    def note_unsent(self, record: CallRecord) -> None:
        """Note on a call's record what the wire that served it has no word for."""
        if not self.words:
            return
        served = target_of(record)
        wire = getattr(served and served.adapter, "wire_name", None)
        for wish, wires in self.words.items():
            if served is not None and wire not in wires:
                record.leave_out(wish)


def target_of(record: CallRecord) -> Any:
    """Give the model that served a call; None where nobody did."""
    candidates = [target for targets in (record.names or {}).values() for target in targets]
    return next((one for one in candidates if (one.provider, one.model) == (record.provider, record.model)), None)


def facts_of(reply: Reply) -> dict[str, Any]:
    """Give what is to be said of a reply beside its words, as plain data that can be kept as JSON."""
    facts: dict[str, Any] = {"call": reply.id, "served_by": f"{reply.provider}:{reply.model}"}
    if reply.cost is not None:
        facts["cost_usd"] = f"{reply.cost:f}"
    if reply.cache is not None:
        facts["cache"] = reply.cache
    if reply.trace_id is not None:
        facts["trace_id"] = reply.trace_id
    if reply.left_out:
        facts["left_out"] = list(reply.left_out)
    if len(reply.attempts) > 1:
        facts["attempts"] = len(reply.attempts)
    return facts


def missing(module: str, extra: str, package: str, error: ImportError) -> ImportError:
    """Give the error that names the extra which a framework's model takes, where its package is what is not there."""
    if error.name is None or error.name.partition(".")[0] != package:
        return error
    wanted = f"inferkit.integrations.{module} takes {package.replace('_', '-')}: pip install 'inferkit[{extra}]'"
    return ImportError(wanted, name=error.name)
