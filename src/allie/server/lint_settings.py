"""Check what overlays hold for ALLiE itself: allie.conf and classes; and the store as a whole.

The parsers are the PC's own. What a PC would not place (`client.situation.grounds`) is an error
here.
"""

from __future__ import annotations

import os
import stat

from allie.core import facts, hosts, system, tags
from allie.core.change import leavings
from allie.core.change.resolution import Listed, Overlay
from allie.core.conf import settings
from allie.core.errors import SettingsError
from allie.core.stubs import KIT
from allie.core.value import Value
from allie.machine.files import tree
from allie.server import mirror_state, overlays
from allie.server import store as stores


class Finding(Value):
    """Something in an overlay that an administrator should look at."""

    path: str  # in the store
    message: str
    is_error: bool = True


class Site(Value):
    """What of the whole store is asked for in checking one overlay."""

    overlays: frozenset[str]
    classes: frozenset[str]  # of all variants of all classes files
    kit: frozenset[str]  # the paths of ALLiE's own files
    settings: frozenset[str]  # the overlays that have an allie.conf


def survey(store: str) -> Site:
    """Look at all overlays of a store."""
    classes: set[str] = set()
    having: set[str] = set()
    names = stores.overlays(store)
    for name in names:
        for path, spelling in _settings_in(overlays.load(store, name)):
            having.update([name] if path == system.SETTINGS else [])
            if path == system.CLASSES:
                text = overlays.text_of(store, f"{overlays.place(name)}/{spelling}")
                classes.update(_classes(text or ""))
    kit = overlays.load(store, KIT).listing if KIT in names else ()
    files = frozenset(each.spelling for each in kit if not each.is_dir)
    return Site(frozenset(names), frozenset(classes), files, frozenset(having))


def of_store(store: str) -> list[Finding]:
    """What is wrong with the store as a whole."""
    findings = []
    names = stores.overlays(store)
    state = mirror_state.read(store)
    if state:
        findings.append(Finding(mirror_state.NAME, f"this is {state.words}", False))
    for name in sorted(os.listdir(f"{store}/overlays")):
        at = f"{store}/overlays/{name}"
        shown = f"overlays/{name}"
        if name == settings.PRIVATE:
            words = f"each host's own is called so: mv {at} {store}/overlays/OTHER"
            findings.append(Finding(shown, words))
        if os.path.islink(at):
            findings.append(Finding(shown, "is a symlink: PCs take nothing from it"))
        elif name not in (*names, stores.HIDDEN) and not leavings.pattern_of(name):
            findings.append(Finding(shown, "is no overlay: no list can name it", False))
    if KIT not in names:
        findings.append(Finding(f"overlays/{KIT}", "is missing: allie store init"))
    return findings + _of_private(store)


def _of_private(store: str) -> list[Finding]:
    """What is wrong with the places of what is each host's own; nothing for who cannot see them."""
    top = f"{store}/{settings.PRIVATE}"
    places = [(f"{settings.PRIVATE}/{name}", name) for name in tree.names(top)]
    findings = []
    for shown, name in [(settings.PRIVATE, ""), *sorted(places)] if os.path.isdir(top) else ():
        st = os.lstat(f"{store}/{shown}")
        if name[:1] == ".":
            continue
        if not stat.S_ISDIR(st.st_mode) or (name and not hosts.is_name(name)):
            findings.append(Finding(shown, "is no host's: allie store private HOST makes a place"))
        elif st.st_mode & 0o077 or st.st_uid != 0:
            words = f"is not root's alone: chown 0:0 {store}/{shown}; chmod 700 {store}/{shown}"
            findings.append(Finding(shown, words))
    return findings


