"""Which variant of which overlay wins a path.

docs/internals/rules.md, "Two parts, two transactions" and "More specific is not more conditions".
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.change.resolution import Entry, Listed, Overlay, Problem, Resolution, resolve
from allie.core.facts import Facts

PC07 = Facts(host="pc07", classes=("lab", "vm"), image="debian12", virt="kvm", version="12")


def overlay(name: str, *spellings: str) -> Overlay:
    """An overlay of these names; one that ends in / is a directory; parents are added."""
    listed = {}
    for spelling in spellings:
        parts = spelling.rstrip("/").split("/")
        for depth in range(1, len(parts)):
            listed["/".join(parts[:depth])] = True
        listed["/".join(parts)] = listed.get("/".join(parts), False) or spelling.endswith("/")
    return Overlay(name, [Listed(each, is_dir) for each, is_dir in listed.items()])


def files(resolution: Resolution) -> dict[str, str]:
    """path → source of each winner that is no directory."""
    return {path: each.source for path, each in resolution.entries.items() if not each.is_dir}


def reasons(resolution: Resolution) -> dict[str, str]:
    return {f"{each.overlay}/{each.spelling}": each.reason for each in resolution.losers}


def problems(resolution: Resolution) -> dict[str, str]:
    return {each.path: each.message for each in resolution.problems}


# --- within one overlay tags choose ------------------------------------------------------------


@pytest.mark.parametrize(
    ("variants", "winner"),
    [
        (["motd"], "motd"),
        (["motd", "motd##class.lab"], "motd##class.lab"),
        (["motd", "motd##class.office"], "motd"),
        (["motd", "motd##class.lab", "motd##host.pc07"], "motd##host.pc07"),
        (["motd##host.pc*", "motd##host.pc07"], "motd##host.pc07"),
        (["motd##class.lab", "motd##host.pc*"], "motd##host.pc*"),
        (["motd##class.lab", "motd##class.lab,class.vm"], "motd##class.lab,class.vm"),
        (["motd##host.pc07", "motd##class.lab,class.vm,image.debian12"], "motd##host.pc07"),
        (["motd##class.lab", "motd##~host.pc08"], "motd##class.lab"),
        (["motd", "motd##~host.pc08"], "motd##~host.pc08"),
        (["motd", "motd##clas.lab"], "motd"),
        (["motd", "motd##class.lab,absent"], "motd##class.lab,absent"),
    ],
)
def test_the_most_specific_variant_that_fits_wins(variants: list[str], winner: str) -> None:
    assert files(resolve([overlay("common", *variants)], PC07)) == {"motd": f"common/{winner}"}


def test_a_path_none_of_whose_variants_fits_is_in_no_overlay() -> None:
    found = resolve([overlay("common", "motd##class.office", "motd##virt.none")], PC07)
    assert found.entries == {}
    assert found.problems == ()
    assert reasons(found) == {
        "common/motd##class.office": "class.office does not hold here",
        "common/motd##virt.none": "virt.none does not hold here",
    }


def test_a_loser_says_which_place_decided() -> None:
    found = resolve([overlay("common", "motd", "motd##class.lab", "motd##host.pc07")], PC07)
    assert reasons(found) == {
        "common/motd##class.lab": "the winner has 1 host condition to its 0",
        "common/motd": "the winner has 1 host condition to its 0",
    }


def test_a_tagged_directory_and_an_untagged_one_are_one_directory_file_by_file() -> None:
    found = resolve(
        [overlay("common", "ssh/a", "ssh/b", "ssh##class.lab/b", "ssh##class.lab/c")], PC07
    )
    assert files(found) == {
        "ssh/a": "common/ssh/a",
        "ssh/b": "common/ssh##class.lab/b",
        "ssh/c": "common/ssh##class.lab/c",
    }


def test_a_directorys_own_mode_comes_from_its_own_best_variant() -> None:
    found = resolve([overlay("common", "ssh/", "ssh##class.lab/")], PC07)
    assert found.entries["ssh"] == Entry("ssh", "common", "ssh##class.lab", True)
    assert reasons(found) == {"common/ssh": "the winner has 1 class condition to its 0"}


def test_two_variants_of_a_directory_that_tie_are_still_one_directory() -> None:
    found = resolve([overlay("common", "ssh##class.lab/a", "ssh##class.vm/b")], PC07)
    assert found.problems == ()
    assert set(files(found)) == {"ssh/a", "ssh/b"}


def test_a_directory_whose_tag_does_not_fit_brings_nothing() -> None:
    found = resolve([overlay("common", "ssh##class.office/a", "ssh/b")], PC07)
    assert files(found) == {"ssh/b": "common/ssh/b"}


@pytest.mark.parametrize(
    ("spelling", "flag", "is_dir"),
    [
        ("motd##absent", "absent", False),
        ("motd##once", "once", False),
        ("motd##class.lab,once", "once", False),
        ("games##absent/", "absent", False),
        ("home##once/", "", True),
    ],
)
def test_a_flag_is_handed_on(spelling: str, flag: str, is_dir: bool) -> None:
    (entry,) = resolve([overlay("common", spelling)], PC07).entries.values()
    assert (entry.flag, entry.is_dir) == (flag, is_dir)


def test_once_on_a_directory_holds_for_the_files_below() -> None:
    found = resolve([overlay("common", "home##once/.profile")], PC07)
    assert found.entries["home/.profile"].flag == "once"


# --- ties and errors ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variants",
    [
        ["motd##class.lab", "motd##class.vm"],
        ["motd##class.lab,class.vm", "motd##class.vm,class.lab"],
        ["motd##host.pc*", "motd##host.pc[01-09]"],
        ["motd", "motd##absent"],
        ["motd", "motd##once"],
        ["motd##~class.x", "motd##~class.y"],
        ["motd##image.debian12", "motd##image.debian*"],
    ],
)
def test_a_tie_leaves_the_path_as_it_is_and_names_both(variants: list[str]) -> None:
    found = resolve([overlay("common", *variants)], PC07)
    first, second = sorted(f"common/{each}" for each in variants)
    assert found.entries == {}
    assert found.problems == (Problem("motd", f"is a tie between: {first} and {second}"),)


def test_a_tie_of_a_directorys_tag_and_a_files_tag() -> None:
    found = resolve([overlay("common", "etc##class.lab/motd", "etc/motd##class.vm")], PC07)
    assert set(problems(found)) == {"etc/motd"}


def test_a_tie_among_the_lesser_variants_is_none() -> None:
    found = resolve(
        [overlay("common", "motd##host.pc07", "motd##class.lab", "motd##class.vm")], PC07
    )
    assert found.problems == ()
    assert files(found) == {"motd": "common/motd##host.pc07"}


def test_a_file_and_a_directory_in_one_overlay_are_an_error_of_that_path_and_all_below() -> None:
    found = resolve([overlay("common", "foo", "foo##class.lab/bar", "fine")], PC07)
    assert files(found) == {"fine": "common/fine"}
    assert problems(found) == {
        "foo": "is a directory and a file in one overlay: common/foo##class.lab and common/foo",
        "foo/bar": "left as it is: foo is in dispute",
    }


def test_a_tag_that_can_never_fit_is_reported_where_it_stands() -> None:
    found = resolve([overlay("common", "motd", "motd##clas.lab", "d##clas.lab/a", "d/b")], PC07)
    assert files(found) == {"motd": "common/motd", "d/b": "common/d/b"}
    assert problems(found) == {
        "motd##clas.lab": "in overlay common it never fits: unknown attribute 'clas'",
        "d##clas.lab": "in overlay common it never fits: unknown attribute 'clas'",
    }


# --- between overlays the later wins -----------------------------------------------------------


def test_the_later_overlay_wins_however_specific_the_earlier() -> None:
    found = resolve([overlay("common", "motd##host.pc07"), overlay("debian12", "motd")], PC07)
    assert files(found) == {"motd": "debian12/motd"}
    assert reasons(found) == {"common/motd##host.pc07": "laid under debian12"}


def test_a_variant_of_a_later_overlay_that_does_not_fit_leaves_the_earlier_one() -> None:
    found = resolve([overlay("common", "motd"), overlay("late", "motd##class.office")], PC07)
    assert files(found) == {"motd": "common/motd"}


def test_a_later_absent_takes_an_earlier_file_away() -> None:
    found = resolve([overlay("common", "motd"), overlay("late", "motd##class.lab,absent")], PC07)
    assert found.entries["motd"].flag == "absent"


def test_a_later_file_shadows_an_earlier_directory_and_all_below() -> None:
    found = resolve([overlay("common", "foo/a", "foo/b/c", "foobar"), overlay("late", "foo")], PC07)
    assert files(found) == {"foo": "late/foo", "foobar": "common/foobar"}
    assert reasons(found) == {
        "common/foo": "shadowed by late",
        "common/foo/a": "shadowed by late/foo",
        "common/foo/b": "shadowed by late/foo",
        "common/foo/b/c": "shadowed by late/foo",
    }


def test_a_later_directory_shadows_an_earlier_file() -> None:
    found = resolve([overlay("common", "foo"), overlay("late", "foo/a")], PC07)
    assert files(found) == {"foo/a": "late/foo/a"}
    assert reasons(found) == {"common/foo": "shadowed by late"}


def test_a_later_overlay_settles_a_tie_of_an_earlier_one() -> None:
    tied = overlay("common", "motd##class.lab", "motd##class.vm")
    found = resolve([tied, overlay("late", "motd")], PC07)
    assert files(found) == {"motd": "late/motd"}
    assert found.problems == ()


def test_a_tie_in_a_later_overlay_does_not_bring_the_earlier_file_back() -> None:
    tied = overlay("late", "motd##class.lab", "motd##class.vm")
    found = resolve([overlay("common", "motd"), tied], PC07)
    assert found.entries == {}
    assert set(problems(found)) == {"motd"}


def test_a_later_file_ends_the_disputes_below_the_directory_that_it_shadows() -> None:
    tied = overlay("common", "foo/a##class.lab", "foo/a##class.vm")
    found = resolve([tied, overlay("late", "foo")], PC07)
    assert files(found) == {"foo": "late/foo"}
    assert found.problems == ()


def test_a_later_file_settles_a_dispute_and_what_lay_below_it_loses() -> None:
    clash = overlay("common", "foo", "foo##class.lab/bar")
    found = resolve([clash, overlay("late", "foo")], PC07)
    assert files(found) == {"foo": "late/foo"}
    assert found.problems == ()


def test_a_dispute_in_a_later_overlay_holds_the_earlier_files_below_it_too() -> None:
    found = resolve([overlay("common", "foo/a"), overlay("late", "foo", "foo##class.lab/b")], PC07)
    assert files(found) == {}
    assert set(problems(found)) == {"foo", "foo/a", "foo/b"}


# --- what else ---------------------------------------------------------------------------------


def test_the_consent_to_withdraw_is_never_placed() -> None:
    found = resolve([overlay("common", ".allie-withdraw", ".allie-withdraw##class.lab")], PC07)
    assert found.entries == {}
    found = resolve([overlay("common", "etc/.allie-withdraw")], PC07)
    assert set(files(found)) == {"etc/.allie-withdraw"}


def test_a_path_is_01overacts_if_any_overlay_spells_it_with_a_tag_in_any_component() -> None:
    found = resolve(
        [
            overlay("common", "plain", "motd", "d##class.office/deep"),
            overlay("late", "motd##class.office", "d/deep", "late"),
        ],
        PC07,
    )
    assert found.tagged == {"motd", "d", "d/deep"}


def test_a_name_that_is_not_utf8_is_a_name() -> None:
    found = resolve([overlay("common", "etc/\udcff##class.lab")], PC07)
    assert files(found) == {"etc/\udcff": "common/etc/\udcff##class.lab"}


# --- algebra -----------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "x"])
FITTING = st.sampled_from(
    [
        "",
        "##class.lab",
        "##class.vm",
        "##host.pc07",
        "##host.pc*",
        "##once",
        "##absent",
        "##~class.x",
    ]
)
FOREIGN = st.sampled_from(["##class.office", "##host.pc08", "##~class.lab", "##virt.none"])
SPELLINGS = st.lists(st.builds(lambda name, tag: name + tag, NAMES, FITTING), max_size=8)


def same(one: Resolution, other: Resolution) -> bool:
    """Equal but for the order of the losers."""
    left, right = one._replace(losers=()), other._replace(losers=())
    return left == right and set(one.losers) == set(other.losers)


@given(SPELLINGS, SPELLINGS, st.randoms(use_true_random=False))
def test_the_order_of_a_listing_means_nothing(
    one: list[str], two: list[str], random: Random
) -> None:
    first, second = overlay("one", *one), overlay("two", *two)
    mixed = [
        each._replace(listing=random.sample(list(each.listing), len(each.listing)))
        for each in (first, second)
    ]
    assert same(resolve([first, second], PC07), resolve(mixed, PC07))


@given(SPELLINGS, NAMES, FOREIGN)
def test_a_variant_that_does_not_fit_changes_no_winner(
    spellings: list[str], name: str, tag: str
) -> None:
    before = resolve([overlay("common", *spellings)], PC07)
    more = overlay("common", *spellings, name + tag)
    without = [each for each in more.listing if each.spelling != name + tag]
    before = resolve([Overlay("common", without)], PC07)
    after = resolve([more], PC07)
    assert (after.entries, after.problems) == (before.entries, before.problems)


@given(SPELLINGS, SPELLINGS)
def test_every_winner_of_the_last_overlay_wins(one: list[str], two: list[str]) -> None:
    last = overlay("two", *two)
    alone, both = resolve([last], PC07), resolve([overlay("one", *one), last], PC07)
    for path, entry in alone.entries.items():
        assert both.entries.get(path) == entry


@given(SPELLINGS)
def test_an_overlay_laid_over_itself_changes_nothing(spellings: list[str]) -> None:
    common = overlay("common", *spellings)
    once, twice = resolve([common], PC07), resolve([common, common], PC07)
    assert (once.entries, once.problems) == (twice.entries, twice.problems)


@given(SPELLINGS, SPELLINGS)
def test_every_file_wins_loses_or_is_in_dispute(one: list[str], two: list[str]) -> None:
    overlays = [overlay("one", *one), overlay("two", *two)]
    found = resolve(overlays, PC07)
    known = {each.source for each in found.entries.values()} | set(reasons(found))
    disputed = set(problems(found))
    for each in overlays:
        for spelling, _ in each.listing:
            path = "/".join(part.partition("##")[0] for part in spelling.split("/"))
            held = any(path == top or path.startswith(top + "/") for top in disputed)
            assert held or f"{each.name}/{spelling}" in known


@given(SPELLINGS, SPELLINGS)
def test_no_winner_stands_below_a_file(one: list[str], two: list[str]) -> None:
    entries = resolve([overlay("one", *one), overlay("two", *two)], PC07).entries
    for path in entries:
        above = path.rpartition("/")[0]
        assert not above or entries[above].is_dir
