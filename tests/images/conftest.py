"""Images have owners and devices: these tests need root."""

from tests.worlds.needs_root import needs_root  # noqa: F401
