"""The power goes at a step of a tick: as test_kill_everywhere, but what was not synced is lost too.

The PC's root stands on a disk whose power is cut at that step (tests/worlds/power.py); the tick's
processes are killed. With every second cut the journal had just been committed: names are on the
disk, and of the content perhaps nothing.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest

from tests.crash import ptrace, world
from tests.crash.test_kill_everywhere import (
    Stage,
    _converges,
    _none_is_half,
    _sample,
    needs_ptrace,
    stage,
)
from tests.worlds import machine, power
from tests.worlds.forked import work
from tests.worlds.power import PowerDisk

pytestmark = [
    pytest.mark.root,
    pytest.mark.real,
    pytest.mark.slow,
    needs_ptrace,
    pytest.mark.timeout(7200),
]
EMPTY = sha256().hexdigest()
DONE_OF = {"srv/once": "root/done/60once", "srv/seen": "root/done/50watch"}
__all__ = ["stage"]  # a fixture


@pytest.mark.parametrize("kind", list(power.KINDS))
def test_power_cut_at_any_step(stage: Stage, kind: str, tmp_path: Path) -> None:
    why = machine.lacks_disk(kind)
    if why:
        pytest.skip(why)
    wrong = []
    for place, number in enumerate(_sample(len(stage.steps), 10)):
        for_whom = f"step {number} of {len(stage.steps)}"
        try:
            with PowerDisk(tmp_path / "disk", kind) as disk:
                _cut_and_recover(stage.scene, disk, number, journal=place % 2 == 1)
        except AssertionError as error:
            wrong.append(f"{for_whom}: {error}")
        (tmp_path / "disk").rmdir()
    assert not wrong, "\n\n".join(wrong)


STAGED = r"renameat \d+ "  # from its number on a stage to its name


@pytest.mark.parametrize("kind", list(power.KINDS))
def test_what_was_placed_in_the_last_moment_is_not_empty(
    stage: Stage, kind: str, tmp_path: Path
) -> None:
    """At the step after all of a part's files have got their names."""
    why = machine.lacks_disk(kind)
    if why:
        pytest.skip(why)
    steps = list(enumerate(stage.steps, 1))
    placed = [number for number, step in steps if re.match(STAGED, step)]
    books = [number for number, step in steps if re.match(r"rename .+/ledger$", step)]
    last = {max(filter(book.__gt__, placed)) for book in books if book > placed[0]}
    assert len(last) == 2, "one for each part"
    for number in last:
        with PowerDisk(tmp_path / "disk", kind) as disk:
            trial, _ = _cut(stage.scene, disk, number + 1, journal=True)
            assert not _hollow(stage.scene, trial), f"step {number + 1}"
        (tmp_path / "disk").rmdir()


def _cut_and_recover(scene: world.Scene, disk: PowerDisk, number: int, *, journal: bool) -> None:
    trial, run = _cut(scene, disk, number, journal=journal)
    if len(run.steps) < number:
        return  # this run had fewer steps than the counted one
    step = run.steps[number - 1].replace(str(trial), "")
    assert not _hollow(scene, trial), step
    _none_is_half(scene, trial, step)
    _converges(scene, trial, step)


def _cut(
    scene: world.Scene, disk: PowerDisk, number: int, *, journal: bool
) -> tuple[Path, ptrace.Traced]:
    """A tick whose power goes at a step: the root as it stands when the power is back."""
    trial = world.copy(scene.before, disk.at / "trial")
    disk.sync()
    run = ptrace.trace(
        work(trial, "run-conf"), number, below=trial, first=lambda: disk.cut(journal=journal)
    )
    disk.back()
    return trial, run


def _hollow(scene: world.Scene, trial: Path) -> frozenset[str]:
    """The files without content that have some in a whole tick.

    But for what a script has just written: until it is satisfied for good, it runs again.
    """
    new = world.contents(scene.after)
    return frozenset(
        name
        for name, now in world.contents(trial).items()
        if now[0] == "file" and now[-1] == EMPTY and new.get(name, now)[-1] != EMPTY
        if name not in ("srv/once", "srv/seen") or (trial / DONE_OF[name]).exists()
    )
