"""Bring the systems that are missing, tick each one that is there: for `look_after`.

Nothing here waits for long: a fetch or an update goes on by itself (a transient unit of systemd, or
a process of its own), and so does a tick that takes its time. One system's failure, or its hanging,
touches neither the base nor another system.
"""

from __future__ import annotations

import os
import time
from _collections_abc import Callable
from contextlib import ExitStack

from allie.client.situation import bound_disks, other_systems
from allie.client.state import records
from allie.client.systems import fence, new_system, record, update_rollback
from allie.client.systems.new_system import Job
from allie.client.systems.record import Trouble
from allie.client.tick import kit, whole_tick
from allie.core import system
from allie.core.conf.settings import Settings
from allie.core.errors import AllieError, Busy, StateError
from allie.core.system import System
from allie.core.value import Value
from allie.machine import console
from allie.machine.files import atomic, free_space, lock
from allie.machine.programs import background, process
from allie.machine.roots import open_system

_PATIENCE = 15.0  # seconds for which the base's tick waits for those of its siblings
_LOOK = 0.05
_MORE_ROOM = 1.01  # after a full disk, try again once there is more than there was


class Outcome(Value):
    """How things are with one system, after we looked after it."""

    name: str
    state: str  # there, waiting or failing
    words: str


class _Ticking(Value):
    """A sibling whose tick we started."""

    job: Job
    began: float
    wanted: str  # why it is to be updated then; "" if it is not

    @property
    def name(self) -> str:
        """The system's."""
        return self.job.declared.name


def all_others(base: System, settings: Settings) -> list[Outcome]:
    """Look after every other system of this PC."""
    outcomes = []
    ticking = []
    besides = _fence(base, settings)
    for declared in settings.others:
        if not declared.root or not declared.is_looked_after:
            if declared.is_partition:
                bound_disks.renew(base, declared)
            continue  # only ever the base; or looked after by somebody else, and entered
        job = Job(base, settings, declared)
        try:
            begun = _tend(job, besides)
        except (AllieError, OSError) as error:
            begun = _trouble(declared.name, error)
        if isinstance(begun, Outcome):
            outcomes.append(begun)
        else:
            ticking.append(begun)
    ended = _wait(base, ticking)
    outcomes += [_update(each, ended[each.name]) for each in ticking]
    for place, each in enumerate(outcomes):
        if each.name in besides:
            words = f"{each.words}; {besides[each.name]}"
            outcomes[place] = each._replace(state="failing", words=words)
    return outcomes


def _fence(base: System, settings: Settings) -> dict[str, str]:
    """Keep the privileged programs of all of them from users; of which that cannot be, and why.

    Before anything else: a partition is mounted in a namespace of its own, where we then are.
    """
    trouble = {}
    for declared in settings.others:
        if declared.root and not declared.is_partition:
            try:
                root = other_systems.directory_of(base, declared)
                if os.path.isdir(root):
                    fence.put_up(base, declared, root)
            except (AllieError, OSError) as error:
                trouble[declared.name] = str(error)
    return trouble


def _tend(job: Job, besides: dict[str, str]) -> Outcome | _Ticking:
    """Start what one system needs: its fetch, or its tick.

    besides: takes what else is wrong with a system that is ticked all the same, by its name.
    """
    base, declared = job.base, job.declared
    name = declared.name
    arriving = record.arriving(base, name)
    if arriving:
        return Outcome(name, "waiting", arriving)
    with other_systems.opened(base, declared) as root:
        place = other_systems.in_place(declared, root)
        if not place:
            try:
                update_rollback.recover(base, declared, root)
            except StateError as error:
                besides[name] = str(error)
        stands, why = other_systems.standing(declared, root)
        if stands == other_systems.FOREIGN:
            return Outcome(name, "failing", why)
        if stands == other_systems.THERE:
            record.note_place(base, declared)
            new_system.finish(root)
            wanted = update_rollback.wants_update(base, declared, root)
            running = lock.is_running(open_system.open_system(root))
        else:
            return _start(job, "add", root, lambda: new_system.bring(job))
    if running:
        late = Outcome(name, "there", "its last tick is still at work")
        return _update(_Ticking(job, 0, wanted), late)
    atomic.remove(_failure(base, name))
    began = time.time()
    _launch(base, f"allie-tick-{name}", ["--system", name, "run-conf"], lambda: _tick(job))
    return _Ticking(job, began, wanted)


def _trouble(name: str, error: Exception) -> Outcome:
    if isinstance(error, Busy):
        return Outcome(name, "waiting", error.message)
    return Outcome(name, "failing", str(error))


