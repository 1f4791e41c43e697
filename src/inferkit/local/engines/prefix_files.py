"""Prefixes that outlive their process: what was computed for a prompt, in files that only one kind of engine reads.

A file holds a line that says what it is, the checksum of what follows, and the tokens with their state. It is private
to its user, as prompts can be read from its tokens. One that is damaged, not the user's own, or of another kind than
its name says, is never handed to an engine, which would end the process: it is removed.
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import os
import platform
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.local.engines.machine import cpu_features
from inferkit.local.engines.prefixes import Prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferkit.local.engines.capacity import Sizes
    from inferkit.local.engines.interface import EngineSettings
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["PrefixFiles", "files_for"]

_MAGIC = b"inferkit prefix 1\n"
_SUFFIX = ".prefix"
_DIGEST = 32
_COUNT = 4
_HEAD = len(_MAGIC) + 2 * _DIGEST + _COUNT


def files_for(
    settings: EngineSettings, model: ModelFile, sizes: Sizes, *, version: str, gpu_layers: int
) -> PrefixFiles | None:
    """Give the files of prefixes that an engine of this `version` may read; None where none are wanted."""
    if not settings.prefix_disk:
        return None
    machine = [platform.machine(), *sorted(cpu_features())]
    kind = [model.engine, version, model.fingerprint, sizes.context_length, gpu_layers, machine]
    return PrefixFiles(Path(settings.prefix_folder), settings.prefix_disk, kind)


class PrefixFiles:
    """The files of one `kind` (model, engine and machine) among those of all kinds in a folder of `limit` bytes."""

    def __init__(self, folder: Path, limit: int, kind: Sequence[object]) -> None:
        self._folder = folder
        self._limit = limit
        self._kind = hashlib.blake2b(repr(list(kind)).encode(), digest_size=_DIGEST).digest()

    def load(self, most: int) -> list[Prefix]:
        """Give what was saved, the newest last, as far as it fits into `most` bytes. What is no prefix is removed."""
        found: list[Prefix] = []
        for _, path in sorted(self._files(), reverse=True):
            if not path.name.startswith(self._kind.hex()[:16]):
                continue
            prefix = self._read(path)
            if prefix is None:
                path.unlink(missing_ok=True)
            elif len(prefix.state) <= most:
                most -= len(prefix.state)
                found.append(prefix)
        return found[::-1]

    def save(self, prefixes: Sequence[Prefix]) -> int:
        """Save prefixes, the newest last; give how many of them are kept. The oldest files of all kinds make room."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = 0
        for prefix in prefixes:
            path = self._place(prefix)
            if _HEAD + len(prefix.tokens) * _COUNT + len(prefix.state) > self._limit:
                continue
            kept += 1
            try:
                os.utime(path)
            except OSError:
                self._write(path, prefix)
        self._make_room()
        return kept

    def _place(self, prefix: Prefix) -> Path:
        tokens = hashlib.blake2b(_packed(prefix.tokens), digest_size=16).hexdigest()
        return self._folder / f"{self._kind.hex()[:16]}-{tokens}{_SUFFIX}"

    def _write(self, path: Path, prefix: Prefix) -> None:
        body: list[bytes | bytearray] = [len(prefix.tokens).to_bytes(_COUNT, "little"), _packed(prefix.tokens)]
        body.append(prefix.state)
        sum_ = hashlib.blake2b(self._kind, digest_size=_DIGEST)
        for part in body:
            sum_.update(part)
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=path.name)  # readable by its owner alone
        try:
            with os.fdopen(descriptor, "wb") as file:
                for part in (_MAGIC, self._kind, sum_.digest(), *body):
                    file.write(part)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _read(self, path: Path) -> Prefix | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_size > self._limit:
                return None
            head = file.read(_HEAD)
            body = bytearray(file.read())
        return self._checked(head, body)

    def _checked(self, head: bytes, body: bytearray) -> Prefix | None:
        at = len(_MAGIC) + _DIGEST
        if len(head) < _HEAD or not head.startswith(_MAGIC + self._kind):
            return None
        sum_ = hashlib.blake2b(self._kind + head[at + _DIGEST :], digest_size=_DIGEST)
        sum_.update(body)
        size = int.from_bytes(head[-_COUNT:], "little") * _COUNT
        if sum_.digest() != head[at : at + _DIGEST] or not 0 < size < len(body):
            return None
        tokens = array.array("I", bytes(body[:size])).tolist()
        del body[:size]
        return Prefix(tokens, body)

    def _files(self) -> Iterator[tuple[int, Path]]:
        """Give all files of prefixes, with the time when each was last saved."""
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                if path.name.endswith(_SUFFIX):
                    with contextlib.suppress(OSError):
                        yield path.lstat().st_mtime_ns, path

    def _make_room(self) -> None:
        left = self._limit
        for _, path in sorted(self._files(), reverse=True):
            with contextlib.suppress(OSError):
                left -= path.lstat().st_size
                if left < 0:
                    path.unlink()


def _packed(tokens: Sequence[int]) -> bytes:
    return array.array("I", tokens).tobytes()
