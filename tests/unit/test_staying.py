"""What is not withdrawn, or not yet: the kit that fetches all else, directories still in use."""

from __future__ import annotations

import pytest

from allie.core import forbidden_paths
from allie.core.change import staying
from allie.core.change.ledger import DIRECTORY, Ledger, Placed
from allie.core.change.present import Present
from allie.core.change.resolution import Entry


def placed(overlay: str, content: str = "f:x") -> Placed:
    return Placed(overlay, "", "overlay", "", "1 1 1 1 1 1", content, "", "1 1 1 1 1 1 1", "-")


def present(entries: dict[str, Placed], claims: tuple[str, ...] = (), flag: str = "") -> Present:
    found = {real: Entry(real, "kit", real, False, flag) for real in claims}
    nothing = frozenset[str]()
    return Present(
        "overlay", 1, Ledger(entries, {}, {}), found, (), nothing, {}, {}, (), nothing, (), nothing
    )


UNIT = "etc/systemd/system/allie.timer"
KIT = {real: placed("kit") for real in (*forbidden_paths.NEEDED, UNIT, "root/util/rsync-image")}
ALL = tuple(KIT)


@pytest.mark.parametrize(
    "left", [(), *[tuple(set(ALL) - {each}) for each in forbidden_paths.NEEDED]]
)
@pytest.mark.parametrize("flag", ["", "once"])
def test_a_kit_that_could_fetch_nothing_again_stays_whole(left: tuple[str, ...], flag: str) -> None:
    going = {real: old for real, old in KIT.items() if real not in left}
    stays, told = staying.kept_back(going, present(KIT, left, flag))
    assert stays == set(going)
    (problem,) = told
    assert "put `kit` back" in problem.message


def test_one_of_its_other_files_goes_with_a_kit_that_has_it_no_more() -> None:
    claims = tuple(real for real in ALL if real != UNIT)
    assert staying.kept_back({UNIT: KIT[UNIT]}, present(KIT, claims)) == (set(), [])


def test_what_is_not_the_kits_goes() -> None:
    other = {"etc/a": placed("common")}
    stays, told = staying.kept_back({**KIT, **other}, present({**KIT, **other}))
    assert stays == set(KIT)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("entries", "going", "waits"),
    [
        (["d/", "d/x"], ["d/", "d/x"], []),
        (["d/", "d/x"], ["d/"], ["d"]),
        (["a/", "a/b/", "a/b/x", "c/", "c/y"], ["a/", "a/b/", "c/", "c/y"], ["a", "a/b"]),
        (["d/", "dx"], ["d/"], []),
        (["d", "d/x"], ["d"], []),  # no directory of ours: a file took its place
    ],
)
def test_a_directory_waits_for_what_is_in_it(
    entries: list[str], going: list[str], waits: list[str]
) -> None:
    known = {
        each.rstrip("/"): placed("common", DIRECTORY if each.endswith("/") else "f:x")
        for each in entries
    }
    leaving = {each.rstrip("/"): known[each.rstrip("/")] for each in going}
    assert staying.kept_back(leaving, present(known)) == (set(waits), [])


@pytest.mark.parametrize(
    ("part", "claims", "found"),
    [
        ("overlay", (), {"d", "d/e", "p", "p/f"}),
        ("overact", (), {"d", "d/e", "d/e/v"}),  # the directories that it empties, too
        ("overact", ("d",), {"d/e", "d/e/v"}),
        ("overact", ("d", "d/e", "d/e/v"), set()),
    ],
)
def test_what_no_overlay_has_any_more(part: str, claims: tuple[str, ...], found: set[str]) -> None:
    plain = {real: placed("common", DIRECTORY) for real in ("d", "d/e", "p")}
    entries = {**plain, "p/f": placed("common"), "d/e/v": placed("common")._replace(part="overact")}
    known = present(entries, claims)
    assert set(staying.unclaimed(part, entries, known.claims)) == found