def _update(ticking: _Ticking, ticked: Outcome) -> Outcome:
    """Have a system updated, if it is to be, once it was ticked: an update may fail for ever."""
    if not ticking.wanted:
        return ticked
    job, name = ticking.job, ticked.name
    try:
        with other_systems.opened(job.base, job.declared) as root:
            if other_systems.in_place(job.declared, root):
                words = f"{ticking.wanted}: allie system update {name} --in-place"
                begun = Outcome(name, "failing", words)
            else:
                begun = _start(job, "update", root, lambda: update_rollback.update(job))
    except (AllieError, OSError) as error:
        begun = _trouble(name, error)
    state_now = ticked.state if ticked.state == "failing" else begun.state
    return Outcome(name, state_now, f"{ticked.words}; {begun.words}")


def _start(job: Job, verb: str, root: str, work: Callable[[], object]) -> Outcome:
    """Have a system fetched or updated in the background, unless the disk was full and is."""
    base, name = job.base, job.declared.name
    last = record.trouble(base, name)
    if last.image == job.declared.image and not _has_more_room(root, last):
        return Outcome(name, "failing", f"not tried again before there is room: {last.message}")

    def run() -> int:
        work()
        return 0

    _launch(base, f"allie-fetch-{name}", ["system", verb, name], run, idle=True)
    doing = "fetch begun" if verb == "add" else f"update to {job.declared.image} begun"
    state_now = "failing" if last.message and not last.away else "waiting"
    words = f"{doing}; last time: {last.message}" if last.message else doing
    return Outcome(name, state_now, words)


def _launch(
    base: System, unit: str, words: list[str], work: Callable[[], int], *, idle: bool = False
) -> None:
    """Have something done that outlives us: by systemd where it runs, else by a process."""
    if open_system.runs_systemd(base):
        low = ["-p", "Nice=19", "-p", "IOSchedulingClass=idle"] if idle else ["-p", "Nice=10"]
        argv = ["systemd-run", f"--unit={unit}", "--collect", "--quiet", *low]
        argv += ["-p", "SuccessExitStatus=1 75 143", f"/{system.ARCHIVE}", *words]
        process.run(argv, check=True)
        return
    os.makedirs(base.logs, 0o755, exist_ok=True)
    background.detach(work, f"{base.logs}/{unit.partition('-')[2]}.log", idle=idle)


def _tick(job: Job) -> int:
    """In a process of its own: one tick of a sibling."""
    for name in whole_tick.GIVEN:  # by the base's tick, to its own scripts
        os.environ.pop(name, None)
    os.environ["ALLIE_OFFLINE"] = "1"
    try:
        with other_systems.opened(job.base, job.declared) as root:
            _hand_over(job, root)
            return kit.tick_of_another(open_system.open_system(root))
    except (AllieError, OSError) as error:  # it cannot report by itself
        atomic.write(_failure(job.base, job.declared.name), str(error), durable=False)
        raise


def _hand_over(job: Job, root: str) -> None:
    try:
        bound_disks.hand_over(job.base, job.settings, job.declared, root)
    except (AllieError, OSError) as error:  # it is for another day
        console.warn(f"{job.declared.name}: not told which disks are this PC's: {error}")


def _failure(base: System, name: str) -> str:
    """Where a tick that could not even begin says why."""
    return f"{bound_disks.book(base, name)}/tick"


def _wait(base: System, ticking: list[_Ticking]) -> dict[str, Outcome]:
    """How the ticks ended that we started, by system; the ordinary ones have nothing to do."""
    deadline = time.monotonic() + _PATIENCE
    outcomes: dict[str, Outcome] = {}
    with ExitStack() as stack:
        roots = {
            each.name: stack.enter_context(other_systems.opened(base, each.job.declared))
            for each in ticking
        }
        while len(outcomes) < len(ticking) and time.monotonic() < deadline:
            time.sleep(_LOOK)
            for each in ticking:
                ended = _ended(base, each, roots[each.name])
                if ended:
                    outcomes[ended.name] = ended
        for name, root in roots.items():
            late = Outcome(name, "there", "its tick goes on")
            if not lock.is_running(open_system.open_system(root)):
                late = Outcome(name, "failing", f"its tick does not begin; log: tick-{name}")
            outcomes.setdefault(name, late)
    return outcomes


def _ended(base: System, ticking: _Ticking, root: str) -> Outcome | None:
    """How a tick that we started ended; None while it has not."""
    name = ticking.name
    failure = atomic.read(_failure(base, name))
    if failure:
        return Outcome(name, "failing", f"cannot be ticked: {failure}")
    here = open_system.open_system(root)
    report = None if lock.is_running(here) else records.last_report(here)
    if report is None or report.began < ticking.began:
        return None
    needs = f"ticked; something needs attention: allie --system {name} status"
    return Outcome(name, "there", needs if report.needs_attention else "ticked")


def _has_more_room(place: str, last: Trouble) -> bool:
    """Whether the disk where a system is, or will be, has more room than when it was filled."""
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    now = free_space.room(place)
    names = now.free_names >= last.free_names * _MORE_ROOM
    return now.free >= last.free * _MORE_ROOM or names
