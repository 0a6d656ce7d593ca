"""Make a fetched tree fit for this PC: give it the files that are the PC's and the system's own.

A new system gets them from the base. An update keeps them from the tree before it. ALLiE's state
belongs to one tree and never goes into another.

docs/internals/rules.md, "A ledger speaks of one tree".
"""

from __future__ import annotations

import fnmatch
import os

from allie.client.situation import other_systems, settings_in_force
from allie.client.state import records
from allie.core.boot import fstab
from allie.core.conf.settings import Declared
from allie.core.errors import PathRefused
from allie.core.image import not_captured
from allie.core.lean import suppress
from allie.core.system import System
from allie.machine.disk import tree_copies
from allie.machine.files import tree
from allie.machine.mounts import mount_table
from allie.machine.programs import process
from allie.machine.programs.process import ProgramFailed
from allie.machine.roots import clone, open_system, paths, within
from allie.machine.transfer import rsync, vanished

# What people may change while a new tree is made
PEOPLES = ("home/*", "srv/*", "var/mail/*", "var/spool/mail/*", "var/spool/cron/*")
# What a new system has from the base
FROM_BASE = """
    etc/hostname etc/hosts etc/adjtime etc/localtime etc/timezone
    etc/ssh/ssh_host_* etc/allie/known_hosts
""".split()
# An update keeps these, and brings none of them from the image. docs/reference/systems.md has them.
_KEPT = """
    etc/fstab etc/crypttab etc/machine-id var/lib/dbus/machine-id etc/allie/*
    etc/network/interfaces etc/network/interfaces.d/* etc/netplan/* etc/systemd/network/*
    etc/NetworkManager/system-connections/*
    etc/systemd/system/allie-fence-* etc/systemd/system/sysinit.target.wants/allie-fence-*
""".split()
KEEP = (*FROM_BASE, *_KEPT, *PEOPLES)
# What an image must not bring, whatever it holds: it belongs to the tree that it was made in
_OF_ITS_TREE = """
    var/lib/allie/* var/lib/allie-code root/done/* etc/allie/system etc/ssh/ssh_host_*
    run/* proc/* sys/* lost+found
""".split()
NEVER = (*_OF_ITS_TREE, other_systems.NOTE, other_systems.AHEAD)
MIRROR = "var/lib/allie/mirror"  # the one thing of the state that any tree may have
_TRIES = 4  # to copy what people work on
_OF_ONE_TREE = ("root/done", "var/log/allie")


def excluded(root: str, *, update: bool) -> list[str]:
    """What rsync leaves alone, in a root and in the image."""
    return [f"/{path}" for path in in_root(root, (*NEVER, *(KEEP if update else ())))]


def in_root(root: str, patterns: tuple[str, ...]) -> list[str]:
    """These, and where they are by the root's links: its /home may be one to /var/home.

    rsync compares patterns with names as they are.
    """
    inside, found = paths.Inside(root), dict.fromkeys(patterns)
    for above, slash, name in (path.rpartition("/") for path in patterns):
        with suppress(PathRefused):
            real = inside.directory(above).real
            if real:  # else it is at the top, or leads there: that is no place of its own
                found[f"{not_captured.literal(real)}{slash}{name}"] = None
    return list(found)


def drop_state(root: str, *, mirror: bool = False) -> None:
    """Remove what ALLiE knew of the tree that this one was copied from. mirror: that, too."""
    here = open_system.open_system(root)
    for name in os.listdir(here.state) if os.path.isdir(here.state) else ():
        if mirror or name != os.path.basename(MIRROR):
            tree.remove(f"{here.state}/{name}")
    for path in _OF_ONE_TREE:
        real = paths.Inside(root).directory(path).real
        for name in within.names(root, real):
            tree_copies.discard(f"{root}/{real}/{name}")


def fit(
    base: System, declared: Declared, new: str, *, like: str, update: bool, by_content: bool
) -> None:
    """Make a fetched tree fit for this PC.

    like: the tree before it, from which an update keeps what is the PC's own. update: it was this
    system before, and without `like` has that itself. by_content: as for `keep`.
    """
    if like:
        keep(like, new, (*KEEP, MIRROR), by_content=by_content)
    elif not update:
        give(base, declared, new)
    identify(new)
    settle(new, settings_in_force.text_of(base))
    mount_points(new)
    name_it(new, declared)


