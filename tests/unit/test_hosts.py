"""Host patterns: one row for each thing that docs/reference/tags.md says.

docs/internals/rules.md, "More specific is not more conditions".
"""

from __future__ import annotations

import re
import string
import time
import warnings

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from allie.core import globs, hosts

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
        globs.of_name(pattern).matches(name)
        globs.of_path(pattern).matches(name)


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


# --- what a pattern costs ------------------------------------------------------------------------

_OLD_RANGE = r"\[(?![0-9]*\])([0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*)\]"


def _old_set(body: str) -> str:
    negated = body.startswith("!")
    out = []
    for single, first, last in re.findall(r"(?s)(.)(?!-.)|(.)-(.)", body[negated:]):
        if single:
            out.append(re.escape(single))
        elif first <= last:
            out.append(f"{re.escape(first)}-{re.escape(last)}")
    if negated:
        return f"[^/{''.join(out)}]"
    return f"[{''.join(out)}]" if out else "(?!)"


def _old_glob(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        sign = found.group()
        plain = {"*": "[^/]*", "?": "[^/]"}.get(sign)
        if plain:
            return plain
        return _old_set(sign[1:-1]) if len(sign) > 1 else re.escape(sign)

    return re.sub(r"(?s)\*|\?|\[!?[^\]]+\]|.", one, text)


def _old_matches(pattern: str, name: str) -> bool:
    """What a pattern means, as a regular expression says it: exact, and now and then for ever."""
    pieces = re.split(_OLD_RANGE, pattern.lower())
    found = re.fullmatch("([0-9]+)".join(map(_old_glob, pieces[::2])), name.lower())
    if not found:
        return False
    for digits, text in zip(found.groups(), pieces[1::2]):
        spans = [item.partition("-")[::2] for item in text.split(",")]
        widths = [len(first) if first[0] == "0" and len(first) > 1 else 0 for first, _ in spans]
        if not any(
            int(first) <= int(digits) <= int(last or first)
            and digits == str(int(digits)).zfill(width)
            for (first, last), width in zip(spans, widths)
        ):
            return False
    return True


_PIECES = ["pc", "*", "?", "[1-2]", "[01-12,3]", "[0-9]", "[!1]", "[a-c]", "[]", "[", "]", "-", "!"]
_PIECES += ["[z-a]", "[!z-a]", "[10-20]", "[1,2]", "[12]", ",", "1", "0", "a", "/", "[a-", "[!]"]


@settings(max_examples=2000)
@given(
    st.lists(st.sampled_from(_PIECES), max_size=6).map("".join),
    st.text(alphabet="pc0123a-]/", max_size=7),
)
def test_a_pattern_means_what_its_regular_expression_means(pattern: str, name: str) -> None:
    assume(name)
    assert hosts.matches(pattern, (name,)) == _old_matches(pattern, name)
    assert globs.of_name(pattern).matches(name) == bool(re.fullmatch(_old_glob(pattern), name))


@pytest.mark.parametrize(
    "pattern",
    [
        "pc[0-999999999]",
        "pc[1-" + "9" * 50_000 + "]",
        "pc[" + "9" * 50_000 + "]x",
        "pc[" + "1-2," * 10_000 + "3]",
        "pc" + "[0-9]" * 12 + "[5-6]x",
        "pc" + "[1-2,3]" * 5_000 + "x",
        "*a" * 25 + "b",
        "*a" * 10_000 + "b",
        "*1" * 120 + "x",
        "*" * 10_000 + "x",
        "*[1-9]" * 100 + "x",
        "?*" * 10_000,
        "[" * 10_000,
        "[!" * 10_000,
        "[]" * 10_000,
        "[a-z" * 10_000 + "]" * 10_000,
        "[" + "a-b" * 10_000 + "]*x",
        "[1,1," * 10_000,
        "[1-2-" * 10_000,
    ],
    ids=lambda pattern: f"{pattern[:12]}…{len(pattern)}",
)
def test_what_a_pattern_costs_is_bounded_by_its_length(pattern: str) -> None:
    names = ["pc" + "1" * 250, "a" * 253, "pc7", "pc" + "1" * 50_000, "a" * 50_000, "["]
    began = time.process_time()
    hosts.matches(pattern, names)
    for name in names:
        globs.of_name(pattern).matches(name)
        globs.of_path(pattern).matches(name)
    assert time.process_time() - began < 20  # a backtracking one takes years


@pytest.mark.parametrize("name", ["pc" + "1" * 5_000, "pc07" * 64])
def test_a_name_that_no_host_can_have_is_in_no_pattern(name: str) -> None:
    assert not hosts.matches("pc*", (name,))
    assert not hosts.matches("pc[1-9]", (name,))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("pc07", ""),
        ("pc[01-20,35]", ""),
        ("lab*-pc[01-20]", ""),
        ("*", ""),
        ("pc[20-01]", r"\[20-01\] runs backwards"),
        ("pc[1-3,9-5]", "runs backwards"),
        ("pc*[10-20]", r"the \* before \[10-20\]"),
        ("a" * 300, "so long"),
        ("a*" * 300, "so long"),
        ("?" * 300, "so long"),
        ("pc[1-" + "9" * 5000 + "]", ""),
        ("PC-7.lab_2.example.org", ""),
        ("[!a-c]x", ""),
        ("[ab]?", ""),
        ("pc01,pc02", "','"),
        ("pc[01-10],srv[1-3]", "','"),
        ("@rack1", "'@'"),
        ("pc01/", "'/'"),
        ("pc[01-20", r"the \[ has no partner"),
        ("pc01]", "the ] has no partner"),
        ("pc[07]", r"\[07\] is no range of numbers"),
        ("pc[0-10/2]", "is no range of numbers"),
        ("pc[z-a]", "no letter is in it"),
        ("pc[1-]", "is no range of numbers"),
        ("pc[-3]", "is no range of numbers"),
        ("pc[1..3]", "is no range of numbers"),
        ("-pc01", "begins or ends so"),
        (".example.org", r"\*\.example\.org"),
        ("pc01.", "begins or ends so"),
        ("10.0.0.1", "not by their addresses"),
        ("10.0.*", "not by their addresses"),
        ("10.20.example.org", ""),
    ],
)
def test_a_pattern_that_fits_nobody_is_named(pattern: str, words: str) -> None:
    found = hosts.flaw(pattern)
    assert re.search(words, found) if words else found == ""
    assert len(found) < 100


