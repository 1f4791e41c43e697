"""The container alone: whatever is damaged in it is an error before anything is believed."""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
from pathlib import Path

import pytest

import tiny_gguf
from inferkit.core.errors import ModelFileError
from inferkit.local.gguf import container
from inferkit.local.gguf.container import read_container


def test_version_2_and_other_alignments_are_read(tmp_path):
    spec = tiny_gguf.tiny().set("general.alignment", "uint32", 128)
    spec.version, spec.alignment = 2, 128
    found = read_container(spec.write(tmp_path / "m.gguf"))
    assert found.metadata["general.name"].value == "tiny"


@contextlib.contextmanager
def unprivileged():
    """Lay down the rights of the administrator, who may read anything."""
    mine = os.geteuid()
    os.seteuid(65534 if mine == 0 else mine)
    try:
        yield
    finally:
        os.seteuid(mine)


class TestPlaces:
    def test_a_missing_file(self, tmp_path):
        with pytest.raises(ModelFileError, match=r"there is no file .*gone\.gguf; give the path"):
            read_container(tmp_path / "gone.gguf")

    def test_a_directory(self, tmp_path):
        with pytest.raises(ModelFileError, match=r"is a directory; give the path of the \.gguf file in it"):
            read_container(tmp_path)

    def test_something_that_is_no_regular_file_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ModelFileError, match="not a regular file"):
            read_container(tmp_path / "pipe")

    def test_a_path_with_a_zero_byte(self):
        with pytest.raises(ModelFileError, match="is no path"):
            read_container(Path("a\0b"))

    def test_an_unreadable_file(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            path = tiny_gguf.tiny().write(Path(folder) / "m.gguf")
            path.chmod(0)
            with unprivileged(), pytest.raises(ModelFileError, match=r"\(Permission denied\); check its permissions"):
                read_container(path)

    def test_a_file_that_shrinks_while_it_is_read(self, tiny_path, tmp_path, monkeypatch):
        status = tiny_path.stat()
        (tmp_path / "m.gguf").write_bytes(tiny_path.read_bytes()[:2000])
        monkeypatch.setattr(container, "check_place", lambda _: status)
        with pytest.raises(ModelFileError, match="could not be read"):
            read_container(tmp_path / "m.gguf")

    def test_a_file_below_a_file(self, tiny_path):
        with pytest.raises(ModelFileError, match="check the path and its permissions"):
            read_container(tiny_path / "x")


@pytest.mark.parametrize(
    "raw",
    [b"", b"GG", b"GGUF", b"GGUF" + bytes(3), b"GGUF" + struct.pack("<IQ", 3, 1)],
)
def test_a_file_cut_in_its_first_bytes_is_refused(tmp_path, raw):
    (tmp_path / "m.gguf").write_bytes(raw)
    with pytest.raises(ModelFileError, match=r"damaged|not a GGUF file"):
        read_container(tmp_path / "m.gguf")


def test_every_truncation_is_refused(tmp_path):
    raw = tiny_gguf.tiny().to_bytes()
    path = tmp_path / "m.gguf"
    for length in [*range(0, 3000, 97), *range(3000, len(raw), 4999), len(raw) - 1]:
        path.write_bytes(raw[:length])
        with pytest.raises(ModelFileError):
            read_container(path)


def a_head(version: int = 3, tensors: int = 0, values: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, values)


def a_value(kind: int, body: bytes, key: bytes = b"k") -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + body


HUGE = (1 << 64) - 1
RAW = {
    "other magic": (b"GGML" + bytes(100), "not a GGUF file"),
    "version 1": (a_head(1) + bytes(64), "version 1 is not supported; it is of an early form"),
    "big-endian": (b"GGUF" + struct.pack(">I", 3) + bytes(64), "it may be big-endian"),
    "huge tensor count": (a_head(tensors=HUGE) + bytes(64), f"claims {HUGE} tensors"),
    "huge value count": (a_head(values=HUGE) + bytes(64), f"claims {HUGE} metadata values"),
    "huge key": (a_head(values=1) + struct.pack("<Q", HUGE) + bytes(64), "a metadata key at byte"),
    "key not UTF-8": (a_head(values=1) + a_value(4, bytes(4), b"\xff") + bytes(64), "not UTF-8"),
    "key with a zero": (a_head(values=1) + a_value(4, bytes(4), b"a\0") + bytes(64), "zero byte"),
    "key twice": (a_head(values=2) + a_value(4, bytes(4)) * 2 + bytes(64), "occurs twice"),
    "unknown kind": (a_head(values=1) + a_value(13, bytes(8)) + bytes(64), "unknown kind 13"),
    "not a bool": (a_head(values=1) + a_value(7, b"\x02") + bytes(64), "neither true nor false"),
    "array of arrays": (
        a_head(values=1) + a_value(9, struct.pack("<IQ", 9, 1)) + bytes(64),
        "elements of the unsupported kind 9",
    ),
    "huge array": (a_head(values=1) + a_value(9, struct.pack("<IQ", 0, HUGE)) + bytes(64), "more than the file"),
    "huge string array": (
        a_head(values=1) + a_value(9, struct.pack("<IQ", 8, 1 << 60)) + bytes(64),
        "strings, more than the file can hold",
    ),
    "endless array of numbers": (a_head(values=1) + a_value(9, struct.pack("<IQ", 12, 60)) + bytes(64), "needs 480"),
}


@pytest.mark.parametrize("case", RAW)
def test_a_damaged_container_is_refused_with_its_reason(tmp_path, case):
    raw, reason = RAW[case]
    (tmp_path / "m.gguf").write_bytes(raw)
    with pytest.raises(ModelFileError, match=reason):
        read_container(tmp_path / "m.gguf")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 1447317080\n"
IN_ITS_PLACE = {
    "a pointer of Git LFS": (POINTER, "a Git LFS pointer.*`git lfs pull`"),
    "a pointer of before": (POINTER.replace(b"git-lfs.github", b"hawser.github"), "a Git LFS pointer.*`git lfs pull`"),
    "a pointer of git-annex": (b"/annex/objects/SHA256E-s14--4d7a.gguf\n", "a git-annex pointer.*`git annex get`"),
    "a link of git-annex": (b"../../.git/annex/objects/x/y/SHA256E-s1--4d/SHA256E-s1--4d", "git annex get"),
    "a page": (b"\n<!DOCTYPE html><html>Log in", "a web page.*download the file itself"),
    "an error": (b'{"error":"Invalid credentials"}', "a server or a program said"),
    "words": (b"Entry not found", "a server or a program said"),
    "packed": (b"\x1f\x8b\x08" + bytes(9), "packed; unpack it"),
    "a checkpoint": (b"PK\x03\x04" + bytes(9), "of PyTorch's, convert"),
    "of before": (b"tjgg" + bytes(9), "a form before GGUF"),
    "safetensors": (struct.pack("<Q", 99) + b'{"__metadata__":{}}', "safetensors; convert"),
    "anything": (b"version 7", "does not begin with 'GGUF'"),
    "nothing": (b"", "does not begin with 'GGUF'"),
}


@pytest.mark.parametrize("case", IN_ITS_PLACE)
def test_what_lies_in_a_models_place_is_named_with_what_to_do(tmp_path, case):
    raw, says = IN_ITS_PLACE[case]
    (tmp_path / "m.gguf").write_bytes(raw)
    with pytest.raises(ModelFileError, match=f"is not a GGUF file: .*{says}") as caught:
        read_container(tmp_path / "m.gguf")
    assert "sha256" not in str(caught.value)


def test_metadata_larger_than_any_model_has_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("inferkit.local.gguf.head.METADATA_LIMIT", 1 << 20)
    with (tmp_path / "m.gguf").open("wb") as file:
        file.write(a_head(values=1) + a_value(8, struct.pack("<Q", 1 << 21)))
        file.truncate(1 << 22)
    with pytest.raises(ModelFileError, match="metadata is over 1 MiB"):
        read_container(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("offset", "reason"), [(8, "not aligned to 32"), (0, "overlaps another"), (1 << 50, "after the end of the file")]
)
def test_a_tensor_in_a_wrong_place_is_refused(tmp_path, offset, reason):
    raw = bytearray(tiny_gguf.tiny().to_bytes())
    place = raw.index(b"output_norm.weight") + len(b"output_norm.weight") + 4 + 8 + 4
    struct.pack_into("<Q", raw, place, offset)
    (tmp_path / "m.gguf").write_bytes(raw)
    with pytest.raises(ModelFileError, match=reason):
        read_container(tmp_path / "m.gguf")


def test_a_tensor_named_twice_is_refused(tmp_path):
    raw = tiny_gguf.tiny().to_bytes().replace(b"blk.1.attn_q.weight", b"blk.0.attn_q.weight")
    (tmp_path / "m.gguf").write_bytes(raw)
    with pytest.raises(ModelFileError, match="occurs twice"):
        read_container(tmp_path / "m.gguf")
