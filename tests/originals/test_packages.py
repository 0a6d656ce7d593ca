"""A package's newer file is not drift but the new pristine.

docs/internals/packages.md.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.worlds.busybox import busybox_root
from tests.worlds.debian import debian_root
from tests.worlds.one_pc import World
from tests.worlds.toy import File, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


def upgrade(world: World, name: str, content: str, listed: str = "") -> None:
    """What dpkg does: a new file by rename, and its digest in the package's list."""
    path = world.at(name)
    make_tree(path.parent, {f"{path.name}.dpkg-new": content})
    os.rename(f"{path}.dpkg-new", path)
    digest = hashlib.md5(content.encode()).hexdigest()
    line = f"{digest}  {listed or name}\n"
    make_tree(world.root, {"var/lib/dpkg/info/pkg.md5sums": "0" * 32 + "  etc/x\n" + line})


@pytest.mark.parametrize("listed", ["usr/bin/tool", "bin/tool"])
def test_a_packages_file_becomes_the_pristine(tmp_path: Path, listed: str) -> None:
    world = World(tmp_path, {"bin/tool": "ours\n", "etc/e": "e\n"})
    make_tree(world.root, {"usr/bin/tool": "version 1\n"})
    world.good()
    upgrade(world, "usr/bin/tool", "version 2\n", listed)
    said = world.tick().ok().out
    assert "superseded: /usr/bin/tool" in said
    assert "drift" not in said
    assert world.read("usr/bin/tool") == "ours\n"
    world.steady()
    world.take("bin/tool")
    world.good()
    assert world.read("usr/bin/tool") == "version 2\n"


def test_a_path_that_a_package_now_owns_is_not_deleted_on_withdrawal(tmp_path: Path) -> None:
    world = World(tmp_path, {"usr/share/new": "ours\n", "etc/e": "e\n"})
    world.good()
    upgrade(world, "usr/share/new", "the package's\n")
    assert "superseded" in world.good()
    world.take("usr/share/new")
    world.good()
    assert world.read("usr/share/new") == "the package's\n"


def test_a_packages_file_over_one_that_must_be_absent(tmp_path: Path) -> None:
    world = World(tmp_path, {"usr/share/no##absent": "", "etc/e": "e\n"})
    make_tree(world.root, {"usr/share/no": "version 1\n"})
    world.good()
    upgrade(world, "usr/share/no", "version 2\n")
    assert "superseded" in world.good()
    assert not world.there("usr/share/no")
    world.take("usr/share/no##absent")
    world.good()
    assert world.read("usr/share/no") == "version 2\n"


def test_upgraded_and_withdrawn_between_two_ticks_the_packages_file_stays(tmp_path: Path) -> None:
    world = World(tmp_path, {"usr/bin/tool": "ours\n", "etc/e": "e\n"})
    make_tree(world.root, {"usr/bin/tool": "version 1\n"})
    world.good()
    upgrade(world, "usr/bin/tool", "version 2\n")
    world.take("usr/bin/tool")
    world.good()
    assert world.read("usr/bin/tool") == "version 2\n"


def test_what_comes_back_older_than_its_package_is_said(tmp_path: Path) -> None:
    """The upgrade came and went while our file stood there: what is kept is from before it."""
    world = World(tmp_path, {"usr/bin/tool": "ours\n", "etc/e": "e\n"})
    make_tree(world.root, {"usr/bin/tool": "version 1\n"})
    world.good()
    upgrade(world, "usr/bin/tool", "version 2\n")
    world.at("usr/bin/tool").write_text("edited since\n")
    world.good()
    world.take("usr/bin/tool")
    assert "withdrawn, older than its package's: /usr/bin/tool" in world.good()
    assert world.read("usr/bin/tool") == "version 1\n"


def test_an_edit_that_no_package_knows_is_drift(tmp_path: Path) -> None:
    world = World(tmp_path, {"usr/bin/tool": "ours\n"})
    make_tree(world.root, {"usr/bin/tool": "version 1\n"})
    world.good()
    upgrade(world, "usr/bin/tool", "version 2\n")
    world.at("usr/bin/tool").write_text("edited\n")
    assert "drift: /usr/bin/tool" in world.good()
    world.take("usr/bin/tool")
    world.put({"etc/e": "e\n"})
    world.good()
    assert world.read("usr/bin/tool") == "version 1\n"


@pytest.mark.slow
def test_a_real_package_is_installed_again_over_our_file(tmp_path: Path) -> None:
    root = debian_root("bookworm", tmp_path / "pc")
    world = World(tmp_path, {"bin/ls": "#!/bin/sh\n", "etc/e": "e\n"}, made=root)
    real = world.at("usr/bin/ls").read_bytes()
    world.good()
    assert world.read("usr/bin/ls") == "#!/bin/sh\n"
    assert os.readlink(world.at("bin")) == "usr/bin"
    shutil.copy2(world.at("usr/bin/ls"), tmp_path / "ours")
    # dpkg's own way: unpack beside, rename over.
    world.at("usr/bin/ls.dpkg-new").write_bytes(real)
    world.at("usr/bin/ls.dpkg-new").chmod(0o755)
    world.at("usr/bin/ls.dpkg-new").rename(world.at("usr/bin/ls"))
    assert "superseded: /usr/bin/ls" in world.good()
    world.take("bin/ls")
    world.good()
    assert world.at("usr/bin/ls").read_bytes() == real
    assert subprocess.run(["chroot", str(root), "ls", "/"], check=True, capture_output=True).stdout


