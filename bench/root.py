"""A PC's root as a directory: made fresh, changed by hand (drift), checked.

A *living* root can be entered with chroot, so that a tick runs in it as on a real PC, on `/`: the
programs and libraries of this machine are bound into it read-only, everything else is its own. The
bench runs in a mount namespace of its own (run.py), so no mount outlives it or is seen outside.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
from pathlib import Path

from bench.overlay import EDITS, MARKS, Tree
from bench.sample import adopt_orphans

_BOUND = ("usr/bin", "usr/sbin", "usr/lib", "usr/lib32", "usr/lib64", "usr/libx32", "usr/libexec")
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # symlinks to usr/, or bound
_OWN = ("etc", "root", "run", "tmp", "var/lib", "var/log", "var/tmp", "usr/local/bin", "usr/share")
_ETC = (
    "passwd",
    "group",
    "nsswitch.conf",
    "ld.so.cache",
    "ld.so.conf",
    "os-release",
    "alternatives",
)
_DRIFT = ("append", "append", "remove", "same", "same")  # same: other content, same size and mtime

_DISK = 8 << 30  # bytes, of which the file takes what is written
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 0x40000


def workplace(top: Path) -> Path:
    """An empty directory for a run, whose mounts and orphans are from now on this process's own."""
    work = top.resolve() / "work"
    adopt_orphans()
    own_mounts()
    remove(work)
    work.mkdir(parents=True)
    return work


def in_memory(work: Path) -> None:
    """Put the directory on a file system in memory, which this process alone sees."""
    subprocess.run(["mount", "-t", "tmpfs", "allie-bench", str(work)], check=True)


def on_ext4(work: Path) -> None:
    """Put the directory on an ext4 as mkfs makes it, in a file beside it that goes with us.

    A PC's has a journal. Without one, as on the disks of some virtual machines, ext4 gives no inode
    out again for some minutes, and looks at each of those whenever a file is made: what was removed
    just before is then paid for by who makes a second tree (measured: 8.6 s of CPU for a copy that
    takes 1.0 with a journal).
    """
    file = work.with_name(f"{work.name}.ext4")
    with file.open("wb") as disk:
        disk.truncate(_DISK)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", str(file)], check=True)
    subprocess.run(["mount", "-o", "loop", str(file), str(work)], check=True)
    file.unlink()


def own_mounts() -> None:
    """Move this process into a mount namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) or libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "cannot make a mount namespace")


def make(root: Path, living: bool) -> None:
    """A fresh root in place of whatever is there."""
    remove(root)
    root.mkdir(parents=True, exist_ok=True)
    # A mount point, as a PC's / is: without one, nothing in it can be made private.
    subprocess.run(["mount", "--bind", str(root), str(root)], check=True)
    for name in _OWN:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    if living:
        _enliven(root)


def _enliven(root: Path) -> None:
    for name in _ETC:
        source = Path("/etc") / name
        if source.is_symlink() or source.is_file():
            shutil.copy2(source, root / "etc" / name, follow_symlinks=False)
        elif source.is_dir():
            shutil.copytree(source, root / "etc" / name, symlinks=True)
    for name in _MERGED:
        if (Path("/") / name).is_symlink():
            (root / name).symlink_to(os.readlink(Path("/") / name))
        else:
            _bind(name, root, "bind,ro")
    for name in _BOUND:
        _bind(name, root, "bind,ro")
    _bind("dev", root, "bind")
    (root / "proc").mkdir()
    subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)


def _bind(name: str, root: Path, options: str) -> None:
    source = Path("/") / name
    if source.is_dir() and not source.is_symlink():
        (root / name).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-o", options, str(source), str(root / name)], check=True)


def remove(root: Path) -> None:
    """Take the root away; never while something is mounted in it."""
    if not root.exists():
        return
    for point in reversed(_mounts(root)):
        subprocess.run(["umount", point], check=True)
    if _mounts(root):
        raise RuntimeError(f"{root} still has mounts: {_mounts(root)}")
    shutil.rmtree(root)


def _mounts(root: Path) -> list[str]:
    """The mount points at or below root, in the order in which they were made."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].replace("\\040", " ") for line in lines]
    return [point for point in points if Path(point) == root or root in Path(point).parents]


def drift(root: Path, paths: list[str], salt: int) -> list[str]:
    """Change EDITS of the placed files as a user on the PC would, and say which."""
    chosen = random.Random(f"drift {salt}").sample(paths, EDITS)
    for path, kind in zip(chosen, _DRIFT):
        target = root / path
        if kind == "remove":
            target.unlink()
        elif kind == "append":
            with target.open("ab") as file:
                file.write(b"# a local edit\n")
        else:
            status = target.stat()
            target.write_bytes(target.read_bytes()[:-2] + b"!\n")
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    return chosen


def wrong(root: Path, expected: Tree) -> list[str]:
    """The files that are missing, or differ in content or mode."""
    return [
        path for path, file in expected.items() if not _holds(root / path, file.mode, file.content)
    ]


def _holds(target: Path, mode: int, content: bytes) -> bool:
    try:
        right = target.lstat().st_mode == 0o100000 | mode
        return right and target.read_bytes() == content
    except FileNotFoundError:
        return False


def strays(root: Path, tree: Tree) -> list[str]:
    """What a PC that knows tags must not have: losing variants, scripts run twice or never."""
    scripts = [Path(file.path).name for file in tree.values() if file.kind == "script"]
    losing = [
        file.path for file in tree.values() if "##" in file.path and (root / file.path).exists()
    ]
    return losing + [f"{MARKS}/{name}" for name in scripts if not _ran_once(root / MARKS / name)]


def _ran_once(mark: Path) -> bool:
    return mark.exists() and mark.read_text() == "run\n"


def repair(root: Path, expected: Tree, paths: list[str]) -> None:
    """Put right what a peer left wrong, so that the next run starts as for the others."""
    for path in paths:
        if path in expected:
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            times = (
                (target.stat().st_atime_ns, target.stat().st_mtime_ns) if target.exists() else None
            )
            target.write_bytes(expected[path].content)
            target.chmod(expected[path].mode)
            if times:
                os.utime(target, ns=times)
