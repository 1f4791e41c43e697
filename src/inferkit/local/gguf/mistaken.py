"""What lies where a model should, told from its first bytes: pointers to it, pages about it, and other forms of it."""

from __future__ import annotations

import re

__all__ = ["what_it_is"]

_REMEDIES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (
        # https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md, and the names it had before
        re.compile(rb"version https://[a-z.-]+/spec/v\d|# git-media\b|version http://git-media"),
        "it is a Git LFS pointer, a few lines in the model's place; run `git lfs pull` in the repository it lies in",
    ),
    (
        re.compile(rb"[./\\]*(?:\.git[/\\])?annex[/\\]objects[/\\]"),
        "it is a git-annex pointer, a line in the model's place; run `git annex get` in the repository it lies in",
    ),
    (
        re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<"),
        "it is a web page, which a server sent in the model's place; download the file itself",
    ),
    (
        re.compile(rb"\s*\{|Entry not found|Invalid username|Access to model|Repository not found|Not Found"),
        "it is what a server or a program said in the model's place; look at it, and download the file itself",
    ),
    (
        re.compile(rb"\x1f\x8b|PK\x03\x04|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf"),
        "it is packed; unpack it, or where it is a model of PyTorch's, convert that to GGUF",
    ),
    (re.compile(rb"lmgg|fmgg|tjgg|algg"), "it is of a form before GGUF (GGML); convert the model again"),
    (re.compile(rb".{8}\{\"", re.DOTALL), "it is in the form safetensors; convert the model to GGUF"),
)
_OTHERWISE = "it does not begin with 'GGUF'; convert the model to GGUF"


def what_it_is(beginning: bytes) -> str:
    """Say what a file that is no GGUF file seems to be, and what to do. Quotes nothing of it."""
    return next((remedy for looks, remedy in _REMEDIES if looks.match(beginning)), _OTHERWISE)
