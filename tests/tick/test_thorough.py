"""What a tick asks the store: attributes once a day, contents once a week; a person asks all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allie.client.tick.part import FULL_EVERY, THOROUGH_EVERY
from tests.tick.site import Site
from tests.worlds.toy import File, Tree, make_tree

pytestmark = [pytest.mark.root, pytest.mark.real]
NEVER = 1_700_000_000  # the time of all files of a reproducible archive


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A PC, and a store in which nothing but an attribute of one file is new."""
    site = Site(tmp_path, {"etc/motd": "common\n"})
    site.join()
    os.setxattr(site.store / "overlays/common/etc/motd", "user.note", b"new")
    return site


def _arrived(site: Site) -> bool:
    return "user.note" in os.listxattr(site.pc.path("/etc/motd"))


def test_an_attribute_alone_arrives_within_a_day(site: Site) -> None:
    site.pc.tick()
    assert not _arrived(site)
    site.pc.path("/var/lib/allie/tick").write_text(f"{2 * THOROUGH_EVERY - 2}\n")
    site.pc.tick()
    assert not _arrived(site)
    site.pc.tick()
    assert _arrived(site)


@pytest.mark.parametrize("verb", [["00overlay"], ["run-conf", "00overlay"]])
def test_a_person_who_asks_has_it_at_once(site: Site, verb: list[str]) -> None:
    site.pc.run(*verb).ok()
    site.pc.run("01overact").ok()
    assert _arrived(site)


def test_with_a_change_of_time_it_arrives_at_once(site: Site) -> None:
    os.utime(site.store / "overlays/common/etc/motd")
    site.pc.tick()
    assert _arrived(site)


def test_what_is_fetched_for_another_reason_leaves_no_half_behind(site: Site) -> None:
    """The rest of a change that the routine question does not see comes with the thorough one."""
    site.overlay({"etc/other": "1\n"})
    site.pc.tick()
    assert site.pc.read("/etc/other") == "1\n"
    site.pc.run("00overlay").ok()
    assert _arrived(site)


# --- another content of the same size and time ---------------------------------------------------


def _clamped(site: Site, tree: Tree, overlay: str = "common") -> None:
    """As reproducible archives leave files: all of one time."""
    make_tree(site.store / "overlays" / overlay, tree)
    for path in (site.store / "overlays" / overlay).rglob("*"):
        os.utime(path, (NEVER, NEVER), follow_symlinks=False)


@pytest.fixture
def clamped(tmp_path: Path) -> Site:
    """A PC, and a store in which the content of a file is new, and neither size nor time."""
    site = Site(tmp_path)
    _clamped(site, {"etc/login": "root=1\n", "etc/other": "1\n", "etc/twin##host.pc07": "1\n"})
    site.join()
    _clamped(site, {"etc/login": "root=0\n"})
    return site


def test_a_content_alone_arrives_within_a_week(clamped: Site) -> None:
    for number, arrives in ((2, False), (THOROUGH_EVERY, False), (FULL_EVERY, True)):
        clamped.pc.path("/var/lib/allie/tick").write_text(f"{number - 1}\n")
        clamped.pc.tick()
        assert (clamped.pc.read("/etc/login") == "root=0\n") is arrives, number


@pytest.mark.parametrize("verb", [["00overlay"], ["run-conf", "00overlay"]])
def test_a_person_who_asks_has_a_content_at_once(clamped: Site, verb: list[str]) -> None:
    clamped.pc.run(*verb).ok()
    assert clamped.pc.read("/etc/login") == "root=0\n"


def test_a_content_comes_with_whatever_else_of_the_file_changed(clamped: Site) -> None:
    """Its mode is seen at once; what is fetched then is not what the mirror has of that time."""
    _clamped(clamped, {"etc/login": File("root=2\n", 0o600), "etc/twin##host.pc07": "2\n"})
    os.chmod(clamped.store / "overlays/common/etc/twin##host.pc07", 0o640)
    clamped.pc.tick()
    assert clamped.pc.read("/etc/login") == "root=2\n"
    assert clamped.pc.read("/etc/twin") == "2\n"


def test_hard_links_bring_no_old_content(clamped: Site) -> None:
    """Then all is fetched, and linked to what the mirror has already, if that is the same."""
    folder = clamped.store / "overlays/common/etc"
    os.link(folder / "other", folder / "another")
    clamped.pc.run("00overlay").ok()
    assert clamped.pc.read("/etc/login") == "root=0\n"
    assert clamped.pc.path("/etc/another").samefile(clamped.pc.path("/etc/other"))
