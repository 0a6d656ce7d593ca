"""The tick: run the numbered scripts of /root/conf that are due, and report.

    lock → for each due script: facts, run, verdict → report

The directory is read again after each script, since 00overlay may bring new ones. The kit's own
stubs are done in a forked child of this process: the same process boundary, exit code and output
as a program's, without starting another interpreter.

docs/internals/rules.md, "Stubs are known by their digest".
"""

from __future__ import annotations

import os
import stat
import time
from _collections_abc import Callable, Mapping, Sequence

from allie.client.state import done_files, records, script_files
from allie.client.state.script_files import Script
from allie.client.tick import part, quick_note, reporting, script_process, script_states
from allie.client.tick.script_process import Ended
from allie.client.tick.worker import Work, Worker
from allie.core import digest, stubs
from allie.core import script as rules
from allie.core.change.report import Applied, Report
from allie.core.errors import AllieError, StateError, UsageError, did_you_mean
from allie.core.facts import Facts
from allie.core.script import Headers, Verdict
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import lock
from allie.machine.roots import open_system
from allie.machine.roots.open_places import OpenPlaces

Idle = Callable[[System], bool]  # whether it would do nothing: then no child is forked for it


class Kit(Value):
    """What the stubs of the kit do, by their names; of some, whether there is anything to do.

    follows: the paths that this follows from, beside the settings. tells: whether there is somebody
    whom the reporter may tell of the tick so far.
    """

    work: Mapping[str, Work]
    idle: Mapping[str, Idle]
    follows: Callable[[System], list[str]] = lambda _: []
    tells: Callable[[System], bool] = lambda _: False


# What a tick sets in the environment of what it runs
_TOLD = "ALLIE_SYSTEM ALLIE_TICK ALLIE_FETCHED ALLIE_HOST ALLIE_CLASSES".split()
GIVEN = (*_TOLD, lock.INHERITED, part.ROUTINE)
_BARE = Script(stubs.FETCHER, b"", True)  # where the kit's is not there, or is no file
_PART_SECONDS = 45 * 60.0  # that a part may take in all: a fetch ends after half an hour


class _Tick(Value):
    """What stays the same during one tick."""

    pins: OpenPlaces  # the system's own directories, and its lock
    number: int
    began: float
    since: float  # time.monotonic
    kit: Kit
    before: dict[str, Verdict]  # the last tick's
    echo: bool
    first: bool
    spared: int  # the generation in force, if both parts are known to have nothing to do; else 0
    worker: Worker

    @property
    def here(self) -> System:
        """The system; where its own directories are, a script may have changed."""
        return self.pins.here


def run(
    here: System, names: Sequence[str], kit: Kit, *, echo: bool = False, first: bool = False
) -> Report:
    """Run one tick, or (names) just these scripts whatever their state; return its report.

    first: 00overlay is done even before it is there.
    Raises Busy where another tick runs, and StateError, having touched nothing, where this PC's
    disk takes no writes.
    """
    open_system.need_name(here)
    with OpenPlaces(here, "run-conf") as pins:
        began, since = time.time(), time.monotonic()
        here = pins.here
        routine = not (names or echo or first)
        if routine and quick_note.is_enough(here):
            return records.last_report(here) or reporting.report_of(here, 0, began)
        spared = quick_note.spared(here) if routine else 0
        try:
            records.need_room(here)
            number = records.next_tick(here)
        except StateError as error:
            reporting.elsewhere(here, began, error)
            raise
        last = records.last_report(here)
        before = {verdict.name: verdict for verdict in last.scripts} if last else {}
        worker = Worker(kit.work)
        tick = _Tick(pins, number, began, since, kit, before, echo, first, spared, worker)
        verdicts = _named(tick, names) if names else _all_due(tick)
        worker.dismiss()
        report = _report(tick, verdicts, tuple(names))
        try:
            records.save_report(tick.here, report)
        except StateError as error:
            reporting.elsewhere(tick.here, began, error)
            raise
        if routine and not (report.paused or report.problems or report.changed):
            quick_note.write(tick.here, report, kit.idle, kit.follows)
        return report


