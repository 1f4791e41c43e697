"""Takes facts out of a checked container, each of the kind that the engine expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ModelFileError

if TYPE_CHECKING:
    from pathlib import Path

    from inferkit.local.gguf.container import Array, Container

__all__ = ["Facts", "NotForThisEngine"]

_REQUIRED = object()


class NotForThisEngine(ModelFileError):
    """A sound file that one engine cannot run: another may. `problem` and `remedy` are the message's halves."""

    def __init__(self, message: str, problem: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.problem = problem
        self.remedy = remedy


class Facts:
    """The metadata of one file. Whatever is missing or of another kind raises `ModelFileError`."""

    def __init__(self, path: Path, container: Container) -> None:
        self.path = path
        self.container = container

    def refused(self, problem: str, remedy: str) -> NotForThisEngine:
        """Make the error for a sound file that this engine cannot run."""
        return NotForThisEngine(f"{self.path}: {problem}; {remedy}", problem, remedy)

    def damaged(self, problem: str) -> ModelFileError:
        """Make the error for a file that contradicts itself."""
        return ModelFileError(
            f"{self.path}: {problem}; the file is damaged or made wrongly: download or convert it again"
        )

    def value(self, key: str, kind: str, *, default: Any = _REQUIRED) -> Any:
        """Give a value of a kind, such as "uint32"; without a default it must be there."""
        found = self.container.metadata.get(key)
        if found is None:
            if default is _REQUIRED:
                raise self.damaged(f"the metadata value {key} is missing")
            return default
        if found.kind != kind:
            raise self.damaged(f"the metadata value {key} is of kind {found.kind}, and not {kind}")
        return found.value

    def count(self, key: str, limit: int, *, default: Any = _REQUIRED) -> int:
        """Give a number from 1 to `limit`."""
        value: int = self.value(key, "uint32", default=default)
        if not 1 <= value <= limit:
            raise self.damaged(f"{key} is {value}, and not from 1 to {limit}")
        return value

    def array(self, key: str, kind: str) -> Any:
        """Give the elements of an array of a kind."""
        array: Array = self.value(key, "array")
        if array.kind != kind:
            raise self.damaged(f"{key} holds elements of kind {array.kind}, and not {kind}")
        return array.items
