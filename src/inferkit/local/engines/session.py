"""One loaded model answering one request after another.

What the context holds is remembered as tokens. A prompt that begins like the last one, or like one before it whose
state was kept, is evaluated only from where they part. Which engine computes is nothing to it: see `engines.interface`.
"""

from __future__ import annotations

import contextlib
import random
from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

from inferkit.core.errors import InvalidRequest, ModelFileError
from inferkit.local.answer_schema import answer_rules
from inferkit.local.engines.interface import PREFIX_MEMORY
from inferkit.local.engines.likelihood import Likelihoods
from inferkit.local.engines.prefixes import KeptPrefixes, shared_length
from inferkit.local.engines.prompt_tokens import PromptTokens
from inferkit.local.engines.sampling import Sampling, add_bias, draw, penalise, read_bias, whole_number
from inferkit.local.errors import PROVIDER, context_overflow
from inferkit.local.text import ReplyText
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from inferkit.local.engines.interface import Caller, Constraint, GivesVectors, InferenceEngine, Tokens
    from inferkit.local.engines.prefix_files import PrefixFiles
    from inferkit.local.engines.speculation import Guesses, Speculation
    from inferkit.local.gguf.model_file import ModelFile
    from inferkit.local.prompts import PromptFormat
    from inferkit.local.rules import Rules

__all__ = ["Parked", "Session", "Step"]

_WORTH_KEEPING = 32
"""Tokens that are worth the milliseconds that it takes to keep them, or to bring them back."""

_TOP_LIMIT = 20
"""How many of the likeliest tokens are named in each place at most, as OpenAI has it."""

_TURN, _TURN_SHARE = 16, 32
"""Tokens of a turn at least, where several callers want replies at once, and the part of what is held that it is."""

_CONTEXTS_PARKED = 4
"""How many whole contexts' worth of memory replies may take that wait for their next turn."""


class Step(NamedTuple):
    """Comes before so many tokens are computed."""

    tokens: int


class Parked(NamedTuple):
    """What a context held of a reply that waits for its next turn: tokens, how many are exact, and their state."""

    tokens: list[int]
    exact: int
    state: bytearray


