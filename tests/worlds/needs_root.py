"""For folders whose tests make owners, devices and mounts: their conftest.py imports this."""

from __future__ import annotations

import pytest

from tests.worlds import machine


@pytest.fixture(autouse=True)
def needs_root() -> None:
    """Skip a test that could not do what it is about."""
    if not machine.is_root():
        pytest.skip("needs root")
