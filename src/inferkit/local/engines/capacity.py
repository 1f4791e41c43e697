"""How much of the machine a model takes: context, batch, threads and memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError, LocalModelError, ModelFileError
from inferkit.local.engines.machine import tells_of_memory, usable_cores
from inferkit.local.errors import EngineUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["DEFAULT_CONTEXT", "Sizes", "choose_batch", "choose_sizes", "load_failure", "memory_needed"]

DEFAULT_CONTEXT = 2048
_BATCH = 256
_TINY_PARAMETERS = 20_000_000
_SPARE = 64 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes a model is loaded with: tokens of context, tokens evaluated at once, threads."""

    context_length: int
    batch: int
    threads: int


def choose_sizes(
    model: ModelFile,
    *,
    context_length: int | None,
    threads: int | None,
    memory: int | None,
    memory_limit: int | None = None,
    draft: ModelFile | None = None,
) -> Sizes:
    """Choose the sizes for a model and its draft, within the `memory` bytes that are free, and the limit that was set.

    Raises `ConfigurationError`, or `EngineUnavailable` where memory is short; both say what to change.

    Without a wish the context is the trained one, up to 2,048 tokens. Threads are the usable cores less one, since a
    single busy neighbour makes the engine wait on every core it shares; a tiny model gets one.
    """
    context = min(model.context_length, DEFAULT_CONTEXT) if context_length is None else context_length
    if not 1 <= context <= model.context_length:
        raise ConfigurationError(
            f"context_length is from 1 to the {model.context_length} tokens that {model.name!r} was trained for; "
            f"got {context_length}"
        )
    if threads is None:
        threads = 1 if model.parameters < _TINY_PARAMETERS else max(1, usable_cores() - 1)
    batch = choose_batch(context)
    needed = memory_needed(model, context, batch)
    with_draft = ""
    if draft is not None:
        needed += memory_needed(draft, min(context, draft.context_length), batch)
        with_draft = " and a draft"
    needs = (
        f"{model.name!r} with a context of {context} tokens{with_draft} needs about {needed >> 20} MiB of memory, and"
    )
    if memory is not None and needed > memory:
        raise EngineUnavailable(f"{needs} {memory >> 20} MiB are free; lower context_length, or use a smaller model")
    if memory_limit is not None and needed > memory_limit:
        raise EngineUnavailable(
            f"{needs} memory_limit allows {memory_limit >> 20} MiB; raise it, or lower context_length"
        )
    return Sizes(context, batch, threads)


def choose_batch(context: int) -> int:
    """Give how many tokens of a prompt are computed at once, in a context of so many tokens."""
    return min(_BATCH, context)


def memory_needed(model: ModelFile, context: int, batch: int) -> int:
    """Bound the bytes that the context takes: keys and values in half precision, and what one batch computes.

    The weights are not counted: they are mapped from the file, and the system may drop and reread them.
    """
    cache = 2 * model.block_count * context * model.key_value_width
    row = model.vocabulary_size + 3 * model.feed_forward_length + 12 * model.embedding_length
    attention = 3 * model.head_count * context
    return cache + 4 * batch * (row + attention) + _SPARE


def load_failure(path: Path, reason: str | None) -> LocalModelError:
    """Make the error for a checked file that an engine did not load, for the reason that it gave."""
    if reason is not None and tells_of_memory(reason):
        return EngineUnavailable(
            f"{path}: too little memory is left for it ({reason}); lower context_length, or raise memory_limit where "
            "it is set"
        )
    return ModelFileError(
        f"{path}: the engine could not load it ({reason or 'it gave no reason'}); lower context_length, or get it in "
        "another form"
    )
