"""The pytest plugin: the fixture `inferkit_tape`, and `--inferkit-record`, which has it record anew.

pytest loads this in every session where inferkit is installed, so it stands outside of the package and imports nothing
of it until a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.testing.tape.fixture import TapedTest

_MARK = "inferkit_tape(speed=None, faults=(), in_order=False, secrets=()): how the tape of this test is played and made"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("inferkit")
    group.addoption(
        "--inferkit-record",
        action="store_true",
        help="send the calls of tests that use inferkit_tape to the real providers, and record them",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", _MARK)


@pytest.fixture
def inferkit_tape(request: pytest.FixtureRequest) -> Iterator[TapedTest]:
    """A tape for this test: `Client(transport=inferkit_tape.transport)` plays it, or records it where asked to."""
    from inferkit.testing.tape.fixture import taped

    mark = request.node.get_closest_marker("inferkit_tape")
    name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in request.node.name)
    path = request.path.parent / "tapes" / request.path.stem / f"{name}.jsonl"
    with taped(path, record=request.config.getoption("--inferkit-record"), **(mark.kwargs if mark else {})) as tape:
        yield tape