def keep(old: str, new: str, what: tuple[str, ...], *, by_content: bool = False) -> None:
    """Copy what is the PC's own, or the people's, from the tree before into the new one.

    What ALLiE placed in either of them comes from the overlays, as in any tree. by_content: what
    the new one has already is not believed for its size and time.
    """
    here = open_system.open_system(new)
    placed = {**records.load_ledger(open_system.open_system(old)).entries}
    placed.update(records.load_ledger(here).entries)
    os.makedirs(here.state, 0o700, exist_ok=True)
    able = rsync.version(f"{here.state}/rsync", limited=True)
    inside = paths.Inside(new)
    found: dict[tuple[str, str], list[str]] = {}
    for spelled, path in _present(old, what).items():
        if path in placed:
            continue
        above, name = os.path.split(path)
        there = inside.parent(spelled).real
        if there == above:
            found.setdefault(("", ""), []).append(path)
        else:  # one of the trees has a link on the way: rsync might follow it to the base
            found.setdefault((above, there), []).append(name)
    for (above, there), names in found.items():
        within.make_directories(new, there)
        place = f"{new}/{there}".rstrip("/")
        argv = rsync.copy_trees(able, f"{old}/{above}", place, by_content=by_content)
        for _ in range(_TRIES):  # what was renamed meanwhile comes under its new name
            done = process.run(argv, stdin=rsync.names(names))
            if done.code == 0:
                break
        if not vanished.is_all(done):
            raise ProgramFailed(done)


def give(base: System, declared: Declared, new: str) -> None:
    """Give a newly fetched tree what is this PC's own, from the base."""
    within.make_directories(new, paths.Inside(new).directory("etc/allie").real)
    for path in _present(base.root, tuple(FROM_BASE)).values():
        _copy(base, path, new)
    if base.is_base and not os.path.isfile("/etc/hostname"):
        _write(new, "etc/hostname", os.uname().nodename + "\n")
    table = within.text(base.root, "etc/fstab") or ""
    _write(new, "etc/fstab", fstab.of_sibling(table, declared.root))
    within.remove(new, paths.Inside(new).entry("etc/machine-id"))  # the golden machine's
    within.remove(new, paths.Inside(new).entry("etc/allie/allie.conf"))  # the golden machine's


def identify(new: str) -> None:
    """Give a tree a machine-id before its first boot, unless it kept one, whatever its image has.

    systemd makes one itself only where there is an empty file. Without the file it takes the start
    for a new machine's, and asks at the console; where `/` is read-only at first it does not start.
    """
    if len((within.text(new, "etc/machine-id") or "").strip()) == 32:
        return
    identity = os.urandom(16).hex() + "\n"
    _write(new, "etc/machine-id", identity)
    if within.is_file(new, "var/lib/dbus/machine-id"):
        _write(new, "var/lib/dbus/machine-id", identity)


def settle(new: str, settings: str) -> None:
    """Give a tree an allie.conf to begin with, if it kept none: overlays bring most PCs' own."""
    if "allie.conf" not in within.names(new, "etc/allie"):
        _write(new, "etc/allie/allie.conf", settings)


def mount_points(new: str) -> None:
    """Make the places where a tree's own fstab mounts what it shares: no image has them all."""
    inside = paths.Inside(new)
    for line in fstab.shared(within.text(new, "etc/fstab") or ""):
        if line.point.startswith("/"):
            within.make_directories(new, inside.directory(line.point.strip("/")).real)


def name_it(new: str, declared: Declared) -> None:
    """Write into a tree which system it is, and which image it came from."""
    _write(new, "etc/allie/system", declared.name + "\n")
    other_systems.record_image(new, declared.image)


def _present(root: str, patterns: tuple[str, ...]) -> dict[str, str]:
    """The paths in a root that match, relative to it: as the patterns spell them, and the real."""
    inside = paths.Inside(root)
    elsewhere = set(mount_table.points())  # what is mounted in it is not the system's own
    found = {}
    for pattern in patterns:
        above, _, name = pattern.rpartition("/")
        try:
            place = inside.directory(above)
        except PathRefused:
            continue
        if place.exists and inside.prefix + place.real not in elsewhere:
            for each in fnmatch.filter(within.names(root, place.real), name):
                found[f"{above}/{each}"] = f"{place.real}/{each}"
    return {path: at for path, at in found.items() if inside.prefix + at not in elsewhere}


def _copy(base: System, path: str, new: str) -> None:
    """Copy one file or symlink of the base to the same place of a tree.

    The place is made: an image without ssh is known to the store's server by this PC's key, too.
    """
    inside = paths.Inside(new)
    within.make_directories(new, inside.parent(path).real)
    target = inside.entry(path)
    within.remove(new, target)
    with paths.parent_descriptor(new, target) as (above, name):
        clone.make(base.at(path), f"{paths.through(above)}/{name}")


def _write(new: str, path: str, text: str) -> None:
    """Make a file of a tree, where a chroot into it would have it."""
    inside = paths.Inside(new)
    within.make_directories(new, inside.parent(path).real)
    within.write(new, inside.entry(path), text.encode(errors="surrogateescape"))