def test_rpms_database_is_asked(tmp_path: Path) -> None:
    """By the other system's own rpm, shut in as its scripts are."""
    made = busybox_root(tmp_path / "pc")
    world = World(tmp_path, {"usr/bin/tool": "ours\n", "etc/e": "e\n"}, made=made)
    make_tree(world.root, {"usr/bin/tool": "version 1\n", "usr/lib/sysimage/rpm/rpmdb.sqlite": ""})
    world.good()
    world.at("usr/bin/tool").write_text("version 2\n")
    digest = hashlib.sha256(b"version 2\n").hexdigest()
    # What `rpm -qf --dump` prints: path size mtime digest mode owner group config doc rdev link
    rpm = (
        '#!/bin/sh\n[ "$1 $2" = "-qf --dump" ] || exit 9\n'
        f"[ ! -e {tmp_path} ] || exit 8\n"
        f"echo '/usr/bin/a b 9 1 {'0' * 64} 0100755 root root 0 0 0 X'\n"
        f"echo '/usr/bin/tool 10 1700000000 {digest} 0100755 root root 0 0 0 X'\n"
    )
    make_tree(world.root, {"usr/bin/rpm": File(rpm, 0o755)})
    assert "superseded" in world.tick().ok().out
    world.take("usr/bin/tool")
    world.good()
    assert world.read("usr/bin/tool") == "version 2\n"


def rpm_says(world: World, known: dict[str, str], *, config: bool = True) -> None:
    """Have the root's rpm know these files' contents (a link's: `-> target`), and no others."""
    lines = []
    for name, content in known.items():
        link, digest = "X", hashlib.sha256(content.encode()).hexdigest()
        if content.startswith("-> "):
            link, digest = content[3:], "0" * 64
        lines.append(f"/{name} 9 1 {digest} 0100644 root root {int(config)} 0 0 {link}\n")
    others = [name for name in ("etc/c", "etc/admins", "usr/bin/t", "usr/l") if name not in known]
    lines += [f"file /{name} is not owned by any package\n" for name in others]
    said = "".join(lines)
    script = f"#!/bin/sh\ncat <<'END'\n{said}END\nexit {int(bool(others))}\n"
    make_tree(world.root, {"usr/bin/rpm": File(script, 0o755)})


def test_what_rpm_left_beside_ours(tmp_path: Path) -> None:
    """%config(noreplace): the new one comes as .rpmnew, and is never asked about again."""
    files = {"etc/c": "c 1\n", "etc/admins": "admin's\n", "usr/bin/t": "t 1\n", "usr/l": "-> t1"}
    made = busybox_root(tmp_path / "pc")
    world = World(tmp_path, dict.fromkeys(files, "ours\n"), made=made)
    make_tree(world.root, dict(files.items()))
    make_tree(world.root, {"usr/l": Link("t1"), "usr/lib/sysimage/rpm/rpmdb.sqlite": ""})
    rpm_says(world, {**files, "etc/admins": "a 1\n"})
    world.put({"etc/e": "e\n"})
    world.good()
    make_tree(world.root, {"etc/c.rpmnew": "c 2\n", "etc/admins.rpmnew": "a 2\n"})
    make_tree(world.root, {"usr/l": Link("t2")})
    rpm_says(world, {"etc/c": "c 2\n", "etc/admins": "a 2\n", "usr/l": "-> t2"})
    assert "superseded: /usr/l" in world.good()
    world.take(*files)
    world.good()
    assert world.read("etc/c") == "c 2\n"
    assert world.read("etc/admins") == "admin's\n", "he had changed it before"
    assert not world.there("usr/bin/t"), "its package has it no more"
    assert os.readlink(world.at("usr/l")) == "t2"


def test_an_alternative_whose_program_went_meanwhile_is_said(tmp_path: Path) -> None:
    """What it should be is for update-alternatives to find; ours was "set by hand" for it."""
    name = "etc/alternatives/editor"
    world = World(tmp_path, {name: Link("/usr/bin/ours"), "etc/e": "e\n"})
    make_tree(world.root, {name: Link("/usr/bin/vim"), "usr/bin/vim": "vim\n"})
    make_tree(world.root, {"etc/alternatives/pager": Link("../../usr/bin/less")})
    world.put({"etc/alternatives/pager": "ours\n", "usr/bin/editor": Link("x")})
    make_tree(world.root, {"usr/bin/editor": Link("/etc/alternatives/editor"), "usr/bin/less": ""})
    world.good()
    world.at("usr/bin/vim").unlink()
    world.take(name, "etc/alternatives/pager")
    said = world.good()
    assert f"withdrawn, a link that leads nowhere now: /{name}" in said
    assert "withdrawn: /etc/alternatives/pager" in said
    assert os.readlink(world.at(name)) == "/usr/bin/vim"
    assert os.readlink(world.at("usr/bin/editor")) == "x"
