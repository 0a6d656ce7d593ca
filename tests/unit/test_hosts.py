"""Host patterns: one row a sentence of DESIGN section 5 and RULES B5."""

from __future__ import annotations

import string
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core import hosts

PC07 = ("pc07", "pc07.example.org")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("pc07", "pc07"),
        ("PC07", "pc07"),
        ("pc07", "Pc07"),
        ("pc*", "pc07"),
        ("pc*", "pc"),
        ("*07", "pc07"),
        ("pc?7", "pc07"),
        ("pc0[5-9x]", "pc07"),
        ("pc0[!1-3]", "pc07"),
        ("PC[A-C]", "pcb"),
        ("pc[01-20,35]", "pc01"),
        ("pc[01-20,35]", "pc20"),
        ("pc[01-20,35]", "pc35"),
        ("pc[1-20]", "pc7"),
        ("pc[01-100]", "pc100"),
        ("pc0[57]", "pc07"),  # digits alone are a set, as in any glob
        ("pc[0-3]", "pc0"),
        ("pc[1-2]-[01-02]", "pc2-01"),
        ("lab*-pc[01-20]", "lab-west-pc07"),
        ("pc[01-20].example.org", "pc07.example.org"),
        ("pc.07", "pc.07"),
    ],
)
def test_a_pattern_fits(pattern: str, name: str) -> None:
    assert hosts.matches(pattern, (name, ""))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("pc07", "pc7"),
        ("pc07", "pc071"),
        ("c07", "pc07"),
        ("pc[01-20,35]", "pc7"),
        ("pc[01-20,35]", "pc21"),
        ("pc[01-20,35]", "pc007"),
        ("pc[1-20]", "pc07"),
        ("pc[01-100]", "pc7"),
        ("pc[20-01]", "pc07"),
        ("pc[01-20]", "pc"),
        ("pc[01-20]", "pcxx"),
        ("pc?", "pc07"),
        ("pc.07", "pcx07"),
        ("pc+", "pcc"),
        ("pc*", "pc/07"),
        ("pc?07", "pc/07"),
        ("pc[!x]07", "pc/07"),
        ("pc0[!5-9]", "pc07"),
        ("pc[01-20", "pc07"),
        ("pc[]", "pc07"),
        ("pc[07]", "pc07"),  # digits alone are a set: pc0 or pc7
        ("", "pc07"),
    ],
)
def test_a_pattern_does_not_fit(pattern: str, name: str) -> None:
    assert not hosts.matches(pattern, (name, ""))


@pytest.mark.parametrize("pattern", ["pc07", "pc07.example.org", "*.example.org", "pc[01-09]"])
def test_either_name_of_a_host_will_do(pattern: str) -> None:
    assert hosts.matches(pattern, PC07)


def test_a_name_that_a_host_lacks_fits_nothing() -> None:
    assert not hosts.matches("*", ("", ""))


@pytest.mark.parametrize(
    ("pattern", "fits", "not_fits"),
    [
        ("pc[z-a]", "", "az"),
        ("pc[^a]", "^a", "b"),
        ("pc[a&&b]", "ab&", "c"),
        ("pc[a--c]", "c", "ab-d"),  # a-- runs from a down to -: nothing
        ("pc[\\w]", "\\w", "a"),
        ("pc[a-]", "a-", "b"),
    ],
)
def test_a_set_of_signs_means_what_a_shell_means_by_it(
    pattern: str, fits: str, not_fits: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [sign for sign in fits if not hosts.matches(pattern, (f"pc{sign}", ""))] == []
        assert [sign for sign in not_fits if hosts.matches(pattern, (f"pc{sign}", ""))] == []


@pytest.mark.parametrize(
    ("pattern", "exact"),
    [
        ("pc07", True),
        ("pc07.example.org", True),
        ("pc*", False),
        ("pc?7", False),
        ("pc[01-20]", False),
        ("pc[07]", False),
    ],
)
def test_a_name_without_signs_is_exact(pattern: str, exact: bool) -> None:
    assert hosts.is_exact(pattern) is exact


@given(st.text(alphabet=string.printable + "äß²", max_size=12), st.text(max_size=12))
def test_no_pattern_raises(pattern: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hosts.matches(pattern, (name, ""))
        hosts.glob(pattern).fullmatch(name)


@given(st.text(alphabet=string.ascii_letters + string.digits + "-.", min_size=1, max_size=12))
def test_a_plain_name_fits_itself_in_any_case(name: str) -> None:
    assert hosts.matches(name.upper(), (name.lower(), ""))


@given(
    st.integers(1, 130),
    st.integers(1, 130),
    st.integers(1, 4),
    st.integers(0, 140),
    st.integers(1, 5),
)
def test_a_range_equals_its_expansion(
    first: int, last: int, width: int, number: int, name_width: int
) -> None:
    low, high = f"{first:0{width}d}", f"{last:0{width}d}"
    # What ClusterShell's nodeset -e prints: padded to the first number's width if it has a zero.
    padding = len(low) if low.startswith("0") else 0
    expansion = {f"pc{each:0{padding}d}" for each in range(first, last + 1)}
    name = f"pc{number:0{name_width}d}"
    assert hosts.matches(f"pc[{low}-{high}]", (name, "")) == (name in expansion)


@given(st.lists(st.integers(0, 99), min_size=2, max_size=5), st.integers(0, 99))
def test_a_list_in_brackets_equals_each_of_it(numbers: list[int], number: int) -> None:
    pattern = "pc[" + ",".join(f"{each:02d}" for each in numbers) + "]"
    assert hosts.matches(pattern, (f"pc{number:02d}", "")) == (number in numbers)
