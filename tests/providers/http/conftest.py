from __future__ import annotations

import pytest

from ways import WAYS


@pytest.fixture(params=WAYS, ids=str)
def way(request):
    """Each way that bytes can travel."""
    return request.param
