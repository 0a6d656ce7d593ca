"""What a system knows of itself: os-release and the classes file."""

from __future__ import annotations

import time

import pytest

from allie.core import facts
from allie.core.errors import SettingsError
from allie.core.facts import (
    Facts,
    OsRelease,
    classes_of,
    parse_classes,
    parse_hostname,
    parse_os_release,
)


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("", OsRelease()),
        (
            'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
            OsRelease("debian", (), "12", "Debian GNU/Linux 12 (bookworm)"),
        ),
        (
            'ID="rocky"\nID_LIKE="rhel centos fedora"\n',
            OsRelease("rocky", ("rhel", "centos", "fedora")),
        ),
        ("ID='arch'\n", OsRelease("arch")),
        ("# ID=no\n  ID=toy  \nVERSION_ID=1\n", OsRelease("toy", (), "1")),
        ('PRETTY_NAME="a \\"b\\" \\$c"\n', OsRelease(pretty='a "b" $c')),
        ("no equals sign\nID=toy\n", OsRelease("toy")),
        ("ID=old\nID=new\n", OsRelease("new")),
    ],
)
def test_os_release_is_read(text: str, release: OsRelease) -> None:
    assert parse_os_release(text) == release


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pc07\n", "pc07"),
        ("\n# by the installer\n  pc07.example.org \nother\n", "pc07.example.org"),
        ("# nothing else\n", ""),
        ("", ""),
    ],
)
def test_the_hostname_is_read(text: str, name: str) -> None:
    assert parse_hostname(text) == name


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("", {}),
        ("lab: pc[01-40,99] srv*\n", {"lab": ("pc[01-40,99]", "srv*")}),
        ("lab: pc01\n\n# a comment\nlab: pc02 # the new one\n", {"lab": ("pc01", "pc02")}),
        ("empty:\n", {"empty": ()}),
        ("  lab :pc01\n", {"lab": ("pc01",)}),
        ("class-1.b_c: pc01\n", {"class-1.b_c": ("pc01",)}),
    ],
)
def test_the_classes_file_is_read(text: str, classes: dict[str, tuple[str, ...]]) -> None:
    assert parse_classes(text) == classes


@pytest.mark.parametrize("line", ["lab", "la b: pc01", ": pc01", "-lab: pc01", "lab,vm: pc01"])
def test_a_line_that_is_no_class_is_named_by_its_number(line: str) -> None:
    with pytest.raises(SettingsError, match="line 3") as caught:
        parse_classes(f"ok: pc01\n\n{line}\n")
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("pc07", ""), ("lab", "odd")),
        (("pc07", "pc07.example.org"), ("lab", "odd", "org")),
        (("PC99", ""), ("lab",)),
        (("pc41", ""), ()),
        (("srv-mail", ""), ("lab",)),
    ],
)
def test_a_host_is_in_the_classes_that_have_a_pattern_for_it(
    names: tuple[str, str], classes: tuple[str, ...]
) -> None:
    members = {
        "org": ("*.example.org",),
        "odd": ("pc0[1,3,5,7,9]",),
        "lab": ("pc[01-40,99]", "srv*"),
        "empty": (),
    }
    assert classes_of(names, members) == classes


def test_a_class_on_very_many_lines_costs_what_they_cost() -> None:
    began = time.process_time()
    found = parse_classes("lab: pc[1-40] *a\n" * 20_000)
    assert len(found["lab"]) == 40_000
    assert not facts.classes_of(("x" * 60, ""), found)
    assert time.process_time() - began < 20


def test_a_host_has_two_names() -> None:
    assert Facts(host="pc07", fqdn="pc07.example.org").names == ("pc07", "pc07.example.org")
