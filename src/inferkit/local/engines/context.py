"""What the context of a loaded model holds, and what of it is kept for later prompts and for replies that wait.

It is remembered as tokens. A prompt that begins like the last one, or like one before it whose state was kept, is
evaluated only from where they part.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from inferkit.local.engines.prefixes import KeptPrefixes, shared_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.local.engines.interface import InferenceEngine
    from inferkit.local.engines.prefix_files import PrefixFiles
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["HeldContext", "Parked"]

_WORTH_KEEPING = 32
"""Tokens that are worth the milliseconds that it takes to keep them, or to bring them back."""

_TURN, _TURN_SHARE = 16, 32
"""Tokens of a turn at least, where several callers want replies at once, and the part of what is held that it is."""

_CONTEXTS_PARKED = 4
"""How many whole contexts' worth of memory replies may take that wait for their next turn."""


class Parked(NamedTuple):
    """What a context held of a reply that waits for its next turn: tokens, how many are exact, and their state."""

    tokens: list[int]
    exact: int
    state: bytearray


class HeldContext:
    """See above. `tokens` are what the context holds, the first `exact` of them computed as a prompt's are."""

    def __init__(
        self, model: ModelFile, engine: InferenceEngine, prefix_memory: int, files: PrefixFiles | None
    ) -> None:
        self.tokens: list[int] = []
        self.exact = 0
        self.parked_bytes = 0
        self._model = model
        self._engine = engine
        self._prefix_memory = prefix_memory
        self._prefixes = KeptPrefixes(prefix_memory)
        self._files = files
        for prefix in files.load(prefix_memory) if files is not None else ():
            self._prefixes.keep(*prefix)
        self._parked = False

    def forget(self) -> None:
        """Hold nothing any more: what was computed cannot be used."""
        self.tokens.clear()
        self.exact = 0

    def rewind(self, prompt: list[int]) -> int:
        """Forget what the prompt does not share, or bring back what was kept of an earlier one and shares more.

        The last token is computed anew: its scores are what is needed. What is about to be lost is kept, if it is much,
        and not parked.
        """
        known = self._known()
        wanted = prompt[: -2 if self._engine.exact_batches else -1]
        shared = shared_length(known, wanted)
        longest, prefix = self._prefixes.longest(wanted)
        if len(known) - shared >= _WORTH_KEEPING and not self._parked:
            self._keep(known)
        self._parked = False
        if prefix is not None and longest - shared >= _WORTH_KEEPING:
            self._prefixes.used(prefix)
            restored = self._engine.restore(prefix.state)
            self.tokens, shared = (list(prefix.tokens), longest) if restored else ([], 0)
        shared = self._engine.keep(shared)
        del self.tokens[shared:]
        return shared

    @property
    def turn(self) -> int:
        """See `LoadedModel`: so many that changing callers takes a small part of the time that computing does."""
        return max(_TURN, len(self.tokens) // _TURN_SHARE)

    def park(self) -> Parked | None:
        """Give what the context holds of a reply under way, for `resume`; None where there is no memory for it."""
        tokens = self.tokens
        if self.parked_bytes + self._size(len(tokens)) > _CONTEXTS_PARKED * self._size(self._engine.context_length):
            return None
        try:
            state = self._engine.save() if tokens else bytearray()
        except MemoryError:
            return None
        self._parked = True
        self.parked_bytes += len(state)
        return Parked(list(tokens), self.exact, state)

    def resume(self, parked: Parked) -> None:
        """Have the context hold what was parked, in place of what is there, which is kept where that is much."""
        known = self._known()
        if len(known) >= _WORTH_KEEPING and not self._parked:
            self._keep(known)
        self.drop(parked)
        self._parked = False
        self.tokens, self.exact = list(parked.tokens), parked.exact
        if not parked.tokens:
            self._engine.keep(0)
        elif not self._engine.restore(parked.state):
            raise RuntimeError("the engine did not take back what it had saved")

    def drop(self, parked: Parked) -> None:
        """Forget what was parked: its caller is gone."""
        self.parked_bytes -= len(parked.state)

    def save(self) -> int:
        """Save what is kept, and what the context holds besides; give how many prefixes that are."""
        if self._files is None:
            return 0
        known = self._known()
        if len(known) >= _WORTH_KEEPING:
            self._keep(known)
            del self.tokens[len(known) :]
        return self._files.save(self._prefixes.all)

    def _known(self) -> list[int]:
        """Give the tokens of the context that may begin another prompt."""
        return self.tokens[: self.exact] if self._engine.exact_batches else self.tokens

    def _size(self, tokens: int) -> int:
        """Bound the bytes that the context takes for so many tokens: keys and values in half precision."""
        return 2 * self._model.block_count * self._model.key_value_width * tokens

    def _keep(self, tokens: list[int]) -> None:
        """Keep what the context holds of these tokens, which it begins with, where it is not too much."""
        fits = self._size(len(tokens)) <= self._prefix_memory
        if fits and not self._prefixes.has(tokens) and self._engine.keep(len(tokens)):
            with contextlib.suppress(MemoryError):
                self._prefixes.keep(list(tokens), self._engine.save())

    def evaluate(self, tokens: Sequence[int]) -> None:
        """Compute tokens after those that the context holds."""
        past = len(self.tokens)
        self._engine.evaluate(tokens, past)
        self.tokens += tokens
