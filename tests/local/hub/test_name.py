"""How files on Hugging Face are named."""

from __future__ import annotations

import pytest

from inferkit.core.errors import ModelFileError
from inferkit.local.hub.name import HubName, is_hub_name


@pytest.mark.parametrize(
    ("text", "repo", "file", "revision"),
    [
        ("hf:owner/name/a.gguf", "owner/name", "a.gguf", None),
        ("hf:owner/name/a.gguf@main", "owner/name", "a.gguf", "main"),
        ("hf:own.er/na-me_1/sub/a b.gguf@refs/pr/3", "own.er/na-me_1", "sub/a b.gguf", "refs/pr/3"),
        ("hf:owner/name", "owner/name", "", None),
        ("hf:owner/name@v1.0", "owner/name", "", "v1.0"),
    ],
)
def test_a_name_is_read_and_written_alike(text, repo, file, revision):
    name = HubName.parse(text)
    assert (name.repo, name.file, name.revision) == (repo, file, revision)
    assert str(name) == text
    assert is_hub_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "hf:",
        "hf:owner",
        "hf:owner/name/",
        "hf:owner/name/../../x.gguf",
        "hf:owner/name//x.gguf",
        "hf:../name/x.gguf",
        "hf:owner/..",
        "hf:owner/name/x.gguf@../../main",
        "hf:owner/name/x.gguf@a/./b",
        "hf:owner/name/x.gguf@",
        "hf:owner/name/x.gguf@a@b",
        "hf:ow--ner/name/x.gguf",
        "hf:owner/name/a\\b.gguf",
        "hf:owner/name/a\nb.gguf",
    ],
)
def test_what_is_no_name_or_leads_elsewhere_is_refused(text):
    with pytest.raises(ModelFileError, match="names no file on Hugging Face; write hf:owner/repository/file.gguf@rev"):
        HubName.parse(text)


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("https://huggingface.co/o/n/blob/main/a.gguf", "hf:o/n/a.gguf@main"),
        ("https://huggingface.co/o/n/resolve/v1/sub/a.gguf?download=true", "hf:o/n/sub/a.gguf@v1"),
        ("https://huggingface.co/o/n", "hf:o/n"),
    ],
)
def test_the_address_of_a_page_is_told_what_to_write(page, name):
    assert is_hub_name(page)
    with pytest.raises(ModelFileError, match="is the address of a page; .* is named") as caught:
        HubName.parse(page)
    assert str(caught.value).endswith(name)


def test_a_commit_or_some_of_its_digits_pins_a_name_and_a_branch_does_not():
    name = HubName.parse("hf:o/n/a.gguf")
    assert name.at("a" * 40).is_commit
    assert name.at("a1b2c3d").is_pinned
    assert not name.at("a1b2c3d").is_commit
    assert not any(name.at(other).is_pinned for other in ("main", "abc", "a" * 41, "deadbeef-fix"))
    assert not name.is_pinned
