"""Update a system beside itself and switch by one rename; go back; remove.

    NAME          the system: what people enter, and what is ticked
    .NAME.part    the next one in the making
    .NAME.other   ready and about to be switched to; afterwards the one before, for `rollback`
    .NAME.old-N   earlier ones, for as long as somebody is inside (`earlier`); N grows

A system on a partition of its own has no beside: it is updated in place, on demand.
"""

from __future__ import annotations

import os

from allie.client import arrival, earlier, fence, fit, same, systems
from allie.client.arrival import Job
from allie.client.systems import IMAGE, READY, Note
from allie.core.errors import PROTECTED, Busy, NotWritten, StateError, UsageError
from allie.core.settings import Declared
from allie.core.system import System
from allie.machine import atomic, console, copies, disks, locate, lock, tree

_HELD = "held"  # in the base's book: the image that was rolled back from
_PATIENCE = 600.0  # seconds


def wants_update(base: System, declared: Declared, root: str) -> str:
    """Why a system should be updated by itself: allie.conf names another image; "" if it does not.

    Not to the image that somebody rolled back from. An update that was cut short goes on.
    """
    if not systems.in_place(declared, root):
        begun = systems.note_of(systems.beside(root, "part"))
        if begun and begun.image == declared.image:
            return "an update was begun"
    present = systems.image_of(root)
    held = (atomic.read(f"{base.systems}/{declared.name}/{_HELD}") or "").strip()
    if not present or not declared.image or declared.image in (present, held):
        return ""
    return f"allie.conf names the image {declared.image}, it has {present}"


def update(job: Job, *, in_place: bool = False, quick: bool = False) -> bool:
    """Bring the image as it is now, beside the present tree, and switch to it.

    False if it is as the store has the image already: then nothing is made. quick: a file of the
    same size and time is as the store has it; else contents are compared.
    Raises Busy, UsageError, StateError, StoreError; the system is then as it was.
    """
    base, declared = job.base, job.declared
    with arrival.at_work(job) as root:
        if systems.in_place(declared, root):
            return _update_in_place(job, root, in_place, quick)
        recover(base, declared, root, locked=True)
        _must_be_there(declared, root)
        _must_be_movable(declared, root)
        part = systems.beside(root, "part")
        if not systems.note_of(part):  # else an earlier try goes on
            found = same.compare(job, root, quick=quick)
            if found == same.SAME:
                _stays(job, root)
                return False
            _begin(job, root, part, apart=found == same.LINKS)
        _build(job, root, part)
        _set_up(root, part)
        _switch(root, _PATIENCE)
        atomic.remove(f"{systems.book(base, declared.name)}/{_HELD}")
        return True


def rollback(base: System, declared: Declared) -> str:
    """Switch back to the tree before the last update, at once; the image that it has."""
    with systems.held(base, declared.name), systems.opened(base, declared) as root:
        if systems.in_place(declared, root):
            raise UsageError(
                f"{declared.name} lives in {declared.root}: there is no tree before it"
            )
        with fence.apart_from_users(declared, root):
            recover(base, declared, root, locked=True)
            _must_be_there(declared, root)
            _must_be_movable(declared, root)
            other = systems.beside(root, "other")
            if not os.path.isdir(other) or systems.name_in(other) != declared.name:
                raise StateError(
                    f"there is no tree of {declared.name} to go back to",
                    "only an update leaves one",
                )
            image = systems.image_of(root)
            with lock.held(locate.open_system(root), "rollback"):
                atomic.write(f"{systems.book(base, declared.name)}/{_HELD}", image + "\n")
                _exchange(root, other)
            return systems.image_of(root)


def remove(base: System, declared: Declared) -> None:
    """Remove the trees of a system that lives in a directory, also with people inside.

    Raises Busy where a tick of it is running.
    """
    with systems.held(base, declared.name):
        if not declared.is_partition:
            with systems.opened(base, declared) as root:
                with fence.apart_from_users(declared, root):
                    _remove_trees(declared, root)
                fence.drop(base, declared, root)
        tree.remove(systems.book(base, declared.name))


def recover(base: System, declared: Declared, root: str, *, locked: bool = False) -> None:
    """After a kill at any point of a switch: end it; and let go of what nobody is inside any more.

    Costs a few lstats where nothing is to do.
    """
    if not _is_unsettled(root):
        return
    if not locked:
        with systems.held(base, declared.name), fence.apart_from_users(declared, root):
            recover(base, declared, root, locked=True)
        return
    other, away = systems.beside(root, "other"), systems.beside(root, "away")
    if os.path.lexists(away):  # of two renames, where the kernel has no exchange
        if not os.path.lexists(root):
            os.rename(other if os.path.lexists(other) else away, root)
        if os.path.lexists(away):
            os.rename(away, other)
    if os.path.lexists(root):
        arrival.finish(root)
    if _is_ready(other):
        _switch(root)
    earlier.let_go(root)


def _is_unsettled(root: str) -> bool:
    """Whether a switch was cut short, or there are trees that may go."""
    if os.path.lexists(systems.beside(root, "away")) or earlier.trees(root):
        return True
    return _is_ready(systems.beside(root, "other")) or _is_ready(root)


def _is_ready(at: str) -> bool:
    note = systems.note_of(at) if os.path.isdir(at) else None
    return bool(note and note.phase == READY)


