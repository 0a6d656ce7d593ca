"""What is to be done: the rules, row by row.

docs/internals/rules.md, "Two names may be one file", "A directory makes way only if all in it is
ours", "What vouches for a file", "Two parts, two transactions", "Absent and once", "Directories
that we made, and others", "Hard links go together" and "A store may be empty by accident";
docs/internals/packages.md.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.change import ledger as ledgers
from allie.core.change.ledger import DIRECTORY, NOTHING, UNKNOWN, Ledger, Placed, Tombstone
from allie.core.change.plan import (
    FORGET,
    KEEP,
    LOST,
    NOTE,
    PLACE,
    REMOVE,
    RESTORE,
    TAKE,
    Change,
    Plan,
    plan,
)
from allie.core.change.present import Offer, Present, Standing
from allie.core.change.resolution import Entry, Problem

OURS, THEIRS, EDIT, NEWER = "f:ours", "f:theirs", "f:edit", "f:newer"
PLAIN, PRIVATE = "644 0:0", "600 0:0"
P = "etc/motd"


def seen(inode: int) -> str:
    return f"{inode} 1 1 1 1 1 1"


def source(inode: int) -> str:
    return f"{inode} 1 1 1 1 1"


def entry(real: str = P, flag: str = "", is_dir: bool = False) -> Entry:
    return Entry(real, "common", real, is_dir, flag)


def offer(content: str = OURS, attrs: str = PLAIN, inode: int = 7) -> Offer:
    return Offer(f"/generation/{inode}", source(inode), content, attrs)


def placed(
    content: str = OURS,
    attrs: str = PLAIN,
    *,
    flag: str = "",
    part: str = "overlay",
    pristine: str = NOTHING,
    inode: int = 1,
) -> Placed:
    where = source(7) if content != NOTHING else ""
    return Placed("common", P, part, flag, where, content, attrs, seen(inode), pristine)


def stands(
    content: str = OURS,
    attrs: str = PLAIN,
    *,
    inode: int = 1,
    blocked: str = "",
    packaged: bool = False,
) -> Standing:
    return Standing(content, attrs, seen(inode), 10, blocked, packaged)


NOTHING_THERE = Standing()
A_DIRECTORY = stands(DIRECTORY, "755 0:0")
ABSENT = placed(NOTHING, "", flag="absent")


def present(
    *,
    claims: dict[str, Entry] | None = None,
    offers: dict[str, Offer] | None = None,
    old: dict[str, Placed] | None = None,
    standing: dict[str, Standing] | None = None,
    tombstones: dict[str, Tombstone] | None = None,
    mine: tuple[str, ...] | None = None,
    vouched: tuple[str, ...] = (),
    groups: tuple[tuple[str, ...], ...] = (),
    left_alone: tuple[str, ...] = (),
    problems: tuple[Problem, ...] = (),
    part: str = "overlay",
    consent: tuple[str, ...] = (),
    lost: bool = False,
) -> Present:
    claims = claims or {}
    return Present(
        part=part,
        generation=5,
        ledger=Ledger(old or {}, tombstones or {}, {}, lost),
        claims=claims,
        mine=tuple(sorted(claims)) if mine is None else mine,
        vouched=frozenset(vouched),
        standing=standing or {},
        offers=offers or {},
        groups=groups,
        left_alone=frozenset(left_alone),
        problems=problems,
        consent=frozenset(consent),
    )


def short(change: Change) -> tuple[str, str, str]:
    return change.verb, change.why, change.pristine


def changes(found: Plan) -> dict[str, tuple[str, str]]:
    return {change.real: (change.verb, change.why) for change in found.changes}


# --- one path that the overlays want -----------------------------------------------------------


class Row(NamedTuple):
    name: str
    wanted: Offer | str  # an offer, "absent", or "once"
    old: Placed | None
    standing: Standing
    expected: tuple[str, str, str] | str | None  # a change, a problem's words, nothing


FILES = [
    Row("nothing there, never placed", offer(), None, NOTHING_THERE, (PLACE, "new", KEEP)),
    Row("someone's file there", offer(), None, stands(THEIRS), (PLACE, "new", TAKE)),
    Row("someone's mode there", offer(), None, stands(OURS, PRIVATE), (PLACE, "new", TAKE)),
    Row("already right: adopted", offer(), None, stands(), (NOTE, "adopted", TAKE)),
    Row("moved: backup, rollback, touch", offer(), placed(), stands(), (NOTE, "seen again", KEEP)),
    Row("changed in the store", offer(NEWER), placed(), stands(), (PLACE, "changed", KEEP)),
    Row(
        "mode changed in the store",
        offer(OURS, PRIVATE),
        placed(),
        stands(),
        (PLACE, "changed", KEEP),
    ),
    Row("edited here", offer(), placed(), stands(EDIT), (PLACE, "drift", KEEP)),
    Row("mode changed here", offer(), placed(), stands(OURS, PRIVATE), (PLACE, "drift", KEEP)),
    Row(
        "edited here and changed there",
        offer(NEWER),
        placed(),
        stands(EDIT),
        (PLACE, "drift", KEEP),
    ),
    Row(
        "edited here into the new",
        offer(NEWER),
        placed(),
        stands(NEWER),
        (NOTE, "seen again", KEEP),
    ),
    Row("removed here", offer(), placed(), NOTHING_THERE, (PLACE, "missing", KEEP)),
    Row("replaced by a link here", offer(), placed(), stands("l:/x"), (PLACE, "drift", KEEP)),
    Row("a link wanted, a file there", offer("l:/x"), None, stands(THEIRS), (PLACE, "new", TAKE)),
    Row(
        "a package's newer file: the new pristine",
        offer(),
        placed(pristine="kept"),
        stands(EDIT, packaged=True),
        (PLACE, "superseded", TAKE),
    ),
    Row(
        "a package's file where nothing stood: the new pristine",
        offer(),
        placed(pristine=NOTHING),
        stands(EDIT, packaged=True),
        (PLACE, "superseded", TAKE),
    ),
    Row("was absent, is a file now", offer(), ABSENT, NOTHING_THERE, (PLACE, "changed", KEEP)),
    Row(
        "was absent, came back, is a file now",
        offer(),
        ABSENT,
        stands(EDIT),
        (PLACE, "drift", KEEP),
    ),
    Row(
        "a directory of strangers in the way",
        offer(),
        None,
        stands(DIRECTORY, blocked="games/x in it is not ALLiE's"),
        "a directory stands there: games/x in it is not ALLiE's",
    ),
    Row("an empty directory in the way", offer(), None, A_DIRECTORY, (PLACE, "new", TAKE)),
    Row(
        "an empty directory in place of our file",
        offer(),
        placed(),
        A_DIRECTORY,
        (PLACE, "drift", KEEP),
    ),
    Row(
        "our directory becomes a file in the store",
        offer(),
        placed(DIRECTORY, "755 0:0"),
        A_DIRECTORY,
        (PLACE, "changed", KEEP),
    ),
]

DIRECTORIES = [
    Row("to be made", offer(DIRECTORY), None, NOTHING_THERE, (PLACE, "new", TAKE)),
    Row("there before us: keeps its own", offer(DIRECTORY), None, A_DIRECTORY, None),
    Row("someone's file in the way", offer(DIRECTORY), None, stands(THEIRS), (PLACE, "new", TAKE)),
    Row(
        "ours, entries in it changed",
        offer(DIRECTORY, "755 0:0"),
        placed(DIRECTORY, "755 0:0"),
        A_DIRECTORY,
        (NOTE, "seen again", KEEP),
    ),
    Row(
        "ours, follows a chmod in the store",
        offer(DIRECTORY, "700 0:0"),
        placed(DIRECTORY, "755 0:0"),
        A_DIRECTORY,
        (PLACE, "changed", KEEP),
    ),
    Row(
        "ours, chmod here",
        offer(DIRECTORY, "700 0:0"),
        placed(DIRECTORY, "700 0:0"),
        A_DIRECTORY,
        (PLACE, "drift", KEEP),
    ),
    Row(
        "ours, removed here",
        offer(DIRECTORY),
        placed(DIRECTORY),
        NOTHING_THERE,
        (PLACE, "missing", KEEP),
    ),
    Row(
        "ours, a file in its place here",
        offer(DIRECTORY),
        placed(DIRECTORY),
        stands(EDIT),
        (PLACE, "drift", KEEP),
    ),
    Row(
        "our file becomes a directory",
        offer(DIRECTORY),
        placed(),
        stands(),
        (PLACE, "changed", KEEP),
    ),
    Row(
        "our file became a directory here first",
        offer(DIRECTORY),
        placed(),
        A_DIRECTORY,
        (FORGET, "left: it is a directory now", KEEP),
    ),
]

ABSENTS = [
    Row("nothing there, first time", "absent", None, NOTHING_THERE, (NOTE, "absent", KEEP)),
    Row("nothing there, known", "absent", ABSENT, NOTHING_THERE, None),
    Row(
        "a file there: pristine, then removed",
        "absent",
        None,
        stands(THEIRS),
        (REMOVE, "absent", TAKE),
    ),
    Row("a link there", "absent", None, stands("l:/x"), (REMOVE, "absent", TAKE)),
    Row("a device there", "absent", None, stands("c:1,3"), (REMOVE, "absent", TAKE)),
    Row(
        "our file there: the first pristine stays",
        "absent",
        placed(),
        stands(),
        (REMOVE, "absent", KEEP),
    ),
    Row("back again", "absent", ABSENT, stands(EDIT), (REMOVE, "drift", KEEP)),
    Row(
        "a package put it back: the new pristine",
        "absent",
        ABSENT,
        stands(EDIT, packaged=True),
        (REMOVE, "superseded", TAKE),
    ),
    Row("a directory as a whole", "absent", None, A_DIRECTORY, (REMOVE, "absent", TAKE)),
    Row(
        "a directory with a mount point",
        "absent",
        None,
        stands(DIRECTORY, blocked="/etc/motd/x is a mount point"),
        "cannot be made absent: /etc/motd/x is a mount point",
    ),
]

ONCES = [
    Row("nothing there", "once", None, NOTHING_THERE, (PLACE, "new", KEEP)),
    Row("something there: not ours, no entry", "once", None, stands(THEIRS), None),
    Row("something equal there: not ours either", "once", None, stands(OURS), None),
    Row("a directory there", "once", None, A_DIRECTORY, None),
    Row(
        "removed by hand: placed again",
        "once",
        placed(flag="once"),
        NOTHING_THERE,
        (PLACE, "missing", KEEP),
    ),
    Row("edited: left, and no drift", "once", placed(flag="once"), stands(EDIT), None),
    Row(
        "unedited, changed on the server: left",
        "once",
        placed(NEWER, flag="once"),
        stands(NEWER),
        None,
    ),
    Row("was plain: noted", "once", placed(), stands(), (NOTE, "once", KEEP)),
    Row("was plain and edited: noted, left", "once", placed(), stands(EDIT), (NOTE, "once", KEEP)),
    Row("was absent", "once", ABSENT, NOTHING_THERE, (PLACE, "changed", KEEP)),
]

FROM_ONCE = [
    Row(
        "from once to plain: an edit is then drift",
        offer(),
        placed(flag="once"),
        stands(EDIT),
        (PLACE, "drift", KEEP),
    ),
    Row(
        "from once to plain, unedited",
        offer(),
        placed(flag="once"),
        stands(),
        (NOTE, "seen again", KEEP),
    ),
]


@pytest.mark.parametrize(
    "row", FILES + DIRECTORIES + ABSENTS + ONCES + FROM_ONCE, ids=lambda row: row.name
)
def test_a_path_that_the_overlays_want(row: Row) -> None:
    is_word = isinstance(row.wanted, str)
    flag = row.wanted if isinstance(row.wanted, str) else ""
    wanted = offer() if isinstance(row.wanted, str) else row.wanted
    found = plan(
        present(
            claims={P: entry(P, flag, wanted.content == DIRECTORY)},
            offers={} if is_word and flag == "absent" else {P: wanted},
            old={P: row.old} if row.old else {},
            standing={P: row.standing},
        )
    )
    if isinstance(row.expected, str):
        assert found.problems == (Problem(P, row.expected),)
        assert found.changes == ()
    else:
        assert found.problems == ()
        assert [short(each) for each in found.changes] == ([row.expected] if row.expected else [])


def test_what_is_untouched_and_wanted_as_it_is_needs_no_change() -> None:
    found = plan(present(claims={P: entry()}, old={P: placed()}, vouched=(P,)))
    assert found.is_nothing


def test_with_a_lost_ledger_wanted_content_is_adopted_and_its_pristine_unknown() -> None:
    found = plan(
        present(claims={P: entry()}, offers={P: offer()}, standing={P: stands()}, lost=True)
    )
    assert [short(each) for each in found.changes] == [(NOTE, "adopted", LOST)]


def test_with_a_lost_ledger_other_content_is_the_pristine() -> None:
    found = plan(
        present(claims={P: entry()}, offers={P: offer()}, standing={P: stands(EDIT)}, lost=True)
    )
    assert [short(each) for each in found.changes] == [(PLACE, "new", TAKE)]


@pytest.mark.parametrize("flag", ["", "absent", "once"])
def test_a_path_that_an_overlay_must_not_hold_is_refused(flag: str) -> None:
    real = "etc/allie/system"
    found = plan(
        present(
            claims={real: entry(real, flag)},
            offers={real: offer()},
            standing={real: NOTHING_THERE},
        )
    )
    assert found.changes == ()
    assert [problem.path for problem in found.problems] == [real]


@pytest.mark.parametrize("real", ["etc", "root/conf", "var", "root"])
def test_a_directory_that_allie_needs_is_never_made_absent(real: str) -> None:
    found = plan(present(claims={real: entry(real, "absent")}, standing={real: A_DIRECTORY}))
    assert found.changes == ()
    assert "ALLiE itself needs" in found.problems[0].message


def test_a_problem_of_the_resolution_is_one_of_the_plan() -> None:
    tie = Problem(P, "is a tie between: a and b")
    assert plan(present(problems=(tie,))).problems == (tie,)


def test_parents_come_before_children() -> None:
    reals = ["etc", "etc-old", "etc/a", "etc/a/b"]
    found = plan(
        present(
            claims={real: entry(real) for real in reversed(reals)},
            mine=tuple(reversed(reals)),
            offers={real: offer() for real in reals},
            standing=dict.fromkeys(reals, NOTHING_THERE),
        )
    )
    order = [change.real for change in found.changes]
    assert order.index("etc") < order.index("etc/a") < order.index("etc/a/b")


# --- paths that no overlay has any more --------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "standing", "expected"),
    [
        pytest.param(placed(), stands(), (REMOVE, "withdrawn"), id="ours, nothing stood there"),
        pytest.param(
            placed(pristine="kept"), stands(), (RESTORE, "withdrawn"), id="a file stood there"
        ),
        pytest.param(placed(), NOTHING_THERE, (FORGET, "withdrawn"), id="gone already"),
        pytest.param(
            placed(pristine="kept"),
            NOTHING_THERE,
            (RESTORE, "withdrawn"),
            id="gone, a file stood there",
        ),
        pytest.param(placed(), stands(EDIT), (FORGET, "left: edited here"), id="edited"),
        pytest.param(
            placed(), stands(OURS, PRIVATE), (FORGET, "left: edited here"), id="chmod here"
        ),
        pytest.param(
            placed(pristine="kept"),
            stands(EDIT),
            (FORGET, "left: edited here"),
            id="edited, a file stood there",
        ),
        pytest.param(placed(), A_DIRECTORY, (FORGET, "left: edited here"), id="a directory now"),
        pytest.param(placed(flag="once"), stands(), (REMOVE, "withdrawn"), id="once, unedited"),
        pytest.param(
            placed(flag="once"), stands(EDIT), (FORGET, "left: edited here"), id="once, edited"
        ),
        pytest.param(
            ABSENT, NOTHING_THERE, (FORGET, "withdrawn"), id="absent, nothing stood there"
        ),
        pytest.param(
            ABSENT._replace(pristine="kept"),
            NOTHING_THERE,
            (RESTORE, "withdrawn"),
            id="absent, a file stood there",
        ),
        pytest.param(
            ABSENT._replace(pristine="kept"),
            stands(EDIT),
            (FORGET, "left: edited here"),
            id="absent, made anew here",
        ),
        pytest.param(
            placed(pristine=UNKNOWN),
            stands(),
            (FORGET, "left: nobody knows what stood there before"),
            id="the ledger was rebuilt",
        ),
        pytest.param(
            placed(DIRECTORY, "755 0:0"), A_DIRECTORY, (REMOVE, "withdrawn"), id="our directory"
        ),
        pytest.param(
            placed(DIRECTORY, "700 0:0"),
            A_DIRECTORY,
            (REMOVE, "withdrawn"),
            id="our directory, chmod here",
        ),
        pytest.param(
            placed(DIRECTORY),
            NOTHING_THERE,
            (FORGET, "withdrawn"),
            id="our directory, gone already",
        ),
        pytest.param(
            placed(DIRECTORY, pristine="kept"),
            A_DIRECTORY,
            (RESTORE, "withdrawn"),
            id="our directory, a file stood there",
        ),
        pytest.param(
            placed(DIRECTORY, pristine="kept"),
            stands(DIRECTORY, blocked="x in it is not ALLiE's"),
            (FORGET, "left: x in it is not ALLiE's"),
            id="our directory, a file stood there, a stranger is in it",
        ),
    ],
)
def test_a_path_that_left_the_overlays(
    old: Placed, standing: Standing, expected: tuple[str, str]
) -> None:
    found = plan(present(old={P: old}, standing={P: standing}))
    assert changes(found) == {P: expected}


def test_a_path_in_dispute_is_not_withdrawn() -> None:
    assert plan(present(old={P: placed()}, left_alone=(P,))).is_nothing


def test_a_path_of_the_other_part_is_withdrawn_by_that_part() -> None:
    old = {P: placed(part="overact")}
    assert plan(present(old=old)).is_nothing
    found = plan(present(old=old, standing={P: stands()}, part="overact"))
    assert changes(found) == {P: (REMOVE, "withdrawn")}


def test_a_path_that_changed_part_is_left_by_the_one_and_taken_over_by_the_other() -> None:
    claims, old = {P: entry()}, {P: placed(pristine="kept")}
    assert plan(present(claims=claims, mine=(), old=old)).is_nothing
    found = plan(
        present(claims=claims, offers={P: offer()}, old=old, standing={P: stands()}, part="overact")
    )
    (change,) = found.changes
    assert short(change) == (NOTE, "seen again", KEEP)
    assert change.old == old[P]


# --- tombstones --------------------------------------------------------------------------------


def test_our_file_that_came_back_after_it_was_withdrawn_is_withdrawn_again() -> None:
    grave = {P: Tombstone(placed(), 0.0)}
    found = plan(present(tombstones=grave, standing={P: stands()}))
    assert changes(found) == {P: (REMOVE, "came back")}


@pytest.mark.parametrize("standing", [stands(EDIT), NOTHING_THERE])
def test_a_withdrawn_path_at_which_something_else_stands_is_the_users(standing: Standing) -> None:
    grave = {P: Tombstone(placed(), 0.0)}
    assert plan(present(tombstones=grave, standing={P: standing})).is_nothing


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (stands(), (NOTE, "adopted")),
        (NOTHING_THERE, (PLACE, "new")),
        (stands(EDIT), (PLACE, "new")),
    ],
)
@pytest.mark.parametrize("pristine", [NOTHING, "kept"])
def test_a_withdrawn_path_that_the_overlays_want_again_is_placed_again(
    standing: Standing, expected: tuple[str, str], pristine: str
) -> None:
    found = plan(
        present(
            claims={P: entry()},
            offers={P: offer()},
            standing={P: standing},
            tombstones={P: Tombstone(placed(pristine=pristine), 0.0)},
        )
    )
    assert changes(found) == {P: expected}


# --- a file takes a directory's place ----------------------------------------------------------


def becomes_file(below: dict[str, tuple[Placed, Standing]]) -> Plan:
    top = "opt/x"
    return plan(
        present(
            claims={top: entry(top)},
            offers={top: offer()},
            old={top: placed(DIRECTORY), **{real: old for real, (old, _) in below.items()}},
            standing={top: A_DIRECTORY, **{real: there for real, (_, there) in below.items()}},
        )
    )


def test_a_directory_that_holds_only_ours_is_emptied_first() -> None:
    found = becomes_file(
        {
            "opt/x/d": (placed(DIRECTORY), A_DIRECTORY),
            "opt/x/d/f": (placed(), stands()),
            "opt/x/gone": (placed(), NOTHING_THERE),
            "opt/x/variant": (placed(part="overact"), stands()),
        }
    )
    assert changes(found) == {
        "opt/x": (PLACE, "drift"),
        "opt/x/d": (REMOVE, "withdrawn"),
        "opt/x/d/f": (REMOVE, "withdrawn"),
        "opt/x/gone": (FORGET, "withdrawn"),
        "opt/x/variant": (REMOVE, "withdrawn"),
    }


@pytest.mark.parametrize(
    ("old", "standing"),
    [
        (placed(), stands(EDIT)),
        (placed(pristine="kept"), stands()),
        (placed(pristine=UNKNOWN), stands()),
    ],
)
def test_a_directory_that_keeps_something_does_not_make_way(
    old: Placed, standing: Standing
) -> None:
    found = becomes_file({"opt/x/f": (old, standing)})
    assert found.problems == (Problem("opt/x", "a directory stands there: keeps opt/x/f"),)
    assert "opt/x" not in changes(found)


def test_a_directory_that_stays_one_leaves_what_is_below_alone() -> None:
    below = "opt/x/f"
    found = plan(
        present(
            claims={"opt/x": entry("opt/x", is_dir=True), below: entry(below)},
            offers={"opt/x": offer(DIRECTORY, "700 0:0")},
            old={"opt/x": placed(DIRECTORY, "755 0:0"), below: placed()},
            standing={"opt/x": A_DIRECTORY},
            vouched=(below,),
        )
    )
    assert changes(found) == {"opt/x": (PLACE, "changed")}


# --- hard links --------------------------------------------------------------------------------

A, B = "etc/a", "etc/b"


def linked(
    standing: dict[str, Standing], old: dict[str, Placed], vouched: tuple[str, ...] = ()
) -> Plan:
    return plan(
        present(
            claims={A: entry(A), B: entry(B)},
            offers={A: offer(), B: offer()},
            old=old,
            standing=standing,
            vouched=vouched,
            groups=((A, B),),
        )
    )


def test_links_that_are_one_inode_here_too_are_left() -> None:
    old = {A: placed(inode=3), B: placed(inode=3)}
    assert linked({}, old, vouched=(A, B)).is_nothing


def test_drift_in_one_of_two_links_places_both() -> None:
    old = {A: placed(inode=3), B: placed(inode=3)}
    found = linked({A: stands(EDIT, inode=4)}, old, vouched=(B,))
    assert changes(found) == {A: (PLACE, "drift"), B: (PLACE, "linked")}


def test_a_change_of_one_of_two_links_places_both() -> None:
    old = {A: placed("f:before", inode=3), B: placed(inode=3)}
    found = linked({A: stands("f:before", inode=3)}, old, vouched=(B,))
    assert changes(found) == {A: (PLACE, "changed"), B: (PLACE, "linked")}


def test_two_equal_files_that_should_be_one_are_placed_together() -> None:
    old = {A: placed(inode=3), B: placed(inode=4)}
    assert changes(linked({}, old, vouched=(A, B))) == {A: (PLACE, "linked"), B: (PLACE, "linked")}


def test_a_link_that_is_adopted_and_placed_keeps_what_stood_there() -> None:
    found = linked({A: NOTHING_THERE, B: stands(inode=9)}, {})
    assert {each.real: short(each) for each in found.changes} == {
        A: (PLACE, "new", KEEP),
        B: (PLACE, "linked", TAKE),
    }


def test_a_link_that_was_refused_is_not_placed_with_the_others() -> None:
    found = linked({A: NOTHING_THERE, B: stands(DIRECTORY, blocked="b/x in it is not ALLiE's")}, {})
    assert changes(found) == {A: (PLACE, "new")}
    assert [problem.path for problem in found.problems] == [B]


# --- the guard ---------------------------------------------------------------------------------


def withdrawing(
    going: int, staying: int, *, consent: tuple[str, ...] = (), directories: int = 0
) -> Plan:
    old = {f"going/{number:03d}": placed() for number in range(going)}
    keep = {f"staying/{number:03d}": placed() for number in range(staying)}
    dirs = {f"dir/{number:03d}": placed(DIRECTORY) for number in range(directories)}
    return plan(
        present(
            claims={real: entry(real) for real in keep},
            vouched=tuple(keep),
            old={**old, **keep, **dirs},
            standing={**{real: stands() for real in old}, **dict.fromkeys(dirs, A_DIRECTORY)},
            consent=consent,
        )
    )


@pytest.mark.parametrize(
    ("going", "staying", "refused"),
    [
        (10, 0, False),  # not more than ten
        (10, 5, False),
        (11, 11, False),  # not more than half
        (11, 10, True),
        (11, 0, True),
        (200, 199, True),
        (200, 201, False),
    ],
)
def test_more_than_ten_files_and_more_than_half_are_not_withdrawn(
    going: int, staying: int, refused: bool
) -> None:
    found = withdrawing(going, staying)
    assert found.is_nothing == refused
    assert bool(found.problems) == refused
    assert len(found.changes) == (0 if refused else going)


def test_consent_lets_many_files_go() -> None:
    found = withdrawing(200, 0, consent=("common",))
    assert (len(found.changes), found.problems) == (200, ())


def test_consent_in_one_overlay_is_none_for_another() -> None:
    assert withdrawing(200, 0, consent=("kit", "lab")).is_nothing


@pytest.mark.parametrize(
    ("meant", "other", "stay"),
    [
        (30, 12, True),  # the other's are not more than half of all: 12 of 42
        (30, 31, False),
        (30, 10, True),
        (0, 12, False),
    ],
)
def test_only_what_nobody_consents_to_counts_and_only_that_stays(
    meant: int, other: int, stay: bool
) -> None:
    old = {f"meant/{number:03d}": placed() for number in range(meant)}
    slip = {f"slip/{number:03d}": placed()._replace(overlay="lab") for number in range(other)}
    gone = {**old, **slip}
    found = plan(present(old=gone, standing=dict.fromkeys(gone, stands()), consent=("common",)))
    assert {change.real for change in found.changes} == set(gone if stay else old)
    assert found.guarded == (() if stay else ("lab",))
    assert [each.path for each in found.problems] == ([] if stay else ["slip/000"])
    assert all("touch overlays/lab/.allie-withdraw" in each.message for each in found.problems)


def test_directories_do_not_count_as_files_lost() -> None:
    assert len(withdrawing(5, 0, directories=50).changes) == 55


def test_a_refusal_says_how_many_and_what_to_do() -> None:
    (problem,) = withdrawing(12, 0).problems
    assert problem.path == "going/000"
    assert "11 more would be withdrawn" in problem.message
    assert ".allie-withdraw" in problem.message


# --- algebra -----------------------------------------------------------------------------------

CONTENTS = st.sampled_from([OURS, EDIT, NEWER, THEIRS, "l:/x"])
ATTRS = st.sampled_from([PLAIN, PRIVATE])
STANDINGS = st.one_of(
    st.just(NOTHING_THERE), st.builds(stands, CONTENTS, ATTRS), st.just(A_DIRECTORY)
)
OLDS = st.one_of(
    st.none(),
    st.just(ABSENT),
    st.builds(placed, CONTENTS, ATTRS, pristine=st.sampled_from([NOTHING, "kept"])),
)


@given(CONTENTS, ATTRS, OLDS, STANDINGS)
def test_after_a_plan_was_carried_out_there_is_nothing_left_to_do(
    content: str, attrs: str, old: Placed | None, standing: Standing
) -> None:
    wanted = offer(content, attrs)
    first = plan(
        present(
            claims={P: entry()},
            offers={P: wanted},
            old={P: old} if old else {},
            standing={P: standing},
        )
    )
    (change,) = first.changes
    assert change.verb in (PLACE, NOTE)
    if change.verb == NOTE:
        assert (standing.content, standing.attrs) == (content, attrs)
    again = plan(
        present(
            claims={P: entry()},
            offers={P: wanted},
            old={P: placed(content, attrs)},
            standing={P: stands(content, attrs)},
        )
    )
    assert {each.verb for each in again.changes} <= {NOTE}


@given(OLDS, STANDINGS)
def test_a_withdrawal_never_removes_what_is_not_ours(
    old: Placed | None, standing: Standing
) -> None:
    if old is None:
        return
    (change,) = plan(present(old={P: old}, standing={P: standing})).changes
    if change.verb == REMOVE or (change.verb == RESTORE and standing.content != NOTHING):
        assert (standing.content, standing.attrs) == (old.content, old.attrs)


def test_an_empty_ledger_is_lost_only_if_it_was_there() -> None:
    assert not ledgers.empty().lost
    assert ledgers.empty(lost=True).lost


# --- what a user may have put there (docs/internals/security.md) ---------------------------------

DIRS = placed(DIRECTORY, "700 5:5")
ANOTHER = Standing(DIRECTORY, "700 0:0", seen(2), foreign=True)
ASTRAY = Standing(astray="a symlink is on its way now")


def test_a_directory_that_is_not_ours_is_not_given_the_overlays_mode() -> None:
    wanted = offer(DIRECTORY, "700 5:5")
    found = plan(
        present(
            claims={P: entry(is_dir=True)},
            offers={P: wanted},
            old={P: DIRS},
            standing={P: ANOTHER},
        )
    )
    assert changes(found) == {P: (FORGET, "left: it is another directory now")}


@pytest.mark.parametrize("pristine", [NOTHING, UNKNOWN, "kept"])
@pytest.mark.parametrize(("old", "standing"), [(DIRS, ANOTHER), (DIRS, ASTRAY), (placed(), ASTRAY)])
def test_what_is_not_ours_is_not_withdrawn(old: Placed, pristine: str, standing: Standing) -> None:
    """Whatever stood there before us: it is left, and the entry goes."""
    old = old._replace(pristine=pristine)
    found = plan(present(old={P: old}, standing={P: standing}))
    assert [change.verb for change in found.changes] == [FORGET]
    assert found.changes[0].why.startswith("left: ")


def test_a_directory_does_not_make_way_where_what_is_in_it_cannot_be_seen() -> None:
    below = {f"{P}/a": placed(), f"{P}/b": placed()}
    found = plan(
        present(
            claims={P: entry()},
            offers={P: offer()},
            old={P: DIRS, **below},
            standing={P: A_DIRECTORY, f"{P}/a": stands()},
            left_alone=(f"{P}/b",),
        )
    )
    assert [problem.path for problem in found.problems] == [P]
    assert P not in changes(found)
