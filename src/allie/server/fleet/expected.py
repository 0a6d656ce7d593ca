"""Which hosts should be there, and who says so.

    classes files of the overlays, authorized_hosts, the inboxes  →  host → who expects it

A host is expected once some class names it (exactly, or by a range; a glob names nobody), once it
is enrolled, and as long as it has an inbox: `allie store retire HOST --purge` ends that.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable

from allie.core import facts, hosts, system
from allie.core.errors import AllieError
from allie.core.value import Value
from allie.machine.files import tree
from allie.server import overlays, store, store_conf
from allie.server.doors import enrolled

CLASSES, ENROLLED, REPORTED, INBOX = "classes", "enrolled", "reported", "inbox"
_MOST = 20_000  # hosts that one range may name


class Expected(Value):
    """Who should be there."""

    hosts: dict[str, tuple[str, ...]]  # host → who expects it, both sorted
    enrolled: frozenset[str]
    by_class: dict[str, tuple[str, ...]]  # host → the classes that name it
    globs: tuple[tuple[str, str, str], ...]  # (letters that who fits has, pattern, class)
    classes: frozenset[str]  # all that the store's files have: who is in them, no PC says
    troubles: tuple[str, ...]

    def classes_of(self, host: str) -> tuple[str, ...]:
        """The classes of a host by the store's files, of all their variants."""
        names = hosts.names_of(host)
        more = [
            each
            for letters, pattern, each in self.globs
            if letters in host and hosts.matches(pattern, names)
        ]
        return (*self.by_class.get(host, ()), *more)


def survey(top: str, inboxes: Iterable[str]) -> Expected:
    """All hosts that are expected. inboxes: those that have one."""
    troubles: list[str] = []
    classes = _classes(top, troubles)
    named: dict[str, list[str]] = defaultdict(list)
    globs = []
    known: dict[str, list[str]] = {}  # most hosts are in several classes
    for name, patterns in classes.items():
        for pattern in patterns:
            if pattern not in known:
                known[pattern] = _named(pattern, troubles)
            for host in known[pattern]:
                named[host].append(name)
            if not known[pattern]:
                globs.append((_letters(pattern), pattern, name))
    enrolled_ones: frozenset[str] = frozenset()
    try:
        enrolled_ones = frozenset(each.host for each in enrolled.read(store_conf.places(top)))
    except AllieError as error:
        troubles.append(str(error))
    have_inbox = frozenset(inboxes)
    by_class: dict[str, tuple[str, ...]] = {}
    for name, host in _one_name_each(named, enrolled_ones | have_inbox).items():
        by_class[host] = (*by_class.get(host, ()), *named[name])
    by = ((CLASSES, by_class), (ENROLLED, enrolled_ones), (INBOX, have_inbox))  # sorted
    everybody = {
        host: tuple([who for who, hosts_of_it in by if host in hosts_of_it])
        for host in sorted({*by_class, *enrolled_ones, *have_inbox})
    }
    names = frozenset(classes)
    return Expected(everybody, enrolled_ones, by_class, tuple(globs), names, tuple(troubles))


def _one_name_each(named: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Of each name in a class, the name by which that host is known: short or full.

    Where several hosts share a short name, each full name is a host.
    """
    full: dict[str, set[str]] = defaultdict(set)
    for name in (*known, *named):
        if "." in name:
            full[name.partition(".")[0]].add(name)
    found = {}
    for name in named:
        if name in known:
            found[name] = name
            continue
        short = name.partition(".")[0]
        if name == short:
            found[name] = min(
                [each for each in full[short] if each in known] or full[short] or [name]
            )
        else:
            found[name] = short if short in known and len(full[short]) == 1 else name
    return found


def _classes(top: str, troubles: list[str]) -> dict[str, tuple[str, ...]]:
    """All classes of all overlays' classes files, of every variant."""
    found: dict[str, list[str]] = defaultdict(list)
    for place in (*map(overlays.place, store.overlays(top)), *overlays.private(top)):
        above, _, file = system.CLASSES.rpartition("/")
        for name in sorted(tree.names(f"{top}/{place}/{above}")):
            if name != file and not name.startswith(f"{file}##"):
                continue
            path = f"{place}/{above}/{name}"
            if not os.path.isfile(f"{top}/{path}"):
                continue
            try:
                parsed = facts.parse_classes(overlays.text_of(top, path) or "")
            except (AllieError, UnicodeDecodeError) as error:
                troubles.append(f"{path}: {error}")
                continue
            for each, patterns in parsed.items():
                found[each] += [pattern for pattern in patterns if pattern not in found[each]]
    return {name: tuple(found[name]) for name in sorted(found)}


def _letters(pattern: str) -> str:
    """Letters that each name has that a pattern fits: to see at once whom it does not.

    >>> _letters("*-Lab01*"), _letters("pc?[01-20]*"), _letters("*")
    ('-lab01', 'pc', '')
    """
    before_sets = pattern.lower().partition("[")[0]
    return max(before_sets.replace("?", "*").split("*"), key=len)


def _named(pattern: str, troubles: list[str]) -> list[str]:
    """The hosts that a pattern names, in small letters; none of a glob."""
    found = [name for name in hosts.named(pattern.lower(), _MOST) if hosts.is_name(name)]
    if not found and not set("*?") & set(pattern) and not hosts.flaw(pattern):
        troubles.append(f"classes: {pattern} names more than {_MOST:,} hosts: none is expected")
    return found
