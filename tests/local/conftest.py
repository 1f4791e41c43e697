from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tiny_gguf
from inferkit.local.engine import Engine, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.tiny().write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def endless_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never ends by itself, with a long context."""
    spec = tiny_gguf.scripted(["▁a", "b", "c"], context=200_000)
    return spec.write(tmp_path_factory.mktemp("models") / "endless.gguf")


@pytest.fixture(scope="module")
def tiny_engine(tiny_path: Path) -> Iterator[Engine]:
    """An engine for tests that leave it as it is."""
    engine = Engine(Settings(str(tiny_path)))
    yield engine
    engine.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Engine]]:
    """Start an engine that is closed after the test."""
    engines: list[Engine] = []

    def make(path: Path, **settings: object) -> Engine:
        engine = Engine(Settings(str(path), **settings))
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()
