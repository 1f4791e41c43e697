"""How a model writes the call of a function."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CallForm", "NamedArguments"]


@dataclass(frozen=True, slots=True)
class NamedArguments:
    """What stands around each argument that is written under its name, for example as XML.

    For example `<parameter=` before its name, `>` between that and its value, and `</parameter>` behind it. Texts are
    written as they are, and everything else as JSON.
    """

    opening: str
    middle: str
    closing: str


@dataclass(frozen=True, slots=True)
class CallForm:
    """What stands around a function's name and arguments, for example `{"name": "`, `", "arguments": ` and `}`.

    It is taken from what the model's own chat template makes of a call that was made before: what stands before the
    name, between that and the arguments, and behind these. The arguments are JSON, unless they are `named`.
    """

    opening: str
    middle: str
    closing: str
    named: NamedArguments | None = None
