"""Write the site: each file where it is new, and what is no more of it removed.

A page finds its data by fixed names, and each file of data says all that it says by itself; so a
reader who comes in the middle of it sees old data or new, file by file. Pages name their styles and
scripts with a digest: those of an older ALLiE go one run after the newer ones came, when no page
that is being opened needs them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from allie.core.errors import Busy, StateError, UsageError
from allie.machine.files import atomic, lock
from allie.machine.mounts import mount_table
from allie.server.fleet.fleet import Fleet
from allie.server.history import notes
from allie.server.history.notes import Count, Event
from allie.server.serving import setup
from allie.server.site import as_script, details, over_time, pages, summary

MARKER = ".allie-fleet-site"
_MARKED = b"This directory is written by `allie fleet --site`, and what is in its way is removed.\n"
_FILE, _DIRECTORY = 0o640, 0o750
_PATIENCE = 60  # seconds to wait for another one that writes the same
_EVENTS = 20_000  # of a week, that are looked through
_ASSETS, _MADE, _DATA = "assets", "data/made.js", ("data/h", "data/s", "data/p")


def write(fleet: Fleet, place: str) -> list[str]:
    """Make the directory `place` the site of this fleet, with what its store knows of the past."""
    since = fleet.now - over_time.SHOWN
    counts = notes.counts(fleet.store, since=since)
    events = list(islice(notes.events(fleet.store, since=since, now=fleet.now), _EVENTS))
    return write_with(fleet, place, counts, events)


def write_with(
    fleet: Fleet, place: str, counts: Sequence[Count], events: Sequence[Event] = ()
) -> list[str]:
    """Make the directory `place` the site of this fleet; the files that were written.

    counts: how it stood, oldest first; events: what became of it, newest first. Only what changed
    is written; what another site has left is removed. Files are of mode 0640, directories of 0750.
    Raises UsageError where `place` is full of something else, or others can write there; StateError
    where the disk does not take it, Busy where another one writes there for long.
    """
    try:
        _need_place(place, fleet.store)
        busy = Busy(f"another `allie fleet --site {place}` is at work", "wait for its end")
        with lock.of_directory(place, lambda: busy, patience=_PATIENCE):
            _claim(place)
            last = _bytes(f"{place}/{_MADE}")
            return _written(place, _files(fleet, counts, events, last))
    except OSError as error:
        raise atomic.refused(f"cannot write {error.filename or place}", error) from error


def _written(place: str, files: Iterable[tuple[str, bytes]]) -> list[str]:
    """Write those that are not as they are there, and remove what is none of them."""
    names, written = set(), []
    for name, data in files:
        names.add(name)
        if _bytes(f"{place}/{name}") != data:
            atomic.write(f"{place}/{name}", data, _FILE, durable=False)
            written.append(name)
    came = any(name.startswith(f"{_ASSETS}/") for name in written)
    for directory in (*_DATA, *(() if came else (_ASSETS,))):
        for name in os.listdir(f"{place}/{directory}"):
            if f"{directory}/{name}" not in names:
                os.unlink(f"{place}/{directory}/{name}")
    return written


def _bytes(path: str) -> bytes | None:
    """What is there; None also of what is too large to be ours."""
    try:
        return atomic.read_bytes(path)
    except StateError:
        return None


def _files(
    fleet: Fleet, counts: Sequence[Count], events: Sequence[Event], last: bytes | None
) -> Iterator[tuple[str, bytes]]:
    """All files, in the order in which they may be written: what others refer to comes first.

    last: what says when it was last made.
    """
    assets = pages.assets()
    yield from ((f"{_ASSETS}/{name}", data) for name, data in assets.items())
    scripts = summary.scripts_of(fleet)
    for kind, shard, values in details.shards(fleet, scripts, events):
        yield f"data/{kind}/{shard}.js", as_script.of(f"{kind}/{shard}", values)
    pictures = over_time.pictures(counts, events, fleet.now)
    drawn = as_script.of("over-time", pictures)
    yield "data/over-time.js", drawn
    rows = as_script.of("summary", summary.summary(fleet, scripts))
    yield "data/summary.js", rows
    yield from pages.pages(fleet, assets)
    made = pages.made(fleet, (rows, drawn), as_script.value_of(last, "made"))
    yield _MADE, as_script.of("made", made)


def _need_place(place: str, store: str) -> None:
    """Make the directory, if there is none. Raises UsageError where others write or fetch it."""
    if mount_table.is_within(os.path.realpath(place), os.path.realpath(store)):
        hint = "name a directory outside of it"
        raise UsageError(f"{place} is in the store, and overlays are for everybody", hint)
    if os.path.lexists(place) and not os.path.isdir(place):
        raise UsageError(f"{place} is no directory", "name one that is empty, or is to be made")
    _make(place)
    _need_own(place)


def _claim(place: str) -> None:
    """Make it ours, with the directories in it. Raises UsageError where it is another's."""
    here = os.listdir(place)
    if MARKER not in here:
        if set(here) - {f"{MARKER}.part"}:  # of one that was killed
            hint = "name a directory that is empty, or is to be made"
            raise UsageError(f"{place} is full of something else", hint)
        atomic.write(f"{place}/{MARKER}", _MARKED, _FILE, durable=False)
    for name in (_ASSETS, "data", *_DATA):
        _make(f"{place}/{name}")
        if not stat.S_ISDIR(os.lstat(f"{place}/{name}").st_mode):
            raise StateError(f"{place}/{name} is no directory", f"remove {place}, and try again")
        _need_own(f"{place}/{name}")


def _need_own(directory: str) -> None:
    """Raise UsageError where others may put a link in its way: we write and remove in it."""
    other = setup.writable_by_others(os.path.realpath(directory))
    if other:
        hint = "name a directory that root alone can write to; its group may read"
        raise UsageError(f"others than root can write to {other}", hint)


def _make(directory: str) -> None:
    """Make one, if there is none. It takes its group from one that has the setgid bit."""
    try:
        os.mkdir(directory, _DIRECTORY)
    except FileExistsError:
        return
    inherited = os.stat(directory).st_mode & stat.S_ISGID
    os.chmod(directory, _DIRECTORY | inherited)  # whatever the umask says
