"""Finds the llama library inside the installed xllamacpp package, without importing that package.

The package's own server object listens on a socket, takes control pieces in a user's text for what they say, and cannot
be asked to keep a prefix exactly. The shared library in it exports all of llama.h, and is bound instead.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from inferkit.local.errors import EngineUnavailable

__all__ = ["INSTALL", "VERSION", "find_library", "is_installed"]

VERSION = "2026.10.11549"
"""The release whose library is bound; the layout of its structures belongs to it alone."""

INSTALL = "pip install 'inferkit[llama]'"
"""The command that brings the engine."""

_FILE = "xllamacpp.abi3.so"


def is_installed() -> bool:
    """Say whether the engine can be used at all; see `find_library` for why not."""
    try:
        find_library()
    except EngineUnavailable:
        return False
    return True


def find_library() -> Path:
    """Return the library. Raises `EngineUnavailable`, which says what to do."""
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or not spec.submodule_search_locations:
        raise EngineUnavailable(f"this engine needs the package xllamacpp; run: {INSTALL}")
    folder = Path(next(iter(spec.submodule_search_locations)))
    if not (folder.parent / f"xllamacpp-{VERSION}.dist-info").is_dir():
        _check_version()
    library = folder / _FILE
    if not library.is_file():
        raise EngineUnavailable(f"{library} is missing; run: pip install --force-reinstall xllamacpp=={VERSION}")
    return library


def _check_version() -> None:
    """Ask for the version where the package does not lie beside its description, as it nearly always does."""
    try:
        installed = importlib.metadata.version("xllamacpp")
    except importlib.metadata.PackageNotFoundError:
        installed = "an unknown release"
    if installed != VERSION:
        raise EngineUnavailable(
            f"this engine is made for xllamacpp {VERSION}, and {installed} is installed; "
            f"run: pip install xllamacpp=={VERSION}"
        )
