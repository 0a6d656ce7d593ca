"""Generations: complete copies of all overlays of one tick, in mirror/<number>/.

A tick applies none but a complete one. Where little changed, the change is moved into the one in
force, under the lock, and finished after a kill (`incremental`). Settings and classes are read from
it and not from the root, so that one tick is enough for them to take effect.

docs/internals/rules.md, "A mirror may be a mixture" and "Two parts, two transactions".
"""

from __future__ import annotations

import os
from _collections_abc import Iterator, Mapping

from allie.client.state import records
from allie.core import tags
from allie.core.change import resolution
from allie.core.change.resolution import CONSENT, Entry, Listed, Overlay, Resolution
from allie.core.conf.settings import PRIVATE
from allie.core.errors import StateError
from allie.core.facts import Facts
from allie.core.lean import suppress
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic, tree

CONSENTS = ".consents"  # in a generation: overlays that left the list, and may be withdrawn
LIST = ".overlays"  # in a generation: the overlays that it holds, in order
NAMES = ".names-"  # … and, for each, the names in its tree, since every tick asks for them
CHANGES = ".changes"  # … and, if it grew out of another: that one's number, and what was changed
ASKED = ".asked"  # … and its number, once a store that was asked for all of it had nothing else
READY = ".ready"  # in the mirror, after a number: a change of it that is complete (`incremental`)
OLD = ".old"  # in the mirror, after a number: what a change has replaced of that generation
PRIVATE_NEW = "private.new"  # in the mirror: what this host's own door brought (`own_door`)
_LEFT = "left"  # in the mirror: what a killed tick had fetched
_entries: dict[tuple[object, ...], Entry | None] = {}  # what `entry_of` said
_spoken: dict[tuple[object, ...], bool] = {}  # what `speaks_of` said
_resolved: dict[tuple[Generation, Facts], Resolution] = {}  # what `resolve` said last


class Generation(Value):
    """One generation of the mirror."""

    number: int
    path: str
    overlays: tuple[str, ...]
    mark: str = ""  # tells it from another of this number, of a mirror that was lost

    @property
    def common(self) -> tuple[str, ...]:
        """The overlays that are not this host's own."""
        return tuple(each for each in self.overlays if each != PRIVATE)

    @property
    def consents(self) -> frozenset[str]:
        """The overlays that say that losing many of their files is meant.

        Also those that said so in their last generation, and have left the list since.
        """
        here = [each for each in self.overlays if os.path.lexists(f"{self.path}/{each}/{CONSENT}")]
        return frozenset(here).union((atomic.read(f"{self.path}/{CONSENTS}") or "").split())


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
    with suppress(OSError):
        for name in _numbers_in_force(here):
            path = f"{here.mirror}/{name}"
            st = tree.status(f"{path}/{LIST}")
            if st is not None and name.isdigit():
                names = atomic.read(f"{path}/{LIST}") or ""
                return Generation(int(name), path, tuple(names.split()), tree.seen_of(st))
    return None


def _numbers_in_force(here: System) -> Iterator[str]:
    """The number in force; and where no generation has that, the one that has just taken its place.

    A change renames the present generation, and then the link: in between, or after a kill there,
    the change that is not removed yet says the new number; just after, the link does.
    """
    yield os.readlink(here.current)
    yield from (name[: -len(READY)] for name in unfinished(here))
    yield os.readlink(here.current)


def resolve(generation: Generation, facts: Facts) -> Resolution:
    """What the overlays of a generation say about a system with these facts."""
    known = generation, facts
    if not generation.mark or known not in _resolved:  # as in `entry_of`
        overlays = [Overlay(name, names_in(generation, name)) for name in generation.overlays]
        _resolved.clear()  # both parts of a tick want the same one
        _resolved[known] = resolution.resolve(overlays, facts)
    return _resolved[known]


def names_in(generation: Generation, overlay: str) -> list[Listed]:
    """The names in the tree of one overlay; in the note of them a directory's ends in a slash."""
    text = atomic.read_note(f"{generation.path}/{NAMES}{overlay}")
    if text is None:
        return listing(f"{generation.path}/{overlay}")
    return [
        Listed._make((name[:-1], True) if name[-1] == "/" else (name, False))
        for name in text.split("\0")[:-1]
    ]


def speaks_of(generation: Generation, word: str) -> bool:
    """Whether a word is in any name of a generation; where its names are not noted it may be."""
    known = generation, word
    if not generation.mark or known not in _spoken:  # as in `entry_of`
        texts = (
            atomic.read_note(f"{generation.path}/{NAMES}{each}") for each in generation.overlays
        )
        _spoken[known] = any(text is None or word in text for text in texts)
    return _spoken[known]


