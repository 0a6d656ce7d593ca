"""Tags: how they are read and ranked; one row for each thing that docs/reference/tags.md says.

docs/internals/rules.md, "More specific is not more conditions".
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core import tags
from allie.core.facts import Facts
from allie.core.tags import DEFAULT_RANK, NO_TAG, Condition, Tag

PC07 = Facts(
    host="pc07",
    fqdn="pc07.example.org",
    classes=("lab", "staff", "vm"),
    image="debian12",
    distro=("debian", "devuan"),
    version="12",
    arch="x86_64",
    virt="kvm",
)


def ranked(text: str, facts: Facts = PC07) -> tags.Rank | None:
    return tags.rank(tags.parse(text), facts)


# --- the words of a tag ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("component", "name", "text"),
    [
        ("hosts.allow", "hosts.allow", None),
        ("hosts.allow##class.lab", "hosts.allow", "class.lab"),
        ("a#b##host.pc07", "a#b", "host.pc07"),
        ("a##b##c", "a", "b##c"),
        ("a##", "a", ""),
        ("a###x", "a", "#x"),
        ("##host.pc07", "", "host.pc07"),
    ],
)
def test_a_name_is_split_at_its_first_sign(component: str, name: str, text: str | None) -> None:
    assert tags.split(component) == (name, text)


@pytest.mark.parametrize(
    ("text", "conditions", "flag"),
    [
        ("class.lab", [Condition("class", "lab")], ""),
        ("~virt.none", [Condition("virt", "none", True)], ""),
        (
            "class.lab,~host.pc07",
            [Condition("class", "lab"), Condition("host", "pc07", True)],
            "",
        ),
        ("host.pc[01-20,35]", [Condition("host", "pc[01-20,35]")], ""),
        (
            "host.pc[1,2],class.lab",
            [Condition("host", "pc[1,2]"), Condition("class", "lab")],
            "",
        ),
        ("host.pc07.example.org", [Condition("host", "pc07.example.org")], ""),
        ("version.12.4", [Condition("version", "12.4")], ""),
        ("class.lab,class.lab", [Condition("class", "lab")], ""),
        ("absent", [], "absent"),
        ("once", [], "once"),
        ("class.lab,once", [Condition("class", "lab")], "once"),
        ("absent,absent", [], "absent"),
    ],
)
def test_a_tag_is_read(text: str, conditions: list[Condition], flag: str) -> None:
    assert tags.parse(text) == Tag(frozenset(conditions), flag)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "an empty condition"),
        ("class.lab,", "an empty condition"),
        (",class.lab", "an empty condition"),
        ("class.lab,,once", "an empty condition"),
        ("~", "an empty condition"),
        ("class.lab##host.pc07", "a second ## in one name"),
        ("clas.lab", "unknown attribute 'clas'"),
        ("Class.lab", "unknown attribute 'Class'"),
        ("~colour.red", "unknown attribute 'colour'"),
        ("~~class.lab", "unknown attribute '~class'"),
        ("~absent", "~absent means nothing"),
        ("~once", "~once means nothing"),
        ("absent,once", "absent and once exclude each other"),
        ("class", "class needs a value, as in class.x"),
        ("class.", "class needs a value, as in class.x"),
    ],
)
def test_a_wrong_tag_says_what_is_wrong_and_never_fits(text: str, error: str) -> None:
    assert tags.parse(text).error == error
    assert ranked(text) is None


# --- paths -------------------------------------------------------------------------------------


def test_a_path_without_tags_is_itself() -> None:
    assert tags.unspell("etc/ssh/a#b") == ("etc/ssh/a#b", NO_TAG)


def test_a_directorys_tag_is_added_to_every_path_below() -> None:
    path, tag = tags.unspell("etc/ssh##class.lab/keys##~virt.none/key##host.pc07")
    assert path == "etc/ssh/keys/key"
    assert tag.conditions == {
        Condition("class", "lab"),
        Condition("virt", "none", True),
        Condition("host", "pc07"),
    }


def test_the_same_condition_on_directory_and_file_counts_once() -> None:
    assert tags.unspell("etc##class.lab/motd##class.lab")[1] == tags.parse("class.lab")


@pytest.mark.parametrize(
    ("spelling", "flag", "error"),
    [
        ("etc##once/motd", "once", ""),
        ("etc/motd##absent", "absent", ""),
        ("etc##absent/motd", "absent", "it lies in a directory that is tagged absent"),
        ("etc##once/motd##absent", "absent", "absent and once exclude each other"),
        ("etc/##class.lab", "", "nothing before the ##"),
        ("##class.lab/motd", "", "nothing before the ##"),
        ("etc##clas.lab/motd", "", "unknown attribute 'clas'"),
    ],
)
def test_the_flags_and_errors_of_a_path(spelling: str, flag: str, error: str) -> None:
    tag = tags.unspell(spelling)[1]
    assert (tag.flag, tag.error) == (flag, error)


@pytest.mark.parametrize(
    ("spelling", "error"),
    [
        ("etc##clas.lab/motd", ""),
        ("etc##clas.lab", "unknown attribute 'clas'"),
        ("etc/##class.lab", "nothing before the ##"),
        ("etc/motd##class.lab", ""),
        ("etc/motd", ""),
    ],
)
def test_an_error_belongs_to_the_name_that_has_it(spelling: str, error: str) -> None:
    assert tags.parse_name(spelling).error == error


# --- what fits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "host.pc07",
        "host.PC07",
        "host.pc07.example.org",
        "host.pc*",
        "host.pc[01-20,35]",
        "class.lab",
        "image.debian12",
        "image.debian*",
        "image.debian1[12]",
        "virt.kvm",
        "arch.x86_64",
        "version.12",
        "distro.debian",
        "distro.devuan",
        "~host.pc08",
        "~class.office",
        "~virt.none",
        "~distro.fedora",
        "class.lab,class.staff,~virt.none",
    ],
)
def test_a_condition_holds(text: str) -> None:
    assert ranked(text) is not None
    assert tags.failing(tags.parse(text), PC07) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("host.pc08", "host.pc08 does not hold here"),
        ("class.Lab", "class.Lab does not hold here"),
        ("class.la*", "class.la* does not hold here"),
        ("image.debian", "image.debian does not hold here"),
        ("image.Debian12", "image.Debian12 does not hold here"),
        ("version.1*", "version.1* does not hold here"),
        ("arch.x86", "arch.x86 does not hold here"),
        ("virt.none", "virt.none does not hold here"),
        ("~class.lab", "~class.lab does not hold here"),
        ("~host.pc*", "~host.pc* does not hold here"),
        ("class.lab,class.office", "class.office does not hold here"),
        ("clas.lab", "unknown attribute 'clas'"),
    ],
)
def test_a_condition_does_not_hold(text: str, why: str) -> None:
    assert ranked(text) is None
    assert tags.failing(tags.parse(text), PC07) == why


@pytest.mark.parametrize("attribute", ["image", "virt", "arch", "version", "distro"])
def test_a_fact_that_the_system_lacks_fits_neither_a_condition_nor_its_opposite(
    attribute: str,
) -> None:
    bare = Facts(host="pc07")
    assert ranked(f"{attribute}.x", bare) is None
    assert ranked(f"~{attribute}.x", bare) is None


def test_a_system_in_no_class_is_outside_each_class() -> None:
    assert ranked("~class.lab", Facts(host="pc07")) is not None


# --- the rank ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rank"),
    [
        ("host.pc07", (1, 0, 0, 0, 0, 0, 0, 0, 0)),
        ("host.pc*", (0, 1, 0, 0, 0, 0, 0, 0, 0)),
        ("host.pc0[57]", (0, 1, 0, 0, 0, 0, 0, 0, 0)),
        ("class.lab", (0, 0, 1, 0, 0, 0, 0, 0, 0)),
        ("image.debian12", (0, 0, 0, 1, 0, 0, 0, 0, 0)),
        ("image.debian*", (0, 0, 0, 1, 0, 0, 0, 0, 0)),
        ("virt.kvm", (0, 0, 0, 0, 1, 0, 0, 0, 0)),
        ("arch.x86_64", (0, 0, 0, 0, 0, 1, 0, 0, 0)),
        ("version.12", (0, 0, 0, 0, 0, 0, 1, 0, 0)),
        ("distro.debian", (0, 0, 0, 0, 0, 0, 0, 1, 0)),
        ("~host.pc08", (0, 0, 0, 0, 0, 0, 0, 0, 1)),
        ("~class.x,~class.y,~virt.none", (0, 0, 0, 0, 0, 0, 0, 0, 3)),
        ("host.pc07,host.pc07.example.org", (2, 0, 0, 0, 0, 0, 0, 0, 0)),
        ("class.lab,class.vm,once", (0, 0, 2, 0, 0, 0, 0, 0, 0)),
        ("absent", (0, 0, 0, 0, 0, 0, 0, 0, 0)),
        ("once", (0, 0, 0, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_the_rank_counts_each_kind_of_condition(text: str, rank: tags.Rank) -> None:
    assert ranked(text) == rank


def test_no_tag_has_the_lowest_rank() -> None:
    assert tags.rank(NO_TAG, PC07) == DEFAULT_RANK == (0,) * 9


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        # each place of the table beats all that come after it, however many they are
        ("host.pc07", "host.pc*,class.lab,class.staff,class.vm,image.debian12"),
        ("host.pc*", "class.lab,class.staff,class.vm"),
        ("class.lab", "image.debian12,virt.kvm,arch.x86_64,version.12,distro.debian"),
        ("image.debian12", "virt.kvm,arch.x86_64,version.12,distro.debian"),
        ("virt.kvm", "arch.x86_64,version.12,distro.debian"),
        ("arch.x86_64", "version.12,distro.debian"),
        ("version.12", "distro.debian,distro.devuan"),
        ("distro.debian", "~virt.none,~class.x,~class.y"),
        ("~class.office", "absent"),
        # more of a kind wins
        ("class.lab,class.staff", "class.lab"),
        ("class.lab,class.staff,class.vm", "class.lab,class.staff,image.debian12"),
        # a negated host says less than a class
        ("class.lab", "~host.pc08"),
    ],
)
def test_the_first_difference_decides_and_more_wins(better: str, worse: str) -> None:
    high, low = ranked(better), ranked(worse)
    assert high is not None
    assert low is not None
    assert high > low


def test_explain_names_the_place_that_decided() -> None:
    one, two = (1, 0, 2, 0, 0, 0, 0, 0, 0), (1, 0, 0, 3, 0, 0, 0, 0, 0)
    assert tags.explain(one, two) == "the winner has 2 class conditions to its 0"
    assert (
        tags.explain((2,) + (0,) * 8, (1,) + (0,) * 8)
        == "the winner has 2 host conditions to its 1"
    )
    assert tags.explain(one, one) == "equal"


# --- algebra -----------------------------------------------------------------------------------

CONDITIONS = st.sampled_from(
    """host.pc07 host.pc* host.pc[01-09] host.pc07.example.org class.lab class.staff class.vm
    image.debian12 image.* virt.kvm arch.x86_64 version.12 distro.debian distro.devuan ~class.x
    ~class.y ~virt.none ~host.other host.other class.x once absent""".split()
)
TAGS = st.lists(CONDITIONS, min_size=1, max_size=6)


@given(TAGS, st.randoms(use_true_random=False))
def test_the_order_of_the_conditions_means_nothing(items: list[str], random: Random) -> None:
    mixed = list(items)
    random.shuffle(mixed)
    assert tags.parse(",".join(items)) == tags.parse(",".join(mixed))
    assert ranked(",".join(items)) == ranked(",".join(mixed))


def test_two_flags_are_one_error_in_either_order() -> None:
    assert tags.parse("once,absent") == tags.parse("absent,once")


@given(TAGS)
def test_it_means_nothing_on_which_component_a_condition_stands(items: list[str]) -> None:
    conditions = [item for item in items if item not in tags.FLAGS] or ["class.lab"]
    spread = "/".join(f"d##{item}" for item in conditions)
    path, together = tags.unspell(spread)
    assert path == "/".join("d" for _ in conditions)
    assert together == tags.parse(",".join(conditions))


@given(TAGS, TAGS, TAGS)
def test_ranks_are_a_total_preorder(one: list[str], two: list[str], three: list[str]) -> None:
    found = [ranked(",".join(items)) for items in (one, two, three)]
    known = [rank for rank in found if rank is not None]
    for a in known:
        for b in known:
            assert (a <= b) or (b <= a)
            for c in known:
                assert not (a <= b and b <= c) or a <= c


@given(TAGS, CONDITIONS)
def test_one_more_true_condition_never_ranks_lower(items: list[str], more: str) -> None:
    before, after = ranked(",".join(items)), ranked(",".join([*items, more]))
    assert before is None or after is None or after >= before


@given(st.text(alphabet="#~.,[]ahost c-7/\udcff", max_size=20))
def test_no_name_raises(name: str) -> None:
    path, tag = tags.unspell(name)
    assert "##" not in path or tag == NO_TAG
    tags.rank(tag, PC07)
    tags.failing(tag, PC07)
