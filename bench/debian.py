"""The image that is fetched, and the same after an upgrade of its packages.

A Debian as it was released, by mmdebstrap, and a copy of it in which `apt-get dist-upgrade` has
brought its security updates: what an administrator does to an image in the store. Both are kept as
tar files in the cache of tests/worlds/debian.py.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.worlds.debian import apt_sources, debian_tar

SUITE = "bookworm"
PACKAGES = (
    "curl dbus git openssh-server perl procps python3 rsync systemd-sysv vim".split()  # 350 MB
)
_TAR = ["tar", "--numeric-owner", "-p", "--acls", "--xattrs", "--xattrs-include=*"]
# No devices: ostree takes none. What is mounted there is not the image's, either.
_OUT = ["--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "--exclude=./run/*"]
_UPGRADE = """\
set -e
mount -t tmpfs dev "$0/dev"
mknod -m 666 "$0/dev/null" c 1 3
mknod -m 666 "$0/dev/urandom" c 1 9
ln -s /proc/self/fd "$0/dev/fd"
mount -t proc proc "$0/proc"
mount -t tmpfs run "$0/run"
cp /etc/resolv.conf "$0/run/"
touch "$0/etc/resolv.conf"
mount --bind "$0/run/resolv.conf" "$0/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
chroot "$0" apt-get -q update
chroot "$0" apt-get -q --yes -o Dpkg::Options::=--force-confnew dist-upgrade
chroot "$0" apt-get clean
"""


@dataclass(frozen=True)
class Images:
    """Two trees, the second an upgrade of the first."""

    old: Path
    new: Path
    words: str  # what they are


def both(directory: Path) -> Images:
    """Unpack both into a directory."""
    old, new = directory / "old", directory / "new"
    before = debian_tar(SUITE, PACKAGES, security=False)
    after = before.with_name(f"{before.stem}-upgraded.tar")
    unpack(before, old)
    if not after.exists():
        _upgrade(before, new)
        part = after.with_suffix(".part")
        subprocess.run([*_TAR, *_OUT, "-c", "-f", str(part), "-C", str(new), "."], check=True)
        part.rename(after)
        shutil.rmtree(new)
    unpack(after, new)
    return Images(old, new, _describe(old, new))


def unpack(archive: Path, target: Path) -> None:
    target.mkdir(parents=True)
    subprocess.run([*_TAR, *_OUT, "-x", "-f", str(archive), "-C", str(target)], check=True)


def _upgrade(archive: Path, target: Path) -> None:
    """Upgrade a copy's packages, in a mount namespace of its own."""
    unpack(archive, target)
    sources = target / "etc/apt/sources.list.d"
    for path in sources.iterdir():
        path.unlink()
    text = apt_sources(SUITE)
    name = "debian.sources" if "Types:" in text else "debian.list"
    (sources / name).write_text(text)
    apart = ["unshare", "--mount", "--propagation", "private"]
    done = subprocess.run(
        [*apart, "sh", "-c", _UPGRADE, str(target)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the upgrade of the image failed: {done.stdout[-1000:]}")
    shutil.rmtree(target / "var/lib/apt/lists")


def _describe(old: Path, new: Path) -> str:
    sizes = {path: subprocess.check_output(["du", "-sm", path], text=True) for path in (old, new)}
    had, has = _versions(old), _versions(new)
    upgraded = [name for name, version in has.items() if had.get(name) != version]
    if not upgraded:
        raise RuntimeError("apt has no upgrade for the image: no security updates in its sources?")
    files = _files(new)
    brought, touched, size = _changes(old, new)
    return (
        f"Debian {SUITE} as released, {len(had)} packages, {files:,} files,"
        f" {sizes[old].split()[0]} MB; its upgrade by `apt-get dist-upgrade`: {len(upgraded)}"
        f" packages, {brought} files with other content ({size / 1e6:.0f} MB), and {touched:,}"
        " with the same and another time"
    )


def _versions(root: Path) -> dict[str, str]:
    text = (root / "var/lib/dpkg/status").read_text()
    return dict(re.findall(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)", text, re.MULTILINE))


def _files(root: Path) -> int:
    return sum(1 for _ in root.rglob("*"))


def _changes(old: Path, new: Path) -> tuple[int, int, int]:
    """(files that differ, files that only look so, bytes of those that differ)."""
    brought = touched = size = 0
    for path in new.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        before, now = old / path.relative_to(new), path.stat()
        if before.is_symlink() or not before.is_file():
            same = False
        elif (before.stat().st_size, before.stat().st_mtime) == (now.st_size, now.st_mtime):
            continue
        else:
            same = before.read_bytes() == path.read_bytes()
        touched += same
        brought += not same
        size += 0 if same else now.st_size
    return brought, touched, size
