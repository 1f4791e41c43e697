"""Which cached replies are meant, where some are to be forgotten: those of a model, those with a tag, or all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from inferkit.caching.entry import CachedReply

__all__ = ["EVERY_REPLY", "Chosen", "label_of"]

_END = "\n"  # of a name in a label


class Chosen(NamedTuple):
    """Replies of a `model` ("provider:model", "model" of any provider, or "provider:*") that have a `tag`.

    None means whatever it is.
    """

    model: str | None = None
    tag: str | None = None

    @classmethod
    def of(cls, model: str | None, tag: str | None) -> Chosen:
        """Check what somebody asks for. Raises `ConfigurationError`."""
        for what, name in (("model", model), ("tag", tag)):
            if name is not None and (not isinstance(name, str) or not name.strip()):
                raise ConfigurationError(f"{what} is a text that is not empty, or None for all; got {name!r}")
        return cls(model, tag)

    def fits(self, entry: CachedReply) -> bool:
        """Whether an entry is one of them."""
        if self.tag is not None and self.tag not in entry.tags:
            return False
        if self.model is None:
            return True
        if self.model.endswith(":*"):
            return entry.provider == self.model.removesuffix(":*")
        return self.model in (entry.model, f"{entry.provider}:{entry.model}")

    def condition(self) -> tuple[str, tuple[str, ...]]:
        """Give the same as a condition of SQL over a column `tag` that holds labels, and its parameters."""
        conditions: list[str] = []
        values: list[str] = []
        if self.tag is not None:
            conditions.append("instr(tag, char(10) || ? || char(10)) > 0")
            values.append(self.tag)
        if self.model is not None:
            if self.model.endswith(":*"):
                conditions.append("substr(tag, 1, length(?)) = ?")
                values += [self.model.removesuffix("*")] * 2
            else:
                named = "substr(tag, 1, instr(tag, char(10)) - 1)"
                conditions.append(f"({named} = ? OR substr({named}, instr({named}, ':') + 1) = ?)")
                values += [self.model] * 2
        return " AND ".join(conditions) or "1", tuple(values)


EVERY_REPLY = Chosen()


def label_of(entry: CachedReply) -> str:
    """Give what a store writes beside an entry, so that it is found by its model and tags without being read."""
    return "".join(f"{name}{_END}" for name in (f"{entry.provider}:{entry.model}", *entry.tags))
