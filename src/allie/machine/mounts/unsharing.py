"""Give this process namespaces of its own, or say which setting of the kernel forbids it.

The first step into another system (machine.confined.userland), and loaded as often as that: it
imports no more than ctypes beside os.
"""

from __future__ import annotations

import ctypes
import os

from allie.core.errors import StateError

_NEWNS, _NEWUSER = 0x00020000, 0x10000000  # linux/sched.h

_libc = ctypes.CDLL(None, use_errno=True)


def own_mounts(is_root: bool) -> None:
    """Have mounts of our own; a user gets them by a user namespace, in which he is himself.

    Raises StateError where the kernel does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_NEWNS if is_root else _NEWNS | _NEWUSER) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise StateError(f"the kernel does not let us make namespaces: {reason}", _why(is_root))
    if is_root:
        return
    try:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "wb") as file:
                file.write(text.encode())
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"the kernel gives users no rights in namespaces: {reason}"
        raise StateError(message, _why(False)) from error


def _why(is_root: bool) -> str:
    """What an administrator can do where namespaces are refused."""
    if is_root:
        return "a container without CAP_SYS_ADMIN cannot enter a system"
    for name, value in (
        ("kernel/apparmor_restrict_unprivileged_userns", "0"),
        ("kernel/unprivileged_userns_clone", "1"),
        ("user/max_user_namespaces", "10000"),
    ):
        try:
            with open(f"/proc/sys/{name}", "rb") as file:
                now = file.read().decode().strip()
        except OSError:
            continue
        if now != value and "0" in (now, value):
            return f"as root: sysctl {name.replace('/', '.')}={value}"
    return "a chroot or a container may forbid it, too"
