"""Kill -9 at every step of a tick; then look, tick, look, tick, look, and undo.

A step is each system call that changes a file system and each start of a program, counted over
all processes of the tick. Three victims: all processes at once (power, or the unit's cgroup), the
tick's first process alone (what has it left at work?), and the process that was about to do the
step.

By default a sample of the steps, spread evenly; ALLIE_KILL_STEPS=all takes each one (20 minutes),
ALLIE_KILL_STEPS=100 that many of each scene, ALLIE_KILL_STEPS==81,323 just these.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import leftovers
from tests.crash import ptrace, world
from tests.worlds import machine
from tests.worlds.forked import allie, work

SAMPLE = os.environ.get("ALLIE_KILL_STEPS", "")
needs_ptrace = pytest.mark.skipif(
    not (machine.is_root() and ptrace.works()), reason="needs root and ptrace"
)
pytestmark = [pytest.mark.root, pytest.mark.real, needs_ptrace, pytest.mark.timeout(7200)]


class Stage(NamedTuple):
    """A scene, and how many steps its tick has."""

    scene: world.Scene
    steps: list[str]


@pytest.fixture(scope="module", params=["first", "second", "own"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """One of the scenes, made once."""
    make: Callable[[Path], world.Scene] = getattr(world, request.param)
    scene = make(tmp_path_factory.mktemp(request.param))
    trial = world.copy(scene.before, scene.before.with_name("counted"))
    counted = ptrace.trace(work(trial, "run-conf"), below=trial)
    assert counted.code == 0, counted.out
    assert not world.differences(world.contents(trial), world.contents(scene.after))
    return Stage(scene, counted.steps)


@pytest.mark.parametrize(
    ("victim", "share"), [("all", 16), ("top", 5), ("caller", 5)], ids=lambda each: str(each)
)
def test_killed_at_any_step(stage: Stage, victim: str, share: int) -> None:
    total = len(stage.steps)
    wrong = []
    for number in _sample(total, share):
        trial = stage.scene.before.with_name("trial")
        try:
            _kill_and_recover(stage.scene, trial, number, victim)
        except AssertionError as error:
            wrong.append(f"step {number} of {total}, killed {victim}: {error}")
        finally:
            shutil.rmtree(trial)
        if len(wrong) > 4:
            break
    assert not wrong, "\n\n".join(wrong)


def _sample(total: int, share: int) -> list[int]:
    if SAMPLE.startswith("="):
        return [int(number) for number in SAMPLE[1:].split(",")]
    count = total if SAMPLE == "all" else int(SAMPLE or share)
    return sorted({1 + place * total // count for place in range(count)})


def _kill_and_recover(scene: world.Scene, trial: Path, number: int, victim: str) -> None:
    world.copy(scene.before, trial)
    run = ptrace.trace(work(trial, "run-conf"), number, victim, below=trial)
    if len(run.steps) < number:
        return  # this run had fewer steps than the counted one
    step = run.steps[number - 1].replace(str(trial), "")
    _none_is_half(scene, trial, step)
    # rsync gives a dead half of itself ten seconds; the next tick would wait for it.
    assert run.lingered < 15, f"{step}: {run.lingered} s later some were still at work"
    if number % 2:
        _away(scene, trial, step)
    _converges(scene, trial, step)
    _undo(scene, trial, step)


def _converges(scene: world.Scene, trial: Path, step: str) -> None:
    """The next tick brings about all that was to be, and the one after it changes nothing."""
    again = allie(trial, "run-conf")
    assert again.rc == 0, f"{step}: the next tick: {again}"
    _as_if_nothing_happened(scene, trial, step)
    before = world.lstats(trial)
    allie(trial, "run-conf").ok()
    moved = world.differences(before, world.lstats(trial))
    assert not moved, f"{step}: a second tick changed {moved}"


def _none_is_half(scene: world.Scene, trial: Path, step: str) -> None:
    """Each path that both ticks know is old or new; nothing is mounted."""
    old, new, now = (world.contents(root) for root in (scene.before, scene.after, trial))
    mended = world.contents(scene.mended)
    for name in old.keys() | new.keys():
        if name in world.NOT_ATOMIC or name.startswith(("root/done", "srv/", "etc/app/linked")):
            continue
        stands = now.get(name)
        if stands and stands[0] == "directory":
            continue  # a new one gets its mode after it is made
        may = [_unlinked(each.get(name)) for each in (old, mended, new)]
        assert _unlinked(stands) in may, f"{step}: {name} is {stands}"
    assert leftovers.mounts_below(trial) == []


def _unlinked(facts: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    """Without the number of its links: a file is linked to undo before it is replaced."""
    return facts and tuple(
        each for place, each in enumerate(facts) if (facts[0], place) != ("file", 4)
    )


def _away(scene: world.Scene, trial: Path, step: str) -> None:
    """A tick with the store away: all is old, or all is new, and nothing else is there.

    What is the host's own is so by itself.
    """
    hidden = scene.store.with_name("hidden")
    scene.store.rename(hidden)
    try:
        allie(trial, "run-conf")
    finally:
        hidden.rename(scene.store)
    now = world.contents(trial)
    to_old = world.differences(world.contents(scene.mended), now)
    to_new = world.differences(world.contents(scene.after), now)
    for each in (to_old, to_new):  # scripts may run once more
        for name in [name for name in each if name.startswith(("root/done", "srv/"))]:
            del each[name]
    for own in (True, False):
        of_it = {name for name in {*to_old, *to_new} if (name in world.OF_PRIVATE) == own}
        old, new = of_it & to_old.keys(), of_it & to_new.keys()
        assert not new or not old, f"{step}: with the store away, neither new {new} nor old {old}"


def _as_if_nothing_happened(scene: world.Scene, trial: Path, step: str) -> None:
    wanted, now = world.contents(scene.after), world.contents(trial)
    # A script may have run twice: it appends a line each time.
    ran = {name: (trial / name).read_text() for name in ("srv/once", "srv/seen")}
    assert ran["srv/seen"] == (scene.after / "srv/seen").read_text(), f"{step}: a re-arm was lost"
    last = (scene.after / "srv/once").read_text().split()[-1]
    assert ran["srv/once"].split()[-1] == last, f"{step}: a changed script did not run"
    for each in (wanted, now):
        each.pop("srv/once")
    wrong = world.differences(wanted, now)
    assert not wrong, f"{step}: after the next tick (wanted, found): {wrong}"
    wrong = world.differences(world.books(scene.after), world.books(trial))
    assert not wrong, f"{step}: the books after the next tick (wanted, found): {wrong}"
    odd = [name for name in world.walk(trial) if re.search(r"\.~tmp~|\.part$", name)]
    assert not odd, f"{step}: left behind: {odd}"


def _undo(scene: world.Scene, trial: Path, step: str) -> None:
    """Undo all since the killed tick: every file is again as it was before that."""
    kept = trial / "var/lib/allie/undo"
    numbers = sorted({int(path.parts[-3]) for path in kept.glob("*/*/manifest")})
    numbers = [number for number in numbers if number >= scene.tick]
    assert numbers, f"{step}: there is nothing to undo"
    undone = allie(trial, "undo", str(numbers[0]))
    assert undone.rc == 0, f"{step}: undo: {undone}"
    own = ("root/done", "srv/")
    wrong = world.differences(world.contents(scene.before), world.contents(trial))
    wrong = {name: pair for name, pair in wrong.items() if not name.startswith(own)}
    assert not wrong, f"{step}: after undo (wanted, found): {wrong}"