def of_overlay(store: str, overlay: Overlay, site: Site) -> list[Finding]:
    """allie.conf and classes, in every variant: can a PC read them, and is there what they name?"""
    findings = []
    for path, spelling in _settings_in(overlay):
        shown = f"{overlay.name}/{spelling}"
        tag = tags.unspell(spelling)[1]
        if tag.error or (tag.flag == "absent" and path == system.CLASSES):
            continue
        if Listed(spelling, False) not in overlay.listing or tag.flag == "absent":
            findings.append(Finding(shown, "is no regular file: no PC places it"))
            continue
        if not os.lstat(f"{store}/{shown}").st_mode & 0o004:
            findings.append(Finding(shown, "users cannot read it, as `allie enter` has to", False))
        text = overlays.text_of(store, shown)
        if text is None or os.path.islink(f"{store}/{shown}"):
            findings.append(Finding(shown, "is no file, or a very large one: no PC reads it"))
        elif path == system.CLASSES:
            findings += [Finding(shown, *each) for each in _of_classes(text)]
        else:
            findings += [Finding(shown, *each) for each in _of_settings(text, tag, overlay, site)]
            findings += [Finding(shown, *each) for each in _not_there(store, text)]
    return findings


def _settings_in(overlay: Overlay) -> list[tuple[str, str]]:
    """The variants of allie.conf and classes: (path, as spelled)."""
    both = ((tags.unspell(each.spelling)[0], each.spelling) for each in overlay.listing)
    return [each for each in both if each[0] in (system.SETTINGS, system.CLASSES)]


def _classes(text: str) -> list[str]:
    try:
        return [*facts.parse_classes(text)]
    except SettingsError:
        return []


def _of_classes(text: str) -> list[tuple[str, bool]]:
    try:
        classes = facts.parse_classes(text)
    except SettingsError as error:
        return [(str(error), True)]
    found = [(f"class {name} has no hosts", False) for name, hosts in classes.items() if not hosts]
    for pattern in dict.fromkeys(each for row in classes.values() for each in row):
        words = hosts.flaw(pattern)
        if words:
            short = pattern if len(pattern) < 60 else f"{pattern[:60]}…"
            found.append((f"{short}: {words}", False))
    return found


def _of_settings(text: str, tag: tags.Tag, overlay: Overlay, site: Site) -> list[tuple[str, bool]]:
    """What of an allie.conf no system can use; and what is not as it was meant."""
    found = [(words, True) for words in settings.flaws(text)]
    if any(each.attribute == "class" for each in tag.conditions):
        found.append(("is read before classes, so it can have no class", True))
    if found:
        return found
    systems = [each for each in settings.declared(text) if each.overlays]
    for each in systems:
        missing = [name for name in each.overlays if name not in site.overlays]
        where = f"[system {each.name}]"
        found += [(f"{where}: the store has no overlay {name}", True) for name in missing]
        if not site.settings.intersection(each.overlays):
            found.append(
                (f"{where}: none of its overlays has an allie.conf: it keeps its first", False)
            )
        if KIT not in each.overlays:
            found.append((f"{where}: kit is not named; it is followed first", False))
    top, _, name = overlay.name.partition("/")  # what is one host's own all its systems follow
    if top != settings.PRIVATE and not any(name in each.overlays for each in systems):
        found.append((f"no system in it follows the overlay {name}, where it stands", True))
    one_host = top == settings.PRIVATE
    one_host |= any(each.attribute == "host" and not each.negated for each in tag.conditions)
    if not one_host and any(settings.parse(text, each.name).host for each in systems):
        found.append(("host gives all PCs that get it one name; it is for a tag ##host.x", False))
    return found + [(f"{key} is not known", False) for key in settings.unknown_keys(text)]


def _not_there(store: str, text: str) -> list[tuple[str, bool]]:
    """Images that PCs are to bring, and releases that they are to follow, which are not there."""
    if settings.flaws(text):
        return []
    found = []
    for each in settings.declared(text):
        where = f"[system {each.name}]: the store has no"
        if each.root and each.image and not os.path.isdir(f"{store}/images/{each.image}"):
            found.append((f"{where} image {each.image}", False))
        ring = settings.parse(text, each.name).ring if each.overlays else ""
        paths = [f"releases/{name}/{ring}" for name in each.overlays if ring and name != KIT]
        found += [(f"{where} {at}", True) for at in paths if not os.path.isdir(f"{store}/{at}")]
    return found