class Session:
    """A model, its context, and what the context holds."""

    def __init__(
        self,
        model: ModelFile,
        engine: InferenceEngine,
        tokens: Tokens,
        prompt_format: str | None = None,
        *,
        constrain: Callable[[Rules], Constraint] | None = None,
        prefix_memory: int = PREFIX_MEMORY,
        files: PrefixFiles | None = None,
        embedder: Callable[[], GivesVectors] | None = None,
        speculation: Speculation | None = None,
    ) -> None:
        self._model = model
        self._engine = engine
        self._tokens = tokens
        self._constrain = constrain
        self._prompts = PromptTokens(model, tokens, prompt_format)
        self._answer_rules = answer_rules(model) if prompt_format is None else None
        self._evaluated: list[int] = []
        self._exact = 0
        self._prefix_memory = prefix_memory
        self._prefixes = KeptPrefixes(prefix_memory)
        self._files = files
        for prefix in files.load(prefix_memory) if files is not None else ():
            self._prefixes.keep(*prefix)
        self._parked = False
        self._parked_bytes = 0
        self._make_embedder = embedder
        self._embedder: GivesVectors | None = None
        self._speculation = speculation

    def _described(self, form: PromptFormat) -> dict[str, Any]:
        """Say what the application may want to know about the model."""
        return {
            "name": self._model.name,
            "engine": self._model.engine,
            "quantisation": self._model.quantisation,
            "context": self._engine.context_length,
            "gpu_layers": self._engine.gpu_layers,
            "format": form.name,
            "fingerprint": self._model.fingerprint,
        }

    def serve(self, request: dict[str, Any], caller: Caller) -> None:
        """Answer one request to its end."""
        for _ in self.steps(request, caller):
            pass

    def steps(self, request: dict[str, Any], caller: Caller) -> Generator[int]:
        """Answer one request with frames: a start, texts, and an end; vectors, and an end; or a count.

        Before each step, gives the number of tokens that it computes; there another request may be served, between
        `park` and `resume`.
        """
        if request.get("op") == "save":
            caller.send({"saved": self._save()})
            return
        if request.get("op") == "embed":
            yield from self._embed(request, caller)
            return
        tokens = self.prompt_tokens(request)
        if request.get("op") == "count":
            caller.send({"count": len(tokens)})
            return
        rules = request.get("grammar") or self._rules_of(request)
        if rules is None or self._constrain is None:
            yield from self._generate(tokens, request, caller, None)
            return
        constraint = self._constrain(rules)
        try:
            yield from self._generate(tokens, request, caller, constraint)
        finally:
            constraint.close()

    def _embed(self, request: dict[str, Any], caller: Caller) -> Iterator[int]:
        if self._make_embedder is None:
            raise InvalidRequest(
                f"the engine {self._model.engine} gives no embeddings; install inferkit[llama], and state "
                'engine="xllamacpp" or name another model',
                provider=PROVIDER,
                code="unsupported",
            )
        started = clock.now()
        if self._embedder is None:
            self._embedder = self._make_embedder()
        tokens = 0
        for place, text in enumerate(request["texts"]):
            if caller.gone():
                return
            paused = clock.now()
            yield len(text) // 4 + 1
            started += clock.now() - paused
            vector = self._embedder.vector(text)
            tokens += vector.tokens
            caller.send({"vector": b64encode(vector.data).decode("ascii"), "place": place})
        caller.send({"end": "stop", "prompt": tokens, "prompt_ns": _nanoseconds(started, clock.now())})

    def prompt_tokens(self, request: dict[str, Any]) -> list[int]:
        """See `PromptTokens.of`."""
        return self._prompts.of(request)

    def _rules_of(self, request: dict[str, Any]) -> Rules | None:
        """Give the rules that the file states for answers to prompts in its own form."""
        return None if "prompt" in request else self._answer_rules

    def _generate(
        self, prompt: list[int], request: dict[str, Any], caller: Caller, constraint: Constraint | None
    ) -> Generator[int]:
        room = self._engine.context_length - len(prompt)
        if room < 1:
            raise context_overflow(len(prompt), self._engine.context_length)
        sampling = Sampling.of(request)
        bias = read_bias(request, self._tokens.spell, self._model.vocabulary_size)
        limit = _token_limit(request, room)
        form = self._prompts.form(request)
        strip = form.strip_space and self._tokens.leading_space
        text = ReplyText([*_stops(request), *form.stops], strip_space=strip)
        told = self._likelihoods(request)
        started = read = clock.now()
        away = 0.0  # seconds in which others were served
        cached = self._rewind(prompt)
        caller.send({"start": self._described(form), "prompt": len(prompt), "cached": cached})
        made = 0
        reason = "length"
        choose = self._chooser(sampling, list(prompt), constraint, told, bias)
        guesses = None
        if self._speculation is not None and sampling.plain and not (constraint or told or bias):
            guesses = self._speculation.begin()
        for token in self._computed(prompt, cached, limit, choose, caller, guesses=guesses):
            if isinstance(token, Step):
                paused = clock.now()
                yield token.tokens
                away += clock.now() - paused
                continue
            made += 1
            if made == 1:
                read = clock.now() - away
            if token in self._prompts.ends:
                reason = "stop"
                break
            self._write(token, text, told, caller)
            if text.stopped:
                reason = "stop"
                break
        else:
            if made < limit:
                return  # the caller is gone
        rest = text.end()
        if rest:
            caller.send(_text_frame(rest, text, told))
        caller.send(
            {"end": "stop" if text.stopped else reason, "output": made, "prompt": len(prompt), "cached": cached}
            | {"seed": sampling.seed, "prompt_ns": _nanoseconds(started, read)}
            | {"reply_ns": _nanoseconds(read, clock.now() - away)}
            | ({} if guesses is None else {"draft": guesses.facts(made)})
        )

    def _write(self, token: int, text: ReplyText, told: Likelihoods | None, caller: Caller) -> None:
        """Add what a token spells to a reply's text, and send what of that is certain."""
        if told is not None:
            told.wrote(token, text.taken)
        new = text.add(self._tokens.piece(token))
        if new:
            caller.send(_text_frame(new, text, told))

    def _rewind(self, prompt: list[int]) -> int:
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
            self._evaluated, shared = (list(prefix.tokens), longest) if restored else ([], 0)
        shared = self._engine.keep(shared)
        del self._evaluated[shared:]
        return shared

    @property
    def turn(self) -> int:
        """See `LoadedModel`: so many that changing callers takes a small part of the time that computing does."""
        return max(_TURN, len(self._evaluated) // _TURN_SHARE)

    def park(self) -> Parked | None:
        """Give what the context holds of a reply under way, for `resume`; None where there is no memory for it."""
        tokens = self._evaluated
        if self._parked_bytes + self._size(len(tokens)) > _CONTEXTS_PARKED * self._size(self._engine.context_length):
            return None
        try:
            state = self._engine.save() if tokens else bytearray()
        except MemoryError:
            return None
        self._parked = True
        self._parked_bytes += len(state)
        return Parked(list(tokens), self._exact, state)

    def resume(self, parked: Parked) -> None:
        """Have the context hold what was parked, in place of what is there, which is kept where that is much."""
        known = self._known()
        if len(known) >= _WORTH_KEEPING and not self._parked:
            self._keep(known)
        self.drop(parked)
        self._parked = False
        self._evaluated, self._exact = list(parked.tokens), parked.exact
        if not parked.tokens:
            self._engine.keep(0)
        elif not self._engine.restore(parked.state):
            raise RuntimeError("the engine did not take back what it had saved")

    def drop(self, parked: Parked) -> None:
        """Forget what was parked: its caller is gone."""
        self._parked_bytes -= len(parked.state)

    def _save(self) -> int:
        """Save what is kept, and what the context holds besides; give how many prefixes that are."""
        if self._files is None:
            return 0
        known = self._known()
        if len(known) >= _WORTH_KEEPING:
            self._keep(known)
            del self._evaluated[len(known) :]
        return self._files.save(self._prefixes.all)

    def _known(self) -> list[int]:
        """Give the tokens of the context that may begin another prompt."""
        return self._evaluated[: self._exact] if self._engine.exact_batches else self._evaluated

    def _size(self, tokens: int) -> int:
        """Bound the bytes that the context takes for so many tokens: keys and values in half precision."""
        return 2 * self._model.block_count * self._model.key_value_width * tokens

    def _keep(self, tokens: list[int]) -> None:
        """Keep what the context holds of these tokens, which it begins with, where it is not too much."""
        fits = self._size(len(tokens)) <= self._prefix_memory
        if fits and not self._prefixes.has(tokens) and self._engine.keep(len(tokens)):
            with contextlib.suppress(MemoryError):
                self._prefixes.keep(list(tokens), self._engine.save())

    def _evaluate(self, tokens: Sequence[int]) -> None:
        past = len(self._evaluated)
        self._engine.evaluate(tokens, past)
        self._evaluated += tokens

    def _computed(
        self,
        prompt: list[int],
        cached: int,
        limit: int,
        choose: Callable[[], int],
        caller: Caller,
        *,
        guesses: Guesses | None,
    ) -> Iterator[int | Step]:
        """Compute the prompt and then token after token, until the limit, or until the caller is gone."""
        self._exact = cached
        for start, end in _batches(cached, len(prompt), self._engine.batch, exact=self._engine.exact_batches):
            if caller.gone():
                return
            yield Step(end - start)
            self._evaluate(prompt[start:end])
            self._exact = end
        if guesses is not None:
            yield from self._guessed(guesses, prompt, limit, choose, caller)
            return
        for made in range(1, limit + 1):
            if caller.gone():
                return
            token = choose()
            yield token
            if made < limit:
                yield Step(1)
                self._evaluate([token])

    def _guessed(
        self, guesses: Guesses, prompt: list[int], limit: int, choose: Callable[[], int], caller: Caller
    ) -> Iterator[int | Step]:
        """Compute token after token, or several at once where they were guessed right."""
        sequence = list(prompt)
        last = len(prompt) + limit
        coming = [choose()]
        while not caller.gone():
            sequence.append(coming.pop(0))
            yield sequence[-1]
            if len(sequence) == last:
                return
            if coming:
                continue
            yield Step(1)
            coming = guesses.round(sequence, last - len(sequence))
            held = [*sequence, *coming][:-1]
            self._evaluated[len(prompt) :] = held[len(prompt) :]
            if not coming:
                started = clock.now()
                self._evaluate(sequence[-1:])
                coming = [choose()]
                guesses.took_alone(clock.now() - started)

    def _likelihoods(self, request: dict[str, Any]) -> Likelihoods | None:
        """Give what keeps the log-probabilities that a request asks for, if it does."""
        if request.get("top_logprobs") is None:
            return None
        return Likelihoods(self._engine, self._tokens.piece, whole_number(request, "top_logprobs", 0, 0, _TOP_LIMIT))

    def _chooser(
        self,
        sampling: Sampling,
        seen: list[int],
        constraint: Constraint | None,
        told: Likelihoods | None,
        bias: dict[int, float],
    ) -> Callable[[], int]:
        engine = self._engine
        fortune = random.Random(sampling.seed)  # noqa: S311 - repeatable, not secret

        def choose() -> int:
            if told is not None:
                told.look()
            if sampling.repeat_window:
                penalise(engine.logits, seen[-sampling.repeat_window :], sampling.repeat_penalty)
            if bias:
                add_bias(engine.logits, bias)
            if constraint is not None:
                token = self._constrained(sampling, constraint, fortune.random())
            elif sampling.temperature > 0:
                token = draw(engine.top(sampling.top_k), sampling, fortune.random())
            else:
                token = engine.best()
                token = token if engine.logits[token] == engine.logits[token] else None
            if token is None:
                self._evaluated.clear()
                self._exact = 0
                raise ModelFileError(
                    f"{self._model.path}: the model computes no numbers any more; its weights are damaged"
                )
            seen.append(token)
            return token

        return choose

    def _constrained(self, sampling: Sampling, constraint: Constraint, fortune: float) -> int | None:
        """Choose a token that the grammar takes. The likely ones are tried first: that is much cheaper than all."""
        engine = self._engine
        if sampling.temperature > 0:
            likely = engine.top(sampling.top_k)
        else:
            best = engine.best()
            likely = [(best, engine.logits[best])]
        fitting = constraint.fitting(likely) or constraint.top(sampling.top_k if sampling.temperature > 0 else 1)
        token = draw(fitting, sampling, fortune)
        if token is not None and token not in self._prompts.ends:
            constraint.accept(token)
        return token


def _batches(start: int, end: int, most: int, *, exact: bool) -> Iterator[tuple[int, int]]:
    """Split what is to be computed at once, at most `most` tokens each; with `exact`, leave no token alone."""
    while start < end:
        stop = min(start + most, end)
        if exact and end - stop == 1 and stop - start > 2:  # noqa: PLR2004 - a pair, so that none is alone
            stop -= 1
        yield start, stop
        start = stop


def _nanoseconds(start: float, end: float) -> int:
    return max(1, round((end - start) * 1e9))


def _text_frame(new: str, text: ReplyText, told: Likelihoods | None) -> dict[str, Any]:
    return {"text": new} if told is None else {"text": new, "logprobs": told.shown(text.shown)}


def _token_limit(request: dict[str, Any], room: int) -> int:
    wanted = request.get("max_tokens")
    if wanted is None:
        return room
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise InvalidRequest(f"max_tokens is a whole number from 1; got {wanted!r}", provider=PROVIDER)
    return min(wanted, room)


def _stops(request: dict[str, Any]) -> list[str]:
    stops = request.get("stop") or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise InvalidRequest("stop is a list of texts that are not empty", provider=PROVIDER)
    return stops