def _all_due(tick: _Tick) -> list[Verdict]:
    """Every script in turn; while paused only those of the kit that then only report."""
    verdicts: list[Verdict] = []
    last = ""
    paused = records.pause(tick.here)
    names = script_states.names(tick.here)
    if stubs.FETCHER not in names and (tick.first or _is_damaged(tick.here, "")):  # brings itself
        verdicts.append(_run(tick, _BARE, Headers(every=0), tick.kit.work[stubs.FETCHER]))
        last, names = stubs.FETCHER, script_states.names(tick.here)
    while True:
        name = next((each for each in names if each > last), None)
        if name is None:
            return verdicts
        last = name
        verdict, script, headers, work = _standing(tick, name)
        only_reports = name in stubs.PARTS or (work and name == stubs.REPORTER)
        if verdict.state == "due" and script and (only_reports or not paused):
            if work and name == stubs.REPORTER and tick.kit.tells(tick.here):
                records.save_report_so_far(tick.here, _report(tick, verdicts, ()))
            verdict = _run(tick, script, headers._replace(every=0) if work else headers, work)
            names = script_states.names(tick.here)
            if not work:
                tick = tick._replace(spared=0)  # it may have changed anything
        verdicts.append(verdict)


def _standing(tick: _Tick, name: str) -> tuple[Verdict, Script | None, Headers, Work | None]:
    """How a script stands, and what it does if it is the kit's."""
    verdict, script, headers = script_states.standing(tick.here, name, tick.before, time.time())
    if script:
        return verdict, script, headers, _kit_work(tick, script)
    if name == stubs.FETCHER and verdict.state == "failing" and _is_damaged(tick.here, ""):
        return verdict._replace(state="due"), _BARE, headers, tick.kit.work[name]
    return verdict, None, headers, None


def _named(tick: _Tick, names: Sequence[str]) -> list[Verdict]:
    """Just these scripts, whatever their state; the others stay as they were."""
    verdicts = {
        each.name: tick.before.get(each.name, each) if each.state == "due" else each
        for each in script_states.survey(tick.here)
    }
    for name in names:
        script = script_files.read(tick.here, name) if rules.is_name(name) else None
        if script is None:
            meant = did_you_mean(name, verdicts)
            raise UsageError(f"there is no script {tick.here.conf}/{name}", meant or "allie status")
        headers = rules.parse_headers(script.content)
        verdicts[name] = _run(tick, script, headers, _kit_work(tick, script))
    if any(_became_otherwise(tick, verdicts[name]) for name in names if name not in stubs.NAMES):
        _tell(tick, names, verdicts)
    return [verdicts[name] for name in sorted(verdicts)]


def _became_otherwise(tick: _Tick, verdict: Verdict) -> bool:
    before = tick.before.get(verdict.name)
    return before is None or (before.state, before.why) != (verdict.state, verdict.why)


def _tell(tick: _Tick, names: Sequence[str], verdicts: dict[str, Verdict]) -> None:
    """Have the store know at once what became otherwise, not with the next tick."""
    reporter = script_files.read(tick.here, stubs.REPORTER)
    work = _kit_work(tick, reporter) if reporter else None
    if reporter and work and stubs.REPORTER not in names:
        so_far = [verdicts[name] for name in sorted(verdicts)]
        records.save_report_so_far(tick.here, _report(tick, so_far, tuple(names)))
        verdicts[reporter.name] = _run(tick, reporter, Headers(every=0), work)


