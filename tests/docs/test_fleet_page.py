"""The page of the fleet names all states, columns and fields that there are, and no others."""

from __future__ import annotations

import re

from allie.core.system import STORE
from allie.server.fleet.fleet import ATTENTION, STATES, Fleet
from allie.server.fleet.standing import Concern, Pc, SystemView
from allie.server.fleet.told import HandFix, Told, ToldProblem, ToldScript, ToldSystem
from allie.server.views import exchange, overview
from tests.docs.pages import DOCS, MAN

PAGE = (DOCS / "reference/fleet.md").read_text()
SYSTEM = ToldSystem("a", scripts=(ToldScript("b", "due"),), problems=(ToldProblem("c", "d"),))
TOLD = Told("pc07", 1.0, systems=(SYSTEM,), fixes=(HandFix("e", "f", "g", "h", b""),))
FAILING = Concern("failing", "i", 1.0)
VIEW = SystemView(SYSTEM, FAILING, concerns=(FAILING,), drift=("j",))
PC = Pc("pc07", FAILING, 1.0, (), TOLD, (VIEW,))
FLEET = Fleet(2.0, STORE, (PC,), {})


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_states() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (yes|no) \|$", section("States"), re.M)
    assert rows == [(state, "yes" if state in ATTENTION else "no") for state in STATES]
    man = (MAN / "allie-fleet.8.md").read_text().partition("# STATES")[2].partition("\n# ")[0]
    assert tuple(re.findall(r"^\*\*(\w+)\*\*$", man, re.M)) == STATES


def test_columns() -> None:
    (group,) = overview.groups(FLEET)
    columns = ["HOSTS", *overview._cells(group, 2.0)]
    assert re.findall(r"^\| ([A-Z]+) \|", section("Columns"), re.M) == columns


def test_fields() -> None:
    named = {*re.findall(r"`(\w+)`", section("JSON"))}
    value = exchange.value_of(PC)
    system = value["systems"][0]
    of_the_report = {"scripts", "problems"}  # their own fields are on the page of reports
    deeper = {key for name in ("concerns",) for each in system[name] for key in each}
    deeper |= {*value["offers"][0], *system["store"], *system["changed"]}
    known = {*value, *system, *deeper, "format", "now", "store", "counts", "changed", "pcs"}
    assert named - {"common", "classes", "enrolled", "reported", "inbox"} <= known | {"troubles"}
    assert named >= known - of_the_report - {"tick"}
