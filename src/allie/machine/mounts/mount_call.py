"""mount(2), and namespaces of this process and its children alone (namespaces(7)).

Not for an ordinary tick: loading it costs (HACKING.md, start-up). `allie enter` loads it, so it
imports next to nothing. What is mounted where: `mount_table`.
"""

from __future__ import annotations

import os

from allie.core.errors import StateError
from allie.machine import libc

# linux/mount.h
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
REMOUNT, BIND, MOVE, REC, PRIVATE, SLAVE = 32, 4096, 8192, 16384, 1 << 18, 1 << 19
_DETACH = 2
# linux/sched.h: the kinds of namespaces
NEWNS, NEWUTS, NEWIPC = 0x00020000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> bool:
    """mount(2); whether the kernel did it. Why it did not: `libc.last_error`."""
    encoded = [os.fsencode(each) for each in (source, target, kind)]
    try:
        libc.call("mount", *encoded, flags, options.encode() if options else None)
    except OSError:
        return False
    return True


def need(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """The same, where nothing goes on without it: raises StateError."""
    if not mount(source, target, kind, flags, options):
        hint = "" if os.geteuid() == 0 else "run this as root"
        raise StateError(f"cannot mount {target}: {libc.last_error()}", hint)


def unmount(target: str) -> bool:
    """Take a mount away, lazily where it is in use; whether there was one."""
    try:
        libc.call("umount2", os.fsencode(target), _DETACH)
    except OSError:
        return False
    return True


def pivot(top: str, old: str = ".") -> None:
    """Make a mount of ours the `/` of this process and its children; the old one is out of reach.

    A chroot is left again by root; this is not. Needs a mount namespace of our own. old: a
    directory in the new one, where the old one is still seen.
    """
    os.chdir(top)
    try:
        libc.call("pivot_root", b".", os.fsencode(old))
        if old == ".":
            libc.call("umount2", b".", _DETACH)
    except OSError as error:
        message = f"cannot make {top} the root: {error.strerror}"
        raise StateError(message, "a chroot may forbid it") from error
    os.chdir("/")


def become_private() -> None:
    """From now on, what this process and its children mount is seen by them alone.

    It goes when the last of them ends, however that comes. Raises StateError where we are not root.
    """
    try:
        libc.call("unshare", NEWNS)
    except OSError as error:
        message = f"cannot make a mount namespace: {error.strerror}"
        raise StateError(message, "run this as root") from error
    make_private()


def make_private() -> None:
    """In a mount namespace of our own: nothing of ours reaches the one that it was copied from."""
    if not mount("none", "/", "", REC | PRIVATE):
        raise StateError("/ is no mount point (a chroot?)", "mount --bind it onto itself first")


def have_own_mounts(is_root: bool) -> None:
    """Have a mount namespace; a user gets it by a user namespace, in which he is himself.

    Raises StateError where the kernel does not allow it, with the setting that forbids it.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        libc.call("unshare", NEWNS if is_root else NEWNS | NEWUSER)
    except OSError as error:
        message = f"the kernel does not let us make namespaces: {error.strerror}"
        raise StateError(message, _what_forbids(is_root)) from error
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
        message = f"the kernel gives users no rights in namespaces: {error.strerror or error}"
        raise StateError(message, _what_forbids(False)) from error


def _what_forbids(is_root: bool) -> str:
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
