"""What a tick asks the store: ACLs and attributes once a day, or when a person asks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allie.client.part import THOROUGH_EVERY
from tests.tick.site import Site, needs_root

pytestmark = [pytest.mark.root, pytest.mark.real, needs_root]


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
