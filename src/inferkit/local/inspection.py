"""Says what a model file is, from its head alone: also where no engine here runs it.

The weights are not read. The chat template is tried on a short conversation, in its sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.core.errors import InvalidRequest, LocalModelError
from inferkit.local.chat_template import is_template, named_variables
from inferkit.local.engines.capacity import DEFAULT_CONTEXT, choose_batch, memory_needed
from inferkit.local.engines.choice import choose
from inferkit.local.gguf.container import Array, read_container
from inferkit.local.gguf.packing import FILE_TYPES
from inferkit.local.prompt_choice import format_of

if TYPE_CHECKING:
    from pathlib import Path

    from inferkit.local.gguf.container import Container, PackingShare
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["Inspection", "MemoryNeed", "TemplateFacts", "inspect_file"]

_CONTEXTS = (512, DEFAULT_CONTEXT, 8_192, 32_768, 131_072)
_PROBE = "of-the-system"

_FAMILIES = (
    ("<|im_start|>", "ChatML"),
    ("<|start_header_id|>", "Llama 3"),
    ("<start_of_turn>", "Gemma"),
    ("<|channel|>", "Harmony"),
    ("<｜User｜>", "DeepSeek"),  # noqa: RUF001 - as it is written there
    ("[/INST]", "Llama 2 or Mistral"),
    ("<|end|>", "Phi 3"),
    ("<|user|>", "Zephyr"),
    ("### Instruction", "Alpaca"),
)
"""What gives a family of templates away, the surest sign first."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a context of so many tokens takes beside the weights, at most, and both together."""

    context_length: int
    context: int
    total: int


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """How conversations are written down: by a template (its family, its length in characters), or in a named form.

    `system` and `tools` say whether it takes instructions, and functions; `system` is None where that was not tried.
    """

    name: str
    length: int | None
    system: bool | None
    tools: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file is. What it does not say is None; sizes are in bytes, `context_length` is in tokens.

    `quantisation` is the packing of most bytes, `file_type` the mixture that the file calls itself. `engine` runs it;
    where none does, `problem` says why and what to do. `template_problem` is why its conversations cannot be written
    down, and `memory` what it takes with contexts up to the trained one.
    """

    path: Path
    name: str
    size: int
    architecture: str | None
    tokeniser: str | None
    quantisation: str
    file_type: str | None
    packings: tuple[PackingShare, ...]
    parameters: int
    vocabulary_size: int | None
    context_length: int | None
    engine: str | None
    problem: str | None
    template: TemplateFacts | None
    template_problem: str | None
    memory: tuple[MemoryNeed, ...]

    @property
    def bits_per_weight(self) -> float:
        """Bits that a number of the model takes in the file."""
        return 8 * sum(share.size for share in self.packings) / max(1, self.parameters)


def inspect_file(path: Path, engine: str | None = None) -> Inspection:
    """Say what a GGUF file is, and what runs it. Raises `ModelFileError` for what is no sound GGUF file.

    `engine` is the one to ask for (None: the one that the head asks for).
    """
    container = read_container(path)
    model: ModelFile | None = None
    problem = None
    try:
        model = choose(path, container, engine)
    except LocalModelError as error:
        problem = str(error).removeprefix(f"{path}: ")
    architecture = container.text("general.architecture")
    template, template_problem = _template(container, model)
    return Inspection(
        path=path,
        name=container.text("general.name") or path.stem,
        size=container.file_size,
        architecture=architecture,
        tokeniser=container.text("tokenizer.ggml.model"),
        quantisation=container.quantisation,
        file_type=_file_type(container),
        packings=container.packings,
        parameters=container.parameters,
        vocabulary_size=_length(container, "tokenizer.ggml.tokens"),
        context_length=_number(container, f"{architecture}.context_length"),
        engine=None if model is None else model.engine,
        problem=problem,
        template=template,
        template_problem=template_problem,
        memory=() if model is None else _memory(model),
    )


def _length(container: Container, key: str) -> int | None:
    found = container.metadata.get(key)
    return found.value.length if found is not None and isinstance(found.value, Array) else None


def _number(container: Container, key: str) -> int | None:
    found = container.metadata.get(key)
    return found.value if found is not None and isinstance(found.value, int) else None


def _file_type(container: Container) -> str | None:
    number = _number(container, "general.file_type")
    return None if number is None else FILE_TYPES.get(number)


def _memory(model: ModelFile) -> tuple[MemoryNeed, ...]:
    """Give what contexts of common lengths take, up to the one that the model was trained for."""
    trained = model.context_length
    lengths = sorted({length for length in _CONTEXTS if length < trained} | {trained})
    needs = ((length, memory_needed(model, length, choose_batch(length))) for length in lengths)
    return tuple(MemoryNeed(length, context, context + model.size) for length, context in needs)


def _template(container: Container, model: ModelFile | None) -> tuple[TemplateFacts | None, str | None]:
    """Give how conversations are written down, or why that is not known."""
    stated = container.text("inferkit.prompt_format")
    source = stated or container.text("tokenizer.chat_template")
    problem = None
    system = None
    if model is not None:
        try:
            system = _takes_instructions(model)
        except LocalModelError as error:
            problem = str(error).removeprefix(f"{model.path}: ")
    if source is None:
        return None, problem
    if not is_template(source):
        return TemplateFacts(source, None, system, tools=False), problem
    return TemplateFacts(_family(source), len(source), system, "tools" in named_variables(source)), problem


def _family(source: str) -> str:
    return next((name for sign, name in _FAMILIES if sign in source), "its own")


def _takes_instructions(model: ModelFile) -> bool:
    """Write a short conversation down, and look whether what the system said is in it."""
    form = format_of(model)
    try:
        written = form.write([("system", _PROBE), ("user", "question")])
    except InvalidRequest:
        return False
    return any(_PROBE in segment for segment in written if isinstance(segment, str))
