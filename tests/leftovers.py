"""What a test may have left in use below a directory: mounts, loop devices, processes."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path


def mounts_below(top: Path) -> list[str]:
    """The mount points at or below `top`, deepest first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        escaped = line.split(" ")[4]
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), escaped)
        if _within(point, top):
            points.append(point)
    return sorted(points, reverse=True)


def mounts_but_of(other_tests: Path) -> str:
    """The mount table, without what other runs or workers of the tests have mounted meanwhile.

    other_tests: a directory of this test, `…/pytest-of-root/pytest-7/test_x0/…`; a worker's are
    one deeper, `…/pytest-7/popen-gw0/test_x0/…`.
    """
    parts = other_tests.parts
    at = next((n for n, part in enumerate(parts) if part.startswith("pytest-of-")), None)
    if at is None:
        return Path("/proc/self/mounts").read_text()
    depth = at + 3 if parts[at + 2].startswith("popen-") else at + 2
    runs, ours = ("/".join(parts[:end])[1:] + "/" for end in (at + 1, depth))
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return "\n".join(line for line in lines if runs not in line or ours in line)


def unmount_below(top: Path) -> list[str]:
    """Unmount them all, so that removing `top` stays inside it; returns what was mounted."""
    points = mounts_below(top)
    for point in points:
        subprocess.run(["umount", "--lazy", point], check=False)
    return points


def loops_below(top: Path) -> list[str]:
    """The loop devices whose file is below `top`."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            file = backing.read_text().strip()
        except OSError:  # it went away as we looked
            continue
        if _within(file, top):
            found.append(f"loop device {backing.parts[3]} on {file}")
    return found


def processes_below(top: Path, patience: float = 2.0) -> list[str]:
    """The processes that stand in `top` or name it (an rsync daemon's --config).

    One that was just told to end has `patience` seconds to do so.
    """
    deadline = time.monotonic() + patience
    while True:
        found = _processes(top)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _processes(top: Path) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) in (os.getpid(), os.getppid()):
            continue  # the test runner, which --basetemp makes name it too
        try:
            argv = (folder / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
            places = [os.readlink(folder / "cwd"), os.readlink(folder / "root")]
            shut_in = places[1] == "/" and _is_root_below(folder, top)
        except OSError:  # ended, or not ours to look at
            continue
        named = any(str(top) in arg for arg in argv)
        if shut_in or named or any(_within(place, top) for place in places):
            found.append(f"process {folder.name}: {' '.join(argv).strip()}")
    return found


def _is_root_below(process: Path, top: Path) -> bool:
    """Whether what a process has for its / lies in `top`: in a mount namespace of its own."""
    if os.path.samestat(os.stat(process / "ns/mnt"), os.stat("/proc/self/ns/mnt")):
        return False
    theirs = [line for line in _mounts(process) if line[4] == "/"]
    above = [line for line in _mounts(Path("/proc/self")) if _within(str(top), Path(line[4]))]
    ours = max(reversed(above), key=lambda line: len(line[4]))  # the last lies on top
    place = Path(ours[3]) / os.path.relpath(top, ours[4])
    return any(line[2] == ours[2] and _within(line[3], place) for line in theirs)


def _mounts(process: Path) -> list[list[str]]:
    """proc(5), mountinfo: 2 the device, 3 what of its file system is mounted, 4 where."""
    return [line.split() for line in (process / "mountinfo").read_text().splitlines()]


def _within(path: str, top: Path) -> bool:
    return f"{path}/".startswith(f"{str(top).rstrip('/')}/")


def in_var_tmp() -> set[str]:
    """What lies in /var/tmp, but for what others (tests, people) put there."""
    return {name for name in os.listdir("/var/tmp") if not name.startswith(("case-", "systemd-"))}
