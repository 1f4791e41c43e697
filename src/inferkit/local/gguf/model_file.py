"""What is known of a model file once it was checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inferkit.local.gguf.vocabulary import Vocabulary

__all__ = ["ModelFile"]


@dataclass(frozen=True)
class ModelFile:
    """What a checked model file holds. Sizes are in bytes; `context_length` is in tokens, as the model was trained.

    `engine` is the one that runs it, `tokeniser` the kind of its vocabulary, `key_value_width` how many numbers a token
    takes in the context of one layer. `fingerprint` changes whenever the file's header, size or time of change does.
    """

    path: Path
    engine: str
    architecture: str
    tokeniser: str
    name: str
    quantisation: str
    context_length: int
    vocabulary_size: int
    parameters: int
    size: int
    chat_template: str | None = field(repr=False)
    fingerprint: str
    embedding_length: int
    feed_forward_length: int
    block_count: int
    head_count: int
    key_value_width: int
    metadata: Mapping[str, Any] = field(repr=False)
    vocabulary: Vocabulary = field(repr=False)

    @property
    def embeds(self) -> bool:
        """Whether it was made to give embeddings: it says how the vectors of its tokens become one."""
        return bool(self.metadata.get(f"{self.architecture}.pooling_type"))
