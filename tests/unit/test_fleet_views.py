"""What all views of the fleet share: equal ones together, nobody lost, no line too wide."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.cli import options
from allie.core.system import STORE
from allie.machine import console
from allie.server.fleet import judge
from allie.server.fleet.fleet import STATES, Fleet, Pc, SystemView
from allie.server.fleet.host_sets import divided
from allie.server.fleet.standing import Concern
from allie.server.fleet.told import Told, ToldFacts, ToldScript, ToldSystem
from allie.server.history import compare
from allie.server.site import details, summary
from allie.server.store import named_store
from allie.server.views import one_pc, one_script, overview, words
from allie.server.views.selection import Selection, selected

NOW = 1_800_000_000.0
TEXTS = st.text("abc -", max_size=60)


def view_of(state: str, system: str, why: str, last: str, *, reached: bool) -> SystemView:
    concern = Concern(state, why, NOW - 60, last, "allie status")
    concerns = () if state == "current" else (concern,)
    told = ToldSystem(system, f"{system}-1", "1.0", tick=1)
    return SystemView(told, concern, NOW if reached else 0.0, concerns=concerns)


SYSTEMS = st.builds(
    view_of,
    st.sampled_from(STATES),
    st.sampled_from(["debian12", "a" * 120]),
    TEXTS,
    TEXTS,
    reached=st.booleans(),
)
FLEETS = st.lists(st.lists(SYSTEMS, min_size=1, max_size=2), max_size=30).map(
    lambda all_of_them: Fleet(
        NOW,
        STORE,
        tuple(
            Pc(f"pc{at:02}", systems[0].worst, NOW, (), None, tuple(systems))
            for at, systems in enumerate(all_of_them)
        ),
        {},
    )
)


def test_what_one_pc_alone_has_crowds_nobody_out() -> None:
    many = [Concern("failing", f"/etc/{at} is left as it is") for at in range(50)]
    refused = Concern("refused", "it loses much")
    pcs = [
        Pc(host, own[0], NOW, (), None, (_system(own),))
        for host, own in (("aa01", many), ("pc02", [Concern("failing", "x")]), ("pc03", [refused]))
    ]
    fleet = Fleet(NOW, STORE, tuple(pcs), {})
    order = [(each.hosts[0], each.concern.why) for each in overview.shared_concerns(fleet)]
    assert sorted(order) == sorted((pc.host, each.why) for pc, each in _all(pcs))
    assert [host for host, _ in order[:5]] == ["aa01", "aa01", "aa01", "pc02", "pc03"]
    assert "pc03" in console.as_shown(overview.lines(fleet, fleet)[-80:])


def _system(concerns: list[Concern]) -> SystemView:
    told = ToldSystem("debian12", "debian12", "1.0", tick=1)
    return SystemView(told, concerns[0], concerns=tuple(concerns))


def _all(pcs: list[Pc]) -> list[tuple[Pc, Concern]]:
    return [(pc, each) for pc in pcs for view in pc.systems for each in view.concerns]


@given(FLEETS)
def test_each_system_is_in_one_group_and_each_concern_in_one_entry(fleet: Fleet) -> None:
    shown = sorted(host for group in overview.groups(fleet) for host in group.hosts)
    assert shown == sorted(pc.host for pc in fleet.pcs for _ in pc.systems)
    told = {host for each in overview.shared_concerns(fleet) for host in each.hosts}
    assert told == {
        pc.host for pc in fleet.pcs if any(each.state in overview._SHOWN for each in pc.systems)
    }
    text = console.as_shown(overview.lines(fleet, fleet))
    wide = [line for line in text.splitlines() if len(line) > 79]
    assert [line for line in wide if not line.startswith("  next: ")] == []  # it is one command


@given(FLEETS, st.sampled_from(STATES))
def test_what_is_selected_narrows(fleet: Fleet, state: str) -> None:
    some = selected(fleet, Selection(states=(state,)))
    assert all(pc in fleet.pcs for pc in some.pcs)
    assert selected(some, Selection(states=(state,))) == some
    assert all(pc in some.pcs for pc in fleet.pcs if pc.state == state)


@given(st.sets(st.integers(0, 3000), min_size=1), st.integers(20, 80))
def test_a_host_set_in_lines_is_the_whole_one_or_says_that_it_is_not(
    numbers: set[int], width: int
) -> None:
    names = [f"pc{number:04}" for number in numbers]
    lines = words.wrapped(names, width)
    assert all(len(line) <= width for line in lines)
    assert len(lines) <= 4
    whole = "".join(words.wrapped(names, width, 10_000))
    assert "".join(lines).rstrip("…") in whole
    assert len(divided(whole)) == 1 + whole.count("],")


@pytest.mark.parametrize(
    ("code", "why", "words"),
    [
        (3, "exit 3; its content changed, tick 7", "exit 3"),
        (-9, "", "ended by signal 9"),
        (-15, "ended after 1 h (# allie: timeout); its content changed, tick 7", "ended after 1 h"),
        (0, "cannot write /root/conf.done/50x: No space left", "cannot write /root/conf.done/50x"),
        (None, "", "ended, nobody knows how"),
    ],
)
def test_all_views_say_alike_how_a_script_ended(code: int | None, why: str, words: str) -> None:
    def pc(*scripts: ToldScript) -> Pc:
        told = ToldSystem("debian12", scripts=scripts)
        said = Told("pc07", NOW, systems=(told,))
        return judge.pc("pc07", (), said, (judge.system(said, told, 0, 0, None, NOW),), None)

    now = pc(ToldScript("50x", "failing", why, NOW, code))
    fleet = Fleet(NOW, STORE, (now,), {})
    _, before = compare.compared(None, pc(), NOW)
    events, _ = compare.compared(before, now, NOW)
    details_of = details.scripts(fleet, summary.scripts_of(fleet))["50x"]["groups"]
    said = (
        now.why,
        next(each.what for each in events if each.kind == "script"),
        "\n".join(one_script.lines(fleet, "50x")),
        details_of[0]["why"],
    )
    assert [each for each in said if words not in each or "tick 7" in each] == []


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (ToldFacts(("debian", "like"), "12", "x86_64", "kvm"), "debian 12, x86_64, kvm"),
        (ToldFacts(("arch",), "", "x86_64"), "arch, x86_64"),
        (ToldFacts(), ""),
    ],
)
def test_what_a_system_is(facts: ToldFacts, line: str) -> None:
    told = ToldSystem("debian12", facts=facts)
    said = Told("pc07", NOW, systems=(told,))
    pc = judge.pc("pc07", (), said, (judge.system(said, told, 0, 0, None, NOW),), None)
    rows = [each.split(None, 1) for each in one_pc.lines(pc, STORE, NOW)]
    assert [row[1] for row in rows if row and row[0] == "is"] == [line] * bool(line)


def test_the_store_that_no_command_names_is_one() -> None:
    assert options.STORE == STORE
    assert named_store(STORE) == ""
    assert shlex.split(named_store("/srv/our store")) == ["--store", "/srv/our store"]
