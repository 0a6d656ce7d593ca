"""A store of overlays, and one PC that follows it: what the tests of the rules share."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from tests.worlds import forked
from tests.worlds.pc import PC, Result
from tests.worlds.toy import make_tree, toy_root

OURS = ("var/lib/allie", "var/log", "run")  # what a tick may write at any time
_TEMPORARY = re.compile(r"\..*\.[A-Za-z0-9]{6}|\.allie-[0-9a-f]{16}(-\d+)?", re.DOTALL)
PARTS = ("00overlay", "01overact")
Paths = Mapping[Any, Any]  # as worlds.toy.Tree; mypy takes no dict[str, Link] for that


class Thing(NamedTuple):
    """Everything that can be known of one path."""

    content: str
    mode: int
    owner: tuple[int, int]
    mtime: int
    xattrs: tuple[tuple[str, bytes], ...]
    links: int
    inode: int
    ctime: int


def snapshot(root: Path, leave_out: tuple[str, ...] = OURS) -> dict[str, Thing]:
    """The whole root outside ALLiE's own state: path → everything that is there."""
    found = {}
    for path in _walk(root, leave_out):
        name = os.path.relpath(path, root)
        found[name] = thing(path)
    return found


def plain(shot: Mapping[str, Thing]) -> dict[str, Thing]:
    """A snapshot without what says nothing of a file: inode, times, number of links."""
    return {name: each._replace(inode=0, ctime=0, mtime=0, links=1) for name, each in shot.items()}


