"""Generations: complete copies of all overlays of one tick, in mirror/<number>/.

A generation never changes while it is in force; the next one may grow out of it (`fold`). Settings
and classes are read from it and not from the root, so that one tick is enough for them to take
effect.

docs/internals/rules.md, "A mirror may be a mixture" and "Two parts, two transactions".
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from allie.client.state import records
from allie.core import system
from allie.core.change import resolution
from allie.core.change.resolution import CONSENT, Entry, Listed, Overlay, Resolution
from allie.core.conf import settings
from allie.core.conf.settings import Settings
from allie.core.errors import SettingsError, StateError
from allie.core.names import tags
from allie.core.names.facts import Facts
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic, tree
from allie.machine.roots import open_system

CONSENTS = ".consents"  # in a generation: overlays that left the list, and may be withdrawn
LIST = ".overlays"  # in a generation: the overlays that it holds, in order
NAMES = ".names-"  # … and, for each, the names in its tree, since every tick asks for them
_FOLLOWED = "followed"  # in a system's state: the allie.conf from the store that is in force
CHANGES = ".changes"  # … and, if it grew out of another: that one's number, and what was changed


class Generation(Value):
    """One generation of the mirror."""

    number: int
    path: str
    overlays: tuple[str, ...]
    mark: str = ""  # tells it from another of this number, of a mirror that was lost

    @property
    def consents(self) -> frozenset[str]:
        """The overlays that say that losing many of their files is meant.

        Also those that said so in their last generation, and have left the list since.
        """
        here = [each for each in self.overlays if os.path.lexists(f"{self.path}/{each}/{CONSENT}")]
        return frozenset(here).union((atomic.read(f"{self.path}/{CONSENTS}") or "").split())


class InForce(Value):
    """The settings of a system, and what came and is not followed yet."""

    settings: Settings
    text: str  # the allie.conf that says so
    coming: str = ""  # another allie.conf, by which no fetch has succeeded yet


class Changes(Value):
    """What makes a generation differ from another one."""

    before: int  # the number of that other one; 0: not known
    same_names: bool  # whether no name was added or taken away, nor changed its kind
    files: frozenset[str]  # `overlay/path`; directories, too

    def since(self, generation: Generation, number: int) -> frozenset[str] | None:
        """What differs from generation `number`; None if that is not known."""
        if number == generation.number:
            return frozenset()
        return self.files if number and number == self.before else None


def current(here: System) -> Generation | None:
    """The generation in force; None before the first fetch."""
    try:
        name = os.readlink(here.current)
    except OSError:
        return None
    path = f"{here.mirror}/{name}"
    st = tree.status(f"{path}/{LIST}")
    if st is None or not name.isdigit():
        return None
    names = atomic.read(f"{path}/{LIST}") or ""
    return Generation(int(name), path, tuple(names.split()), tree.seen_of(st))


def overlays(generation: Generation) -> list[Overlay]:
    """The trees of a generation, as lists of names."""
    return [Overlay(name, names_in(generation, name)) for name in generation.overlays]


def names_in(generation: Generation, overlay: str) -> list[Listed]:
    """The tree of one overlay, as a list of names: NUL-ended, a directory's with a slash."""
    text = atomic.read(f"{generation.path}/{NAMES}{overlay}")
    if text is None:
        return listing(f"{generation.path}/{overlay}")
    return [
        Listed._make((name[:-1], True) if name[-1] == "/" else (name, False))
        for name in text.split("\0")[:-1]
    ]


def need_all(generation: Generation, names: Iterable[str]) -> bool:
    """Whether one of these, `overlay/path`, is a hard link or a symlink there.

    The names of a hard link change together. And where a directory takes a symlink's place, rsync
    has looked for what is to be in it behind the link.
    """
    stats = [tree.status(f"{generation.path}/{name}") for name in names]
    links = [st for st in stats if st and not tree.is_directory(st)]
    return any(st.st_nlink > 1 or stat.S_ISLNK(st.st_mode) for st in links)


def note(generation: Generation, names: dict[str, list[Listed]]) -> None:
    """Note at the top of a finished generation which overlays it holds, and names in them."""
    for overlay, listed in names.items():
        text = "".join(path + "/\0" if is_dir else path + "\0" for path, is_dir in listed)
        atomic.write(f"{generation.path}/{NAMES}{overlay}", text, durable=False)
    text = "".join(f"{overlay}\n" for overlay in generation.overlays)
    atomic.write(f"{generation.path}/{LIST}", text, durable=False)


def note_changes(grown: Generation, changes: Changes) -> None:
    """Note what makes a generation differ from the one that it grows out of."""
    same = "same names" if changes.same_names else ""
    text = "".join(f"{each}\0" for each in (changes.before, same, *changes.files))
    atomic.write(f"{grown.path}/{CHANGES}", text, durable=False)


def changes(generation: Generation) -> Changes:
    """What makes a generation differ from the one that it grew out of."""
    text = atomic.read(f"{generation.path}/{CHANGES}")
    if text is None:
        return Changes(0, False, frozenset())
    before, same, *names = text.split("\0")[:-1]
    return Changes(int(before), bool(same), frozenset(names))


def listing(top: str) -> list[Listed]:
    """The tree below a directory, parents before children."""
    return [Listed._make(each) for each in tree.listing(top)]


def resolve(generation: Generation, facts: Facts) -> Resolution:
    """What the overlays of a generation say about a system with these facts."""
    return resolution.resolve(overlays(generation), facts)


