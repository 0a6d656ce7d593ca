"""Host sets: what is folded stands for the same hosts, as ALLiE and ClusterShell read it."""

from __future__ import annotations

import pytest
from ClusterShell.NodeSet import NodeSet  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from allie.core import hosts
from allie.server.fleet import expected
from allie.server.fleet.host_sets import fold

FOLDED = [
    ([], ""),
    (["srv"], "srv"),
    (["pc07"], "pc07"),
    (["pc02", "pc01", "srv", "pc03"], "pc[01-03],srv"),
    ([f"pc{number:02}" for number in (*range(1, 39), 40)], "pc[01-38,40]"),
    (["pc9", "pc10", "pc11"], "pc[9-11]"),
    (["pc09", "pc10"], "pc[09-10]"),
    (["pc98", "pc01", "pc99", "pc100", "pc101"], "pc[01,98-99,100-101]"),
    (["pc1", "pc01", "pc001"], "pc001,pc01,pc1"),
    (["pc1", "pc01", "pc02"], "pc[01-02],pc1"),
    (["r1n1", "r1n2", "r2n1", "r2n2"], "r[1-2]n[1-2]"),
    (["r1n1", "r1n2", "r2n1"], "r1n[1-2],r2n1"),
    (["pc1.a.org", "pc2.a.org", "pc2.b.org"], "pc[1-2].a.org,pc2.b.org"),
    (["7", "8"], "[7-8]"),
    (["a0", "a00"], "a0,a00"),
]


@pytest.mark.parametrize(("names", "folded"), FOLDED)
def test_folded(names: list[str], folded: str) -> None:
    assert fold(names) == folded
    assert unfolded(fold(names)) == sorted(names)
    assert sorted(NodeSet(fold(names))) == sorted(names)


def unfolded(text: str) -> list[str]:
    """The hosts of a host set, by ALLiE's own reading; commas inside brackets divide nothing."""
    depth, found = 0, [""]
    for letter in text:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and not depth:
            found.append("")
        else:
            found[-1] += letter
    return sorted(name for each in found if each for name in hosts.named(each, 10_000))


NAMES = st.from_regex(r"[a-c]?(0{0,2}[0-9]{1,3})?(-0?[0-2])?(\.[a-b])?", fullmatch=True)


@given(st.sets(NAMES.filter(hosts.is_name), max_size=40))
def test_folding_loses_and_adds_nobody(names: set[str]) -> None:
    assert unfolded(fold(names)) == sorted(names)
    assert sorted(NodeSet(fold(names))) == sorted(names)


NUMBERS = st.sets(st.integers(0, 120), min_size=1, max_size=60)


@given(
    NUMBERS, st.sampled_from(["pc{:02}", "pc{:03}", "pc{}", "r{:02}n1", "pc{:02}.lab.example.org"])
)
def test_one_row_of_hosts_is_folded_as_clustershell_folds_it(numbers: set[int], form: str) -> None:
    names = [form.format(number) for number in numbers]
    assert fold(names) == str(NodeSet.fromlist(names))


@given(st.text("ab1-*?[]!", min_size=1, max_size=12), st.text("ab1-", min_size=1, max_size=8))
def test_whoever_a_glob_fits_has_its_letters(pattern: str, host: str) -> None:
    """By these alone, most hosts of a large fleet are not compared with most globs."""
    if hosts.matches(pattern, [host, host.partition(".")[0]]):
        assert expected._letters(pattern) in host


def test_classes_by_globs_are_those_that_fit() -> None:
    globs = tuple(
        (expected._letters(each), each, each) for each in ("*", "LAB*", "*-x?", "lab[01-20]-*")
    )
    found = expected.Expected({}, frozenset(), {}, globs, frozenset(), ())
    assert found.classes_of("lab07-xy.example.org") == ("*", "LAB*", "*-x?", "lab[01-20]-*")
    assert found.classes_of("lab21-z") == ("*", "LAB*")
