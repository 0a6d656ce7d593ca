"""Images have owners and devices: these tests need root."""

from __future__ import annotations

import pytest

from tests.worlds import machine


@pytest.fixture(autouse=True)
def _needs_root() -> None:
    if not machine.is_root():
        pytest.skip("needs root")