def text_of(generation: Generation | None, path: str, facts: Facts) -> str | None:
    """A settings file as the generation has it for these facts; None if it has none.

    Only that one directory is read, since this is asked at every tick, before anything is known.
    """
    return content_of(generation, entry_of(generation, path, facts)) if generation else None


def entry_of(generation: Generation, path: str, facts: Facts) -> Entry | None:
    """What the overlays of a generation have at one path, whatever it is."""
    few = [Overlay(name, _names_near(generation, name, path)) for name in generation.overlays]
    return resolution.resolve(few, facts).entries.get(path)


def content_of(generation: Generation, entry: Entry | None) -> str | None:
    """The content of one of them; None where it is nothing, a directory, or to be absent."""
    if entry is None or entry.is_dir or entry.flag == "absent":
        return None
    return atomic.read(f"{generation.path}/{entry.source}")


def _names_near(generation: Generation, overlay: str, path: str) -> list[Listed]:
    """The names in an overlay that can be variants of a path, or of a directory above it."""
    found: list[Listed] = []
    above = [""]
    for position, component in enumerate(path.split("/")):
        is_last = position == path.count("/")
        below = []
        for directory in above:
            at = f"{generation.path}/{overlay}/{directory}"
            for name in [] if os.path.islink(at) else tree.names(at):  # it may lead anywhere
                if tags.split(name)[0] == component:
                    spelling = f"{directory}/{name}" if directory else name
                    found.append(Listed(spelling, not is_last))
                    below.append(spelling)
        above = below
    return found


def in_force(here: System, generation: Generation | None, facts: Facts) -> InForce:
    """The settings: the generation's own allie.conf if it has one, else the root's.

    One from the store counts once a fetch by it has succeeded: until then the one goes on that was
    followed before, or a slip in a list of overlays would cut the PC off. So does the root's own
    after one from the store was followed and has gone. Raises SettingsError where none can be used.
    """
    delivered = text_of(generation, system.SETTINGS, facts)
    followed = atomic.read(f"{here.state}/{_FOLLOWED}")
    if delivered is not None or followed is not None:
        present = _usable(here, followed) or _usable(here, _own_text(here))
        came = _usable(here, _own_text(here) if delivered is None else delivered) or present
        if came and present and came.settings.fetch_key != present.settings.fetch_key:
            return present._replace(coming=came.text)
        if came:
            return came
    own = own_settings(here)
    return InForce(settings.parse(own, here.name), own)


def note_followed(here: System, text: str | None) -> None:
    """Note the allie.conf from the store that is followed; None: from now on the root's own is."""
    path = f"{here.state}/{_FOLLOWED}"
    if text is None:
        atomic.remove(path)
    elif text != atomic.read(path):
        atomic.write(path, text, 0o600)


def keep_followed(here: System, generation: Generation, facts: Facts) -> None:
    """Note the allie.conf that a generation brought, and that says what was followed anyhow."""
    text = text_of(generation, system.SETTINGS, facts)
    if _usable(here, text):
        note_followed(here, text)


def _usable(here: System, text: str | None) -> InForce | None:
    """What an allie.conf says to this system; None if that cannot be used, or there is none."""
    try:
        return None if text is None else InForce(settings.parse(text, here.name), text)
    except SettingsError:
        return None  # the plan refuses that file by name


def own_settings(here: System) -> str:
    """The text of the root's own allie.conf. Raises SettingsError if there is none."""
    text = _own_text(here)
    if text is None:
        raise SettingsError(f"{here.etc}/allie.conf is missing", open_system.how_to_join(here))
    return text


def _own_text(here: System) -> str | None:
    return atomic.read(f"{here.etc}/allie.conf")


def next_number(here: System) -> int:
    """The number of the generation to come; none comes back, also where the mirror was lost.

    The ledger would take it for the one that it speaks of, and trust in what is not there.
    """
    numbers = [int(name) for name in tree.names(here.mirror) if name.isdigit()]
    if not os.path.lexists(here.current):
        numbers += records.load_ledger(here).generations.values()
    return max([*numbers, records.contact(here).generation]) + 1


def prepare(here: System, before: Generation | None) -> tuple[str, list[str]]:
    """A new empty directory for the generation to come, and the trees that it may link to.

    A part that a killed tick left is a second source of links. It is never written into: rsync
    would change the attributes of files that it shares with the present generation.
    """
    part = f"{here.mirror}/{next_number(here)}.part"
    try:
        os.makedirs(here.mirror, 0o700, exist_ok=True)
        left = f"{here.mirror}/left"
        for name in _parts(here):
            tree.remove(left)
            with suppress(OSError):  # overlayfs moves no directory of its lower layer
                os.rename(f"{here.mirror}/{name}", left)
            tree.remove(f"{here.mirror}/{name}")
        os.mkdir(part, 0o700)
    except OSError as error:
        raise StateError(f"cannot make {part}: {error.strerror}") from error
    links = [before.path] if before else []
    return part, links + ([left] if os.path.isdir(left) else [])


def forget_parts(here: System) -> None:
    """What was fetched and not taken is of no use once the store has what we have."""
    for name in (*_parts(here), "left"):
        tree.remove(f"{here.mirror}/{name}")


def _parts(here: System) -> list[str]:
    """The generations in the mirror that are not complete; not the link to the present one."""
    names = os.listdir(here.mirror)
    return [name for name in names if name.endswith(".part") and name != "current.part"]


def remove_old(here: System, keep: set[int]) -> None:
    """Remove the generations that no ledger entry speaks of any more."""
    for name in tree.names(here.mirror):
        if name.isdigit() and int(name) not in keep:
            tree.remove(f"{here.mirror}/{name}")