def note(generation: Generation, names: Mapping[str, list[Listed]]) -> None:
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
    text = atomic.read_note(f"{generation.path}/{CHANGES}")
    if text is None:
        return Changes(0, False, frozenset())
    before, same, *names = text.split("\0")[:-1]
    return Changes(int(before), bool(same), frozenset(names))


def is_settled(generation: Generation) -> bool:
    """Whether a store that was asked for all had just this, after it had been fetched."""
    return atomic.read_note(f"{generation.path}/{ASKED}") == f"{generation.number}\n"


def settle(generation: Generation) -> None:
    """Note that; where it cannot be noted, the next tick asks for all again."""
    with suppress(StateError):
        atomic.write(f"{generation.path}/{ASKED}", f"{generation.number}\n", durable=False)


def listing(top: str) -> list[Listed]:
    """The names in a directory's tree, parents before children."""
    return [Listed._make(each) for each in tree.listing(top)]


def text_of(generation: Generation | None, path: str, facts: Facts) -> str | None:
    """A settings file as the generation has it for these facts; None if it has none.

    Only that one directory is read, since this is asked at every tick, before anything is known.
    """
    return content_of(generation, entry_of(generation, path, facts)) if generation else None


def entry_of(generation: Generation, path: str, facts: Facts) -> Entry | None:
    """What the overlays of a generation have at one path, whatever it is."""
    known = generation, path, facts
    if not generation.mark or known not in _entries:  # without a mark it is not in force, yet
        few = [Overlay(name, _names_near(generation, name, path)) for name in generation.overlays]
        _entries[known] = resolution.resolve(few, facts).entries.get(path)
    return _entries[known]


def content_of(generation: Generation, entry: Entry | None) -> str | None:
    """The content of an entry; None where it is nothing, a directory, or to be absent."""
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


def _next_number(here: System) -> int:
    """The number of the generation to come: none that ever was, also where the mirror was lost.

    The ledger would take it for the one that it speaks of, and trust in what is not there.
    """
    numbers = [int(name) for name in tree.names(here.mirror) if name.isdigit()]
    if not os.path.lexists(here.current):
        numbers += records.load_ledger(here).generations.values()
    return max([*numbers, records.contact(here).generation]) + 1


def prepare(
    here: System, before: Generation | None, overlays: tuple[str, ...]
) -> tuple[Generation, list[str]]:
    """The generation to come, as an empty directory, and the trees that it may link to.

    What a killed tick had fetched is a second source of links. It is never written into: rsync
    would change the attributes of files that it shares with the present generation.
    """
    number = _next_number(here)
    beside = f"{here.mirror}/{number}.part"
    left = f"{here.mirror}/{_LEFT}"
    try:
        os.makedirs(here.mirror, 0o700, exist_ok=True)
        for name in _half_fetched(here):
            tree.remove(left)
            with suppress(OSError):  # overlayfs moves no directory of its lower layer
                os.rename(f"{here.mirror}/{name}", left)
            tree.remove(f"{here.mirror}/{name}")
        os.mkdir(beside, 0o700)
    except OSError as error:
        raise StateError(f"cannot make {beside}: {error.strerror}") from error
    trees = [before.path] if before else []
    return Generation(number, beside, overlays), trees + [left] * os.path.isdir(left)


def forget_half_fetched(here: System) -> None:
    """Remove what was fetched and is no generation, or has gone into one by now."""
    for name in (*_half_fetched(here), PRIVATE_NEW, _LEFT):
        tree.remove(f"{here.mirror}/{name}")


def unfinished(here: System) -> list[str]:
    """The changes that a killed tick left, ready and not all in the generation in force."""
    try:
        return [name for name in os.listdir(here.mirror) if name.endswith(READY)]
    except FileNotFoundError:
        return []


def _half_fetched(here: System) -> list[str]:
    """The generations in the mirror that are not complete; not the link to the present one."""
    names = os.listdir(here.mirror)
    return [name for name in names if name.endswith(".part") and name != "current.part"]


def remove_old(here: System, keep: set[int]) -> None:
    """Remove the generations, and what changes replaced, that the ledger does not speak of."""
    for name in tree.names(here.mirror):
        number = name.partition(".")[0]
        replaced = number.isdigit() and name == number + OLD and int(number) < min(keep)
        if replaced or (name.isdigit() and int(name) not in keep):
            tree.remove(f"{here.mirror}/{name}")
