"""What this machine can do for the tests: `python -m tests.worlds.machine` prints it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path


def _says(*argv: str) -> str:
    """The first line of what a program prints; empty if it is not there or fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout or done.stderr).strip().split("\n")[0]


def is_root() -> bool:
    """Whether owners, devices and mounts can be made."""
    return os.geteuid() == 0


def has_namespaces() -> bool:
    """Whether private mount and process namespaces can be had."""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "true"]
    return is_root() and subprocess.run(unshare, capture_output=True, check=False).returncode == 0


def has_loop() -> bool:
    """Whether a file can be mounted as a disk."""
    return is_root() and bool(_says("losetup", "-f"))


def has_file_system(name: str) -> bool:
    """Whether the kernel knows the file system now; modules are not tried."""
    return name in Path("/proc/filesystems").read_text().split()


def lacks_disk(kind: str) -> str:
    """Why no file system of this kind can be had on a loop device; "" if one can."""
    if not has_loop():
        return "needs loop devices"
    if not shutil.which(f"mkfs.{kind}") or not has_file_system(kind):
        return f"needs {kind}"
    return ""


def pythons() -> dict[str, str]:
    """The Pythons of this machine, in PATH or put there by pyenv: version to program."""
    folders = os.get_exec_path()
    folders += sorted(map(str, Path.home().glob(".pyenv/versions/3.*/bin")))
    found = {}
    for minor in range(9, 20):
        for folder in folders:
            program = f"{folder}/python3.{minor}"
            if os.access(program, os.X_OK) and _says(program, "-V"):
                found[f"3.{minor}"] = program
                break
    return found


def report() -> list[str]:
    """The lines that a test run begins with."""
    tools = ("strace", "mmdebstrap", "arch-test", "busybox", "setfacl", "setcap", "sshd")
    disks = ("ext4", "btrfs", "xfs", "tmpfs", "overlay")
    there = [tool for tool in tools if shutil.which(tool)]
    lacking = [tool for tool in tools if tool not in there]
    return [
        f"machine: {platform.release()}, {os.cpu_count()} cores, "
        f"{'root' if is_root() else 'not root'}, "
        f"namespaces {'yes' if has_namespaces() else 'no'}, loop {'yes' if has_loop() else 'no'}",
        f"rsync: {_says('rsync', '--version') or 'missing'}",
        f"tools: {' '.join(there)}{'; missing: ' + ' '.join(lacking) if lacking else ''}",
        f"file systems: {' '.join(name for name in disks if has_file_system(name))}",
        f"python: {sys.version.split()[0]} runs the tests; found {' '.join(pythons())}",
    ]


if __name__ == "__main__":
    print("\n".join(report()))
