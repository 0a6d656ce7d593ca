"""The systems that a PC declares: show how each one stands, declare one, forget one."""

from __future__ import annotations

import os

from allie.client.mirror import contents
from allie.client.situation import bound_disks, grounds, other_systems, settings_in_force
from allie.client.state import records
from allie.client.systems import record
from allie.core.conf import settings as configuration
from allie.core.conf import settings_text
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import AllieError, PathRefused, UsageError
from allie.core.system import System
from allie.core.value import Value
from allie.machine.disk import tree_copies
from allie.machine.files import atomic
from allie.machine.roots import open_system


class ListedSystem(Value):
    """One system of this PC, as `system list` shows it."""

    name: str
    root: str
    image: str  # the one that it has; the declared one while it has none
    overlays: tuple[str, ...]
    state: str  # running, there, missing, partial, foreign, unbound, other, orphaned
    words: str = ""
    tick: int = 0  # its last
    attention: bool = False
    previous: str = ""  # the image to which `rollback` would go back


def survey(base: System) -> list[ListedSystem]:
    """How each system of this PC stands; the running one first."""
    settings = settings_in_force.settings_of(base)
    report = records.last_report(base)
    own = ListedSystem(base.name, settings.root, settings.image, settings.overlays, "running")
    if report:
        own = own._replace(tick=report.tick, attention=report.needs_attention)
    others = [_entry(base, each) for each in settings.others if each.root]
    return [own, *others, *(_orphans_entry(base, each) for each in orphans(base, settings))]


def orphans(base: System, settings: Settings) -> list[Declared]:
    """The systems that are here, and that allie.conf does not name any more."""
    known = {base.name, *(each.name for each in settings.others)}
    noted = [each for each in record.noted(base) if each.name not in known]
    return [each for each in noted if each.is_partition or _has_trees(base, each)]


def _has_trees(base: System, declared: Declared) -> bool:
    try:
        root = other_systems.directory_of(base, declared)
    except PathRefused:
        return False
    trees = [root, *(other_systems.beside(root, each) for each in ("other", "part"))]
    return any(map(os.path.isdir, trees))


def _orphans_entry(base: System, declared: Declared) -> ListedSystem:
    image = ""
    if not declared.is_partition:
        try:
            image = other_systems.image_of(other_systems.directory_of(base, declared))
        except (AllieError, OSError):
            pass  # it is listed all the same
    words = f"not in allie.conf: allie system remove {declared.name}"
    return ListedSystem(declared.name, declared.root, image, (), "orphaned", words)


def declare(base: System, settings: Settings, wanted: Declared, *, comes: bool = True) -> None:
    """Write a system's section to allie.conf; what is not said is found out.

    comes: its image is to be brought, and so must be in the store. Else it may be here already.
    """
    may_change(base)
    known = next((each for each in settings.others if each.name == wanted.name), Declared(""))
    configuration.check_name(wanted.name, "system")
    if wanted.name == base.name:
        raise UsageError(f"{wanted.name} is the system that runs now")
    root = wanted.root or known.root
    if not root:
        hint = "--in LABEL=…, PARTLABEL=… or a directory"
        raise UsageError(f"where is {wanted.name} to live?", hint)
    image = wanted.image or known.image or wanted.name
    overlays = wanted.overlays or known.overlays
    if wanted.overlays or not overlays:
        overlays = contents.overlays_of(base, settings._replace(image=image), wanted.overlays)
    if comes:
        contents.need_image(base, settings, image)
    made = Declared(wanted.name, configuration.check_root(root, wanted.name), image, overlays)
    text = settings_text.without(settings_in_force.own_text(base), wanted.name)
    changed = text.rstrip("\n") + "\n\n" + settings_text.section(made)
    configuration.parse(changed, base.name)
    atomic.write(f"{base.etc}/allie.conf", changed)


def forget(base: System, name: str) -> None:
    """Take a system's section out of allie.conf."""
    text = settings_text.without(settings_in_force.own_text(base), name)
    atomic.write(f"{base.etc}/allie.conf", text.rstrip("\n") + "\n")


def may_change(base: System) -> None:
    """Raise UsageError where allie.conf is the store's: the next tick would put it right again."""
    source = grounds.delivered(base)
    if source:
        raise grounds.must_change_in_store(source)


def _entry(base: System, declared: Declared) -> ListedSystem:
    """How one of the others stands."""
    entry = ListedSystem(declared.name, declared.root, declared.image, declared.overlays, "missing")
    trouble = record.trouble(base, declared.name).message
    words = trouble and f"last time: {trouble}"
    words = words or _left_aside(base, declared)
    if record.is_held(base, declared.name):
        words = f"being fetched or updated {record.progress(base, declared.name)}".rstrip()
    try:
        with other_systems.opened(base, declared) as root:
            stands, why = other_systems.standing(declared, root)
            if not declared.is_looked_after:
                return entry._replace(state="other", words="not looked after")
            entry = entry._replace(state=stands, words=words or why)
            if stands == other_systems.THERE:
                entry = _of_tree(entry, declared, root)
    except bound_disks.NotBound as error:  # what it says to do comes before what was tried last
        entry = entry._replace(state="unbound", words=str(error))
    except (AllieError, OSError) as error:
        entry = entry._replace(words=words or str(error))
    return entry


def _left_aside(base: System, declared: Declared) -> str:
    """What could not be removed of earlier trees, in words; "" if all was."""
    if declared.is_partition:
        return ""
    try:
        root = other_systems.directory_of(base, declared)
        stay = tree_copies.aside_of(other_systems.beside(root, ""))
    except (AllieError, OSError):
        return ""
    return f"could not be removed, and is left: {' '.join(stay)}" if stay else ""


def _of_tree(entry: ListedSystem, declared: Declared, root: str) -> ListedSystem:
    report = records.last_report(open_system.open_system(root))
    other = other_systems.beside(root, "other")
    previous = ""
    if not other_systems.in_place(declared, root) and other_systems.name_in(other) == declared.name:
        previous = other_systems.image_of(other)
    attention = bool(report and report.needs_attention)
    return entry._replace(
        image=other_systems.image_of(root) or declared.image,
        tick=report.tick if report else 0,
        attention=attention,
        previous=previous,
        words=entry.words or ("something needs attention" if attention else ""),
    )
