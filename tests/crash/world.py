"""A store and a PC at the two moments at which a kill hurts most, and how to look at them.

*first*: a tick that lays everything over files that stand there already. *second*: the store has
changed in every way that it can, and somebody has edited files on the PC.

docs/internals/rules.md, "A directory makes way only if all in it is ours".
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from allie.core.change import ledger
from allie.machine.files import tree
from tests.worlds.busybox import busybox_root
from tests.worlds.forked import allie
from tests.worlds.toy import Dir, Fifo, File, Hard, Link, Tree, make_tree

STUB = Path(__file__).parents[2] / "src/allie/stub/stub.sh"
CONF = """\
[allie]
store = {store}
host = pc1
[system one]
image = busybox1
overlays = common, more
"""
# Notes what it saw: a lost re-arm shows as an old note.
WATCH = "#!/bin/sh\n# allie: on-change /etc/app/**\ncat /etc/app/conf >/srv/seen\n"
OLD = 1_500_000_000  # the files of the store are from long ago; edits are from now

# What stands on the PC before ALLiE comes
BEFORE: Tree = {
    "etc/hosts.allow": File("the distribution's\n", 0o640),
    "etc/gone.conf": File("gone: the distribution's\n", 0o600),
    "etc/gone.link": Link("gone.conf"),
    "etc/legacy.conf": "to be absent\n",
    "etc/tagged": "tagged: the distribution's\n",
    "etc/same": File("the same on both\n", mtime=OLD),
    "etc/turn": "will be a link\n",
    "etc/pipe": Fifo(),
    "root/.profile": "the distribution's profile\n",
    "srv/data": "nobody's business\n",
    "etc/.hidden.abcdef": "looks like a temporary file\n",
    "etc/resolv.conf": "one that a system lacks is made for its scripts\n",
}
FIRST: Tree = {
    "kit": Dir(),  # followed whether it is named or not
    "common/etc/hosts.allow": File("common 1\n", 0o644, mtime=OLD),
    "common/etc/gone.conf": File("gone: ours\n", mtime=OLD),
    "common/etc/gone.link": File("no link\n", mtime=OLD),
    "common/etc/only-ours": File("goes without a trace\n", mtime=OLD),
    "common/etc/same": File("the same on both\n", mtime=OLD),
    "common/etc/turn": File("a file at first\n", mtime=OLD),
    "common/etc/turned": Link("hosts.allow"),
    "common/etc/drift": File("as the store has it\n", mtime=OLD),
    "common/etc/deleted": File("will be deleted on the PC\n", mtime=OLD),
    "common/etc/mode": File("only its mode changes\n", 0o644, mtime=OLD),
    "common/etc/pipe": File("no pipe\n", mtime=OLD),
    "common/root/.profile": File("profile 1\n", 0o600, (1000, 1000), OLD),
    "common/etc/app/conf": File("app 1\n", mtime=OLD),
    "common/etc/app/linked-a": File("linked 1\n", mtime=OLD),
    "common/etc/app/linked-b": Hard("common/etc/app/linked-a"),
    "common/etc/#odd name\n": File("odd\n", mtime=OLD),
    "common/etc/going/away/file": File("its directories go, too\n", mtime=OLD),
    "common/etc/dir-to-file/in it": File("a directory at first\n", mtime=OLD),
    "common/root/conf/50watch": File(WATCH, 0o755, mtime=OLD),
    "common/root/conf/60once": File("#!/bin/sh\necho one >>/srv/once\n", 0o755, mtime=OLD),
    "more/etc/tagged": File("tagged: default\n", mtime=OLD),
    "more/etc/tagged##host.pc1": File("tagged: pc1, 1\n", mtime=OLD),
    "more/etc/plain-then-tagged": File("plain\n", mtime=OLD),
    "more/etc/leaves##host.pc*": File("a variant that goes\n", mtime=OLD),
    "more/etc/keeps": File("the overlay is never empty\n", mtime=OLD),
}
NEW = OLD + 1000
SECOND: Tree = {
    "common/etc/hosts.allow": File("common 2, longer\n", 0o600, mtime=NEW),
    "common/etc/turn": Link("app/conf"),
    "common/etc/turned": File("now a file\n", mtime=NEW),
    "common/root/.profile": File("profile 2\n", 0o600, (1000, 1000), NEW),
    "common/etc/mode": File("only its mode changes\n", 0o600, mtime=OLD),
    "common/etc/app/conf": File("app 2\n", mtime=NEW),
    "common/etc/app/linked-a": File("linked 2\n", mtime=NEW),
    "common/etc/app/linked-b": Hard("common/etc/app/linked-a"),
    "common/etc/legacy.conf##absent": File("", mtime=NEW),
    "common/etc/new": Dir(0o750),
    "common/etc/new/deep/file": File("in a new directory\n", mtime=NEW),
    "common/etc/dir-to-file": File("a file now\n", mtime=NEW),
    "common/root/conf/60once": File("#!/bin/sh\necho two >>/srv/once\n", 0o755, mtime=NEW),
    "more/etc/tagged##host.pc1": File("tagged: pc1, 2\n", mtime=NEW),
    "more/etc/plain-then-tagged##class.none": File("not here\n", mtime=NEW),
    "more/etc/once##once": File("once\n", mtime=NEW),
}
# What the store has for this host alone, and then
PRIVATE: Tree = {"etc/secret": File("1\n", 0o600), "etc/its-own##host.pc1": "its own\n"}
PRIVATE_SECOND: Tree = {"etc/secret": File("2, longer\n", 0o600), "etc/app/key": "new\n"}
OF_PRIVATE = ("etc/secret", "etc/its-own", "etc/app/key")  # it does not wait for the rest
WITHDRAWN = (
    "common/etc/gone.conf",
    "common/etc/gone.link",
    "common/etc/only-ours",
    "common/etc/pipe",
    "common/etc/going",
    "common/etc/dir-to-file",
    "more/etc/leaves##host.pc*",
)
EDITS: Tree = {"etc/drift": "an edit of somebody's\n", "etc/turned": Link("elsewhere")}
# Between a directory and a file there is a moment with neither.
NOT_ATOMIC = ("etc/dir-to-file", "etc/dir-to-file/in it")
# What a run leaves that is not of the root itself
OURS = ("var/lib/allie", "var/log/allie", "run")


class Scene(NamedTuple):
    """A moment to be killed at, and what an undisturbed tick makes of it."""

    store: Path
    before: Path  # a root
    after: Path  # the same, one tick later
    mended: Path  # what a tick makes of it that could not fetch
    tick: int  # that tick's number


def first(top: Path, *, private: Tree | None = None) -> Scene:
    """A PC that has just joined; nothing was fetched yet."""
    store = make_tree(top / "store/overlays", FIRST).parent
    if private:
        make_tree(store / "private/pc1", private)
    stub = File(STUB.read_bytes(), 0o755)
    ours: Tree = {
        "etc/allie/system": "one\n",
        "etc/allie/allie.conf": CONF.format(store=store),
        "root/conf/00overlay": stub,
        "root/conf/01overact": stub,
    }
    before = busybox_root(top / "before", {**BEFORE, **ours})
    return _played(Scene(store, before, top / "after", before, 1))


def own(top: Path) -> Scene:
    """The same as the second, with what is the host's own, which changes, too."""
    return second(top, private=PRIVATE)


