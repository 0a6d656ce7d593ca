"""Variables of the firmware (UEFI) that systemd-boot reads, through efivarfs.

Only those of systemd-boot's own vendor id are read and written here; never another's, and never
which loader the firmware starts. A PC that was booted by BIOS has none.
"""

from __future__ import annotations

import fcntl
import os
import struct

from allie.core.errors import StateError
from allie.machine.files import atomic
from allie.machine.mounts import mount_call

_TOP = "/sys/firmware/efi/efivars"
_VENDOR = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"  # systemd-boot's
_ATTRIBUTES = 7  # kept, and seen before and after the system starts (UEFI 8.2)
_FLAGS = struct.calcsize("l") << 16 | ord("f") << 8
_GETFLAGS, _SETFLAGS = 2 << 30 | _FLAGS | 1, 1 << 30 | _FLAGS | 2  # linux/fs.h: FS_IOC_…
_IMMUTABLE = 0x10


def read(name: str) -> str:
    """A variable's text; "" if there is none, or the firmware does not say."""
    try:
        data = atomic.read_bytes(_path(name)) or b""
    except StateError:
        data = b""
    return data[4:].decode("utf-16-le", errors="replace").rstrip("\0")


def write(name: str, text: str) -> None:
    """Set a variable. Raises StateError where the firmware does not take it."""
    path = _path(name)
    data = _ATTRIBUTES.to_bytes(4, "little") + f"{text}\0".encode("utf-16-le")
    try:
        _unlock(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, data)  # at once: each write(2) sets the whole variable
        finally:
            os.close(descriptor)
    except OSError as error:
        words = f"the firmware does not take the variable {name}: {error.strerror}"
        raise StateError(words, "boot this PC by UEFI; is efivarfs mounted read-only?") from error


def remove(name: str) -> None:
    """Have no such variable. Raises StateError where the firmware keeps it."""
    path = _path(name)
    try:
        _unlock(path)
        atomic.remove(path)
    except OSError as error:
        raise StateError(f"cannot remove the variable {name}: {error.strerror}") from error


def _path(name: str) -> str:
    """Where a variable is; efivarfs is mounted for us alone where nobody has mounted it."""
    if os.path.isdir(_TOP) and not os.listdir(_TOP):
        mount_call.become_private()
        mount_call.mount("efivarfs", _TOP, "efivarfs", mount_call.NOSUID | mount_call.NOEXEC)
    return f"{_TOP}/{name}-{_VENDOR}"


def _unlock(path: str) -> None:
    """Take away the mark that keeps a variable from being changed by mistake."""
    if not os.path.exists(path):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(descriptor, _GETFLAGS, struct.pack("l", 0)))
        fcntl.ioctl(descriptor, _SETFLAGS, struct.pack("l", flags & ~_IMMUTABLE))
    except OSError:
        pass  # a kernel without such marks
    finally:
        os.close(descriptor)
