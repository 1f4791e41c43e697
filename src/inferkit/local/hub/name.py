"""How a file of a Hugging Face repository is named: `hf:owner/repository/path/file.gguf@revision`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from inferkit.core.errors import ModelFileError

__all__ = ["FORM", "PREFIX", "HubName", "is_hub_name"]

PREFIX = "hf:"
FORM = "hf:owner/repository/file.gguf@revision"

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_NAME = re.compile(rf"hf:(?P<repo>{_PART}/{_PART})(?:/(?P<file>[^@]+))?(?:@(?P<revision>[A-Za-z0-9._/-]+))?")
_PAGE = re.compile(
    r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<repo>[^/]+/[^/]+)"
    r"(?:/(?:blob|resolve|raw|tree)/(?P<revision>[^/]+)(?:/(?P<file>[^?#]+))?)?/?(?:[?#].*)?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PINNED = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True, slots=True)
class HubName:
    """A file of a repository. `file` is empty where none is named, `revision` None where nothing is said."""

    repo: str
    file: str = ""
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Read a name. Raises `ModelFileError` for what is none, and says how it is written."""
        page = _PAGE.fullmatch(text)
        if page is not None:
            written = cls(page["repo"], page["file"] or "", page["revision"])
            raise ModelFileError(f"{text} is the address of a page; a model on Hugging Face is named {written}")
        found = _NAME.fullmatch(text)
        name = None if found is None else cls(found["repo"], found["file"] or "", found["revision"])
        if name is None or not name.is_sound:
            raise ModelFileError(f"{text[:200]!r} names no file on Hugging Face; write {FORM}")
        return name

    @property
    def is_sound(self) -> bool:
        """Whether nothing in it leads out of its folder."""
        folders = [*self.file.split("/")] if self.file else []
        folders += self.revision.split("/") if self.revision else []
        plain = not any("\\" in each or not each.isprintable() for each in folders)
        return plain and not any(each in ("", ".", "..") for each in folders) and "--" not in self.repo

    def __str__(self) -> str:
        file = f"/{self.file}" if self.file else ""
        return f"{PREFIX}{self.repo}{file}" + (f"@{self.revision}" if self.revision else "")

    @property
    def is_commit(self) -> bool:
        """Whether the revision is a whole commit, so that the name means one file for ever."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit, or seven of its digits at least."""
        return self.revision is not None and _PINNED.fullmatch(self.revision) is not None

    def at(self, revision: str) -> HubName:
        """Give the same file of another revision."""
        return replace(self, revision=revision)


def is_hub_name(text: str) -> bool:
    """Say whether a text is meant for a name on Hugging Face, well written or not."""
    return text.startswith(PREFIX) or _PAGE.fullmatch(text) is not None