def second(top: Path, *, private: Tree | None = None) -> Scene:
    """One tick later: the store has changed, and so has the PC."""
    one = first(top / "one", private=private)
    if private:
        make_tree(one.store / "private/pc1", PRIVATE_SECOND)
        (one.store / "private/pc1/etc/its-own##host.pc1").unlink()
    before = copy(one.after, top / "before")
    overlays = one.store / "overlays"
    for name in WITHDRAWN:
        shutil.rmtree(overlays / name) if (overlays / name).is_dir() else (overlays / name).unlink()
    for name in ("linked-a", "linked-b"):
        (overlays / "common/etc/app" / name).unlink()
    make_tree(overlays, SECOND)
    make_tree(before, EDITS)
    (before / "etc/deleted").unlink()
    return _played(Scene(one.store, before, top / "after", one.after, 2))


def _played(scene: Scene) -> Scene:
    copy(scene.before, scene.after)
    allie(scene.after, "run-conf").ok()
    return scene


# --- copying a PC -------------------------------------------------------------------------------


def copy(root: Path, to: Path) -> Path:
    """A PC's root once more, whose ledger vouches for the copies as it did for the originals."""
    subprocess.run(["cp", "-a", str(root), str(to)], check=True)
    path = to / "var/lib/allie/ledger"
    if path.exists():
        text = path.read_text(errors="surrogateescape")
        books = ledger.decode(text)
        mirror = "var/lib/allie/mirror/current"
        entries = {}
        for real, entry in books.entries.items():
            if entry.seen and entry.seen == _seen(root / real):
                entry = entry._replace(seen=_seen(to / real))
            if entry.source:
                source = to / mirror / entry.overlay / entry.spelling
                _, _, rest = entry.source.partition(" ")
                entry = entry._replace(source=f"{source.lstat().st_ino} {rest}")
            entries[real] = entry
        text = ledger.encode(books._replace(entries=entries))
        path.write_text(text, errors="surrogateescape")
    return to


