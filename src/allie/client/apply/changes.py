"""Make the changes of a plan, as one transaction.

    Plan  →  Intent  →  transaction  →  Applied

docs/internals/rules.md, "A new client is tried first".
"""

from __future__ import annotations

import os
import stat
import sys

from allie.client.apply import transaction
from allie.client.originals import pristine
from allie.client.state import records
from allie.core import forbidden_paths, stubs, system
from allie.core.change import intent as intents
from allie.core.change import report
from allie.core.change.intent import NOTHING_THERE, Intent, Step
from allie.core.change.ledger import DIRECTORY, Ledger
from allie.core.change.plan import FORGET, PLACE, RESTORE, Change, Plan
from allie.core.change.present import Offer, Present
from allie.core.change.report import Applied
from allie.core.change.resolution import Problem
from allie.core.errors import PathRefused
from allie.core.system import System
from allie.machine.files import atomic, tree
from allie.machine.programs import process
from allie.machine.roots import open_system

_TRIAL = 20.0  # seconds for a new client's selfcheck, which takes less than one
_TRIAL_OUTPUT = 65536  # bytes; it prints one line


def apply(
    here: System, plan: Plan, present: Present, saved: Ledger, tick: int
) -> tuple[Applied, Ledger]:
    """Make the root match the plan; what was done or could not be, and the ledger after it.

    saved: the ledger as it is on disk; nothing is written where it already says everything.
    """
    plan, left_out = _without_a_broken_kit(here, plan)
    if plan.is_nothing:
        ledger = _settled(here, plan, _forget_sources(present, plan, left_out), saved)
        return Applied(tick, plan.part, plan.generation, problems=plan.problems), ledger
    plan = _with_remarks(here, plan, present.renewals)
    records.begin_ledger(here)
    plan, pristines = _with_pristines(here, plan, present.renewals)
    steps, offers, stuck = _all_steps(here, plan, pristines)
    intent = Intent(tick, plan.part, plan.generation, tuple(steps))
    ledger = _forget_sources(present, plan, left_out)
    outcome = transaction.carry_out(here, intent, offers, ledger)
    confirmed = {step.real: step for step in outcome.confirmed}
    _reload_units(here, [step.real for step in outcome.confirmed if step.before != step.wanted])
    done = [
        change._replace(verb=confirmed[change.real].verb, why=confirmed[change.real].why)
        for change in plan.changes
        if change.real in confirmed
    ]
    problems = [*plan.problems, *stuck, *outcome.problems]
    return report.applied_of(tick, plan, done, problems), outcome.ledger


def offer_of(path: str, most: int = 0) -> Offer:
    """A file that we kept (in pristine/ or undo/), as an offer.

    most: bytes (0: any) of a file that others may have a second name for, and write to. Raises
    OSError, and PathRefused where it has more.
    """
    st = os.lstat(path)
    others = st.st_uid != 0 or st.st_mode & 0o022
    if most and others and st.st_size > most and stat.S_ISREG(st.st_mode):
        raise PathRefused("it is larger than when it was kept")
    return Offer(path, tree.source_of(path, st), *tree.digests(path, st), st.st_size)


def whole(real: str, path: str, most: int = 0) -> list[tuple[str, Offer]]:
    """A file, or a directory with all that is in it, as offers by real path.

    Raises OSError, and PathRefused where it is more than is walked: a user may still be in it.
    """
    found = [(real, offer_of(path, most))]
    if found[0][1].content == DIRECTORY:
        below = sorted(name for name, _ in tree.survey(path))
        found += [(f"{real}/{name}", offer_of(f"{path}/{name}", most)) for name in below]
    return found


def _settled(here: System, plan: Plan, ledger: Ledger, saved: Ledger) -> Ledger:
    """The ledger where nothing is to be done: written if it says more than the one on disk."""
    if ledger is saved and ledger.generations.get(plan.part) == plan.generation:
        return ledger
    generations = {**ledger.generations, plan.part: plan.generation}
    ledger = ledger._replace(generations=generations)
    records.save_ledger(here, ledger)
    return ledger


def _with_pristines(
    here: System, plan: Plan, renewals: dict[str, str]
) -> tuple[Plan, dict[str, str]]:
    """Keep what stands at paths that are taken over; (the plan, pristines by real path).

    What cannot be kept is no change any more, but a problem.
    """
    pristines, lost = pristine.copy(here, [change for change in plan.changes if change.entry])
    lost.update(pristine.renew(here, plan.of(RESTORE), renewals))
    unkept = tuple(Problem(real, words) for real, words in sorted(lost.items()))
    changes = tuple(change for change in plan.changes if change.real not in lost)
    return plan._replace(changes=changes, problems=(*plan.problems, *unkept)), pristines


def _all_steps(
    here: System, plan: Plan, pristines: dict[str, str]
) -> tuple[list[Step], dict[str, Offer], list[Problem]]:
    """The steps of a plan, what they bring by real path, and the paths that no step can be for."""
    steps: list[Step] = []
    offers: dict[str, Offer] = {}
    stuck = []
    for change in plan.changes:
        try:
            found = _steps(here, change, plan.part, pristines)
        except (OSError, PathRefused) as error:
            stuck.append(Problem(change.real, f"what stood there before cannot be read: {error}"))
            continue
        steps += [step for step, _ in found]
        offers.update({step.real: offer for step, offer in found if offer})
    return steps, offers, stuck


