"""Marks that LangChain's own tests carry, and which nothing here reads."""

from __future__ import annotations


def pytest_configure(config):
    for mark in ("benchmark", "vcr"):
        config.addinivalue_line("markers", f"{mark}: of langchain-tests")
