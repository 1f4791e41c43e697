"""The local model as a provider: a request goes to the worker, tokens come back as a stream of chunks."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.core.embeddings import BatchLimits
from inferkit.core.errors import InferkitError, ModelFileError
from inferkit.core.response import Response
from inferkit.local.engines.interface import PREFIX_MEMORY, EngineSettings
from inferkit.local.finding import find_model
from inferkit.local.frames import Frames, ReplyBody, VectorBody
from inferkit.local.gguf.head import check_place
from inferkit.local.prompts import BEGUN
from inferkit.local.question import EXTRA, question_of, texts_of, turns_of
from inferkit.local.worker.pulse import HANG_SECONDS, check_hang_seconds
from inferkit.local.worker.supervisor import WorkerSupervisor
from inferkit.pricing.terms import CostRules, WireField
from inferkit.providers.wires.capabilities import Capabilities
from inferkit.providers.wires.messages import as_messages
from inferkit.providers.wires.prefill import Prefill
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.variables import read_variable

if TYPE_CHECKING:
    import os

    from inferkit.core.messages import Messages
    from inferkit.core.request import Request
    from inferkit.local.engines.gpu import GpuLayers
    from inferkit.local.gguf.model_file import ModelFile
    from inferkit.local.landing import Landing
    from inferkit.local.worker.supervisor import WorkerCall

__all__ = ["EMBEDDED", "Local"]

EMBEDDED = Path(__file__).parent / "models" / "triage-q8_0.gguf"
"""The model that ships inside the package."""

_SAVE_SECONDS = 10.0
_log = logging.getLogger("inferkit")
_TEXTS_AT_ONCE = 64
_COST_RULES = CostRules({name: WireField("free") for name in sorted(EXTRA)})


class Local:
    """A quantised GGUF model on this machine's CPU or GPU. Without `model`, the small one inside the package.

    `model` is the path of a GGUF file, the name of an installed package that holds one, or
    `hf:owner/repository/file.gguf@commit` for one that `inferkit models add` fetched. It runs in a worker process,
    which is started by the first call and serves callers by turns; whatever happens to it, the application lives on.
    `engine` is "ctransformers" (in the core: llama models with SentencePiece vocabularies) or "xllamacpp" (the extra
    `inferkit[llama]`: what llama.cpp runs today); by default the one that the file's header asks for.

    `gpu_layers` is how many layers a GPU takes: a number (0: none), "all", or "auto" (as many as fit, and none without
    a GPU). `context_length` is how many tokens prompt and reply share (by default what the model was trained for, up to
    2,048), `threads` how many threads compute token after token (by default the usable cores less one),
    `prompt_threads` how many compute a prompt (xllamacpp; by default all usable cores). `prompt_format` is how a
    conversation is written down: the name of a form, or a Jinja template (by default as the file says; see
    `inferkit.local.prompts`). `prefix_memory` is in how many bytes the state of earlier prompts is kept, so that what a
    new one begins with is not computed again (by default 64 MiB; 0: only the last one's).

    `prefix_disk` is in how many bytes of the user's cache folder prompts outlive the process: `close` saves them, as
    does `save_prefixes`, and the next process begins with them (by default 0: none). Prompts can be read from these
    files, which only their user may open.

    `memory_limit` is how many bytes the worker may take besides the weights, which are mapped from the file (by default
    what is free when it starts). `hang_timeout` is in seconds: a worker that uses no processor's time for so long, or
    computes a single step for ten times as long, is ended (by default 60).

    `draft` is a smaller model with the same vocabulary, a path or a package: it guesses up to `draft_tokens` at a time,
    and `model` checks them all at once, in replies without temperature. On ctransformers they stay the same, word for
    word; on xllamacpp a batch computes other last bits than a single token. Where guessing does not pay, it stops by
    itself. The last chunk's `raw` and the trace say how it went.

    A request with a schema is held to it by a grammar, and one with a `grammar` to that; see `inferkit.local.grammar`
    and `inferkit.local.gbnf`. A request without `temperature` always takes the best token. `extra` may hold `top_k` (1
    to 1,000, by default 40), `repeat_penalty`, `repeat_window` and `logit_bias`, which maps the number of a token, or a
    text and so all its tokens, to what is added to its score (-100 to 100). The seed of a reply is in the `raw` of its
    last chunk. Raises `ModelFileError` where the file is missing, damaged or of another kind, `EngineUnavailable` where
    the machine lacks something, `ContextOverflow` where a prompt is too long, `WorkerDied` (retryable) where the worker
    ended.
    """

    operations = ("embed",)

    keeps_limit = True
    """No reply runs past its `max_output_tokens`, which is counted here: an estimate has nothing to cut by."""

    prefill = Prefill(message={BEGUN: True}, is_sure=True)
    """How it is asked to go on with a reply that has begun."""

    landing_tokens = 472, 128
    """What a landing takes at most: tokens of its prompt, counted as a budget does, and of its reply."""

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        gpu_layers: GpuLayers = 0,
        context_length: int | None = None,
        threads: int | None = None,
        prompt_threads: int | None = None,
        prompt_format: str | None = None,
        engine: str | None = None,
        prefix_memory: int = PREFIX_MEMORY,
        prefix_disk: int = 0,
        memory_limit: int | None = None,
        hang_timeout: float = HANG_SECONDS,
        draft: str | os.PathLike[str] | None = None,
        draft_tokens: int = 16,
    ) -> None:
        path = EMBEDDED if model is None else find_model(model)
        if model is None and not path.is_file():
            raise ModelFileError(
                'this installation of inferkit holds no embedded model; pass one: Local("path/to/model.gguf")'
            )
        status = check_place(path)
        self.model = path.stem
        self._settings = EngineSettings(
            str(path),
            gpu_layers,
            context_length,
            threads,
            prompt_format,
            engine,
            prompt_threads,
            prefix_memory,
            memory_limit,
            prefix_disk,
            str(_prefix_folder()) if prefix_disk else "",
            draft=None if draft is None else str(find_model(draft)),
            draft_tokens=draft_tokens,
        )
        hang_seconds = check_hang_seconds(hang_timeout)
        self._supervisor = WorkerSupervisor(self._settings, hang_seconds=hang_seconds)
        counting = replace(self._settings, vocabulary_only=True, gpu_layers=0, draft=None, prefix_disk=0)
        self._counter = WorkerSupervisor(counting, hang_seconds=hang_seconds)
        facts = (self._settings, status.st_size, status.st_mtime_ns)
        self.cost_rules = _COST_RULES
        self.capabilities = Capabilities(tools=True, schema=True, grammar=True, logprobs=True)
        self.fingerprint = hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()

    def __repr__(self) -> str:
        return f"Local({self._settings.model!r})"

    async def __call__(self, request: Request) -> Response:
        """Answer a request; see `Handler`. Returns when it is this request's turn and its prompt was accepted."""
        if request.operation == "embed":
            call = self._supervisor.open({"op": "embed", "texts": texts_of(request)})
            vectors = VectorBody(call, request.runtime, request.deadline)
            return Response(vectors, runtime=request.runtime, model=self.model)
        body = ReplyBody(self._supervisor.open(question_of(request)), request)
        try:
            start = await body.start()
        except BaseException:
            await body.aclose()
            raise
        request.record.note(
            "local",
            engine=start["engine"],
            quantisation=start["quantisation"],
            context_length=start["context"],
            gpu_layers=start["gpu_layers"],
        )
        return Response(body, runtime=request.runtime, model=start["name"])

    def landing(self, request: Request, said: str) -> Landing:
        """Say how a reply is ended that a budget cut. Raises `InvalidRequest` where it cannot be."""
        from inferkit.local.landing import landing_of

        embedded = self._settings.model == str(EMBEDDED) and self._settings.prompt_format is None
        return landing_of(request, said, chats=not embedded)

    def describe(self) -> ModelFile:
        """Say what the file is and which engine runs it, from its header alone. Raises what the first call would."""
        from inferkit.local.engines.choice import inspect, inspect_draft
        from inferkit.local.prompt_choice import format_of

        model = inspect(self._settings.model, self._settings.engine)
        if not model.embeds:
            format_of(model, self._settings.prompt_format)
        if self._settings.draft is not None:
            inspect_draft(self._settings.draft, model)
        return model

    def count_tokens(self, messages: Messages) -> int:
        """Count the tokens of a prompt, marks of the prompt's form included, without reading the model's weights.

        It takes a process of its own, which holds the vocabulary, and waits for no call.
        """
        question = {"op": "count", "messages": turns_of(as_messages(messages))}
        counted: int = _answer(self._counter.open(question))["count"]
        return counted

    def save_prefixes(self) -> int:
        """Save the prompts that are warm, for other processes; give how many that are. Waits its turn."""
        saved: int = _answer(self._supervisor.open({"op": "save"}))["saved"]
        return saved

    def batch_limits(self, dimensions: int | None) -> BatchLimits:  # noqa: ARG002 - they do not matter here
        """Give what one request for embeddings holds: a reply to another call waits for no more texts than this."""
        return BatchLimits(_TEXTS_AT_ONCE)

    def close(self) -> None:
        """End the worker process. Further calls raise `ConfigurationError`."""
        if self._settings.prefix_disk and self._supervisor.pid is not None:
            try:
                _answer(self._supervisor.open({"op": "save"}), _SAVE_SECONDS)
            except InferkitError as error:
                _log.warning("the prompts of %s that are warm could not be saved: %s", self.model, error)
        self._supervisor.close()
        self._counter.close()


def _answer(call: WorkerCall, seconds: float | None = None) -> dict[str, Any]:
    """Give what a worker answers in one frame."""
    body = Frames(call, DirectRuntime(), None if seconds is None else clock.now() + seconds)
    try:
        return drive(body.frame())
    finally:
        call.close()


def _prefix_folder() -> Path:
    """Give the folder of saved prompts: the user's for caches, or the one that `INFERKIT_HOME` names."""
    home = read_variable("HOME")
    if home:
        return Path(home).expanduser().absolute() / "prefixes"
    import platformdirs

    return platformdirs.user_cache_path("inferkit") / "prefixes"
