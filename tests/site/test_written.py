"""What is written of a site: what is new and no more, by whom it can be read, and what is in it."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.errors import UsageError
from allie.server.fleet.fleet import ATTENTION, STATES, Concern, Fleet
from allie.server.fleet.told import SCRIPT_STATES, HandFix
from allie.server.history.notes import Count, Event
from allie.server.site import as_script, over_time, pages, summary
from allie.server.site.write import MARKER, write_with
from tests.site.conftest import Made, site_of
from tests.worlds import fleets
from tests.worlds.machine import is_root

NOW = 1_796_130_000.0


@pytest.fixture
def fleet() -> Fleet:
    return fleets.judged(fleets.generated(200, NOW), NOW)


def files(place: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(place)): each.read_bytes()
        for each in place.rglob("*")
        if each.is_file()
    }


def value_in(script: bytes) -> Any:
    """What a page would be handed."""
    match = re.fullmatch(rb'allie\("[^"]*",(.*)\)\n', script, re.DOTALL)
    assert match
    return json.loads(match[1])


TEXTS = st.text() | st.sampled_from(
    ["</script><script>alert(1)</script>", "<!--", "\u2028", "&lt;", "\ud800", "]]>"]
)


@given(
    st.recursive(
        TEXTS | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    )
)
def test_a_value_comes_through_and_nothing_ends_the_script(value: Any) -> None:
    script = as_script.of("x", value)
    assert value_in(script) == value
    assert script.isascii()
    assert not set(b"<>&") & set(script)
    assert script.count(b"\n") == 1


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_name_has_a_shard_that_can_be_a_files(name: str) -> None:
    assert re.fullmatch("[0-9a-f]{2}", as_script.shard(name))


def test_names_are_spread_over_the_shards() -> None:
    used = {as_script.shard(name) for name in fleets.names(5000)}
    assert len(used) > as_script.SHARDS * 0.9


def test_modes(fleet: Fleet, tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        write_with(fleet, str(tmp_path / "site"), [])
    finally:
        os.umask(old)
    for each in [tmp_path / "site", *(tmp_path / "site").rglob("*")]:
        mode = stat.S_IMODE(each.stat().st_mode)
        assert mode == (0o750 if each.is_dir() else 0o640), each


def test_a_directory_with_the_setgid_bit_hands_its_group_on(fleet: Fleet, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    if os.geteuid() == 0:
        os.chown(site, -1, 33)
    site.chmod(0o2750)
    write_with(fleet, str(site), [])
    group = site.stat().st_gid
    assert stat.S_IMODE(site.stat().st_mode) == 0o2750
    assert {each.stat().st_gid for each in site.rglob("*")} == {group}


def test_one_that_was_killed_as_it_began_is_begun_anew(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / f"{MARKER}.part").touch()
    write_with(fleet, str(tmp_path), [])
    assert (tmp_path / "index.html").exists()


def test_it_is_not_put_where_every_pc_fetches_it(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "store/overlays/common").mkdir(parents=True)
    (tmp_path / "link").symlink_to("store")
    own = fleet._replace(store=str(tmp_path / "store"))
    for place in ("store/overlays/common/site", "link/site", "store"):
        with pytest.raises(UsageError, match="is in the store"):
            write_with(own, str(tmp_path / place), [])
    write_with(own, str(tmp_path / "store-site"), [])


def test_two_that_write_at_once_do_it_one_after_the_other(fleet: Fleet, tmp_path: Path) -> None:
    place = tmp_path / "site"
    errors: list[BaseException] = []

    def write(now: float) -> None:
        try:
            write_with(fleet._replace(now=now), str(place), [Count(now, {"current": 1}, 1)])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(NOW + at,)) for at in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    assert [each.name for each in place.rglob("*.part")] == []


@pytest.mark.skipif(not is_root(), reason="needs root, to give a directory away")
@pytest.mark.parametrize("whose", ["", "site", "site/data", "site/data/p"])
def test_where_others_can_plant_a_link_nothing_is_written_or_removed(
    fleet: Fleet, tmp_path: Path, whose: str
) -> None:
    above = tmp_path / "home"
    above.mkdir()
    place = above / "site"
    write_with(fleet, str(place), [])
    (place / "data/p/old.js").write_text("removed where it is safe")
    os.chown(above / whose, 1234, 1234)
    with pytest.raises(UsageError, match=f"others than root can write to {above / whose}"):
        write_with(fleet, str(place), [])
    assert (place / "data/p/old.js").exists()
    os.chown(above / whose, 0, 0)
    (above / whose).chmod(0o770)
    with pytest.raises(UsageError, match="others than root can write"):
        write_with(fleet, str(place), [])
    (above / whose).chmod(0o750)
    write_with(fleet, str(place), [])
    assert not (place / "data/p/old.js").exists()


def test_a_directory_of_something_else_is_left_alone(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("my only copy")
    with pytest.raises(UsageError, match="full of something else"):
        write_with(fleet, str(tmp_path), [])
    assert files(tmp_path) == {"thesis.tex": b"my only copy"}
    with pytest.raises(UsageError, match="no directory"):
        write_with(fleet, str(tmp_path / "thesis.tex"), [])


def test_only_what_is_new_is_written(fleet: Fleet, tmp_path: Path) -> None:
    """A few minutes later one PC has news: its shard, the summary, and when it was made."""
    site = tmp_path / "site"
    write_with(fleet, str(site), [])
    always = {"index.html", "data/made.js"}
    assert set(write_with(fleet._replace(now=NOW + 300), str(site), [])) == always
    assert write_with(fleet._replace(now=NOW + 300), str(site), []) == []
    at = next(at for at, pc in enumerate(fleet.pcs) if pc.state == "current")
    pcs = list(fleet.pcs)
    pcs[at] = pcs[at]._replace(heard=NOW + 200, worst=Concern("current", "x" * 9))
    written = set(write_with(fleet._replace(pcs=tuple(pcs), now=NOW + 300), str(site), []))
    shard = f"data/h/{as_script.shard(pcs[at].host)}.js"
    assert written == {shard, "data/summary.js", "data/made.js"}


def test_what_is_gone_is_removed_and_what_is_anothers_stays(fleet: Fleet, tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_with(fleet, str(site), [])
    (site / ".htaccess").write_text("Require valid-user")
    few = fleet._replace(pcs=fleet.pcs[:3])
    write_with(few, str(site), [])
    fresh = tmp_path / "fresh"
    write_with(few, str(fresh), [])
    assert files(site) == {**files(fresh), ".htaccess": b"Require valid-user"}


def test_an_older_allies_styles_go_one_run_later(fleet: Fleet, tmp_path: Path) -> None:
    """A page that was being opened while ALLiE was upgraded still finds them."""
    site = tmp_path / "site"
    write_with(fleet, str(site), [])
    style = next((site / "assets").glob("allie-*.css"))
    old = style.rename(style.with_name("allie-0123456789.css"))
    write_with(fleet, str(site), [])
    assert old.exists() and style.exists()
    write_with(fleet, str(site), [])
    assert not old.exists()


def test_who_reads_meanwhile_sees_old_or_new(fleet: Fleet, tmp_path: Path) -> None:
    site = tmp_path / "site"
    other = fleet._replace(pcs=fleet.pcs[:150])
    write_with(fleet, str(site), [])
    ends, seen, done = [], set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.add(len(value_in((site / "data/summary.js").read_bytes())["rows"]["host"]))
            except Exception as error:
                ends.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        write_with(other if turn % 2 else fleet, str(site), [])
    done.set()
    reader.join()
    assert not ends
    assert seen <= {150, 200}


def test_5000_hosts_are_few_files_and_a_short_summary(large: Made) -> None:
    assert len(files(large.place)) < 2 * as_script.SHARDS
    assert (large.place / "data/summary.js").stat().st_size < 551 << 10
    assert (large.place / "index.html").stat().st_size < 16 << 10


def test_one_host_in_a_hundred_has_news(large: Made) -> None:
    """Then so many shards are written at most, and not 5,000 files."""
    pcs = [
        pc._replace(heard=pc.heard + 1) if at % 100 == 0 else pc
        for at, pc in enumerate(large.fleet.pcs)
    ]
    written = write_with(
        large.fleet._replace(pcs=tuple(pcs)), str(large.place), fleets.counted(large.fleet)
    )
    write_with(large.fleet, str(large.place), fleets.counted(large.fleet))
    assert len([name for name in written if name.startswith("data/h/")]) <= 50
    assert len(written) <= 50 + 6


def test_the_summary_says_what_is_true(middle: Made) -> None:
    found = summary.summary(middle.fleet, summary.scripts_of(middle.fleet))
    rows = found["rows"]
    assert rows["host"] == [each.host for each in middle.generated]
    assert sum(found["counts"].values()) == 200
    states = dict(zip(rows["host"], (STATES[number] for number in rows["state"])))
    kinds = {"problem": "failing"}
    for each in middle.generated:
        if each.kind not in ("current", "behind"):  # which of the two a PC is, is the judge's rule
            assert states[each.host] == kinds.get(each.kind, each.kind)
    drifted = {each.host for each in middle.generated if each.drift}
    assert {host for host, number in zip(rows["host"], rows["drift"]) if number} == drifted
    heard = [rows["newest"] - before if before >= 0 else 0 for before in rows["heard"]]
    assert heard == [int(each.arrived) for each in middle.generated]


def test_hosts_come_as_people_count() -> None:
    names = ["pc10", "pc9", "pc1", "lab2-pc10", "lab2-pc9", "lab10-pc1", "pc", "pc09", "9"]
    generated = [each._replace(host=name) for each, name in zip(fleets.generated(9, NOW), names)]
    fleet = fleets.judged(generated, NOW)
    rows = summary.summary(fleet, summary.scripts_of(fleet))["rows"]
    order = ["9", "lab2-pc9", "lab2-pc10", "lab10-pc1", "pc", "pc1", "pc9", "pc09", "pc10"]
    assert rows["host"] == order


def test_equal_troubles_are_one_and_all_of_them_are_there(middle: Made) -> None:
    found = summary.summary(middle.fleet, summary.scripts_of(middle.fleet))
    groups, rows = found["groups"], found["rows"]
    order = [STATES.index(each["state"]) for each in groups]
    assert order == sorted(order)
    assert len({(each["state"], each["why"], each["last"], each["system"]) for each in groups}) == (
        len(groups)
    )
    assert all(each["todo"] for each in groups)
    concerned = [rows["concerns"]["words"][at] for at in rows["concerns"]["at"]]
    for pc, numbers in zip(middle.fleet.pcs, concerned):
        assert bool(numbers) == any(map(pc.stands, ATTENTION))
        if pc.state in ATTENTION:
            assert (pc.state, pc.why) in {
                (groups[at]["state"], groups[at]["why"]) for at in numbers
            }
    for number, each in enumerate(groups):
        assert sum(number in numbers for numbers in concerned) == each["count"]


HOUR = 3600
MAKES: dict[str, tuple[list[int], int]] = {
    "once": ([0], 0),
    "twice": ([0, HOUR], 0),
    "each hour": ([0, HOUR, 2 * HOUR + 10], HOUR),
    "and by hand between": ([0, HOUR, 2 * HOUR, 2 * HOUR + 600, 2 * HOUR + 601, 3 * HOUR], HOUR),
    "and a night without power": ([0, HOUR, 9 * HOUR, 10 * HOUR], HOUR),
    "once a week": ([0, 168 * HOUR, 336 * HOUR], 24 * HOUR),
    "and the clock went back": ([50 * HOUR, 0, HOUR, 2 * HOUR], HOUR),
}


@pytest.mark.parametrize("case", MAKES)
def test_its_pace_is_known_by_its_makes(fleet: Fleet, case: str) -> None:
    ats, every = MAKES[case]
    kept: dict[str, Any] = {}
    for at in (each for one in ats for each in (one, one)):  # at once again: nothing new
        kept = pages.made(fleet._replace(now=NOW + at), [], kept)
    assert kept["every"] == every
    assert len(kept["makes"]) <= 16


@pytest.mark.parametrize("data", [None, b"", b'allie("made",[1])\n', b'allie("made",{"a', b"\xff"])
def test_a_damaged_time_of_making_is_none(data: bytes | None) -> None:
    assert as_script.value_of(data, "made") == {}
    assert as_script.value_of(as_script.of("made", {"a": 1}), "made") == {"a": 1}


def test_the_content_that_a_pc_offers_is_not_in_it(fleet: Fleet, tmp_path: Path) -> None:
    at = next(at for at, pc in enumerate(fleet.pcs) if pc.told)
    pcs = list(fleet.pcs)
    fix = HandFix("/etc/motd", "common", "etc/motd", "ab", b"the secret of all", "typo", NOW)
    pcs[at] = pcs[at]._replace(told=pcs[at].told._replace(fixes=(fix,)))  # type: ignore[union-attr]
    write_with(fleet._replace(pcs=tuple(pcs)), str(tmp_path / "site"), [])
    assert b"typo" in b"".join(files(tmp_path / "site").values())
    assert b"the secret of all" not in b"".join(files(tmp_path / "site").values())


def test_events_are_at_their_host(fleet: Fleet, tmp_path: Path) -> None:
    host = fleet.pcs[7].host
    events = [Event(NOW - at, host, "debian12", "state", f"turn {at}") for at in range(100)]
    write_with(fleet, str(tmp_path), [], events)
    shard = value_in((tmp_path / f"data/h/{as_script.shard(host)}.js").read_bytes())
    assert [each[3] for each in shard[host]["events"]] == [f"turn {at}" for at in range(30)]


def test_pictures_are_bounded_and_end_with_the_last_count() -> None:
    changed = {"common": NOW - 7200, "old": NOW - 1e9, "nobodys": NOW - 100}
    counts = [
        Count(
            NOW - 60 * step,
            {"current": 200 - step % 7},
            5,
            {"common": 120 - step},
            {"common": 150, "old": 3},
            changed if step <= 120 else {"common": NOW - 1e6},
        )
        for step in range(20_000, -1, -1)
    ]
    drawn = over_time.pictures(counts, (), NOW)
    assert len(drawn["at"]) <= 340
    assert drawn["at"][-1] == int(NOW)
    assert drawn["at"] == sorted(drawn["at"])
    (rollout,) = drawn["rollouts"]
    assert (rollout["overlay"], rollout["following"]) == ("common", 150)
    assert rollout["at"][0] >= NOW - 7200, "what was reached of an earlier change is not drawn"
    assert rollout["reached"][0] < 3
    assert rollout["reached"][-1] == 120
    assert over_time.pictures([], (), NOW)["at"] == []


def test_equal_events_of_many_hosts_are_one_line() -> None:
    events = [Event(NOW - at, f"pc{at:02}", "debian12", "change", "/etc/motd") for at in range(30)]
    lately = over_time.pictures([], events, NOW)["lately"]
    assert lately == [[int(NOW), "pc[00-29]", 30, "debian12", "/etc/motd"]]


def test_each_state_has_a_sign_and_a_colour_and_each_script_state_a_place() -> None:
    assert set(summary.SCRIPTS_WORST_FIRST) == set(SCRIPT_STATES)
    style = next(data for name, data in pages.assets().items() if name.endswith(".css")).decode()
    signs = (Path(pages.__file__).parent / "assets/signs.svg").read_text()
    for state in STATES:
        assert f'id="sign-{state}"' in signs
        for needed in (f"--{state}:", f"--a-{state}:"):
            assert style.count(needed) == 2, "in light and in dark"
        assert f".s-{state} " in style
        assert f".f-{state} " in style


def test_the_pages_ask_for_nothing_from_outside_and_run_nothing_inline(small: Made) -> None:
    for name, data in files(small.place).items():
        if name.endswith(".html"):
            text = data.decode()
            assert "default-src 'none'" in text
            assert not re.search(
                r"<script(?! src=\"(?:assets|data)/)|\son\w+=|style=|https?:|@", text
            ), name


def test_nothing_is_left_to_fill_in_and_all_is_ours(small: Made) -> None:
    assert files(small.place)[MARKER]
    assert site_of(small.place, 3).place == small.place
