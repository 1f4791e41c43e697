from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tiny_gguf
from inferkit.local.engines.interface import ENGINES, EngineSettings
from inferkit.local.engines.xllamacpp.library import is_installed
from inferkit.local.worker.supervisor import WorkerSupervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def _one_core(one_core: None) -> None:
    """Models of several tests at once do not wait for each other."""


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.tiny().write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def endless_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never ends by itself, with a long context."""
    spec = tiny_gguf.scripted(["▁a", "b", "c"], context=200_000)
    return spec.write(tmp_path_factory.mktemp("models") / "endless.gguf")


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn. The extra's is in the extra `test`, so that nobody skips it without being told."""
    if request.param == "xllamacpp" and not is_installed():
        pytest.skip("THE SECOND ENGINE WAS NOT TESTED: xllamacpp is not installed (pip install -e '.[test]')")
    return request.param


@pytest.fixture(scope="module")
def tiny_supervisor(tiny_path: Path, engine: str) -> Iterator[WorkerSupervisor]:
    """A model for tests that leave it as it is."""
    supervisor = WorkerSupervisor(EngineSettings(str(tiny_path), engine=engine))
    yield supervisor
    supervisor.close()


@pytest.fixture
def start(engine: str) -> Iterator[Callable[..., WorkerSupervisor]]:
    """Name a model file; its worker runs either engine, and is ended after the test."""
    supervisors: list[WorkerSupervisor] = []

    def make(path: Path, **settings: object) -> WorkerSupervisor:
        supervisor = WorkerSupervisor(EngineSettings(str(path), **{"engine": engine} | settings))
        supervisors.append(supervisor)
        return supervisor

    yield make
    for supervisor in supervisors:
        supervisor.close()
