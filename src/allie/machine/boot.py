"""Which boot of the machine this is: after another, what was never synced may be hollow."""

from __future__ import annotations

from allie.machine import atomic

_ID = "/proc/sys/kernel/random/boot_id"


def identity() -> str:
    """A word that no other boot has (random(4)); "" where the kernel does not say."""
    return (atomic.read(_ID) or "").strip()