def _steps(
    here: System, change: Change, part: str, pristines: dict[str, str]
) -> list[tuple[Step, Offer | None]]:
    """The steps that one change needs: one, except where a whole directory comes back."""
    name = pristines.get(change.real, change.old.pristine if change.old else "")
    if change.verb != RESTORE or not change.old:
        return [(intents.step_of(change, part, name), change.offer)]
    kept = f"{here.pristine}/{change.old.pristine}"
    if not os.path.lexists(kept):
        lost = change._replace(verb=FORGET, why="left: what stood there before is lost")
        return [(intents.step_of(lost, part, ""), None)]
    offers = whole(change.real, kept)
    first = change._replace(offer=offers[0][1])
    steps: list[tuple[Step, Offer | None]] = [(intents.step_of(first, part, ""), first.offer)]
    for real, offer in offers[1:]:
        state_of = (offer.content, offer.attrs)
        steps.append((Step(real, RESTORE, change.why, NOTHING_THERE, state_of, None, None), offer))
    return steps


def _with_remarks(here: System, plan: Plan, renewals: dict[str, str]) -> Plan:
    """Say so where what comes back is not what one would want there by now."""
    kept = {each.real: each.old.pristine for each in plan.of(RESTORE) if each.old}
    kept = {real: name for real, name in kept.items() if real not in renewals}
    if not kept:
        return plan
    from allie.client.originals import packages  # noqa: PLC0415 - see HACKING.md, start-up

    said = packages.remarks(here, kept)
    changes = (each._replace(why=said.get(each.real, each.why)) for each in plan.changes)
    return plan._replace(changes=tuple(changes))


def _forget_sources(present: Present, plan: Plan, left_out: set[str]) -> Ledger:
    """The ledger without the sources of paths that are left as they are: they are compared anew.

    The very same ledger where there is none.
    """
    ledger = present.ledger
    left = left_out | present.left_alone | {problem.path for problem in plan.problems}
    stale = {real: ledger.entries.get(real) for real in left}
    blank = {real: each._replace(source="") for real, each in stale.items() if each and each.source}
    return ledger._replace(entries={**ledger.entries, **blank}) if blank else ledger


def _reload_units(here: System, placed: list[str]) -> None:
    """Have the systemd that runs read units of the kit that a tick has just placed.

    If it does not, it says so itself in `systemctl status`, and reads them at the next boot.
    """
    ours = {f"{stubs.UNITS}/{name}" for name in (*stubs.TIMERS, stubs.SERVICE)}
    if not ours.isdisjoint(placed) and open_system.runs_systemd(here):
        process.run(["systemctl", "daemon-reload"])


def _without_a_broken_kit(here: System, plan: Plan) -> tuple[Plan, set[str]]:
    """A new client is tried before it is placed; if it fails, the whole kit stays as it is.

    Of the scripts that start it, one that could never be run stays as it is.
    """
    flaws = {each.real: _flaw(here, each) for each in plan.of(PLACE)}
    problems = [Problem(real, words) for real, words in flaws.items() if words]
    left_out = {each.path for each in problems}
    if system.ARCHIVE in left_out:
        left_out |= {each.real for each in plan.changes if _is_kits(each)}
    if not left_out:
        return plan, left_out
    kept = tuple(change for change in plan.changes if change.real not in left_out)
    return plan._replace(changes=kept, problems=(*plan.problems, *problems)), left_out


def _flaw(here: System, change: Change) -> str:
    """Why something of the kit is not placed; "" if it is, or is not of the kit."""
    if not change.offer:
        return ""
    if change.real == system.ARCHIVE:
        words = _why_broken(here, change.offer.path)
        return words and f"the new client does not work here, the kit stays as it is: {words}"
    if change.real in forbidden_paths.NEEDED and _is_kits(change):
        words = _why_no_program(change.offer.path)
        return words and f"the kit's new one could not be run, and stays away: {words}"
    return ""


def _is_kits(change: Change) -> bool:
    return bool(change.entry and change.entry.overlay == stubs.KIT)


def _why_no_program(path: str) -> str:
    """What is wrong with a script before it is even read; "" if nothing is."""
    st = os.lstat(path)
    if not stat.S_ISREG(st.st_mode) or not st.st_mode & 0o100:
        return "it is no file that can be executed"
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return "" if os.read(descriptor, 2) in (b"#!", b"\x7fE") else "it begins with no #!"
    finally:
        os.close(descriptor)


def _why_broken(here: System, archive: str) -> str:
    """What is wrong with a new client; "" if it works. However broken, the tick goes on from here.

    Its `selfcheck` has an end in time, a limit on output and memory, and leaves no process.
    """
    st = os.lstat(archive)
    if not stat.S_ISREG(st.st_mode) or not st.st_mode & 0o100:
        return "it is no file that can be executed"
    from allie.machine.namespaces import trial  # noqa: PLC0415 - see HACKING.md, start-up

    # By its own path: the trial may not look at what we keep open.
    client = os.path.realpath(_ours_if_equal(archive))
    if not here.is_base and client != os.path.realpath(archive):
        return ""  # it would be tried by our own interpreter, by which it runs now
    argv = [sys.executable, "-I", client, "--root", here.root, "selfcheck"]
    # What is not our own may be what another system's root has made of it.
    only = "" if here.is_base else here.root
    tried = trial.run(argv, seconds=_TRIAL, most=_TRIAL_OUTPUT, only=only)
    # The word, and not the status alone: an empty file, too, is a program that exits 0.
    works = tried.code == 0 and stubs.WORKS.encode() in tried.out
    return "" if works else tried.last_words()


def _ours_if_equal(archive: str) -> str:
    """The archive that we run from, where it is the same: its code is unpacked and compiled."""
    ours = os.path.realpath(sys.argv[0])
    both = os.path.isfile(ours) and os.path.getsize(ours) == os.path.getsize(archive)
    same = both and atomic.read_bytes(ours) == atomic.read_bytes(archive)
    return ours if same else archive
