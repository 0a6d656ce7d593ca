"""The store: the directory on the central server that holds everything served."""

from __future__ import annotations

import os
import shlex

from allie.core.conf import settings
from allie.core.errors import StateError, UsageError
from allie.core.system import STORE
from allie.machine.files import atomic
from allie.server import kit

MODULES = ("images", "overlays", "releases")  # what any PC may read
HIDDEN = ".parts"  # in a module: what is being made there, and is not served
_TOP = (*MODULES, "private", "inbox")
# Root's alone. In images, users of the server would find setuid programs of old versions.
CLOSED = ("images", "private", "inbox")
_CONF = """\
; Settings of this store; allie.conf(5) is for the PCs.
[serve]
; Who may read overlays, images and releases (rsyncd.conf(5), hosts allow). Not what is in private.
hosts allow = 127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 ::1 fc00::/7 fe80::/10
"""


def init(store: str) -> list[str]:
    """Make a store, or refresh the kit of one; the files that were written. Loses nothing."""
    written = begin(store, "overlays/common")
    return written + [f"overlays/kit/{path}" for path in kit.write(f"{store}/overlays/kit")]


def begin(store: str, *more: str) -> list[str]:
    """Make a store's directories, and more in it, and its settings; the files that were written."""
    try:
        os.makedirs(store, exist_ok=True)
        for name in (*_TOP, *more):
            os.makedirs(f"{store}/{name}", 0o700 if name in CLOSED else 0o755, exist_ok=True)
        close(store)
    except OSError as error:
        raise StateError(f"cannot make {store}: {error.strerror}", "--store DIR") from error
    if os.path.lexists(f"{store}/store.conf"):
        return []
    atomic.write(f"{store}/store.conf", _CONF)
    return ["store.conf"]


def close(store: str) -> None:
    """Close the directories that are root's alone; those of a store made long ago, too."""
    for name in filter(lambda name: os.path.isdir(f"{store}/{name}"), CLOSED):
        st = os.stat(f"{store}/{name}")
        if st.st_uid == os.geteuid() and st.st_mode & 0o077:
            os.chmod(f"{store}/{name}", 0o700)


def named_store(store: str) -> str:
    """What of a proposed command names this store; "" for the one that is meant anyway."""
    return "" if store == STORE else f" --store {shlex.quote(store)}"


def need(store: str) -> str:
    """The store's real path. Raises UsageError if the directory is no store."""
    if not os.path.isdir(f"{store}/overlays"):
        raise UsageError(f"{store} is not a store", f"allie store init{named_store(store)}")
    return os.path.realpath(store)


def overlays(store: str) -> list[str]:
    """The names of the store's overlays, sorted."""
    top = f"{store}/overlays"
    names = filter(settings.is_name, os.listdir(top))  # not .git, say
    return sorted(name for name in names if os.path.isdir(f"{top}/{name}"))
