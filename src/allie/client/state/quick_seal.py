"""The seal of a note: that it is ours, and was not written by another system's root.

What a quick tick asks is a command line that its note has. In another system's root that system's
root can write what he likes; so there the seal is made with a secret, which the running system's
root alone can read, and which ends with the next boot. On the running system a sum is enough.

docs/internals/security.md, "Other systems' trees".
"""

from __future__ import annotations

import os

from allie.client.state import quick_files
from allie.core import digest
from allie.core.errors import StateError
from allie.core.system import System
from allie.core.value import TYPE_CHECKING
from allie.machine.files import atomic

if TYPE_CHECKING:
    from allie.client.state.quick_files import Seal

_SECRET = "/run/allie/secret"  # the running system's, also for another root


def of(here: System) -> Seal:
    """What makes the seal of this system's notes."""
    if here.is_base:
        return quick_files.checksum
    secret = atomic.read_bytes(_SECRET) or _new()
    return lambda body: digest.of(b"".join((secret, body, secret))).encode()


def _new() -> bytes:
    """A new secret; where it cannot be kept, no note is ever found to be ours."""
    secret = os.urandom(32)
    try:
        os.makedirs(os.path.dirname(_SECRET), exist_ok=True)
        atomic.write(_SECRET, secret, 0o600, durable=False)
    except (OSError, StateError):
        pass
    return secret
