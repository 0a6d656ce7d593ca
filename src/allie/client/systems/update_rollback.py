"""Update a system beside itself and switch by one rename; go back; remove.

    NAME          the system: what people enter, and what is ticked
    .NAME.part    the next one in the making
    .NAME.other   ready and about to be switched to; afterwards the one before, for `rollback`
    .NAME.old-N   earlier ones, for as long as somebody is inside (`earlier_trees`); N grows

A system on a partition of its own has no beside: it is updated in place, on demand.
"""

from __future__ import annotations

import os

from allie.client.situation import bound_disks, other_systems
from allie.client.situation.other_systems import IMAGE, READY, Note
from allie.client.systems import earlier_trees, fence, new_system, own_files, record, up_to_date
from allie.client.systems.new_system import Job
from allie.core.conf.settings import Declared
from allie.core.errors import Busy, NotWritten, StateError, UsageError
from allie.core.system import System
from allie.machine import console
from allie.machine.disk import tree_copies
from allie.machine.files import atomic, lock, tree
from allie.machine.namespaces import processes_inside
from allie.machine.roots import open_system

_PATIENCE = 600.0  # seconds


def wants_update(base: System, declared: Declared, root: str) -> str:
    """Why a system should be updated by itself: allie.conf names another image; "" if it does not.

    Not to the image that somebody rolled back from. An update that was cut short goes on.
    """
    if not other_systems.in_place(declared, root):
        begun = other_systems.note_of(other_systems.beside(root, "part"))
        if begun and begun.image == declared.image:
            return "an update was begun"
    present = other_systems.image_of(root)
    left = record.image_rolled_back(base, declared.name)
    if not present or not declared.image or declared.image in (present, left):
        return ""
    return f"allie.conf names the image {declared.image}, it has {present}"


def update(job: Job, *, in_place: bool = False, quick: bool = False) -> bool:
    """Bring the image as it is now, beside the present tree, and switch to it.

    False if it is as the store has the image already: then nothing is made. quick: a file of the
    same size and time is as the store has it; else contents are compared.
    Raises Busy, UsageError, StateError, StoreError; the system is then as it was.
    """
    base, declared = job.base, job.declared
    with new_system.at_work(job) as root:
        if other_systems.in_place(declared, root):
            return _update_in_place(job, root, in_place, quick)
        _must_be_switchable(declared, root)
        part = other_systems.beside(root, "part")
        if not other_systems.note_of(part):  # else an earlier try goes on
            if up_to_date.holds(job, root, quick=quick):
                _stays(job, root)
                return False
            job = job._replace(fills=_begin(job, root, part))
        _build(job._replace(tree=part, like=root))
        _set_up(root, part)
        _switch(root, _PATIENCE)
        record.note_rolled_back(base, declared.name, "")
        return True


def rollback(base: System, declared: Declared) -> str:
    """Switch back to the tree before the last update, at once; the image that it has."""
    with record.held(base, declared.name), other_systems.opened(base, declared) as root:
        if other_systems.in_place(declared, root):
            where = f"{declared.name} lives in {declared.root}"
            raise UsageError(f"{where}: there is no tree before it")
        with fence.apart_from_users(declared, root):
            _must_be_switchable(declared, root)
            other = other_systems.beside(root, "other")
            if not os.path.isdir(other) or other_systems.name_in(other) != declared.name:
                missing = f"there is no tree of {declared.name} to go back to"
                raise StateError(missing, "only an update leaves one")
            image = other_systems.image_of(root)
            with lock.held(open_system.open_system(root), "rollback"):
                record.note_rolled_back(base, declared.name, image)
                atomic.swap(root, other, other_systems.beside(root, "away"))
            return other_systems.image_of(root)


def remove(base: System, declared: Declared) -> None:
    """Remove the trees of a system that lives in a directory, also with people inside.

    Raises Busy where a tick of it is running.
    """
    with record.held(base, declared.name):
        if not declared.is_partition:
            with other_systems.opened(base, declared) as root:
                with fence.apart_from_users(declared, root):
                    _remove_trees(declared, root)
                fence.drop(base, declared, root)
        tree.remove(bound_disks.book(base, declared.name))


def recover(base: System, declared: Declared, root: str) -> None:
    """After a kill at any point of a switch: end it; and let go of what nobody is inside any more.

    Costs a few lstats where nothing is to do.
    """
    if _is_unsettled(root):
        with record.held(base, declared.name), fence.apart_from_users(declared, root):
            recover_locked(root)


def recover_locked(root: str) -> None:
    """The same by who has the system's lock."""
    if not _is_unsettled(root):
        return
    other, away = other_systems.beside(root, "other"), other_systems.beside(root, "away")
    if os.path.lexists(away):  # of two renames, where the kernel has no exchange
        if not os.path.lexists(root):
            os.rename(other if os.path.lexists(other) else away, root)
        if os.path.lexists(away):
            os.rename(away, other)
    if os.path.lexists(root):
        new_system.finish(root)
    if _is_ready(other):
        _switch(root)
    earlier_trees.let_go(root)


def _is_unsettled(root: str) -> bool:
    """Whether a switch was cut short, or there are trees that may go."""
    if os.path.lexists(other_systems.beside(root, "away")) or earlier_trees.trees(root):
        return True
    return _is_ready(other_systems.beside(root, "other")) or _is_ready(root)


