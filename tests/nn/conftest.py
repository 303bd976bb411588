"""Everything here is tested with NumPy's kernels and with the compiled ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hpsearch.nn import kernels


@pytest.fixture(scope="module", autouse=True, params=["numpy", "compiled"])
def chosen(request: pytest.FixtureRequest) -> Iterator[str]:
    """Which kernels are used."""
    if request.param == "compiled":
        pytest.importorskip("numba")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HPSEARCH_KERNELS", request.param)
        kernels.begin(0)
        yield request.param
    kernels.begin(0)
