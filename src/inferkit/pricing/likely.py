"""How many tokens a call is likely to have taken whose provider did not say: what the book has of such a call.

What is held before a call is an upper bound. What is booked after one that was left early, cut or broken is the
likeliest count, a little above rather than below. It comes from the text that was seen, by kinds of characters (see
`text_kinds`), from how many pieces it came in, and from what the model's settled calls have taught of both: a factor
for each kind, tokens a piece, tokens a second.

What was learned is in the memory of one client and is shared by all its calls. It is not kept for the next process,
which the start values serve well enough: three calls teach a model's own vocabulary, and no trace of what prompts look
like gets into a file.

Few calls need an estimate, and every call can teach: so a call leaves no more than a sample of its text, and whoever
needs an estimate learns from what was left since.
"""

from __future__ import annotations

import json
import math
import threading
from typing import TYPE_CHECKING

from inferkit.core.messages import (
    AudioPart,
    CustomTool,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.pricing.habits import REQUEST_TOKENS, USES, Habits
from inferkit.pricing.text_kinds import KINDS, count
from inferkit.pricing.tokens import input_tokens_bound
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.pricing.habits import Model
    from inferkit.pricing.tokens import Seen

__all__ = ["LikelyTokens"]

_MOST_MODELS = 128  # names that come from outside must not fill the memory
_IMAGE = 1_000  # tokens, as most providers count one of a common size, and a page or two of a document
_AUDIO_BYTES = 100  # a token of compressed speech
_SLACK = 2  # tokens a message, so that an estimate is seldom too low
_TOOL = 12  # tokens around one, a call of one, or its result
_LARGER = 1.1  # at most, than what the number of chunks says
_LONG = KINDS.index("cjk"), KINDS.index("scripts")  # of characters that may be several tokens
_FEW = 0.05  # of a reply


class LikelyTokens:
    """Says what is likely, by what is known of `models`. Safe from any thread."""

    def __init__(self) -> None:
        self.models = _Models()
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Start afresh in a forked child, with what is known."""
        self._lock = self.models.lock = threading.Lock()

    def input(self, request: Request) -> int:
        """How many input tokens a request was, likely."""
        known = self._known(request)
        if known.asked:
            with self._lock:
                known.learn_inputs()
        text, around = _input_text(request)
        counts = count(text)
        likely = known.input.mean(counts) * (1 + known.input.margin(counts))
        around_each = 0.0 if request.operation == "embed" else known.input.around  # texts alone have no markers
        likely += around + (around_each + _SLACK) * len(request.messages)
        return min(input_tokens_bound(request), math.ceil(likely))

    def output(self, request: Request, seen: Seen, waited: float, reported: int) -> int:
        """How many tokens a reply was, likely, of which this was seen after so many seconds without anything.

        `reported` is what its provider said on the way.
        """
        if not seen.chars:
            return 0
        known = self._known(request)
        counts = seen.counts()
        mean = known.output.mean(counts)
        likely = mean * (1 + known.output.margin(counts))
        by_chunks = known.by_chunks(seen.chunks, mean)
        if by_chunks is not None:
            # where a token can end within a character, a server sends some chunks that hold more
            whole = sum([counts[kind] for kind in _LONG]) < _FEW * sum(counts)
            most = (_LARGER + 1 / seen.chunks) * by_chunks  # few chunks say little
            likely = max(by_chunks, min(mean, most) if whole and known.output.calls else likely)
        share = seen.reported_at / seen.chars
        if reported and 2 * reported > share * likely > 0:  # it counted what had come so far
            return reported + math.ceil((1 - share) * likely)
        if not seen.reasoning:
            likely += (known.hidden_rate or 0.0) * waited
        return self._within_cap(request, math.ceil(likely), self.surely(request, seen))

    def written_unseen(self, request: Request, seconds: float) -> int:
        """How many tokens a model has written, likely, of which nothing came in so many seconds.

        A stream shows what it writes: there it is what the model thinks before it speaks.
        """
        known = self._known(request)
        rate = known.rate
        if request.stream:
            rate = known.hidden_rate or 0.0
            if known.hidden_rate is None and request.reasoning_effort is not None:
                rate = known.rate
        return self._within_cap(request, math.ceil(rate * seconds), 0)

    def _within_cap(self, request: Request, likely: int, surely: float) -> int:
        """Few providers write more than they were allowed to."""
        most = request.max_output_tokens
        return likely if most is None or surely > most else min(likely, most)

    def surely(self, request: Request, seen: Seen, *, above: float = 0.0) -> float:
        """How many tokens there are in what was seen at least, as far as can be told.

        Whoever asks only whether they are more than `above` may be given some more of them where they are not, which is
        known sooner.
        """
        known = self._known(request)
        counts = seen.counts()
        # a provider whose counts hold more than its texts, thoughts for example, must not have whole replies cut
        tokens = min(known.output.mean(counts), sum(counts))
        chunks = seen.chunks
        if tokens / 1.2 < chunks < tokens:  # as where each token comes in a piece of its own
            tokens = chunks
        few = known.output.calls < 3  # noqa: PLR2004
        margin = 0.25 if few else 0.1
        if not few and tokens / (1 + margin) > above:
            margin = max(margin, known.output.margin(counts))
        return tokens / (1 + margin)

    def _known(self, request: Request) -> Habits:
        """Give what is known of a model, with what its calls have left to learn from."""
        known = self.models[request.provider or "", request.model]
        known.used = next(USES)
        if known.taught:
            with self._lock:
                while known.taught:
                    known.learn(known.taught.popleft())
        return known


class _Models(dict["Model", Habits]):
    """What is known of each model; a new one is added when it is asked for, for the one that was used longest ago."""

    lock: threading.Lock

    def __missing__(self, model: Model) -> Habits:
        with self.lock:
            known = self.setdefault(model, Habits())
            if len(self) > _MOST_MODELS:
                del self[min(self, key=lambda each: self[each].used if each != model else math.inf)]
        return known


def _input_text(request: Request) -> tuple[bytes, float]:
    """Give all that a request says, and how many tokens stand around that."""
    texts: list[str] = []
    around = float(REQUEST_TOKENS)
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, TextPart | ReasoningPart | RefusalPart):
                texts.append(part.text)
            elif isinstance(part, ToolCallPart):
                around += _TOOL
                texts += (part.name, part.arguments)
            elif isinstance(part, ToolResultPart):
                around += _TOOL
                texts.append(part.content)
            elif isinstance(part, OpaquePart):
                texts.append(json.dumps(part.value, default=str, ensure_ascii=False))
            elif isinstance(part, AudioPart):
                around += len(part.data) / _AUDIO_BYTES
            else:
                around += _IMAGE
    for tool in request.tools:
        around += _TOOL
        form = tool.grammar if isinstance(tool, CustomTool) else tool.parameters
        texts += (tool.name, tool.description, json.dumps(form, default=str, ensure_ascii=False))
    if request.response_schema is not None:
        texts.append(json.dumps(request.response_schema, default=str, ensure_ascii=False))
    return "\n".join(texts).encode("utf-8", "surrogatepass"), around
