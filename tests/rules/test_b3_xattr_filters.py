"""RULES B3: attributes that are the machine's own neither travel nor count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.rules.helpers import World
from tests.worlds.toy import File

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
    contexts = "etc/selinux/targeted/contexts/files/file_contexts"
    world = World(tmp_path, {"etc/a": "1\n", "etc/b c": "2\n"}, root={contexts: "/.* x\n"})
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "setfiles").write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/log\ncat >> {tmp_path}/log\n'
    )
    (programs / "setfiles").chmod(0o755)
    path = f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    world.tick(env={"ALLIE_PATH": path}).ok()
    log = (tmp_path / "log").read_text()
    assert log.startswith(f"-r {world.root} -f - {world.root}/{contexts}\n")
    assert f"{world.root}/etc/b c\n" in log
    world.steady()