def differences(one: Mapping[str, Thing], other: Mapping[str, Thing]) -> list[str]:
    """The paths in which two snapshots differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def thing(path: str) -> Thing:
    """Everything that can be known of one path."""
    st = os.lstat(path)
    names = []
    with suppress(OSError):  # a file system that has none
        names = sorted(os.listxattr(path, follow_symlinks=False))
    return Thing(
        _content(path, st),
        st.st_mode,
        (st.st_uid, st.st_gid),
        st.st_mtime_ns,
        tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names),
        1 if stat.S_ISDIR(st.st_mode) else st.st_nlink,
        st.st_ino,
        st.st_ctime_ns,
    )


def leftovers(root: Path) -> list[str]:
    """What a tick must not leave behind: files beside their places, half-written state."""
    found = [
        name
        for path in _walk(root, ("var/lib/allie",))
        if (name := os.path.basename(path)) == ".~tmp~" or _TEMPORARY.fullmatch(name)
    ]
    state = root / "var/lib/allie"
    for name in ("pristine.part", "intent-overlay", "intent-overact"):
        found += [name] if os.path.lexists(state / name) else []
    found += [str(path) for kind in ("*.part", "stage-*") for path in state.glob(kind)]
    for kind in ("part", "ready", "new"):
        found += [str(path) for path in state.glob(f"mirror/*.{kind}")]
    return found


def _walk(root: Path, leave_out: tuple[str, ...]) -> Iterator[str]:
    top = os.fspath(root)
    out = {os.path.join(top, each) for each in leave_out}
    yield top
    for above, directories, files in os.walk(top):
        directories[:] = [each for each in directories if os.path.join(above, each) not in out]
        for name in directories + files:
            yield os.path.join(above, name)


def _content(path: str, st: os.stat_result) -> str:
    if stat.S_ISREG(st.st_mode):
        return sha256(Path(path).read_bytes()).hexdigest()
    if stat.S_ISLNK(st.st_mode):
        return os.readlink(path)
    return f"{stat.S_IFMT(st.st_mode):o} {st.st_rdev if not stat.S_ISDIR(st.st_mode) else 0}"


class World:
    """A store of plain overlays, and a PC that follows it, both in one directory."""

    def __init__(
        self,
        top: Path,
        overlay: Paths | None = None,
        *,
        root: Paths | None = None,
        overlays: str = "common",
        made: Path | None = None,
        host: str = "pc07",
        image: str = "toy1",
    ) -> None:
        self.tolerated: tuple[str, ...] = ()  # names that only look left behind
        self.store = top / "store"
        self.root = made or toy_root(top / "pc", root)
        self.pc = PC(self.root)
        self.host = host
        self.image = image
        for name in ["kit", *overlays.replace(",", " ").split()]:
            (self.store / "overlays" / name).mkdir(parents=True, exist_ok=True)
        if overlay:
            self.put(overlay)
        make_tree(self.root, {"etc/allie/system": "toy\n"})
        self.follow(overlays)

    def follow(
        self,
        overlays: str = "common",
        store: str = "",
        *,
        ring: str = "",
        stall: int = 60,
        own: str = "",
    ) -> None:
        """Write allie.conf."""
        text = f"[allie]\nstore = {store or self.store}\nhost = {self.host}\nring = {ring}\n"
        text += f"own = {own}\nstall = {stall}\n"
        text += f"[system toy]\nimage = {self.image}\noverlays = {overlays}\n"
        make_tree(self.root, {"etc/allie/allie.conf": text})

    def overlay(self, name: str = "common") -> Path:
        """The working tree of an overlay in the store."""
        return self.store / "overlays" / name

    def put(self, tree: Paths, overlay: str = "common") -> None:
        """Put files into an overlay."""
        make_tree(self.overlay(overlay), tree)

    def take(self, *names: str, overlay: str = "common") -> None:
        """Take files out of an overlay, with directories that are empty then."""
        for name in names:
            path = self.overlay(overlay) / name
            path.unlink()
            while path.parent != self.overlay(overlay) and not any(path.parent.iterdir()):
                path = path.parent
                path.rmdir()

    def tick(self, *, env: Mapping[str, str] | None = None) -> Result:
        """Both parts, one after the other: the worse exit status, all that they said.

        Without an interpreter of its own for each, unless `env` says what that is to have.
        """
        rc, out = 0, ""
        for part in PARTS:
            if env is None:
                ended = forked.allie(self.root, part)
                rc, out = max(rc, ended.rc), out + ended.out
            else:
                done = self.pc.run(part, env=env)
                rc, out = max(rc, done.rc), out + done.out + done.err
        assert "Traceback" not in out, out
        return Result(rc, out, "")

    def good(self) -> str:
        """A tick that goes well, after which a second one has nothing to do: what it said."""
        said = self.tick().ok().out
        assert not list(self.state("mirror").glob("*.old")), "the ledger speaks of it no more"
        self.steady()
        return said

    def steady(self, rc: int = 0) -> None:
        """One more tick changes nothing in the whole root, and nothing is left behind."""
        before = snapshot(self.root)
        again = self.tick()
        assert again.rc == rc, again
        assert differences(before, snapshot(self.root)) == [], again.out
        assert [name for name in leftovers(self.root) if name not in self.tolerated] == []

    def state(self, name: str) -> Path:
        """A path of ALLiE's own state on the PC."""
        return self.root / "var/lib/allie" / name

    def at(self, name: str) -> Path:
        """A path on the PC."""
        return self.root / name

    def read(self, name: str) -> str:
        """The content of a file on the PC."""
        return (self.root / name).read_text()

    def there(self, name: str) -> bool:
        """Whether anything stands at a path of the PC."""
        return os.path.lexists(self.root / name)

    def json(self, *args: str) -> Any:
        """What a verb prints under --json."""
        return self.pc.run(*args, "--json").json


def injected(folder: Path, code: str) -> dict[str, str]:
    """An environment in which every Python runs `code` first: faults that no disk does on call."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(code)
    src = Path(__file__).parents[2] / "src"
    return {"PYTHONPATH": f"{folder}:{src}"}


@contextmanager
def mounted(where: Path, *options: str, source: str = "none") -> Iterator[Path]:
    """A mount for the time of a `with`."""
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *options, source, str(where)], check=True)
    try:
        yield where
    finally:
        if subprocess.run(["umount", str(where)], capture_output=True, check=False).returncode:
            subprocess.run(["umount", "-l", str(where)], check=True)


@contextmanager
def tmpfs(where: Path, options: str) -> Iterator[Path]:
    """A small disk in memory, mounted for the time of a `with`."""
    with mounted(where, "-t", "tmpfs", "-o", options, source="tmpfs"):
        yield where
