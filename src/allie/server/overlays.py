"""The store's overlays: list them, explain a path of them (why). `server.lint` checks them."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence

from allie.core import facts, hosts, system
from allie.core.change import leavings, resolution
from allie.core.change.resolution import Listed, Overlay, Resolution
from allie.core.conf.settings import PRIVATE
from allie.core.facts import Facts
from allie.machine.files import tree
from allie.machine.roots import within

LARGEST = 16 << 20  # bytes of a file that is read here


def load(store: str, name: str) -> Overlay:
    """One overlay's tree, as a list of names: what a fetch brings of it."""
    return sort(store, place(name))[0]._replace(name=name)


def place(name: str) -> str:
    """Where in the store an overlay is: overlays/NAME; that of one host alone is called by that."""
    return name if name.startswith(f"{PRIVATE}/") else f"overlays/{name}"


def private(store: str) -> list[str]:
    """The hosts' own overlays, as `private/HOST`, sorted; none for who cannot look there."""
    names = filter(hosts.is_name, sorted(tree.names(f"{store}/{PRIVATE}")))
    places = (f"{PRIVATE}/{name}" for name in names)
    return [each for each in places if os.path.isdir(f"{store}/{each}")]


def private_of(host: str, known: Container[str]) -> list[str]:
    """The one of these private overlays that is a host's, by its name or its short one; or []."""
    names = (f"{PRIVATE}/{name.lower()}" for name in hosts.names_of(host))
    return [name for name in names if name in known][:1]


def sort(store: str, where: str) -> tuple[Overlay, list[str]]:
    """What a fetch brings of an overlay, and what it leaves: names that tools have left there.

    where: its path in the store, which the overlay is named by.
    """
    brought, left = [], []
    for spelling, is_dir in tree.listing(f"{store}/{where}"):
        if leavings.pattern_of(spelling):
            left.append(spelling)
        else:
            brought.append(Listed(spelling, is_dir))
    return Overlay(where, brought), left


def why(store: str, names: Sequence[str], known: Facts) -> Resolution:
    """What these overlays, laid in this order, say about a system with these facts."""
    return resolution.resolve([load(store, name) for name in names], known)


def classes_for(store: str, names: Sequence[str], known: Facts) -> tuple[str, ...]:
    """The classes of a host, from the classes file that these overlays hold for it."""
    entry = why(store, names, known).entries.get(system.CLASSES)
    text = text_of(store, place(entry.source)) if entry else None
    return facts.classes_of(known.names, facts.parse_classes(text)) if text else ()


def text_of(store: str, path: str) -> str | None:
    """A file of settings in an overlay; "" of a link, which leads somewhere on the PC.

    path: below the store.
    """
    if os.path.islink(f"{store}/{path}"):
        return ""
    top, _, below = path.partition("/")
    return within.text(f"{store}/{top}", below, LARGEST)