def _is_ready(at: str) -> bool:
    note = other_systems.note_of(at) if os.path.isdir(at) else None
    return bool(note and note.phase == READY)


def _stays(job: Job, root: str) -> None:
    """The image has what is there, though perhaps under another name."""
    if other_systems.image_of(root) != job.declared.image:
        with lock.held(open_system.open_system(root), "update"):
            other_systems.record_image(root, job.declared.image)
    record.note_rolled_back(job.base, job.declared.name, "")


def _begin(job: Job, root: str, part: str) -> bool:
    """Have the tree to build in; whether what is in the present one is still to be copied there.

    It counts once it has its note. If the power goes, that may be lost: to have it on the disk
    would take all of a snapshot there.
    """
    tree_copies.discard(part)
    is_empty = tree_copies.begin_with(root, part)
    other_systems.write_note(part, _note(job), durable=False)
    return is_empty


def _build(job: Job) -> None:
    """Make the new tree; without a copy of the present one where some of that cannot be changed."""
    try:
        new_system.build(job)
    except NotWritten as error:
        console.warn(f"{job.declared.name}: begun anew, without a copy: {error.message}")
        tree_copies.discard(job.tree)
        tree_copies.begin(job.tree)
        new_system.build(job._replace(fills=False))


def _note(job: Job) -> Note:
    declared = job.declared
    return Note(declared.name, declared.image, IMAGE, update=True)


def _set_up(root: str, part: str) -> None:
    """Put the finished tree where it can be switched to; the tree before the present one goes."""
    other = other_systems.beside(root, "other")
    if os.path.isdir(other):
        os.rename(other, earlier_trees.next_name(root))
    os.rename(part, other)
    atomic.sync_directory(os.path.dirname(root))
    tree_copies.discard_aside(other_systems.beside(root, ""))
    stuck = earlier_trees.let_go(root)
    if len(stuck) > earlier_trees.MOST:  # more and more of them
        raise stuck[-1]


def _switch(root: str, patience: float = 0) -> None:
    """Take the files of the people over once more, and let the trees change places.

    patience: seconds to wait for a tick of the system.
    """
    other = other_systems.beside(root, "other")
    with lock.held(open_system.open_system(root), "update", patience):
        own_files.keep(root, other, own_files.PEOPLES)
        atomic.sync_filesystem(other)
        atomic.swap(root, other, other_systems.beside(root, "away"))
    other_systems.drop_note(root)


def _update_in_place(job: Job, root: str, consent: bool, quick: bool) -> bool:
    """A system on a partition: nobody can use it meanwhile, and nothing is there to go back to."""
    declared = job.declared
    stands, _ = other_systems.standing(declared, root)
    if stands != other_systems.PARTIAL:
        _must_be_there(declared, root)
        if up_to_date.holds(job, root, quick=quick):
            _stays(job, root)
            return False
        if not consent:
            raise UsageError(
                f"{declared.name} lives in {declared.root}: it is out of use during its update,"
                " and cannot be rolled back",
                f"allie system update {declared.name} --in-place",
            )
        _must_be_unused(root, declared.name)
        with lock.held(open_system.open_system(root), "update"):
            other_systems.write_note(root, _note(job))
    new_system.build(job._replace(tree=root))
    other_systems.drop_note(root)
    return True


def _must_be_there(declared: Declared, root: str) -> None:
    stands, why = other_systems.standing(declared, root)
    if stands != other_systems.THERE:
        name = declared.name
        raise StateError(f"{name} is not there: {why}", f"allie system add {name}")


def _must_be_switchable(declared: Declared, root: str) -> None:
    """Asked before an image is fetched that could never be switched to."""
    recover_locked(root)
    _must_be_there(declared, root)
    if not tree_copies.can_move(root):
        raise StateError(
            f"{root} is in the lower layer of an overlayfs, where no directory can be moved",
            f"update {declared.name} where that layer is the disk itself: without the overlay",
        )


def _must_be_unused(root: str, name: str) -> None:
    inside = processes_inside.entered(root)
    if inside:
        raise StateError(f"{name} is in use (pid {' '.join(map(str, inside[:5]))})")


def _remove_trees(declared: Declared, root: str) -> None:
    stands, why = other_systems.standing(declared, root)
    if os.path.isdir(root) and stands == other_systems.FOREIGN:
        raise StateError(why, "nothing was removed")
    if other_systems.in_place(declared, root):
        _must_be_unused(root, root)
    if os.path.isdir(root) and lock.is_running(open_system.open_system(root)):
        raise Busy(f"a tick of {declared.name} is running", "try again")
    gone = other_systems.beside(root, "gone")
    besides = ("other", "part", "away")
    trees = [other_systems.beside(root, each) for each in besides]
    trees += [root] * (stands != other_systems.MISSING)  # else an empty directory of somebody's
    there = [(each, tree_copies.can_move(each)) for each in filter(os.path.isdir, trees)]
    earlier = earlier_trees.trees(root)
    for each in [gone, *trees, *earlier]:
        tree_copies.need_no_mount(each)
    # Only now that all were asked: of half a removal the next tick would make the system anew
    tree_copies.discard_aside(other_systems.beside(root, ""))
    tree_copies.discard(gone)
    for each, moves in there:
        if moves:
            os.rename(each, gone)  # a half removed tree is no system
        tree_copies.discard(gone)
        tree_copies.discard(each)
    for each in earlier:
        tree_copies.discard(each)
