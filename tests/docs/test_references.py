"""The reasons: what sources and tests refer to is there, and what the internals name is there, too.

A reference from a source, a test or the build is a page of docs/, and perhaps its headings in
quotes: docs/internals/rules.md, "A mirror may be a mixture". Where there is no room, the name of a
page of the internals does: rules.md, "Hard links go together".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from allie.core import tags
from tests.docs.pages import DOCS, TOP, headings
from tests.test_structure import WINGS

INTERNALS = DOCS / "internals"
RULES = INTERNALS / "rules.md"
HACKING = TOP / "HACKING.md"
DECISIONS = INTERNALS / "decisions"
_PAGE = r"(docs/[\w/-]+\.md|HACKING\.md|(?:rules|security|ordinary|packages|house)\.md)"
_REFERENCE = re.compile(_PAGE + r'((?:(?:,| and|, and) "[^"]+")*)')
_NAMED = r"`((?:cli|client|core|machine|server|stub|tests|src|bench|demo)/[\w/-]+\.(?:py|sh|md))`"
_PLACES = re.compile(r"`([\w/.-]+\.\w+)`(?:\s+\(((?:`\w+`(?:,\s+)?)+)\))?")
# What is kept elsewhere is of no use to who has this repository alone
_OUTSIDE = re.compile(r"\bRULES [A-G]\d|\((?:RULES )?[AB]\d{1,2}\)|\bDESIGN\b|\bissue \d")
_PARTS = ("Why", "Seen", "Rule", "Where", "Tests")


@cache
def sources() -> dict[Path, str]:
    """The text of all that refers to a page, its lines joined as a reader joins them."""
    files = [TOP / "Makefile"]
    for folder in ("src/allie", "tests", "bench", "demo", "tools"):
        files += [*(TOP / folder).rglob("*.py"), *(TOP / folder).rglob("*.sh")]
    return {path: re.sub(r"\s*\n\s*#? *", " ", path.read_text()) for path in files}


def references() -> Iterator[tuple[Path, Path, str]]:
    """From where, to which page, to which of its headings ("": to the page)."""
    for path, text in sources().items():
        for page, quoted in _REFERENCE.findall(text):
            inside = INTERNALS / page if "/" not in page and page != "HACKING.md" else TOP / page
            for heading in re.findall(r'"([^"]+)"', quoted) or [""]:
                yield path, inside, heading


def rules() -> dict[str, str]:
    """The rules by heading."""
    parts = re.split(r"^### ", RULES.read_text(), flags=re.MULTILINE)[1:]
    return {
        part.partition("\n")[0]: part.partition("\n")[2].partition("\n## ")[0] for part in parts
    }


def _file(name: str) -> Path:
    """A file as the internals name it."""
    return TOP / name if name.partition("/")[0] in ("tests", "src") else TOP / "src/allie" / name


def test_every_reference_leads_to_a_heading() -> None:
    found = list(references())
    assert len({page for _, page, _ in found}) > 3, "the references are not found any more"
    for path, page, heading in found:
        assert page.exists(), f"{path.relative_to(TOP)} refers to {page.name}"
        there = not heading or heading in headings(page)
        assert there, f'{path.relative_to(TOP)} refers to {page.name}, "{heading}"'


def test_nothing_refers_to_what_is_not_here() -> None:
    for path, text in sources().items():
        outside = _OUTSIDE.search(text) if path != Path(__file__) else None
        assert not outside, f"{path.relative_to(TOP)} refers to {outside and outside.group()}"


def test_every_rule_is_referred_to_where_it_is_held() -> None:
    known = {heading for path, _, heading in references() if TOP / "src" in path.parents}
    assert not rules().keys() - known


@pytest.mark.parametrize("rule", rules())
def test_a_rule_has_a_reason_a_place_and_a_test(rule: str) -> None:
    parts = dict(re.findall(r"^\*(\w+)\.\* (.*?)(?=^\*\w+\.\*|\Z)", _lines(rule), re.M | re.S))
    assert tuple(parts) == _PARTS
    places = _PLACES.findall(parts["Where"])
    assert any(names for _, names in places), "which function holds it?"
    tests = _PLACES.findall(parts["Tests"])
    assert tests, "which test holds it?"
    assert all(name.startswith("tests/") for name, _ in tests)
    for name, quoted in places + tests:
        assert _file(name).is_file(), name
        text = _file(name).read_text()
        for each in re.findall(r"\w+", quoted):
            assert re.search(rf"^\s*(?:def|class) {each}\b|^{each} =", text, re.M), (
                f"{name}: {each}"
            )


def _lines(rule: str) -> str:
    """A rule's text with each of its parts on a line of its own."""
    return re.sub(r" (\*Tests\.\*)", r"\n\1", rules()[rule])


def test_pages_for_developers_name_files_that_are_there() -> None:
    names = {path.name for path in (*TOP.glob("src/**/*.py"), *TOP.glob("tests/**/*.py"))}
    for page in (*INTERNALS.rglob("*.md"), HACKING):
        text = page.read_text()
        for name in re.findall(_NAMED, text):
            there = _file(name).exists() or (TOP / name).exists()
            assert there, f"{page.name}: {name}"
        for name in set(re.findall(r"`(\w+\.py)`", text)) - {"util.py"}:  # not to be made
            assert name in names, f"{page.name}: {name}"


def test_the_house_has_the_wings_of_the_page() -> None:
    table = re.findall(r"^\| `(\w+)/(\w+)` \|", (INTERNALS / "house.md").read_text(), re.M)
    for floor, wings in WINGS.items():
        assert [wing for above, wing in table if above == floor] == wings


def test_the_values_of_its_picture_are_classes() -> None:
    part = (INTERNALS / "house.md").read_text().partition("## From the fetch")[2]
    picture = "".join(re.findall(r"^    .*\n", part.partition("\n## ")[0], re.M))
    code = "".join(path.read_text() for path in (TOP / "src").rglob("*.py"))
    words = set(re.findall(r"\b[A-Z][a-z]+\b", picture))
    assert len(words) > 15
    assert not [
        each for each in words if not re.search(rf"^class {each[:-1]}{each[-1]}?\b", code, re.M)
    ]


def test_every_decision_is_listed_and_short() -> None:
    listed = re.findall(
        r"^\| ([\d-]+) \| \[.+\]\((.+)\)", (DECISIONS / "README.md").read_text(), re.M
    )
    assert {name for _, name in listed} == {path.name for path in DECISIONS.glob("*.md")} - {
        "README.md"
    }
    assert [date for date, _ in listed] == sorted(date for date, _ in listed)
    for date, name in listed:
        text = (DECISIONS / name).read_text()
        assert f"\n{date}" in text
        assert 8 <= len(text.splitlines()) <= 25, name


def test_the_first_change_is_yet_to_be_made() -> None:
    """HACKING.md walks a newcomer through it; what it shows on the way is so."""
    walk = HACKING.read_text().partition("## What make does")[0]
    assert "##arch.x64" in walk
    assert not tags.flaw(tags.parse("arch.x64"))
    said = tags.flaw(tags.parse("arch.amd64"))
    assert f"x64: {said.partition(': ')[2]}\n" in walk
    assert "arch.amd64" in (TOP / "tests/server/test_lint.py").read_text()
    assert "_ARCHS" in Path(tags.__file__).read_text()
