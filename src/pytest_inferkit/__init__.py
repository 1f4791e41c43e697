"""The pytest plugin: fixtures, `--inferkit-record`, and the switch that keeps tests from calling real providers.

pytest loads this in every session where inferkit is installed, so it stands outside of the package and imports nothing
of it until a test asks for a fixture.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from inferkit import AsyncClient, Client, Ledger
    from inferkit.client.settings import Settings
    from inferkit.testing import FakeProvider, FrozenClock
    from inferkit.testing.tape.fixture import TapedTest

_MARKS = (
    "inferkit_tape(speed=None, faults=(), in_order=False, secrets=()): how the tape of this test is played and made",
    "inferkit_client(**settings): settings of the fixtures inferkit_client and inferkit_async_client, for this test",
    "inferkit_real_calls: this test may call real providers, where the others may not",
)
_VARIABLE = "INFERKIT_REAL_CALLS"
_GUARD = "inferkit.providers.http.real_calls"
_forbids = pytest.StashKey[bool]()
_before = pytest.StashKey["str | None"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("inferkit")
    group.addoption(
        "--inferkit-record",
        action="store_true",
        help="send the calls of tests that use inferkit_tape to the real providers, and record them",
    )
    parser.addini(
        "inferkit_real_calls",
        default="allow",
        help='"forbid" has a test fail that calls a provider which is not on this machine; "allow" is the default',
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known, and the switch."""
    for mark in _MARKS:
        config.addinivalue_line("markers", mark)
    said = config.getini("inferkit_real_calls")
    if said not in {"allow", "forbid"}:
        raise pytest.UsageError(f'inferkit_real_calls is "allow" or "forbid"; got {said!r}')
    config.stash[_before] = os.environ.get(_VARIABLE)
    config.stash[_forbids] = "forbid" in {said, config.stash[_before]}
    if config.stash[_forbids]:
        _set(forbids=True)  # for what is imported and set up before the first test


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave things as they were."""
    if config.stash.get(_forbids, False):
        before = config.stash[_before]
        _set(forbids=before == "forbid")
        if before is None:
            os.environ.pop(_VARIABLE, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Say for this test whether it may call providers."""
    if not item.config.stash[_forbids]:
        return (yield)
    records = item.config.getoption("--inferkit-record") and "inferkit_tape" in getattr(item, "fixturenames", ())
    _set(forbids=not (records or item.get_closest_marker("inferkit_real_calls")))
    _refused().clear()
    try:
        return (yield)
    finally:
        _set(forbids=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Have a test fail that called a provider, also where the code under test made something else of the error."""
    if not item.config.stash[_forbids]:
        return (yield)
    try:
        result = yield
    except BaseException:
        if refused := _refused():
            item.add_report_section("call", "inferkit", f"real calls were refused: {', '.join(refused)}")
        raise
    if refused := _refused():
        pytest.fail(
            f"real calls were refused in this test: {', '.join(refused)}. The code under test caught the error; answer "
            "these calls with inferkit_client's FakeProvider or inferkit_tape, or mark the test "
            "@pytest.mark.inferkit_real_calls",
            pytrace=False,
        )
    return result


def _set(*, forbids: bool) -> None:
    os.environ[_VARIABLE] = "forbid" if forbids else "allow"  # for what is imported later, and for child processes
    guard = sys.modules.get(_GUARD)
    if guard is not None:
        guard.forbidden = forbids  # type: ignore[attr-defined]


def _refused() -> list[str]:
    refused: list[str] = getattr(sys.modules.get(_GUARD), "refused", [])
    return refused


@pytest.fixture
def inferkit_provider() -> FakeProvider:
    """The provider behind `inferkit_client`: `inferkit_provider.play("Hello!")`, and `.requests` for what was asked."""
    from inferkit.testing import FakeProvider

    return FakeProvider()


@pytest.fixture
def inferkit_ledger() -> Ledger:
    """A ledger in memory, which `inferkit_client` writes to."""
    from inferkit.testing import memory_ledger

    return memory_ledger()


@pytest.fixture
def inferkit_settings() -> Settings:
    """Settings for the clients of all tests around which a conftest.py overrides it: `{"models": {"fast": ...}}`."""
    return {}


@pytest.fixture
def inferkit_client(
    request: pytest.FixtureRequest,
    inferkit_provider: FakeProvider,
    inferkit_ledger: Ledger,
    inferkit_settings: Settings,
) -> Iterator[Client]:
    """A client whose models are all served by `inferkit_provider`: no network, no key, nothing on disk."""
    from inferkit import Client
    from inferkit.testing.fixtures import faked

    with Client(**faked(inferkit_provider, inferkit_ledger, inferkit_settings, _of_mark(request))) as client:
        yield client


@pytest.fixture
def inferkit_async_client(
    request: pytest.FixtureRequest,
    inferkit_provider: FakeProvider,
    inferkit_ledger: Ledger,
    inferkit_settings: Settings,
) -> AsyncClient:
    """The same as `inferkit_client`, for event loops. It has no connections that would have to be closed."""
    from inferkit import AsyncClient
    from inferkit.testing.fixtures import faked

    return AsyncClient(**faked(inferkit_provider, inferkit_ledger, inferkit_settings, _of_mark(request)))


@pytest.fixture
def inferkit_clock() -> Iterator[FrozenClock]:
    """The clock of inferkit, which stands still until the test sets it on: `inferkit_clock.advance(days=31)`."""
    from inferkit.testing import FrozenClock

    clock = FrozenClock()
    with clock.installed():
        yield clock


@pytest.fixture
def inferkit_tape(request: pytest.FixtureRequest) -> Iterator[TapedTest]:
    """A tape for this test, played, or recorded where asked to.

    `Client(transport=inferkit_tape.transport)` for inferkit, `openai.OpenAI(http_client=inferkit_tape.http_client())`
    for the SDKs of others.
    """
    from inferkit.testing.tape.fixture import taped

    mark = request.node.get_closest_marker("inferkit_tape")
    name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in request.node.name)
    path = request.path.parent / "tapes" / request.path.stem / f"{name}.jsonl"
    with taped(path, record=request.config.getoption("--inferkit-record"), **(mark.kwargs if mark else {})) as tape:
        yield tape


def _of_mark(request: pytest.FixtureRequest) -> dict[str, Any]:
    mark = request.node.get_closest_marker("inferkit_client")
    return mark.kwargs if mark else {}