def _run(tick: _Tick, script: Script, headers: Headers, work: Work | None) -> Verdict:
    """Run one script (or do a stub's work) and judge how it ended."""
    here, name = tick.here, script.name
    running = script_process.still_running(here, name)
    if running:
        return Verdict(name, "waiting", running, tick.before.get(name, Verdict(name, "", "")).since)
    try:
        env = _environment(tick, None if work else reporting.facts(here))
        if work and not (tick.echo or tick.first):
            env[part.ROUTINE] = "1"
        is_part = work is not None and name in stubs.PARTS
        idle = tick.spared if is_part else name in tick.kit.idle and tick.kit.idle[name](here)
        if work and idle:
            ended = Ended(0, 0.0, "")
        else:
            if not work:
                tick.worker.dismiss()  # a script may change all that it knows
            seconds = _PART_SECONDS if is_part else headers.timeout
            worker, keep = tick.worker if work else None, (tick.pins.inside,)
            ended = script_process.run(here, script, env, seconds, worker, keep, echo=tick.echo)
    except AllieError as error:
        ended = Ended(error.exit_code, 0.0, str(error))
    verdict = _verdict(tick, script, headers, ended)
    cause = "" if work or verdict.state == "satisfied" else done_files.cause(here, name)
    verdict = verdict._replace(why=f"{verdict.why}; {cause}") if cause else verdict
    if not (work and here.is_base):
        tick.pins.renew()
    try:
        began = time.time() - (time.monotonic() - tick.since)  # the clock may have been put right
        done_files.note(tick.here, script, verdict, headers, began)
    except StateError as error:
        verdict = verdict._replace(state="failing", why=str(error))
    return verdict


def _verdict(tick: _Tick, script: Script, headers: Headers, ended: Ended) -> Verdict:
    name = script.name
    state_now = "failing" if ended.timed_out else rules.state_after(ended.code)
    if ended.timed_out:
        why = f"ended after {rules.span_text(ended.seconds)} (# allie: timeout)"
    elif ended.code < 0:
        why = f"ended by signal {-ended.code}"
    else:
        why = f"exit {ended.code}"
    why += script_states.misread(headers)
    earlier = tick.before.get(name)
    same = earlier is not None and earlier.state == state_now and earlier.since
    since = earlier.since if same and earlier else time.time()
    last = "" if state_now == "satisfied" else ended.last
    return Verdict(name, state_now, why, since, ended.code, round(ended.seconds, 3), last)


def _kit_work(tick: _Tick, script: Script) -> Work | None:
    """What a stub does, if the script is the kit's, byte for byte, and root's; or is damaged."""
    if script.name not in tick.kit.work:
        return None
    found = digest.of(script.content)
    if found not in stubs.DIGESTS:
        damaged = script.name == stubs.FETCHER and _is_damaged(tick.here, found)
        return tick.kit.work[script.name] if damaged else None
    st = os.lstat(f"{tick.here.conf}/{script.name}")
    return tick.kit.work[script.name] if stat.S_ISREG(st.st_mode) and st.st_uid == 0 else None


def _is_damaged(here: System, found: str) -> bool:
    """Whether 00overlay is not what the kit placed (found: its digest, "" without one).

    As it stands it would fetch nothing, and so never be put right: then its work is done by us.
    """
    real = f"{here.conf}/{stubs.FETCHER}"[len(here.at("")) :]
    placed = records.load_ledger(here).entries.get(real)
    return placed is not None and placed.overlay == stubs.KIT and placed.content != f"f:{found}"


def _environment(tick: _Tick, known: Facts | None) -> dict[str, str]:
    env = {
        "ALLIE_SYSTEM": tick.here.name,
        "ALLIE_TICK": str(tick.number),
        "ALLIE_FETCHED": "/var/lib/allie/fetched",
        lock.INHERITED: str(tick.pins.inside),
    }
    if known:
        env["ALLIE_HOST"] = known.host
        env["ALLIE_CLASSES"] = " ".join(known.classes)
    return env


def _report(tick: _Tick, verdicts: list[Verdict], named: tuple[str, ...]) -> Report:
    parts = [records.applied(tick.here, name) for name in stubs.PARTS.values()]
    applied = tuple(each for each in parts if each and (named or each.tick == tick.number))
    if tick.spared:
        did = {each.part for each in applied}
        spared = (each for each in stubs.PARTS.values() if each not in did)
        applied += tuple(Applied(tick.number, each, tick.spared) for each in spared)
    report = reporting.report_of(tick.here, tick.number, tick.began)._replace(notes=tick.pins.notes)
    return report._replace(applied=applied, scripts=tuple(verdicts), named=named)
