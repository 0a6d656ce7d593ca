"""What a planned change means for root and ledger, and the books afterwards.

docs/internals/rules.md, "What stood there first is kept once", "What vouches for a file" and
"Absent and once".
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.change.intent import (
    NOTHING_THERE,
    Intent,
    State,
    Step,
    decode,
    encode,
    moves_tree,
    settle,
    step_of,
    writes,
)
from allie.core.change.ledger import DIRECTORY, NOTHING, UNKNOWN, Ledger, Placed, Tombstone
from allie.core.change.plan import FORGET, NOTE, PLACE, REMOVE, RESTORE, TAKE, Change
from allie.core.change.present import Offer, Standing
from allie.core.change.resolution import Entry
from tests.unit.test_ledger import DIGESTS, PATHS, PLACED

P = "etc/motd"
DAY = 86400.0
PLAIN = "644 0:0"
SEEN, SOURCE = "1 1 1 1 1 1 1", "7 1 1 1 1 1"
OFFER = Offer("/generation/motd", SOURCE, "f:new", PLAIN, 5)
OLD = Placed("common", P, "overlay", "", SOURCE, "f:old", PLAIN, SEEN, "kept")
OURS = Standing("f:old", PLAIN, SEEN, 5)
EDITED = Standing("f:edit", PLAIN, SEEN, 5)


def entry(flag: str = "") -> Entry:
    return Entry(P, "late", "etc/motd##class.lab", False, flag)


def test_placing_enters_the_offer_and_vouches_for_nothing_yet() -> None:
    change = Change(P, PLACE, "changed", entry(), OFFER, OLD, OURS)
    assert step_of(change, "overact", "kept") == Step(
        P,
        PLACE,
        "changed",
        before=("f:old", PLAIN),
        wanted=("f:new", PLAIN),
        old=OLD,
        after=Placed(
            "late", "etc/motd##class.lab", "overact", "", SOURCE, "f:new", PLAIN, "", "kept"
        ),
    )


def test_placing_for_the_first_time_enters_its_pristine() -> None:
    change = Change(P, PLACE, "new", entry(), OFFER, None, Standing(), TAKE)
    step = step_of(change, "overlay", NOTHING)
    assert step.before == NOTHING_THERE
    assert step.after
    assert step.after.pristine == NOTHING


def test_noting_vouches_for_what_stands() -> None:
    standing = Standing("f:new", PLAIN, "9 9 9 9 9 9 9", 5)
    step = step_of(Change(P, NOTE, "seen again", entry(), OFFER, OLD, standing), "overlay", "kept")
    assert step.before == step.wanted == ("f:new", PLAIN)
    assert step.after
    assert (step.after.seen, step.after.source) == ("9 9 9 9 9 9 9", SOURCE)


def test_an_adopted_file_of_a_lost_ledger_has_an_unknown_pristine() -> None:
    standing = Standing("f:new", PLAIN, SEEN, 5)
    change = Change(P, NOTE, "adopted", entry(), OFFER, None, standing)
    step = step_of(change, "overlay", UNKNOWN)
    assert step.after
    assert step.after.pristine == UNKNOWN


def test_absent_enters_that_nothing_stands_there() -> None:
    step = step_of(Change(P, REMOVE, "absent", entry("absent"), None, OLD, OURS), "overlay", "kept")
    assert step.wanted == NOTHING_THERE
    assert step.after
    assert (step.after.content, step.after.flag, step.after.pristine) == (NOTHING, "absent", "kept")


def test_becoming_once_keeps_what_was_placed() -> None:
    step = step_of(Change(P, NOTE, "once", entry("once"), None, OLD, OURS), "overlay", "kept")
    assert step.after
    assert (step.after.content, step.after.flag, step.after.seen) == ("f:old", "once", SEEN)


@pytest.mark.parametrize("verb", [NOTE, FORGET])
@pytest.mark.parametrize("flag", ["", "once", "absent"])
@pytest.mark.parametrize("stands", [OURS, EDITED])
def test_what_leaves_the_root_alone_is_no_change(verb: str, flag: str, stands: Standing) -> None:
    """No script becomes due for it, nothing of it is kept, and there is nothing to undo."""
    change = Change(P, verb, "", entry(flag), None if flag else OFFER, OLD, stands)
    if verb == NOTE and not flag:
        change = change._replace(offer=OFFER._replace(content=stands.content))
    if verb == NOTE and flag == "absent":
        change = change._replace(standing=Standing())
    step = step_of(change, "overlay", "kept")
    assert step.before == step.wanted


def test_becoming_once_never_vouches_for_an_edit() -> None:
    step = step_of(Change(P, NOTE, "once", entry("once"), None, OLD, EDITED), "overlay", "kept")
    assert step.after
    assert (step.after.content, step.after.seen) == ("f:old", "")


def test_forgetting_changes_the_ledger_alone() -> None:
    step = step_of(Change(P, FORGET, "left: edited here", None, None, OLD, EDITED), "overlay", "")
    assert step.before == step.wanted == ("f:edit", PLAIN)
    assert (step.after, step.tombstone) == (None, False)


@pytest.mark.parametrize(
    ("old", "offer", "buried"),
    [
        pytest.param(OLD, None, True, id="a file of ours goes"),
        pytest.param(OLD, OFFER, True, id="another file comes back in its place"),
        pytest.param(OLD, OFFER._replace(content="f:old"), False, id="the same content comes back"),
        pytest.param(OLD._replace(content=DIRECTORY), None, False, id="a directory"),
        pytest.param(OLD._replace(content="l:x"), None, False, id="a link"),
        pytest.param(OLD._replace(source=""), None, False, id="adopted, of unknown source"),
    ],
)
def test_a_withdrawn_file_leaves_a_tombstone(
    old: Placed, offer: Offer | None, buried: bool
) -> None:
    verb = RESTORE if offer else REMOVE
    step = step_of(Change(P, verb, "withdrawn", None, offer, old, OURS), "overlay", "")
    assert step.after is None
    assert step.tombstone is buried
    assert step.wanted == ((offer.content, offer.attrs) if offer else NOTHING_THERE)


def test_rsync_writes_what_is_placed_and_restored() -> None:
    steps = {verb: Step(P, verb, "", NOTHING_THERE, NOTHING_THERE, None, None) for verb in VERBS}
    assert {verb for verb, step in steps.items() if writes(step)} == {PLACE, RESTORE}


VERBS = (PLACE, RESTORE, REMOVE, NOTE, FORGET)


@pytest.mark.parametrize(
    ("verb", "before", "after", "moves"),
    [
        pytest.param(REMOVE, (DIRECTORY, PLAIN), OLD, True, id="a directory made absent"),
        pytest.param(REMOVE, (DIRECTORY, PLAIN), None, False, id="a directory withdrawn: rmdir"),
        pytest.param(REMOVE, ("f:x", PLAIN), OLD, False, id="a file made absent"),
        pytest.param(PLACE, (DIRECTORY, PLAIN), OLD, False, id="a directory that a file replaces"),
    ],
)
def test_a_whole_tree_moves_only_where_a_directory_is_made_absent(
    verb: str, before: State, after: Placed | None, moves: bool
) -> None:
    assert moves_tree(Step(P, verb, "", before, NOTHING_THERE, None, after)) is moves


# --- the books afterwards ----------------------------------------------------------------------

PUT = Step(P, PLACE, "new", NOTHING_THERE, ("f:new", PLAIN), None, OLD)
GONE = Step(P, REMOVE, "withdrawn", ("f:old", PLAIN), NOTHING_THERE, OLD, None, True)
INTENT = Intent(9, "overlay", 5, (PUT,))
EMPTY = Ledger({}, {}, {"overact": 4})


def test_a_confirmed_step_is_entered_and_the_part_is_at_this_generation() -> None:
    assert settle(EMPTY, INTENT, [PUT], 0.0) == Ledger({P: OLD}, {}, {"overact": 4, "overlay": 5})


def test_a_step_that_was_not_confirmed_changes_nothing() -> None:
    assert settle(EMPTY, INTENT, [], 0.0).entries == {}


def test_an_entry_whose_step_was_not_confirmed_is_compared_next_time() -> None:
    books = settle(Ledger({P: OLD}, {}, {}), INTENT, [], 0.0)
    assert books.entries == {P: OLD._replace(source="")}


def test_a_withdrawn_path_leaves_the_entries_for_the_tombstones() -> None:
    books = settle(Ledger({P: OLD}, {}, {}), INTENT._replace(steps=(GONE,)), [GONE], 100.0)
    assert books.entries == {}
    assert books.tombstones == {P: Tombstone(OLD, 100.0)}


def test_a_forgotten_path_leaves_no_tombstone() -> None:
    step = GONE._replace(verb=FORGET, tombstone=False)
    books = settle(Ledger({P: OLD}, {}, {}), INTENT._replace(steps=(step,)), [step], 100.0)
    assert (books.entries, books.tombstones) == ({}, {})


def test_a_path_that_is_placed_again_has_no_tombstone() -> None:
    books = settle(Ledger({}, {P: Tombstone(OLD, 0.0)}, {}), INTENT, [PUT], 1.0)
    assert books.tombstones == {}


def test_tombstones_last_ninety_days() -> None:
    graves = {"a": Tombstone(OLD, 0.0), "b": Tombstone(OLD, DAY)}
    assert set(settle(Ledger({}, graves, {}), INTENT, [], 90 * DAY - 1).tombstones) == {"a", "b"}
    assert set(settle(Ledger({}, graves, {}), INTENT, [], 90 * DAY + 1).tombstones) == {"b"}


def test_settling_leaves_the_old_books_alone() -> None:
    books = Ledger({P: OLD}, {}, {})
    settle(books, INTENT._replace(steps=(GONE,)), [GONE], 0.0)
    assert books == Ledger({P: OLD}, {}, {})


# --- as text and back --------------------------------------------------------------------------

STATES = st.tuples(DIGESTS, st.text(max_size=4))
STEPS = st.builds(
    Step,
    real=PATHS,
    verb=st.sampled_from(VERBS),
    why=st.sampled_from(["new", "left: edited here"]),
    before=STATES,
    wanted=STATES,
    old=st.one_of(st.none(), PLACED),
    after=st.one_of(st.none(), PLACED),
    tombstone=st.booleans(),
)
INTENTS = st.builds(
    Intent,
    tick=st.integers(0, 10**6),
    part=st.sampled_from(["overlay", "overact"]),
    generation=st.integers(0, 10**6),
    steps=st.lists(STEPS, max_size=4).map(tuple),
    undoes=st.integers(0, 9),
)


@given(INTENTS)
def test_what_was_written_is_read_back_the_same(intent: Intent) -> None:
    assert decode(encode(intent)) == intent


@given(INTENTS, st.data())
def test_an_intent_that_was_cut_short_is_none(intent: Intent, data: st.DataObject) -> None:
    text = encode(intent)
    with pytest.raises(ValueError):
        decode(text[: data.draw(st.integers(0, len(text) - 1))])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "7",
        "[]",
        '"x"',
        "{}",
        '{"steps":7}',
        '{"steps":[7]}',
        '{"steps":[[1]]}',
        '{"steps":[]}',
        '{"steps":[],"tick":1,"part":"overlay","generation":1,"newer":1}',
    ],
)
def test_anything_else_is_no_intent(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)
