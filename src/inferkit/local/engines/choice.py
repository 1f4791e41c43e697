"""Chooses the engine for a file by what its header says, and says why not where none can run it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError, ModelFileError
from inferkit.local.engines.ctransformers import preflight as ctransformers
from inferkit.local.engines.xllamacpp import preflight as xllamacpp
from inferkit.local.engines.xllamacpp.library import INSTALL, find_library
from inferkit.local.errors import EngineUnavailable
from inferkit.local.gguf.container import read_container
from inferkit.local.gguf.facts import NotForThisEngine

if TYPE_CHECKING:
    import os

    from inferkit.local.engines.interface import EngineSettings, LoadedModel
    from inferkit.local.gguf.container import Container
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["choose", "inspect", "inspect_draft", "load"]


def inspect(path: str | os.PathLike[str], engine: str | None = None) -> ModelFile:
    """Check a GGUF file and describe it, with the `engine` that runs it (None: the one that its header asks for).

    Reads the head alone, and loads no engine. Raises `ModelFileError` where the file is damaged or no engine can run
    it, and `EngineUnavailable` where one could that is not installed; both say what to do.
    """
    place = Path(path)
    return choose(place, read_container(place), engine)


def choose(place: Path, container: Container, engine: str | None = None) -> ModelFile:
    """Do what `inspect` does with a head that was read already."""
    if engine is not None:
        check = ctransformers.check if engine == ctransformers.NAME else xllamacpp.check
        try:
            model = check(place, container)
        except NotForThisEngine as error:
            problem = f"the engine {engine} does not run it, since {error.problem}"
            raise _refusal(place, container, problem, error.remedy) from None
        if engine == xllamacpp.NAME:
            find_library()
        return model
    try:
        return ctransformers.check(place, container)
    except NotForThisEngine as error:
        reason = error
    try:
        model = xllamacpp.check(place, container)
    except NotForThisEngine as error:
        raise _refusal(place, container, f"no engine runs it, since {error.problem}", error.remedy) from None
    try:
        find_library()
    except EngineUnavailable as missing:
        raise EngineUnavailable(
            f"{place}: {_summary(container)}: the engine of the core does not run it, since {reason.problem}; "
            f"the engine that does is an extra, so run: {INSTALL} ({missing})"
        ) from None
    return model


def inspect_draft(path: str | os.PathLike[str], model: ModelFile) -> ModelFile:
    """Check a file that is to guess for a model. Raises as `inspect` does, and `ConfigurationError` where it cannot."""
    draft = inspect(path, model.engine)
    mine, other = model.vocabulary, draft.vocabulary
    if list(mine.texts) != list(other.texts) or (mine.bos, mine.eos) != (other.bos, other.eos):
        raise ConfigurationError(
            f"{path} cannot guess for {model.path}: their vocabularies differ ({len(other)} tokens and {len(mine)}); "
            "take a smaller model of the same family as the draft"
        )
    return draft


def _refusal(place: Path, container: Container, problem: str, remedy: str) -> ModelFileError:
    return ModelFileError(f"{place}: {_summary(container)}: {problem}; {remedy}")


def _summary(container: Container) -> str:
    """Say what a file is, as far as it says so."""

    def said(key: str) -> Any:
        found = container.metadata.get(key)
        return repr(found.value[:60]) if found is not None and isinstance(found.value, str) else "unknown"

    architecture, tokeniser = said("general.architecture"), said("tokenizer.ggml.model")
    return f"architecture {architecture}, tokeniser {tokeniser}, quantisation {container.quantisation}"


def load(settings: EngineSettings) -> LoadedModel:
    """Load a model, or its vocabulary alone, with the engine for it.

    Raises `ModelFileError`, `EngineUnavailable` or `ConfigurationError`.
    """
    model = inspect(settings.model, settings.engine)
    draft = None if settings.draft is None else inspect_draft(settings.draft, model)
    if model.engine == xllamacpp.NAME:
        from inferkit.local.engines.xllamacpp import loading as newer

        return (
            newer.load_vocabulary(settings, model) if settings.vocabulary_only else newer.load(settings, model, draft)
        )
    from inferkit.local.engines.ctransformers import loading as older

    return older.load_vocabulary(settings, model) if settings.vocabulary_only else older.load(settings, model, draft)
