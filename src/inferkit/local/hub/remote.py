"""Asks a hub about a repository: which commit a branch is, which files there are, how large they are, their checksums.

https://huggingface.co/docs/hub/api; `HF_ENDPOINT` names another server than huggingface.co, and `HF_TOKEN` is sent to
that server alone, not to where it keeps its files.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urljoin, urlsplit

from inferkit.local.errors import DownloadFailed
from inferkit.local.hub import checksum
from inferkit.local.hub.cache import home_folder

if TYPE_CHECKING:
    import httpx

    from inferkit.local.hub.name import HubName

__all__ = ["Hub", "RemoteFile", "is_offline"]

_ENDPOINT = "https://huggingface.co"
_SECONDS = 20.0
_REDIRECTS = 5
_TRUE = ("1", "on", "yes", "true")
_OK, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
_SUFFIX = ".gguf"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub describes it: its name with the commit, its checksum, and its size in bytes."""

    name: HubName
    etag: str
    size: int


def is_offline() -> bool:
    """Say whether the user told Hugging Face's tools not to ask the network."""
    return any(os.environ.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


class Hub:
    """A connection to the hub. Raises `DownloadFailed` for whatever keeps it from answering."""

    def __init__(self) -> None:
        import httpx

        if is_offline():
            raise DownloadFailed(
                "HF_HUB_OFFLINE says not to ask the network; unset it to fetch a model, or copy the cache of a machine "
                "that has it"
            )
        self._endpoint = (os.environ.get("HF_ENDPOINT") or _ENDPOINT).rstrip("/")
        try:
            self.client = httpx.Client(timeout=_SECONDS, follow_redirects=False)
        except (ValueError, OSError, httpx.InvalidURL) as error:
            raise DownloadFailed(
                f"the settings of this machine's network cannot be used ({type(error).__name__}); look at HTTPS_PROXY, "
                "ALL_PROXY, NO_PROXY and SSL_CERT_FILE"
            ) from error
        token = _token()
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "inferkit"}
        self._token = {} if token is None else {"Authorization": f"Bearer {token}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def describe(self, name: HubName) -> RemoteFile:
        """Ask what a file is. Its branch (main where none is named) becomes the commit that it is now."""
        response = self._ask("HEAD", self._address(name), name)
        commit = response.headers.get("X-Repo-Commit")
        size = response.headers.get("X-Linked-Size") or response.headers.get("Content-Length")
        etag = checksum.normal(response.headers.get("X-Linked-Etag") or response.headers.get("ETag") or "")
        pinned = name.at(commit or "")
        if not pinned.is_commit or size is None or not size.isdigit():
            raise DownloadFailed(
                f"{name}: the server names no commit or size; look whether {self._endpoint} is a Hugging Face hub"
            )
        checksum.check_named(etag, str(name))
        return RemoteFile(pinned, etag, int(size))

    def models(self, name: HubName) -> list[tuple[str, int]]:
        """Give the GGUF files of a repository with their sizes in bytes, the smallest first."""
        revision = quote(name.revision or "main", safe="")
        address = f"{self._endpoint}/api/models/{name.repo}/tree/{revision}?recursive=true"
        found: list[tuple[str, int]] = []
        while address:
            response = self._ask("GET", address, name)
            with contextlib.suppress(ValueError, TypeError, KeyError):
                found += [(each["path"], int(each["size"])) for each in response.json() if _is_model(each)]
            further = urljoin(address, response.links.get("next", {}).get("url", ""))
            address = further if further != address and _same_server(further, address) else ""
        return sorted(found, key=lambda each: each[1])

    def stream(self, file: RemoteFile, start: int) -> Any:
        """Ask for the bytes of a file from a place on; gives httpx's context manager of a response."""
        headers = self._headers | self._token | ({"Range": f"bytes={start}-"} if start else {})
        # httpx takes the token off where a redirect leads to another server
        return self.client.stream("GET", self._address(file.name), headers=headers, follow_redirects=True)

    def _address(self, name: HubName) -> str:
        return f"{self._endpoint}/{name.repo}/resolve/{quote(name.revision or 'main', safe='')}/{quote(name.file)}"

    def _ask(self, method: str, address: str, name: HubName) -> httpx.Response:
        """Ask, and follow redirects on the same server: another one knows nothing of repositories."""
        import httpx

        for _ in range(_REDIRECTS):
            try:
                response = self.client.request(method, address, headers=self._headers | self._token)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                raise self.unreachable(error) from error
            further = urljoin(address, response.headers.get("Location", ""))
            if not response.is_redirect or not _same_server(further, address):
                break
            address = further
        if response.status_code != _OK and not response.is_redirect:
            raise self.refusal(response, name)
        return response

    def unreachable(self, error: Exception) -> DownloadFailed:
        """Make the error for a hub that does not answer."""
        return DownloadFailed(
            f"{self._endpoint} cannot be reached ({type(error).__name__}); is this machine online? A proxy is taken "
            "from HTTPS_PROXY, another server than huggingface.co from HF_ENDPOINT"
        )

    def refusal(self, response: httpx.Response, name: HubName) -> DownloadFailed:
        """Make the error for an answer that is no file."""
        code = response.headers.get("X-Error-Code")
        status = response.status_code
        if code == "RevisionNotFound":
            problem = f"{name.repo} has no revision {name.revision or 'main'}; look at its branches and commits"
        elif code == "EntryNotFound":
            problem = f"{name.repo} has no file {name.file} in {name.revision or 'main'}; see which there are: "
            problem += f"inferkit models add hf:{name.repo}"
        elif code == "GatedRepo" or status == _FORBIDDEN:
            problem = f"{name.repo} asks for consent first; give it on {self._endpoint}/{name.repo}, and set HF_TOKEN"
        elif code == "RepoNotFound" or status in (_UNAUTHORISED, _NOT_FOUND):
            problem = f"there is no repository {name.repo}, or it is private; look at its spelling, or set HF_TOKEN"
        else:
            problem = f"{self._endpoint} answers with status {status}; try again later"
        return DownloadFailed(f"{name}: {problem}")


def _same_server(one: str, other: str) -> bool:
    """Say whether two addresses are of one server, so that the token may go to both."""
    return urlsplit(one)[:2] == urlsplit(other)[:2]


def _is_model(entry: Any) -> bool:
    return bool(entry.get("type") == "file" and entry["path"].endswith(_SUFFIX))


def _token() -> str | None:
    """Give the user's token, from where Hugging Face's tools look for it."""
    stated = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")
    if stated:
        return stated.strip() or None
    if os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").lower() in _TRUE:
        return None
    from pathlib import Path

    file = Path(os.environ.get("HF_TOKEN_PATH") or home_folder() / "token").expanduser()
    with contextlib.suppress(OSError):
        return file.read_text(encoding="utf-8").strip() or None
    return None