# --- the full name -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "table", "full"),
    [
        ("pc07", "127.0.1.1 pc07.example.org pc07\n", "pc07.example.org"),
        ("PC07", "127.0.1.1\tpc07.example.org\tpc07\n", "pc07.example.org"),
        ("pc07", "127.0.1.1 PC07.EXAMPLE.ORG\n", "PC07.EXAMPLE.ORG"),
        ("pc07", "127.0.1.1 pc07 pc07.example.org. # in DNS\n", "pc07.example.org"),
        ("pc07", "::1 pc07.LocalDomain localhost\n10.0.0.7 pc07.example.org\n", "pc07.example.org"),
        ("pc07", "10.0.0.7 pc07\n# 10.0.0.7 pc07.example.org\n\n", ""),
        ("pc07", "10.0.0.70 pc070.example.org xpc07.example.org\n", ""),
        ("pc07", "pc07.example.org\n", ""),  # that is where an address stands
        ("pc07", "", ""),
    ],
)
def test_the_full_name_of_a_host(short: str, table: str, full: str) -> None:
    assert hosts.full_name(short, table) == full


@given(st.data())
def test_no_case_of_any_name_counts(data: st.DataObject) -> None:
    """Of the host's own name, the table's, and the pattern's."""
    short, table, pattern = (
        "".join(data.draw(st.sampled_from([each.lower(), each.upper()])) for each in text)
        for text in ("pc07", "127.0.1.1 pc07.example.org pc07", "pc[01-09].example.org")
    )
    full = hosts.full_name(short, table)
    assert hosts.matches(pattern, (short, full))
    assert hosts.matches(full, (short, full))


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("pc07", ["pc07"]),
        ("pc[08-10]", ["pc08", "pc09", "pc10"]),
        ("pc[8-10,3]x", ["pc8x", "pc9x", "pc10x", "pc3x"]),
        ("a[1-2]b[01,2]", ["a1b01", "a1b2", "a2b01", "a2b2"]),
        ("pc[001-002]", ["pc001", "pc002"]),
        ("pc[1-1000]", [f"pc{number}" for number in range(1, 1001)]),
        *[(each, []) for each in ("pc[1-1001]", "pc[0-99999999999999999999]", "pc[2-1]", "pc*")],
        *[(each, []) for each in ("pc[ab]", "pc[07]", "pc?", "a[1-40]b[1-40]", "pc[1-2", "pc[!1]")],
    ],
)
def test_the_hosts_that_ranges_name(pattern: str, named: list[str]) -> None:
    assert hosts.named(pattern, 1000) == named
    assert all(hosts.matches(pattern, [each]) for each in named)


@given(st.text("ab09.-AZ_\n\u0130\u0660\u00b2", max_size=8) | st.from_regex(r"[0-9.]{7,12}"))
def test_a_name_of_a_host_is_what_its_pattern_says(name: str) -> None:
    fits = re.fullmatch("[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name) and ".." not in name
    assert hosts.is_name(name) == bool(fits and not hosts.is_address(name))
    assert not hosts.is_name("a" * 256) and hosts.is_name("a" * 255)
