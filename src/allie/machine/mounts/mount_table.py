"""What is mounted where, from /proc/self/mountinfo (proc(5))."""

from __future__ import annotations

from _collections_abc import Iterable

from allie.core.value import Value


class Mount(Value):
    """One line of it."""

    number: str  # of the mount, for as long as it is there
    device: str  # that the file system is on: "8:1"
    root: str  # which directory of the file system is mounted
    point: str
    kind: str
    source: str
    options: str  # of the file system; of FUSE, whose it is

    @property
    def user(self) -> str:
        """Who has mounted it, where that is not root: the number of a user, who did it by FUSE."""
        found = [each for each in self.options.split(",") if each.startswith("user_id=")]
        user = found[0].partition("=")[2] if found and self.kind.startswith("fuse") else "0"
        return "" if user == "0" else user


def read(pid: str = "self") -> str:
    """The table that a process sees. Raises OSError where there is none."""
    with open(f"/proc/{pid}/mountinfo", "rb", buffering=0) as file:
        return file.read().decode(errors="surrogateescape")


def parse(text: str) -> list[Mount]:
    """The mounts of a table; what is mounted last lies on top. Other lines are passed over."""
    found = []
    for line in text.split("\n"):
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if len(fields) >= 6 and len(rest) >= 3 and fields[0].isdigit():
            number, _, device, root, point = fields[:5]
            names = plain(root), plain(point), rest[0], plain(rest[1])
            found.append(Mount(number, device, *names, rest[2]))
    return found


def plain(field: str) -> str:
    r"""A name as it is, where the kernel, or fstab(5), has a blank as \040.

    >>> plain("/mnt/two\\040words")
    '/mnt/two words'
    """
    if "\\" not in field:
        return field
    first, *rest = field.encode(errors="surrogateescape").split(b"\\")
    for each in rest:
        octal = len(each) >= 3 and not each[:3].strip(b"01234567")
        first += bytes([int(each[:3], 8) & 255]) + each[3:] if octal else b"\\" + each
    return first.decode(errors="surrogateescape")


def points() -> list[str]:
    """Every mount point, as absolute paths."""
    return [each.point for each in parse(read())]


def other_disks(there: Iterable[str], top: str) -> set[str]:
    """Of these mount points, those below `top` that are not the running kernel's own.

    >>> sorted(other_disks(["/", "/proc", "/dev/pts", "/home", "/boot", "/boot/efi"], "/"))
    ['/boot', '/boot/efi', '/home']
    """
    base = top.rstrip("/")
    below = (point for point in there if point.startswith(f"{base}/") and point != f"{base}/")
    kernels = tuple(f"{base}/{name}/" for name in ("proc", "sys", "dev", "run", "tmp"))
    return {point for point in below if not f"{point}/".startswith(kernels)}


def at_or_below(path: str) -> str:
    """The first mount point that is `path` or lies below it; "" if there is none."""
    return next((point for point in points() if is_within(point, path)), "")


def is_within(path: str, top: str) -> bool:
    """Whether a path is `top`, or lies below it."""
    return f"{path}/".startswith(f"{top.rstrip('/')}/")


def in_file_system(path: str, mounts: list[Mount]) -> tuple[str, str]:
    """A path as every other view knows it: the device, and the path in that file system."""
    above = [each for each in mounts if is_within(path, each.point)]
    if not above:
        return "", ""
    # The nearest, and of several at one place the last: it lies on top of the others.
    nearest = max(reversed(above), key=lambda each: len(each.point))
    return nearest.device, nearest.root.rstrip("/") + path[len(nearest.point.rstrip("/")) :]