def _seen(path: Path) -> str:
    return tree.seen_of(path.lstat()) if os.path.lexists(path) else ""


# --- looking at a PC ----------------------------------------------------------------------------


def walk(root: Path) -> Iterator[str]:
    """Every path of a root but those of ALLiE's own bookkeeping."""
    for above, directories, names in os.walk(root):
        at = os.path.relpath(above, root)
        prefix = "" if at == "." else at + "/"
        directories[:] = [name for name in directories if prefix + name not in OURS]
        yield from (prefix + name for name in directories)
        yield from (prefix + name for name in names)


def facts(path: Path) -> tuple[Any, ...]:
    """What a path holds: kind, mode, owner, content, and the time of a file."""
    try:
        st = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ("nothing",)
    owner = (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid)
    if stat.S_ISLNK(st.st_mode):
        return ("link", os.readlink(path))
    if stat.S_ISDIR(st.st_mode):
        return ("directory", *owner)
    if not stat.S_ISREG(st.st_mode):
        return ("special", st.st_mode, st.st_uid, st.st_gid, st.st_rdev)
    return ("file", *owner, st.st_nlink, sha256(path.read_bytes()).hexdigest())


def contents(root: Path) -> dict[str, tuple[Any, ...]]:
    """Every path of a root, and what it holds."""
    return {name: facts(root / name) for name in walk(root)}


def lstats(root: Path) -> dict[str, tuple[int, ...]]:
    """Every path of a root, to the inode: two that are equal were never written between."""
    found: dict[str, tuple[int, ...]] = {}
    for name in walk(root):
        st = (root / name).lstat()
        found[name] = (st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_nlink)
        found[name] += (st.st_mtime_ns, st.st_ctime_ns)
    return found


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The paths that two looks disagree on."""
    names = sorted(one.keys() | other.keys())
    pairs = {name: (one.get(name), other.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def books(root: Path) -> dict[str, Any]:
    """What the state directory says, without what no two runs have in common."""
    state = root / "var/lib/allie"
    known = ledger.decode((state / "ledger").read_text(errors="surrogateescape"))
    said: dict[str, Any] = {
        f"ledger {real}": [entry[:4], entry[5:7], entry[8]] for real, entry in known.entries.items()
    }
    said.update({f"tombstone {real}": True for real in known.tombstones})
    said.update({f"pristine {path.name}": facts(path) for path in (state / "pristine").iterdir()})
    said["state"] = sorted(
        path.name for path in state.iterdir() if path.name not in ("history", "fetched", "quick")
    )
    said["mirror"] = sorted(
        path.name if not path.name.isdigit() else "N" for path in (state / "mirror").iterdir()
    )
    return said
