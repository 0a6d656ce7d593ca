"""Which hosts should be there, and who says so.

    classes files of the overlays, authorized_hosts, the inboxes  →  host → who expects it

A host is expected once some class names it (exactly, or by a range; a glob names nobody), once it
is enrolled, and as long as it has an inbox: `allie store retire HOST --purge` ends that.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable

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

    hosts: dict[str, tuple[str, ...]]  # host → who expects it
    classes: dict[str, tuple[str, ...]]  # class → patterns of hosts, of all overlays
    enrolled: frozenset[str]
    troubles: tuple[str, ...]


def survey(top: str, inboxes: Iterable[str]) -> Expected:
    """All hosts that are expected. inboxes: those that have one."""
    troubles: list[str] = []
    classes = _classes(top, troubles)
    by_class = {name for patterns in classes.values() for name in _named(patterns, troubles)}
    known: set[str] = set()
    try:
        known = {each.host for each in enrolled.read(store_conf.places(top))}
    except AllieError as error:
        troubles.append(str(error))
    found: dict[str, list[str]] = defaultdict(list)
    for names, who in ((known, ENROLLED), (inboxes, INBOX)):
        for name in names:
            found[name].append(who)
    for one in _one_name_each(by_class, found.keys()).values():
        if CLASSES not in found[one]:
            found[one].append(CLASSES)
    everybody = {name: tuple(sorted(found[name])) for name in sorted(found)}
    return Expected(everybody, classes, frozenset(known), tuple(troubles))


def _one_name_each(named: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Of each name in a class, the name by which that host is known: short or full.

    Where several hosts share a short name, each full name is a host.
    """
    names = {*named}
    if not any("." in name for name in (*known, *names)):
        return dict(zip(names, names))
    by_short: dict[str, set[str]] = defaultdict(set)
    for name in (*known, *names):
        by_short[name.partition(".")[0]].add(name)
    settled = {*known}
    found = {}
    for name in names:
        short = name.partition(".")[0]
        alike = by_short[short]
        others = sorted((alike - {name}) & settled) or sorted(alike - {name, short})
        if name in settled or not others:
            found[name] = name
        elif name == short:  # its full names are told elsewhere
            found[name] = others[0]
        else:
            found[name] = short if short in settled else name
    return found


def _classes(top: str, troubles: list[str]) -> dict[str, tuple[str, ...]]:
    """All classes of all overlays' classes files, of every variant."""
    found: dict[str, dict[str, None]] = defaultdict(dict)  # patterns, each once
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
                found[each].update(dict.fromkeys(patterns))
    return {name: tuple(found[name]) for name in sorted(found)}


def _named(patterns: Iterable[str], troubles: list[str]) -> list[str]:
    """The hosts that patterns name, in small letters."""
    found = []
    for pattern in patterns:
        names = hosts.named(pattern.lower(), _MOST)
        good = [name for name in names if hosts.is_name(name)]
        if not names and not set("*?") & set(pattern) and not hosts.flaw(pattern):
            troubles.append(f"classes: {pattern} names more than {_MOST:,} hosts: none is expected")
        found += good
    return found
