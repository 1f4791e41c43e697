"""What a wheel has in it, and what it says of itself: `python -m wheel_check.contents WHEEL SDIST`, in tools/."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from packaging.metadata import Metadata

MODEL = "inferkit/local/models/triage-q8_0.gguf"
PACKAGES = {"inferkit", "pytest_inferkit"}


def main(wheel: Path, sdist: Path) -> None:
    """Fail with what is wrong."""
    with zipfile.ZipFile(wheel) as archive:
        names = {PurePosixPath(name) for name in archive.namelist()}
        (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        described = Metadata.from_email(archive.read(about), validate=True)
        model = archive.getinfo(MODEL).file_size
    folders = {name.parts[0] for name in names if not name.parts[0].endswith(".dist-info")}
    assert folders == PACKAGES, f"the wheel has {folders}"
    assert all(PurePosixPath(package, "py.typed") in names for package in PACKAGES), "a package is not marked as typed"
    strangers = [str(name) for name in names if name.name.startswith("test_") or name.name == "conftest.py"]
    assert not strangers, f"the wheel has tests: {strangers}"
    assert model > 1_000_000, "the embedded model is missing"
    assert described.description_content_type is not None, "the README is not said to be Markdown"
    assert described.description_content_type.startswith("text/markdown")
    assert described.license_expression == "MIT", "no licence is named"
    with tarfile.open(sdist) as archive_of_source:
        within = {PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive_of_source.getnames()}
    missing = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", f"src/{MODEL}"} - set(map(str, within))
    assert not missing, f"the sdist lacks {missing}"
    size = wheel.stat().st_size / 2**20
    print(f"{wheel.name}: {len(names)} files, {size:.1f} MiB; {described.name} {described.version}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
