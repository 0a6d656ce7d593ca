"""Real Debian roots, built once by mmdebstrap and kept as tar files in a cache.

The machine's own apt sources say where Debian is; other suites are had by putting their name in
the place of the machine's. The cache is $ALLIE_TEST_CACHE, or ~/.cache/allie-tests.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

UNPACK = ("tar", "-x", "--numeric-owner", "-p", "--acls", "--xattrs", "--xattrs-include=*")
SUITES = ("bullseye", "bookworm", "trixie")
# What a root takes that boots, ticks, and is made an image of: one recipe for all
BOOTED = ("dbus", "procps", "python3", "rsync", "systemd", "systemd-sysv")
BUILD_SECONDS = 900

# What would tie the root to the machine that built it. Emptied, not removed: systemd takes an
# empty machine-id for "first boot", and no file at all for something else.
HOOK = 'rm -f "$1/etc/hostname" "$1/etc/resolv.conf"; : > "$1/etc/machine-id"'


class UnavailableError(Exception):
    """No Debian root can be made here, and why."""


def debian_root(
    suite: str, dest: Path, include: Sequence[str] = (), without: Sequence[str] = ()
) -> Path:
    """A minimal Debian of `suite` at `dest` (must not exist), with the packages `include`.

    without: patterns of paths that dpkg leaves out of every package.
    Takes up to half a minute the first time, a second or two from the cache. Needs root.
    """
    archive = debian_tar(suite, include, without=without)
    dest.mkdir(parents=True)
    subprocess.run([*UNPACK, "-f", str(archive), "-C", str(dest)], check=True)
    return dest


def debian_tar(
    suite: str, include: Sequence[str] = (), *, security: bool = True, without: Sequence[str] = ()
) -> Path:
    """The cached tar file of such a root, built if it is not there yet."""
    sources = apt_sources(suite, security=security)
    minimal = bool(without) or not include  # else what all roots of a suite share is made once
    command = ["mmdebstrap", "--quiet", "--format=tar"]
    command += ["--variant=minbase"] if minimal else ["--variant=custom", "--skip=check/empty"]
    command += [f"--include={','.join(sorted(include))}"] if include else []
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in without]
    command += [f"--customize-hook={HOOK}", suite]
    recipe = hashlib.sha256("\0".join([*command, sources]).encode()).hexdigest()[:10]
    name = "-".join([suite, *sorted(include), recipe])
    folder = cache()
    archive = folder / f"{name}.tar"
    if not minimal and not archive.exists():
        base = debian_tar(suite, security=security)
        command.insert(1, f'--setup-hook={shlex.join([*UNPACK, "-f", str(base)])} -C "$1"')
    with locked(name):  # two test runs build it once
        if not archive.exists():
            _build(command, suite, sources, archive)
    return archive


def _build(command: list[str], suite: str, sources: str, archive: Path) -> None:
    part = archive.with_suffix(".part")
    try:
        with tempfile.TemporaryDirectory() as folder:
            # In the root it is called so: the same name in one that begins with another
            listing = Path(folder, f"{suite}.{'sources' if 'Types:' in sources else 'list'}")
            listing.write_text(sources)
            done = subprocess.run(
                [*command, str(part), str(listing)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                errors="replace",
            )
        if done.returncode:
            raise UnavailableError(f"mmdebstrap failed ({done.returncode}): {done.stderr[-2000:]}")
        part.rename(archive)
    finally:
        part.unlink(missing_ok=True)


def cache() -> Path:
    given = os.environ.get("ALLIE_TEST_CACHE")
    cache = Path(given) if given else Path.home() / ".cache" / "allie-tests"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock of the cache, which all runs of the tests on this machine have in common."""
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def apt_sources(suite: str, *, security: bool = True) -> str:
    """The machine's own Debian sources, with the suite in the place of the machine's own.

    security: with the security updates, that is as it is today and not as it was released.
    """
    if suite not in SUITES:
        raise ValueError(f"no such suite: {suite}; one of {', '.join(SUITES)}")
    own = _codename()
    # `bookworm`, `bookworm-updates`; not the `bookworm` of a third party's `tools-bookworm`
    word = re.compile(rf"(?<![\w-]){re.escape(own)}(?!\w)")
    text = _main_sources(word)
    if suite == "bullseye" or not security:
        text = _without_security(text)  # bullseye's packages are indexed there, and gone
    return word.sub(suite, text)


def _codename() -> str:
    fields = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    if fields.get("ID") != "debian":
        raise UnavailableError(
            "Debian roots are made on Debian machines only, with their apt sources"
        )
    return fields["VERSION_CODENAME"].strip('"')


def _main_sources(word: re.Pattern[str]) -> str:
    etc = Path("/etc/apt")
    found = sorted(etc.glob("sources.list.d/*.sources"))
    found += [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]
    for path in found:
        if path.is_file():
            text = "".join(
                line
                for line in path.read_text().splitlines(keepends=True)
                if not line.startswith("#")
            )
            if word.search(text):
                return text
    raise UnavailableError("no apt sources of this machine's own suite in /etc/apt")


def _without_security(text: str) -> str:
    parts = text.split("\n\n") if "Types:" in text else text.splitlines()
    glue = "\n\n" if "Types:" in text else "\n"
    return glue.join(part for part in parts if "security" not in part) + "\n"
