"""What became bad or good since it was last asked: each told once, folded, worst first."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.errors import StateError
from allie.server.fleet import judge
from allie.server.fleet.fleet import Fleet, Pc
from allie.server.fleet.host_sets import fold
from allie.server.fleet.told import Told, ToldProblem, ToldScript, ToldSystem
from allie.server.history import news

NOW = 1_796_000_000.0
HOUR, DAY = 3600.0, 86400.0


def pc(host: str, *failing: str, left: tuple[str, ...] = (), silent: float = 0.0) -> Pc:
    """A PC of which these scripts fail, and these paths are left as they are."""
    scripts = tuple(ToldScript(name, "failing", code=1) for name in failing)
    problems = tuple(ToldProblem(path, "is a mount point") for path in left)
    system = ToldSystem("debian12", scripts=scripts, problems=problems)
    told = Told(host, NOW - silent, systems=(system,))
    quiet = judge.silence(told, 0.0, NOW)
    return judge.pc(host, (), told, (judge.system(told, system, 0, 0, quiet, NOW),), quiet)


def missing(host: str) -> Pc:
    return judge.pc(host, ("classes",), None, (), judge.silence(None, 0.0, NOW))


class Asker:
    """Somebody who asks again and again, an hour apart."""

    def __init__(self) -> None:
        self.kept: Any = {}
        self.now = NOW

    def ask(self, *pcs: Pc, after: float = HOUR, troubles: tuple[str, ...] = ()) -> list[str]:
        self.now += after
        fleet = Fleet(self.now, "/srv/allie", pcs, {}, troubles)
        found, self.kept = news.since_last(fleet, self.kept)
        return [
            f"{each.kind} {each.concern.state} {fold(filter(None, each.hosts))}: {each.concern.why}"
            for each in found
        ]


def test_what_is_bad_is_told_first_and_once() -> None:
    asker = Asker()
    pcs = [pc("pc01"), *(pc(f"pc{each:02}", "20x") for each in range(2, 6)), missing("srv")]
    assert asker.ask(*pcs) == [
        "bad missing srv: has never reported",
        "bad failing pc[02-05]: 20x exit 1",
    ]
    assert asker.ask(*pcs) == []
    assert asker.ask(pc("pc01"), pc("pc02"), *pcs[2:]) == [
        "good failing pc02: 20x exit 1",
    ]


def test_a_second_cause_is_news_and_the_first_is_not() -> None:
    asker = Asker()
    asker.ask(pc("pc01", "20x"))
    assert asker.ask(pc("pc01", "20x", "30y")) == ["bad failing pc01: 30y exit 1"]
    assert asker.ask(pc("pc01", "30y", left=("etc/fstab",))) == [
        "bad failing pc01: /etc/fstab is left as it is: is a mount point",
        "good failing pc01: 20x exit 1",
    ]


def test_what_falls_silent_while_it_fails_is_not_well() -> None:
    asker = Asker()
    asker.ask(pc("pc01", "20x"))
    assert asker.ask(pc("pc01", "20x", silent=5 * DAY)) == ["bad stale pc01: has not been heard of"]
    assert asker.ask(pc("pc01", "20x", silent=6 * DAY)) == [], "the same silence"
    assert asker.ask(pc("pc01")) == [
        "good stale pc01: has not been heard of",
        "good failing pc01: 20x exit 1",
    ]


def test_what_comes_and_goes_is_told_once() -> None:
    asker = Asker()
    states = itertools.cycle([pc("pc01", "20x"), pc("pc01")])
    said = [asker.ask(next(states)) for _ in range(40)]
    assert [len(each) for each in said] == [1, 1, 1, 1] + [0] * 36
    assert said[3] == ["restless failing pc01: 20x exit 1"]
    assert asker.ask(pc("pc01")) == []
    assert asker.ask(pc("pc01", "20x"), after=HOUR) == []
    assert asker.ask(pc("pc01", "20x"), after=25 * HOUR) == ["bad failing pc01: 20x exit 1"]
    assert asker.ask(pc("pc01", "20x")) == []


def test_a_host_that_is_retired_is_no_news() -> None:
    asker = Asker()
    asker.ask(pc("pc01", "20x"), pc("pc02"))
    assert asker.ask(pc("pc02")) == []
    assert asker.kept == {}


def test_a_host_that_thinks_up_causes_is_told_once() -> None:
    """Each time another script fails there, as a report can say without end."""
    asker = Asker()
    said = [asker.ask(pc("pc01", *(f"{at}{n}x" for n in range(9))), pc("pc02")) for at in range(20)]
    assert sum(map(len, said)) == 4 * 9 + 3 * 9 + 1
    assert sum(len(each) for host in asker.kept.values() for each in host.values()) < 400
    assert sum("so much that no more" in line for each in said for line in each) == 1
    assert asker.ask(pc("pc01"), pc("pc02", "20x")) == ["bad failing pc02: 20x exit 1"]
    assert asker.ask(pc("pc01", "9y"), after=DAY) == ["bad failing pc01: 9y exit 1"]


def test_what_the_server_cannot_look_at() -> None:
    asker = Asker()
    assert asker.ask(troubles=("inbox cannot be read",)) == ["bad missing : inbox cannot be read"]
    assert asker.ask() == ["good missing : inbox cannot be read"]


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), max_size=12))
def test_who_believes_what_he_is_told_knows_what_is_bad(history: list[list[bool]]) -> None:
    """Asked once a day nothing is restless, and news alone say how each PC is."""
    asker = Asker()
    known = {"pc0": False, "pc1": False, "pc2": False}
    for states in history:
        pcs = [pc(f"pc{at}", *["20x"] * is_bad) for at, is_bad in enumerate(states)]
        asker.now += DAY
        found, asker.kept = news.since_last(Fleet(asker.now, "", tuple(pcs), {}), asker.kept)
        for each in found:
            assert all(known[host] != (each.kind == news.BAD) for host in each.hosts)
            known.update(dict.fromkeys(each.hosts, each.kind == news.BAD))
        assert list(known.values()) == states


def test_kept_on_disk(tmp_path: Path) -> None:
    asker = Asker()
    asker.ask(pc("pc01", "20x"), missing("srv"))
    with pytest.raises(StateError):
        news.save(str(tmp_path), asker.kept)
    (tmp_path / "fleet").mkdir()
    news.save(str(tmp_path), asker.kept)
    assert news.read(str(tmp_path)) == asker.kept


@pytest.mark.parametrize(
    "text", ["", "\0", "[", "[1]", '{"hosts": 3}', '{"hosts": {"pc": {"x": {"bad": 1}}}}']
)
def test_damaged_all_is_told_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet/asked").write_text(text)
    asker = Asker()
    asker.kept = news.read(str(tmp_path))
    assert asker.ask(pc("pc01", "20x")) == ["bad failing pc01: 20x exit 1"]
