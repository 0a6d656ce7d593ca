"""Whatever happens to both doors, in any order: a PC has of each what that one last rightly gave.

docs/internals/rules.md, "Two doors, one generation".
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.worlds.one_pc import World
from tests.worlds.toy import make_tree

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]
NAMES = ("a", "b", "c")
CONSENT = ".allie-withdraw"


class Side:
    """One of the two: what it holds, what a PC has of it, and whether it can be asked."""

    def __init__(self, place: Path) -> None:
        self.place, self.away = place, place.with_name(f"{place.name}.away")
        self.holds: dict[str, str] = {}
        self.consents = False
        self.given: dict[str, str] = {}

    @property
    def is_there(self) -> bool:
        """Whether it can be asked."""
        return self.place.exists()

    def change(self, chance: random.Random, number: int) -> None:
        """Put another content there, none at all, or none that is meant."""
        kind = chance.choice(["one", "one", "all", "none", "meant"])
        holds = dict(self.holds)
        if kind == "one":
            holds[chance.choice(NAMES)] = f"{self.place.name} {number}\n"
        elif kind == "all":
            holds = dict.fromkeys(NAMES, f"{self.place.name} {number}\n")
        else:
            holds = {}
        self.consents = kind == "meant"
        self.fill(holds)

    def fill(self, holds: dict[str, str]) -> None:
        """Have it hold just that."""
        at = self.place if self.is_there else self.away
        for path in at.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        make_tree(at, {f"etc/x/{name}": text for name, text in holds.items()})
        if self.consents:
            (at / CONSENT).touch()
        self.holds = holds

    def toggle(self) -> None:
        """It goes away, or comes back."""
        os.rename(*((self.place, self.away) if self.is_there else (self.away, self.place)))

    def asked(self) -> None:
        """What a PC takes of it; a tree that lost all of its files is refused."""
        ill = bool(self.given) and not self.holds and not self.consents
        if self.is_there and not ill:
            self.given = dict(self.holds)


@pytest.mark.parametrize("seed", range(4))
def test_each_side_gives_what_it_last_had(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = World(tmp_path, {"etc/x/a": "common 0\n"})
    private = world.store / "private/pc07"
    private.mkdir(parents=True, mode=0o700)
    sides = [Side(world.overlay()), Side(private)]
    sides[0].holds = {"a": "common 0\n"}
    for number in range(14):
        for side in sides:
            what = chance.randrange(4) if number else 3
            if what < 2:
                side.change(chance, number)
            elif what == 2:
                side.toggle()
        done = world.tick()
        for side in sides:
            side.asked()
        assert "Traceback" not in done.out
        wanted = {**sides[0].given, **sides[1].given}
        there = world.at("etc/x")
        found = {path.name: path.read_text() for path in there.iterdir()} if there.exists() else {}
        state = [(side.holds, side.consents, side.is_there) for side in sides]
        assert found == wanted, (seed, number, state, done.out)
        listed = world.state("mirror/current/.overlays").read_text().split()
        assert listed == ["kit", "common", "private"]
        assert not world.state("mirror/private.new").exists()
