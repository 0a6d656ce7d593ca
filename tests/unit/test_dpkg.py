"""dpkg's records, read from its files: which package's word counts for a path."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from allie.client.originals import dpkg, packages
from allie.client.originals.dpkg import Record
from allie.machine.roots import open_system
from tests.worlds.toy import Tree, make_tree

A, B, C = (md5(text).hexdigest() for text in (b"a", b"b", b"c"))


def status(*conffiles: str, package: str = "foo", more: str = "") -> str:
    lines = "".join(f" /{each}\n" for each in conffiles)
    field = f"Conffiles:\n{lines}" if lines else ""
    return (
        f"Package: {package}\nStatus: install ok installed\nArchitecture: all\n{field}{more}"
        f"Description: one\n /etc/x {C} is a line of the description\n\n"
    )


ROWS: dict[str, tuple[Tree, str, set[str], bool]] = {  # files, path, digests, gone
    "a plain file": ({"info/foo.md5sums": f"{C}  usr/y\n{A}  usr/x\n"}, "usr/x", {A}, False),
    "of an architecture": ({"info/foo:amd64.md5sums": f"{A}  usr/x\n"}, "usr/x", {A}, False),
    "a part of a name": ({"info/foo.md5sums": f"{A}  usr/x\n"}, "usr", set(), True),
    "a name with a space": ({"info/foo.md5sums": f"{A}  usr/x  y\n"}, "usr/x  y", {A}, False),
    "a conffile": ({"status": status(f"etc/x {A}")}, "etc/x", {A}, False),
    "the second": ({"status": status(f"etc/y {B}", f"etc/x {A}")}, "etc/x", {A}, False),
    "the second package": (
        {"status": status() + status(f"etc/x {A}", package="bar")}, "etc/x", {A}, False),
    "with a space": ({"status": status(f"etc/x y {A}")}, "etc/x y", {A}, False),
    "obsolete": ({"status": status(f"etc/x {A} obsolete")}, "etc/x", {A}, False),
    "obsolete here, another's there": (
        {"status": status(f"etc/x {A} obsolete") + status(f"etc/x {B}", package="bar")},
        "etc/x", {B}, False),
    "shared by two": (
        {"status": status(f"etc/x {A}") + status(f"etc/x {B}", package="bar")},
        "etc/x", {A, B}, False),
    "to be removed": ({"status": status(f"etc/x {A} remove-on-upgrade")}, "etc/x", set(), True),
    "unpacked only": (
        {"status": status("etc/x newconffile"), "info/foo.list": "/etc/x\n"},
        "etc/x", set(), False),
    "updated since": (
        {"status": status(f"etc/x {A}"), "updates/0001": status(f"etc/x {B}"),
         "updates/tmp.i": status(f"etc/x {C}")}, "etc/x", {B}, False),
    "given up since": (
        {"status": status(f"etc/x {A}"), "updates/0001": status()}, "etc/x", set(), True),
    "of ucf": ({"../ucf/hashfile": f"{A}  /etc/x\n"}, "etc/x", {A}, False),
    "a link": ({"info/foo.list": "/.\n/usr\n/usr/x\n"}, "usr/x", set(), False),
    "nobody's": ({"info/foo.md5sums": f"{A}  usr/y\n"}, "usr/x", set(), True),
    "of a list that is lost": ({"status": ""}, "usr/x", set(), False),
    "diverted by a package": (
        {"info/foo.md5sums": f"{A}  usr/x\n", "info/dash.md5sums": f"{B}  usr/x\n",
         "diversions": "/usr/x\n/usr/x.distrib\ndash\n"}, "usr/x", {B}, False),
    "what was diverted": (
        {"info/foo.md5sums": f"{A}  usr/x\n", "info/dash.md5sums": f"{B}  usr/x\n",
         "diversions": "/usr/x\n/usr/x.distrib\ndash\n"}, "usr/x.distrib", {A}, False),
    "diverted by hand": (
        {"info/foo.md5sums": f"{A}  usr/x\n", "diversions": "/usr/x\n/usr/x.real\n:\n"},
        "usr/x", set(), False),
    "another is diverted": (
        {"info/foo.md5sums": f"{A}  usr/x\n", "diversions": "/usr/y\n/usr/x.distrib\n:\n"},
        "usr/x", {A}, False),
}  # fmt: skip


@pytest.mark.parametrize(("files", "path", "digests", "gone"), ROWS.values(), ids=list(ROWS))
def test_what_is_on_record(
    tmp_path: Path, files: Tree, path: str, digests: set[str], gone: bool
) -> None:
    base = tmp_path / "var/lib/dpkg"
    make_tree(base, {"status": status(package="other"), "info/format": "1\n", **files})
    found = dpkg.records(str(base), {path: [path], "etc/else": ["etc/else"]})
    assert (set(found[path].digests), found[path].gone) == (digests, gone)
    config = "md5sums" not in str(files) and "list" not in str(files)
    assert found[path].config == (config and bool(digests))
    assert not found["etc/else"].digests


def test_the_name_from_before_usr_was_merged(tmp_path: Path) -> None:
    make_tree(tmp_path, {"status": status(f"lib/udev/x {A}"), "info/f.md5sums": f"{B}  bin/y\n"})
    found = dpkg.records(
        str(tmp_path),
        {"usr/lib/udev/x": ["usr/lib/udev/x", "lib/udev/x"], "usr/bin/y": ["usr/bin/y"]},
    )
    assert found["usr/lib/udev/x"].digests == {A}
    assert not found["usr/bin/y"].digests, "here /bin is no link, and bin/y another file"


@pytest.mark.parametrize(
    "name", ["status", "diversions", "info", "info/a.list", "info/a.md5sums", "updates", "endless"]
)
def test_of_what_cannot_be_read_just_now_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Above all not that no package has a path: that one would be removed."""
    base = tmp_path / "var/lib/dpkg"
    files: Tree = {"info/a.list": "/usr/x\n", "info/a.md5sums": f"{A}  usr/x\n", "diversions": ""}
    make_tree(base, {"status": status(), "updates/0001": status(), **files})
    os.truncate(base / "info/a.list", 1 << 40 if name == "endless" else 7)

    def failing(call: Callable[..., Any]) -> Callable[..., Any]:
        def calls(path: Any, *more: Any, **named: Any) -> Any:
            if str(path).endswith(f"/dpkg/{name}"):
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            return call(path, *more, **named)

        return calls

    here = open_system.open_system(str(tmp_path))
    paths = ["usr/x", "usr/nobodys"]
    assert packages.records(here, paths)["usr/nobodys"].gone == (name != "endless")
    monkeypatch.setattr(os, "open", failing(os.open))
    monkeypatch.setattr(os, "listdir", failing(os.listdir))
    assert packages.records(here, paths) == dict.fromkeys(paths, Record())