def _stays(job: Job, root: str) -> None:
    """The image has what is there, though perhaps under another name."""
    if systems.image_of(root) != job.declared.image:
        with lock.held(locate.open_system(root), "update"):
            systems.record_image(root, job.declared.image)
    atomic.remove(f"{systems.book(job.base, job.declared.name)}/{_HELD}")


def _begin(job: Job, root: str, part: str, *, apart: bool) -> None:
    """The tree to build in: a copy of the present one where that is free, else an empty one.

    apart: an empty one in any case, since rsync leaves names together that are one file.
    """
    copies.discard(part)
    copy = systems.beside(root, "copy")
    copies.discard(copy)
    if not apart and copies.copy(root, copy):
        atomic.sync_filesystem(copy)
        systems.write_note(copy, _note(job))
        os.rename(copy, part)
        return
    copies.discard(copy)
    copies.begin(part)


def _build(job: Job, root: str, part: str) -> None:
    """Make the new tree, without a copy of the present one where that is immutable in part."""
    try:
        arrival.build(job, part, like=root)
    except NotWritten as error:
        console.warn(f"{job.declared.name}: begun anew, without a copy: {error.message}")
        copies.discard(part)
        copies.begin(part)
        systems.write_note(part, _note(job))
        arrival.build(job, part, like=root)


def _note(job: Job) -> Note:
    declared = job.declared
    return Note(declared.name, declared.image, IMAGE, update=True)


def _set_up(root: str, part: str) -> None:
    """Put the finished tree where it can be switched to; the tree before the present one goes."""
    other = systems.beside(root, "other")
    if os.path.isdir(other):
        os.rename(other, earlier.next_name(root))
    os.rename(part, other)
    atomic.sync_directory(os.path.dirname(root))
    copies.discard_aside(systems.beside(root, ""))
    stuck = earlier.let_go(root)
    if len(stuck) > earlier.MOST:  # more and more of them
        raise stuck[-1]


def _switch(root: str, patience: float = 0) -> None:
    """Take the files of the people over once more, and let the trees change places.

    patience: seconds to wait for a tick of the system.
    """
    other = systems.beside(root, "other")
    with lock.held(locate.open_system(root), "update", patience):
        fit.keep(root, other, fit.PEOPLES)
        atomic.sync_filesystem(other)
        _exchange(root, other)
    systems.drop_note(root)


def _exchange(root: str, other: str) -> None:
    """Two trees change places: at once, or by renames that `recover` can end."""
    if not atomic.exchange(root, other):
        away = systems.beside(root, "away")
        _rename(root, away)
        try:
            _rename(other, root)
        except StateError:
            os.rename(away, root)
            raise
        os.rename(away, other)
        atomic.sync_directory(os.path.dirname(root))


def _rename(tree: str, name: str) -> None:
    try:
        os.rename(tree, name)
    except OSError as error:
        raise StateError(f"cannot move {tree}: {error.strerror}", PROTECTED) from error


def _update_in_place(job: Job, root: str, consent: bool, quick: bool) -> bool:
    """A system on a partition: nobody can use it meanwhile, and nothing is there to go back to."""
    declared = job.declared
    stands, _ = systems.standing(declared, root)
    if stands != systems.PARTIAL:
        _must_be_there(declared, root)
        if same.compare(job, root, quick=quick) != same.OTHER:
            _stays(job, root)
            return False
        if not consent:
            raise UsageError(
                f"{declared.name} lives in {declared.root}: it is out of use during its update,"
                " and cannot be rolled back",
                f"allie system update {declared.name} --in-place",
            )
        inside = disks.users(root)
        if inside:
            raise StateError(f"{declared.name} is in use (pid {' '.join(map(str, inside[:5]))})")
        with lock.held(locate.open_system(root), "update"):
            systems.write_note(root, _note(job))
    arrival.build(job, root)
    systems.drop_note(root)
    return True


def _must_be_there(declared: Declared, root: str) -> None:
    stands, why = systems.standing(declared, root)
    if stands != systems.THERE:
        raise StateError(
            f"{declared.name} is not there: {why}", f"allie system add {declared.name}"
        )


def _must_be_movable(declared: Declared, root: str) -> None:
    """Asked before an image is fetched that could never be switched to."""
    if not copies.can_move(root):
        raise StateError(
            f"{root} is in the lower layer of an overlayfs, where no directory can be moved",
            f"update {declared.name} where that layer is the disk itself: without the overlay",
        )


def _remove_trees(declared: Declared, root: str) -> None:
    if os.path.isdir(root) and systems.standing(declared, root)[0] == systems.FOREIGN:
        raise StateError(systems.standing(declared, root)[1], "nothing was removed")
    if systems.in_place(declared, root):
        inside = disks.users(root)
        if inside:
            raise StateError(f"{root} is in use (pid {' '.join(map(str, inside[:5]))})")
    if os.path.isdir(root) and lock.is_running(locate.open_system(root)):
        raise Busy(f"a tick of {declared.name} is running", "try again")
    copies.discard_aside(systems.beside(root, ""))
    gone = systems.beside(root, "gone")
    copies.discard(gone)
    trees = [root, *(systems.beside(root, each) for each in ("other", "part", "copy", "away"))]
    there = filter(os.path.isdir, trees)
    for each, moves in [(each, copies.can_move(each)) for each in there]:  # all are asked first
        if moves:
            os.rename(each, gone)  # a half removed tree is no system
        copies.discard(gone)
        copies.discard(each)
    for each in earlier.trees(root):
        copies.discard(each)
