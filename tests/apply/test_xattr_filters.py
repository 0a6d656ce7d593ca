"""Attributes that are the machine's own neither travel nor count.

docs/internals/rules.md, "Labels are the machine's own".
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.worlds.one_pc import World
from tests.worlds.toy import File, Link

pytestmark = [pytest.mark.real, pytest.mark.root]

LABEL = b"system_u:object_r:%s_t:s0\0"


def label(path: Path, name: str) -> None:
    os.setxattr(path, "security.selinux", LABEL % name.encode())


def test_labels_and_overlay_marks_do_not_travel(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": File("1\n", xattrs={"user.ours": b"1"})})
    label(world.overlay() / "etc/a", "server")
    os.setxattr(world.overlay() / "etc/a", "trusted.overlay.origin", b"x")
    os.setxattr(world.overlay() / "etc/a", "trusted.ours", b"2")
    world.good()
    assert sorted(os.listxattr(world.at("etc/a"))) == ["trusted.ours", "user.ours"]


def test_a_new_label_is_no_drift(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    label(world.at("etc/a"), "etc")
    inode = world.at("etc/a").stat().st_ino
    assert world.good() == ""
    assert world.at("etc/a").stat().st_ino == inode
    assert os.getxattr(world.at("etc/a"), "security.selinux") == LABEL % b"etc"


def test_a_new_label_in_the_store_is_no_change(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    current = os.readlink(world.state("mirror/current"))
    label(world.overlay() / "etc/a", "server")
    assert world.good() == ""
    assert os.readlink(world.state("mirror/current")) == current


def test_the_roots_own_policy_labels_what_is_placed(tmp_path: Path) -> None:
    """By the real matchpathcon, which needs no kernel with SELinux."""
    contexts = "etc/selinux/targeted/contexts/files/file_contexts"
    policy = (
        "/.*\tsystem_u:object_r:default_t:s0\n"
        "/etc(/.*)?\tsystem_u:object_r:etc_t:s0\n"
        "/etc/l\t-l\tsystem_u:object_r:link_t:s0\n"
        "/etc/none\t<<none>>\n"
    )
    tree = {"etc/a": "1\n", "etc/b c": "2\n", "etc/l": Link("a"), "etc/none": "", "srv/d/f": ""}
    world = World(tmp_path, tree, root={contexts: policy})
    world.good()
    for name, kind in {"a": "etc", "b c": "etc", "l": "link"}.items():
        found = os.getxattr(world.at(f"etc/{name}"), "security.selinux", follow_symlinks=False)
        assert found == LABEL % kind.encode(), name
    assert "security.selinux" not in os.listxattr(world.at("etc/none"))
    for name in ("srv/d", "srv/d/f"):
        assert os.getxattr(world.at(name), "security.selinux") == LABEL % b"default"
    world.steady()
