"""One loaded model answering one request after another.

Of a prompt only what the context does not hold is evaluated: see `engines.context`. Which engine computes is nothing to
it: see `engines.interface`.

It is longer than other modules: the steps of a request share one context, as each left it to the next.
"""

from __future__ import annotations

import random
from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

from inferkit.core.errors import InvalidRequest, ModelFileError
from inferkit.local.answer_schema import answer_rules
from inferkit.local.engines.calls import calling
from inferkit.local.engines.context import HeldContext, Parked
from inferkit.local.engines.interface import PREFIX_MEMORY
from inferkit.local.engines.likelihood import Likelihoods
from inferkit.local.engines.prompt_tokens import PromptTokens
from inferkit.local.engines.sampling import Sampling, add_bias, draw, penalise, read_bias, whole_number
from inferkit.local.errors import PROVIDER, context_overflow
from inferkit.local.text import ReplyText
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from inferkit.local.engines.interface import Caller, Constraint, GivesVectors, InferenceEngine, Tokens
    from inferkit.local.engines.prefix_files import PrefixFiles
    from inferkit.local.engines.speculation import Guesses, Speculation
    from inferkit.local.gguf.model_file import ModelFile
    from inferkit.local.prompts import PromptFormat
    from inferkit.local.rules import Rules

__all__ = ["Session", "Step"]

_TOP_LIMIT = 20
"""How many of the likeliest tokens are named in each place at most, as OpenAI has it."""


class Step(NamedTuple):
    """Comes before so many tokens are computed."""

    tokens: int


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
        self.context = HeldContext(model, engine, prefix_memory, files)
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
            caller.send({"saved": self.context.save()})
            return
        if request.get("op") == "embed":
            yield from self._embed(request, caller)
            return
        tokens = self.prompt_tokens(request)
        if request.get("op") == "count":
            caller.send({"count": len(tokens)})
            return
        rules = request.get("grammar") or self._rules_of(request)
        if request.get("tools"):
            rules, caller = calling(self._prompts.call_form(request), request, rules, caller)
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
        if "prompt" in request or self._answer_rules is None:
            return None
        if request.get("begun"):
            raise InvalidRequest(
                f"{self._model.name} writes answers of one form, and goes on with nothing else; name a model that "
                "chats",
                provider=PROVIDER,
                code="unsupported",
            )
        return self._answer_rules

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
        strip = form.strip_space and self._tokens.leading_space and not request.get("begun")
        text = ReplyText([*_stops(request), *form.stops], strip_space=strip)
        told = self._likelihoods(request)
        started = read = clock.now()
        away = 0.0  # seconds in which others were served
        cached = self.context.rewind(prompt)
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

    @property
    def turn(self) -> int:
        """See `HeldContext`."""
        return self.context.turn

    def park(self) -> Parked | None:
        """See `HeldContext`."""
        return self.context.park()

    def resume(self, parked: Parked) -> None:
        """See `HeldContext`."""
        self.context.resume(parked)

    def drop(self, parked: Parked) -> None:
        """See `HeldContext`."""
        self.context.drop(parked)

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
        self.context.exact = cached
        for start, end in _batches(cached, len(prompt), self._engine.batch, exact=self._engine.exact_batches):
            if caller.gone():
                return
            yield Step(end - start)
            begun = clock.now()
            self.context.evaluate(prompt[start:end])
            if guesses is not None:
                guesses.took_prompt(clock.now() - begun, end - start)
            self.context.exact = end
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
                self.context.evaluate([token])

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
            if coming:
                self.context.tokens[len(sequence) - 1 :] = [sequence[-1], *coming[:-1]]
            else:
                started = clock.now()
                self.context.evaluate(sequence[-1:])
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
                self.context.forget()
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
