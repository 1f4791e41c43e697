from __future__ import annotations

import pytest

import inferkit.local


def test_every_public_name_is_there():
    assert dir(inferkit.local) == inferkit.local.__all__
    for name in inferkit.local.__all__:
        assert getattr(inferkit.local, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = inferkit.local.nothing
