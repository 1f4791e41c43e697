"""A Hugging Face hub on the loopback: repositories with commits and branches, and a store of files on another port.

The hub answers HEAD and GET of `/owner/name/resolve/revision/file` with the headers of the real one and a redirect to
the store, as the real one does for large files. `cuts` says after how many bytes each answer of the store ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from wire import CLOSE, RESET, Received, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["COMMIT", "OTHER", "LoopbackHub", "hub", "offline_cache"]

COMMIT, OTHER = "1f" * 20, "2e" * 20


class LoopbackHub:
    def __init__(self) -> None:
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[tuple[str, str], str] = {}
        self.gated: set[str] = set()
        self.cuts: list[int] = []
        self.claimed_size: int | None = None
        self.knows_ranges = True
        self.page = 1000
        self.next_server: str | None = None
        self._stored: dict[str, bytes] = {}
        self._front = Wire(self._answer)
        self._store = Wire(self._send)

    def add(self, repo: str, file: str, data: bytes, commit: str = COMMIT, branch: str = "main") -> str:
        """Put a file into a commit that a branch stands for; give its checksum."""
        self.repos.setdefault(repo, {}).setdefault(commit, {})[file] = data
        self.branches[repo, branch] = commit
        digest = hashlib.sha256(data).hexdigest()
        self._stored[digest] = data
        return digest

    def tamper(self, digest: str, data: bytes) -> None:
        """Have the store send something else."""
        self._stored[digest] = data

    @property
    def url(self) -> str:
        return self._front.url.removesuffix("/v1")

    @property
    def asked(self) -> list[Received]:
        """What the hub itself was asked."""
        return self._front.requests

    @property
    def sent(self) -> list[Received]:
        """What the store was asked."""
        return self._store.requests

    @contextlib.contextmanager
    def running(self) -> Iterator[LoopbackHub]:
        with self._front, self._store:
            yield self

    def _answer(self, request: Received) -> Iterator[Any]:
        path = request.line.split(" ")[1]
        parts = path.partition("?")[0].strip("/").split("/")
        if "resolve" not in parts:
            known = parts[:2] == ["api", "models"] and parts[4:5] == ["tree"]
            cursor = path.partition("&cursor=")[2]
            yield self._tree("/".join(parts[2:4]), unquote(parts[5]), int(cursor or 0)) if known else _head(404)
            return
        repo, revision, file = "/".join(parts[:2]), unquote(parts[3]), unquote("/".join(parts[4:]))
        commits = self.repos.get(repo)
        if commits is None:
            yield _head(401, x_error_code="RepoNotFound")
        elif repo in self.gated and "authorization" not in request.headers:
            yield _head(401, x_error_code="GatedRepo")
        elif (commit := self.branches.get((repo, revision), revision)) not in commits:
            yield _head(404, x_error_code="RevisionNotFound")
        elif file not in commits[commit]:
            yield _head(404, x_error_code="EntryNotFound")
        else:
            data = commits[commit][file]
            digest = hashlib.sha256(data).hexdigest()
            store = self._store.url.removesuffix("/v1")
            yield _head(
                302,
                location=f"{store}/{digest}",
                x_repo_commit=commit,
                x_linked_etag=f'"{digest}"',
                x_linked_size=str(len(data) if self.claimed_size is None else self.claimed_size),
                etag='"of-the-redirect"',
            )

    def _tree(self, repo: str, revision: str, start: int) -> bytes:
        commit = self.branches.get((repo, revision), revision)
        files = self.repos.get(repo, {}).get(commit)
        if files is None:
            return _head(404, x_error_code="RepoNotFound")
        listed = [{"type": "file", "path": name, "size": len(data)} for name, data in files.items()]
        further: dict[str, str] = {}
        if start + self.page < len(listed):
            address = f"/api/models/{repo}/tree/{revision}?recursive=true&cursor={start + self.page}"
            further["link"] = f'<{self.next_server or self.url}{address}>; rel="next"'
        body = json.dumps(listed[start : start + self.page])
        return _head(200, length=len(body), **further) + body.encode()

    def _send(self, request: Received) -> Iterator[Any]:
        data = self._stored[request.line.split(" ")[1].strip("/")]
        asked = request.headers.get("range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.knows_ranges else 0
        status = 206 if asked and self.knows_ranges else 200
        yield _head(status, length=len(data) - start)
        if self.cuts:
            cut = self.cuts.pop(0)
            yield data[start : start + cut]
            yield RESET if cut == 0 else CLOSE
        yield data[start:]


def _head(status: int, length: int = 0, **headers: str) -> bytes:
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{fields}content-length: {length}\r\n\r\n".encode()


@pytest.fixture
def offline_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of Hugging Face's tools, of a user without a token."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "huggingface" / "hub"
    monkeypatch.setenv("HF_HOME", str(folder.parent))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HUGGINGFACE_HUB_CACHE", raising=False)
    return folder


@pytest.fixture
def hub(offline_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub().running() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served
