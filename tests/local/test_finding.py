"""What the name of a model stands for: a path, or a package that is installed."""

from __future__ import annotations

import sys

import pytest

from inferkit.core.errors import ModelFileError
from inferkit.local.finding import find_model


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that cannot be imported, since what it needs is not installed."""
    folder = tmp_path / "site" / "a_model_package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("import nothing_that_is_installed\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


def test_a_package_gives_its_file_and_is_not_imported(package):
    (package / "weights").mkdir()
    file = package / "weights" / "m.gguf"
    file.write_bytes(b"")
    for name in ("a-model-package", "a_model_package", "a.model.package"):
        assert find_model(name) == file
    assert "a_model_package" not in sys.modules


def test_a_package_with_no_model_or_several_is_refused(package):
    with pytest.raises(ModelFileError, match=r"a-model-package holds 0 GGUF files \(none\)"):
        find_model("a-model-package")
    for name in ("a.gguf", "b.gguf"):
        (package / name).write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"holds 2 GGUF files \(a.gguf, b.gguf\), and not one; give the path"):
        find_model("a-model-package")


@pytest.mark.parametrize("name", ["no-such-package", "json", "sys", "a..b"])
def test_what_is_neither_a_file_nor_a_package_with_files_is_refused(name):
    with pytest.raises(ModelFileError, match="no file|holds 0 GGUF"):
        find_model(name)


def test_what_looks_like_a_path_is_one(tmp_path, monkeypatch, package):
    (package / "m.gguf").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert find_model("m.gguf") == tmp_path / "m.gguf"
    assert find_model("folder/m") == tmp_path / "folder" / "m"
    assert find_model(tmp_path / "m") == tmp_path / "m"
    (tmp_path / "a_model_package").write_bytes(b"")
    assert find_model("a_model_package") == tmp_path / "a_model_package"
