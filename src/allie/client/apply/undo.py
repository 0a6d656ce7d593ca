"""Undo: put back what ticks replaced.

docs/internals/rules.md, "Undo is followed by a pause".
"""

from __future__ import annotations

import os

from allie.client.apply import changes as applying
from allie.client.apply import transaction
from allie.client.apply.recover import recover, sizes_of
from allie.client.originals import undo_ticks
from allie.client.state import records
from allie.core import stubs
from allie.core.change import intent as intents
from allie.core.change.intent import Intent, Step
from allie.core.change.ledger import DIRECTORY, NOTHING, PARTS, size_and_mtime
from allie.core.change.plan import PLACE, REMOVE
from allie.core.change.present import Offer
from allie.core.errors import PathRefused, UsageError, words_of
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import free_space, lock, tree
from allie.machine.roots.reach import Reach


class Undone(Value):
    """What came of taking ticks back."""

    back: dict[str, bool]  # by real path of what was put back: whether something stands there now
    left: dict[str, str]  # by real path of what stays as it is: why
    keeps_kit: bool  # whether some of the kit would have gone


def undo(here: System, tick: int | None = None) -> Undone:
    """Take back the last tick that changed something, or all back to `tick`, newest first.

    Each path only if it still holds what that tick placed. Then ticks pause, or the next would do
    it all again. The kit stays. A tick with a path whose place refuses it can be undone once more.
    Raises UsageError if there is nothing to undo.
    """
    with lock.held(here, "undo"):
        recover(here)
        known = [each for each in records.kept_ticks(here) if undo_ticks.manifests(here, each)]
        wanted = known[-1:] if tick is None else [number for number in known if number >= tick]
        if not known:
            raise UsageError("there is nothing to undo", "`allie log` shows what ticks did")
        if tick is not None and tick not in known:
            those = " ".join(map(str, known))
            raise UsageError(f"tick {tick} cannot be undone", f"those that can be: {those}")
        now = records.next_tick(here)
        # Before anything else: were we killed in the middle, the next tick would do it all again.
        records.set_pause(here, records.Pause(f"tick {wanted[0]} was undone"))
        way = _WayBack(here)
        manifests = [each for number in wanted for each in undo_ticks.manifests(here, number)]
        with Reach(here.root) as reach:
            for manifest in reversed(manifests):
                way.add(manifest, reach)
        back = way.go(now, wanted[0])
        steps = ((each.tick, step.real) for each in manifests for step in each.steps)
        again = {tick for tick, real in steps if real in way.refused}
        for number in wanted:
            if number not in again:
                undo_ticks.remove(f"{here.undo}/{number}")
        return Undone(back, way.left, bool(way.kit))


class _WayBack:
    """The steps that take back several transactions, as one: hard links may come from several."""

    def __init__(self, here: System) -> None:
        self.here = here
        self.steps: dict[str, Step] = {}
        self.offers: dict[str, Offer] = {}
        self.left: dict[str, str] = {}  # by real path, why
        self.refused: set[str] = set()  # of these the ones whose place refuses, as yet
        self.kit: set[str] = set()  # paths of it that stay

    def add(self, manifest: Intent, reach: Reach) -> None:
        """Take back one more transaction, the one before those that were added already."""
        place = transaction.undo_place(self.here, manifest)
        for step in manifest.steps:
            if _brought_the_kit(step):
                self.kit.add(step.real)
                continue
            known = self.steps.get(step.real)
            sizes = sizes_of(self.here, step)
            try:
                stands = known.wanted if known else reach.describe(step.real, sizes)
            except (OSError, PathRefused) as error:
                self._refuse(step.real, words_of(error))
                continue
            if stands == step.before != step.wanted and not known:
                continue  # an undo before brought it back, and could not do all
            if stands != step.wanted:
                self.left.setdefault(step.real, "it changed again since")
            elif step.before[0] == NOTHING and not _came_meanwhile(place, step.real):
                self._add(_back(step, REMOVE, step.before), None)
            else:
                try:
                    if tree.is_plain_way(f"{place}/files", step.real):
                        self._add_kept(step, f"{place}/files/{step.real}")
                except (OSError, PathRefused) as error:  # its user made it what cannot be read
                    self.left.setdefault(step.real, words_of(error))

    def go(self, tick: int, first: int) -> dict[str, bool]:
        """Do it, as a transaction of its own: the paths put back, whether something is there."""
        go = [each for each in self.steps.values() if each.verb == REMOVE]
        directories = {f"{each.real}/" for each in go if each.before[0] == DIRECTORY}
        for real in {*self.kit, *self.left}:  # what has these in it is not empty, and ours still
            for each in [each for each in directories if real.startswith(each)]:
                self.steps.pop(each[:-1], None)
        steps = tuple(self.steps[real] for real in sorted(self.steps))
        ledger = records.load_ledger(self.here)
        part = PARTS[0]
        intent = Intent(tick, part, ledger.generations.get(part, 0), steps, first)
        outcome = transaction.carry_out(self.here, intent, self.offers, ledger)
        for problem in outcome.problems:
            self._refuse(problem.path, problem.message)
        return {
            step.real: step.wanted[0] != NOTHING
            for step in outcome.confirmed
            if step.before != step.wanted
        }

    def _refuse(self, real: str, why: str) -> None:
        """Leave a path that may be put back once its place takes it."""
        if real not in self.left:
            self.left[real] = why
            self.refused.add(real)

    def _add_kept(self, step: Step, kept: str) -> None:
        if not os.path.lexists(kept):
            return
        placed = step.old.source if step.old else ""
        most = max(free_space.OF_OTHERS, size_and_mtime(placed)[0] if placed else 0)
        if step.before[0] != DIRECTORY or intents.moves_tree(step):
            found = applying.whole(step.real, kept, most)
        else:
            found = [(step.real, applying.offer_of(kept, most))]
        for real, offer in found:
            origin = step if real == step.real else step._replace(real=real, old=None, after=None)
            self._add(_back(origin, PLACE, (offer.content, offer.attrs)), offer)

    def _add(self, step: Step, offer: Offer | None) -> None:
        known = self.steps.get(step.real)
        if known:  # from where it stands now, to where it stood at first
            step = step._replace(before=known.before, old=known.old)
        self.steps[step.real] = step
        self.offers.pop(step.real, None)
        if offer:
            self.offers[step.real] = offer


def _came_meanwhile(place: str, real: str) -> bool:
    """Whether something came to a path between the look and the rename, and so is in undo."""
    kept = f"{place}/files/{real}"
    try:
        return tree.is_plain_way(f"{place}/files", real) and (
            os.path.islink(kept) or os.path.isfile(kept)
        )
    except (OSError, PathRefused):
        return False


def _brought_the_kit(step: Step) -> bool:
    """Whether a step first placed a file of the kit: without it no tick would come any more."""
    before, after = step.old, step.after
    was = before is not None and before.overlay == stubs.KIT
    return after is not None and after.overlay == stubs.KIT and not was


def _back(step: Step, verb: str, wanted: intents.State) -> Step:
    """A step taken back: the ledger says again what it said before."""
    after = step.old._replace(seen="", source="") if step.old else None
    return Step(step.real, verb, "undone", step.wanted, wanted, step.after, after)
