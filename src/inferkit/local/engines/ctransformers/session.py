"""One loaded model answering one request after another.

What the context holds is remembered as tokens. A prompt that begins like the last one is evaluated only from where they
part: the library takes an explicit position, so going back costs nothing.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import InvalidRequest, ModelFileError
from inferkit.local.engines.ctransformers.sampling import Sampling, draw, penalise
from inferkit.local.errors import PROVIDER, context_overflow
from inferkit.local.prompts import MARKS, Mark, checked_turns, format_of
from inferkit.local.text import ReplyText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from inferkit.local.engines.ctransformers.llama import Llama
    from inferkit.local.engines.interface import Caller
    from inferkit.local.gguf.model_file import ModelFile
    from inferkit.local.prompts import PromptFormat, Segment

__all__ = ["Session"]


class Session:
    """A model, its context, and what the context holds."""

    def __init__(self, model: ModelFile, llama: Llama, prompt_format: str | None = None) -> None:
        self._model = model
        self._vocabulary = model.vocabulary
        self._llama = llama
        self._format = format_of(model, prompt_format)
        special = self._vocabulary.special
        self._reserved = frozenset(token for mark in MARKS if (token := special(mark)) is not None)
        self._ends = frozenset(
            {self._vocabulary.eos, *(t for stop in self._format.stops if (t := special(stop)) is not None)}
        )
        self._evaluated: list[int] = []

    @property
    def description(self) -> dict[str, Any]:
        """What the application may want to know about the model."""
        return {
            "name": self._model.name,
            "context": self._llama.context_length,
            "format": self._format.name,
            "fingerprint": self._model.fingerprint,
        }

    def serve(self, request: dict[str, Any], caller: Caller) -> None:
        """Answer one request with frames: a start, texts, and an end; or a count."""
        tokens = self.prompt_tokens(request)
        if request.get("op") == "count":
            caller.send({"count": len(tokens)})
        else:
            self._generate(tokens, request, caller)

    def prompt_tokens(self, request: dict[str, Any]) -> list[int]:
        """Give the tokens of a request's `messages` (role and text) or raw `prompt`. Raises `InvalidRequest`."""
        form = self._format_of(request)
        segments = form.write(checked_turns(request.get("messages") or [["user", request.get("prompt", "")]]))
        vocabulary = self._vocabulary
        tokens = [vocabulary.bos] if vocabulary.add_bos else []
        for segment in segments:
            tokens += self._segment_tokens(segment)
        return tokens or [vocabulary.bos]

    def _format_of(self, request: dict[str, Any]) -> PromptFormat:
        return format_of(self._model, "plain") if "prompt" in request else self._format

    def _segment_tokens(self, segment: Segment) -> list[int]:
        if isinstance(segment, Mark):
            token = self._vocabulary.special(segment.text)
            if token is not None:
                return [token]
            segment = segment.text
        if not segment:
            return []
        found = self._llama.tokenize(segment.encode("utf-8", "replace"))
        tokens = self._vocabulary.faithful(found, segment, self._reserved)
        alone = segment.startswith("\n") and self._vocabulary.pieces[tokens[0]] == b" "
        return tokens[1:] if alone else tokens  # no space stands between a mark and the line's end

    def _generate(self, prompt: list[int], request: dict[str, Any], caller: Caller) -> None:
        room = self._llama.context_length - len(prompt)
        if room < 1:
            raise context_overflow(len(prompt), self._llama.context_length)
        sampling = Sampling.of(request)
        limit = _token_limit(request, room)
        form = self._format_of(request)
        text = ReplyText([*_stops(request), *form.stops], strip_space=form.strip_space)
        cached = self._rewind(prompt)
        caller.send({"start": self.description, "prompt": len(prompt), "cached": cached})
        made = 0
        reason = "length"
        for token in self._tokens(prompt, cached, limit, sampling, caller):
            made += 1
            if token in self._ends:
                reason = "stop"
                break
            new = text.add(self._vocabulary.pieces[token])
            if new:
                caller.send({"text": new})
            if text.stopped:
                reason = "stop"
                break
        else:
            if made < limit:
                return  # the caller is gone
        rest = text.end()
        if rest:
            caller.send({"text": rest})
        caller.send(
            {"end": "stop" if text.stopped else reason, "output": made, "prompt": len(prompt), "cached": cached}
            | {"seed": sampling.seed}
        )

    def _rewind(self, prompt: list[int]) -> int:
        """Forget what the prompt does not share. The last token is computed anew: its scores are what is needed."""
        shared = 0
        for mine, theirs in zip(self._evaluated, prompt[:-1], strict=False):
            if mine != theirs:
                break
            shared += 1
        del self._evaluated[shared:]
        return shared

    def _evaluate(self, tokens: Sequence[int]) -> None:
        past = len(self._evaluated)
        self._llama.evaluate(tokens, past)
        self._evaluated += tokens

    def _tokens(self, prompt: list[int], cached: int, limit: int, sampling: Sampling, caller: Caller) -> Iterator[int]:
        """Compute the prompt and then token after token, until the limit, or until the caller is gone."""
        batch = self._llama.batch
        for start in range(cached, len(prompt), batch):
            if caller.gone():
                return
            self._evaluate(prompt[start : start + batch])
        choose = self._chooser(sampling, list(prompt))
        for made in range(1, limit + 1):
            if caller.gone():
                return
            token = choose()
            yield token
            if made < limit:
                self._evaluate([token])

    def _chooser(self, sampling: Sampling, seen: list[int]) -> Callable[[], int]:
        llama = self._llama
        fortune = random.Random(sampling.seed)  # noqa: S311 - repeatable, not secret

        def choose() -> int:
            if sampling.repeat_window:
                penalise(llama.logits, seen[-sampling.repeat_window :], sampling.repeat_penalty)
            if sampling.temperature > 0:
                token = draw(llama.top(sampling.top_k), sampling, fortune.random())
            else:
                token = llama.best()
                token = token if llama.logits[token] == llama.logits[token] else None
            if token is None:
                self._evaluated.clear()
                raise ModelFileError(
                    f"{self._model.path}: the model computes no numbers any more; its weights are damaged"
                )
            seen.append(token)
            return token

        return choose


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
