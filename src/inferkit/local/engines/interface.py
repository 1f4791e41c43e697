"""What the worker and an engine are to each other: settings and requests go in, frames come out.

A request holds `messages` ([role, text] pairs; with functions as `ToolTurn` has them) or a raw `prompt`, perhaps the
text that its reply has `begun` with and the model goes on with, the `tools` that it may call and the `tool_choice` (see
`engines.calls`), and options: `max_tokens`, `temperature`, `top_p`, `top_k`, `seed`, `stop`,
`repeat_penalty`, `repeat_window`, `logit_bias`, `top_logprobs` and `grammar` (see `inferkit.local.rules`); with `op`
"count" it only asks for the number of its tokens, with `op` "embed" for the vectors of its `texts`.

It is answered with a frame that holds `start` (what the model is), frames with `text` (and `logprobs`, a list of a
token's text, its log-probability, and the likeliest in its place with theirs, where `top_logprobs` says how many),
perhaps one with a `call` (a function's name, and its arguments as JSON text), and one with `end` (the finish reason),
`prompt`, `cached` and `output` (tokens), `prompt_ns` and `reply_ns` (how long the engine computed these, in
nanoseconds) and `seed`; with one that holds `count`; or with one for each `vector` (float32 values in base64) that says
the `place` of its text, and one with `end`, `prompt` and `prompt_ns`.

How a request is answered is the same for every engine (`engines.session`). What differs stands behind two protocols:
`InferenceEngine` computes with tokens, and `Tokens` knows what they spell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from inferkit.core.errors import ConfigurationError
from inferkit.local.engines.gpu import GpuLayers, check_gpu_layers

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

__all__ = [
    "ENGINES",
    "PREFIX_MEMORY",
    "SMALLEST_LIMIT",
    "Caller",
    "Constraint",
    "EngineSettings",
    "GivesVectors",
    "InferenceEngine",
    "LoadedModel",
    "Tokens",
    "Vector",
]

ENGINES = ("ctransformers", "xllamacpp")

PREFIX_MEMORY = 64 << 20
"""Bytes in which earlier prompts are kept, where nobody says otherwise."""

SMALLEST_LIMIT = 64 << 20
"""Bytes that a worker needs before it loads anything, and what it may be limited to at least."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an engine loads, and how. Lengths are in tokens; None leaves a choice to the engine.

    `gpu_layers` is how many layers a GPU takes, "all", or "auto": as many as fit, and none without a GPU.

    `engine` is the one to use (None: as the file's header says), `threads` compute token after token and
    `prompt_threads` a prompt. `prefix_memory` and `memory_limit` are in bytes, as is
    `prefix_disk`: with it, earlier prompts are saved in `prefix_folder`, and restored from there. With
    `vocabulary_only`, no weights are read, and tokens of prompts can be counted alone. `draft` is the file of a draft
    model, which guesses up to `draft_tokens` at a time.
    """

    model: str
    gpu_layers: GpuLayers = 0
    context_length: int | None = None
    threads: int | None = None
    prompt_format: str | None = None
    engine: str | None = None
    prompt_threads: int | None = None
    prefix_memory: int = PREFIX_MEMORY
    memory_limit: int | None = None
    prefix_disk: int = 0
    prefix_folder: str = ""
    vocabulary_only: bool = False
    draft: str | None = None
    draft_tokens: int = 16

    def __post_init__(self) -> None:
        check_gpu_layers(self.gpu_layers)
        for name, low in (
            ("context_length", 1),
            ("threads", 1),
            ("prompt_threads", 1),
            ("prefix_memory", 0),
            ("memory_limit", SMALLEST_LIMIT),
            ("prefix_disk", 0),
            ("draft_tokens", 1),
        ):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < low):
                raise ConfigurationError(f"{name} is a whole number from {low}; got {value!r}")
        if self.engine is not None and self.engine not in ENGINES:
            raise ConfigurationError(f"engine is one of {', '.join(ENGINES)}, or None; got {self.engine!r}")


class Caller(Protocol):
    """The other end of a request."""

    def gone(self) -> bool:
        """Say whether the caller hung up, so that nobody waits for the rest."""

    def send(self, frame: dict[str, Any]) -> None:
        """Pass a frame on, without waiting for the caller to read it."""


class LoadedModel(Protocol):
    """A model that answers requests, one or several at a time by turns."""

    @property
    def turn(self) -> int:
        """How many tokens to compute for the request under way before another that waits gets its turn."""

    def steps(self, request: dict[str, Any], caller: Caller) -> Generator[int]:
        """Answer one request with frames, and stop where the caller is gone. Raises `InvalidRequest`.

        Gives the number of tokens before each step that computes them; there the request may be parked.
        """

    def park(self) -> Any | None:
        """Give what is needed to go on with the request under way after others; None where that takes too much."""

    def resume(self, parked: Any) -> None:
        """Prepare for the next step of a request that was parked."""

    def drop(self, parked: Any) -> None:
        """Forget a request that was parked."""


class Tokens(Protocol):
    """What a model's tokens spell. `bos` begins a prompt where `add_bos`; each of `ends` ends a reply.

    `leading_space` says that the model puts a space before every text, as SentencePiece does.
    """

    bos: int | None
    add_bos: bool
    ends: frozenset[int]
    leading_space: bool

    def special(self, text: str) -> int | None:
        """Give the token of a control piece such as `<|im_end|>`, or None where the vocabulary has none."""

    def spell(self, text: str) -> list[int]:
        """Give the tokens of ordinary text: none of them controls anything, whatever the text says."""

    def piece(self, token: int) -> bytes:
        """Give what a token adds to a reply; a character may be spread over several tokens."""


class InferenceEngine(Protocol):
    """A loaded model with one context. One call at a time.

    `batch` is how many tokens it computes at once at most. With `exact_batches`, what it computes for a single token
    differs in its last bits from what it computes for the same token among others: so no prompt is left to a single
    token, and what a reply left in the context is computed again as a part of the next prompt. `gpu_layers` is how
    many layers lie on a GPU.
    """

    context_length: int
    batch: int
    exact_batches: bool
    gpu_layers: int

    def keep(self, length: int) -> int:
        """Forget all but the first `length` tokens of the context; return how many it could really keep."""

    def evaluate(self, tokens: Sequence[int], past: int) -> None:
        """Compute up to `batch` tokens behind the first `past` ones, which are all that the context holds."""

    @property
    def logits(self) -> memoryview[float]:
        """The scores of every token as the next one. They may be changed, and are gone after the next `evaluate`."""

    def best(self) -> int:
        """Give the token with the highest score."""

    def top(self, count: int) -> list[tuple[int, float]]:
        """Give the `count` tokens with the highest scores, the highest first."""

    def log_sum_exp(self) -> float:
        """Give the logarithm of the sum of e to the power of each score: a score less this is a log-probability."""

    def save(self) -> bytearray:
        """Give what the context holds, to be brought back by `restore`."""

    def restore(self, state: bytearray) -> bool:
        """Put back what was saved, in place of what is there; False where that failed."""

    def close(self) -> None:
        """Free what it holds."""


class Vector(NamedTuple):
    """A text's vector of length 1, as float32 values one after the other, and how many tokens the text has."""

    data: bytes
    tokens: int


class GivesVectors(Protocol):
    """What makes vectors of texts."""

    def vector(self, text: str) -> Vector:
        """Give the vector of a text. Raises `InvalidRequest` where it is too long, or the model computes no numbers."""


class Constraint(Protocol):
    """Holds a reply to a grammar, token by token. One that ends a reply is taken where the reply may end."""

    def fitting(self, tokens: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
        """Give those of some tokens, with their scores, that may come next."""

    def top(self, count: int) -> list[tuple[int, float]]:
        """Give the `count` tokens with the highest scores of those that may come next, the highest first."""

    def accept(self, token: int) -> None:
        """Go on behind a token, which may come next and ends no reply."""

    def close(self) -> None:
        """Free what it holds. More than once does nothing."""
