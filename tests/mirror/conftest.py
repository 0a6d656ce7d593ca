"""These tests make owners, devices and mounts."""

from tests.worlds.needs_root import needs_root  # noqa: F401
