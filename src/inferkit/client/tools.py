"""The tools of one call: what its request carries of them, and how the calls in its reply are read."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from inferkit.providers.wires.tools import as_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from inferkit.core.messages import ToolCallPart
    from inferkit.core.reply import Reply
    from inferkit.typed.function import Function

__all__ = ["Readers", "take"]


class Readers:
    """Says of each call of a tool how its arguments are read."""

    __slots__ = ("_functions",)

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self._functions = functions

    def bind(self, reply: Reply) -> Reply:
        """Give the reply with calls that can be read."""
        return replace(reply, tool_calls=tuple(map(self._bind, reply.tool_calls))) if reply.tool_calls else reply

    def _bind(self, call: ToolCallPart) -> ToolCallPart:
        function = self._functions.get(call.name)
        if function is not None:
            return replace(call, read=_Validated(call.name, function.arguments))
        if call.kind != "function":
            return call
        from inferkit.typed.function import plain_arguments

        return replace(call, read=partial(plain_arguments, call.name))


class _Validated:
    """Reads arguments in a function's own types. Another process has no such function: there they are plain data."""

    __slots__ = ("_name", "_read")

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self._name = name
        self._read = read

    def __call__(self, text: str) -> Any:
        return self._read(text)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        from inferkit.typed.function import plain_arguments

        return partial, (plain_arguments, self._name)


def take(asked: dict[str, Any]) -> Readers:
    """Put the tools of a call's options into the form that its request carries. Raises `ConfigurationError`."""
    asked["tools"], functions = as_tools(asked["tools"])
    return Readers(functions)
