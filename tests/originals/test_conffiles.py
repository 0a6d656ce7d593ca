"""What comes back on withdrawal is what would stand there if ours had never lain over it.

With the real dpkg: a package is upgraded, installed, removed or purged while the overlays have
files at its paths, and its conffiles are asked about or not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import pytest

from tests.worlds.one_pc import World
from tests.worlds.toy import File, make_tree

pytestmark = [
    pytest.mark.real,
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg"),
]
CONF, PLAIN, SPACE, LIB = "etc/foo.conf", "usr/share/foo", "etc/foo d/a b", "lib/foo/f"
PATHS = CONF, PLAIN, SPACE, LIB
KEEP, NEW = ("--force-confdef", "--force-confold"), ("--force-confnew",)


class Debian(World):
    """A PC with dpkg's records, and packages `foo` of several versions to install on it."""

    def __init__(self, top: Path) -> None:
        super().__init__(top, {"etc/stays": "s\n"})
        self.debs = top / "debs"
        base = "Package: base-files\nStatus: install ok installed\nMaintainer: x <x@x>\n"
        base += "Architecture: all\nVersion: 1\nDescription: x\n\n"
        owned = ["", *("etc lib usr usr/lib usr/share".split())]
        records = {
            "status": base,
            "available": "",
            "updates/no": "",
            "info/base-files.list": "".join(f"/{each or '.'}\n" for each in owned),
        }
        make_tree(self.root, {f"var/lib/dpkg/{name}": each for name, each in records.items()})
        (self.root / "var/lib/dpkg/updates/no").unlink()

    def deb(
        self,
        version: int,
        *,
        name: str = "foo",
        files: tuple[str, ...] = PATHS,
        conffiles: tuple[str, ...] = (CONF, SPACE),
        gone: str = "",
    ) -> str:
        """Build a package: each file holds its path and the version. gone: a removed conffile."""
        tree = self.debs / f"{name}-{version}"
        control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@x>\n"
        control += ("Replaces: foo\n" if name != "foo" else "") + "Description: x\n"
        listed = "".join(f"/{each}\n" for each in conffiles)
        listed += f"remove-on-upgrade /{gone}\n" if gone else ""
        make_tree(tree, {each: f"{each} {version}\n" for each in files})
        make_tree(tree, {"DEBIAN/control": control, "DEBIAN/conffiles": listed})
        subprocess.run(["dpkg-deb", "-b", tree, f"{tree}.deb"], check=True, capture_output=True)
        return f"{tree}.deb"

    def dpkg(self, *args: str) -> None:
        argv = ["dpkg", f"--root={self.root}", "--force-not-root", "--force-bad-path", *args]
        subprocess.run(argv, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"})

    def install(self, version: int, how: tuple[str, ...] = KEEP) -> None:
        self.dpkg(*how, "-i", self.deb(version))

    def lay(self, text: str = "ours\n") -> None:
        """Have the overlays hold all of the package's paths, closed to others."""
        self.put({each: File(text, 0o600) for each in PATHS})
        self.tick().ok()
        assert self.read(CONF) == text

    def withdraw(self) -> dict[str, str]:
        """Have them hold none any more; what stands there then."""
        self.tick().ok()
        for each in PATHS:
            self.take(each)
        said = self.good()
        assert "older" not in said
        return self.found()

    def found(self) -> dict[str, str]:
        """What stands at the package's paths."""
        return {each: self.read(each) if self.there(each) else "" for each in PATHS}


def both(conf: int, plain: int) -> dict[str, str]:
    """What the package's files hold in these versions; 0: they are not there."""
    versions = {CONF: conf, SPACE: conf, PLAIN: plain, LIB: plain}
    return {name: f"{name} {each}\n" if each else "" for name, each in versions.items()}


def before(pc: Debian, doing: Callable[[Debian], None] | None = None) -> None:
    pc.install(1)
    if doing:
        doing(pc)
    pc.lay()


def upgrade_asks(pc: Debian) -> None:
    before(pc)
    pc.install(2)
    assert pc.read(CONF) == "ours\n"
    assert pc.read(f"{CONF}.dpkg-dist") == f"{CONF} 2\n"


def upgrade_takes(pc: Debian) -> None:
    before(pc)
    pc.install(2, NEW)


def upgraded_twice(pc: Debian) -> None:
    before(pc)
    pc.install(2, NEW)
    pc.good()
    pc.install(3)


def comes_later(pc: Debian) -> None:
    pc.lay()
    pc.install(1)


def comes_later_and_takes(pc: Debian) -> None:
    pc.lay()
    pc.install(1, NEW)


def comes_later_upgraded(pc: Debian) -> None:
    pc.lay()
    pc.install(1)
    pc.good()
    pc.install(2)


def removed(pc: Debian) -> None:
    before(pc)
    pc.dpkg("-r", "foo")


def purged(pc: Debian) -> None:
    before(pc)
    pc.dpkg("-P", "foo")
    assert not pc.there(CONF)


def purged_and_installed(pc: Debian) -> None:
    purged(pc)
    pc.good()
    pc.install(2)


def obsolete(pc: Debian) -> None:
    before(pc)
    pc.dpkg(*KEEP, "-i", pc.deb(2, files=(PLAIN, LIB), conffiles=()))


@pytest.mark.parametrize(
    ("doing", "expected"),
    [
        (before, both(1, 1)),
        (upgrade_asks, both(2, 2)),
        (upgrade_takes, both(2, 2)),
        (upgraded_twice, both(3, 3)),
        (comes_later, both(1, 1)),
        (comes_later_and_takes, both(1, 1)),
        (comes_later_upgraded, both(2, 2)),
        (removed, both(1, 0)),
        (purged, both(0, 0)),
        (purged_and_installed, both(2, 2)),
        (obsolete, both(1, 2)),
    ],
)
def test_what_comes_back(
    tmp_path: Path, doing: Callable[[Debian], None], expected: dict[str, str]
) -> None:
    pc = Debian(tmp_path)
    doing(pc)
    assert pc.withdraw() == expected
    if pc.there(CONF) and doing not in (comes_later, comes_later_and_takes, comes_later_upgraded):
        assert pc.at(CONF).stat().st_mode & 0o777 == 0o644, "ours was 0600, the package's never"
    if all(expected.values()) and doing is not obsolete:
        pc.install(4)  # and dpkg takes it for its own, which it upgrades without a question
        assert pc.found() == both(4, 4)


def edit(pc: Debian) -> None:
    for each in (CONF, SPACE):
        pc.at(each).write_text("the administrator's\n")


@pytest.mark.parametrize(("how", "conf"), [(KEEP, "the administrator's\n"), (NEW, f"{CONF} 2\n")])
def test_what_the_administrator_made_of_a_conffile_comes_back(
    tmp_path: Path, how: tuple[str, ...], conf: str
) -> None:
    """But where the upgrade was told to replace it, as it would have been without us."""
    pc = Debian(tmp_path)
    before(pc, edit)
    pc.install(2, how)
    found = pc.withdraw()
    assert (found[CONF], found[PLAIN]) == (conf, f"{PLAIN} 2\n")


def test_ours_that_is_just_what_the_package_has_stays(tmp_path: Path) -> None:
    pc = Debian(tmp_path)
    pc.put({CONF: f"{CONF} 1\n"})
    pc.good()
    pc.install(1)
    pc.take(CONF)
    assert "left: it is the file of its package now: /etc/foo.conf" in pc.good()
    assert pc.read(CONF) == f"{CONF} 1\n"
    pc.install(2)
    assert pc.read(CONF) == f"{CONF} 2\n"


def test_a_conffile_that_its_package_gave_up_comes_back_no_more(tmp_path: Path) -> None:
    pc = Debian(tmp_path)
    before(pc)
    pc.dpkg(*KEEP, "-i", pc.deb(2, files=(PLAIN, LIB, SPACE), conffiles=(SPACE,), gone=CONF))
    found = pc.withdraw()
    assert (found[CONF], found[SPACE]) == ("", f"{SPACE} 2\n")


def test_a_conffile_that_went_to_another_package(tmp_path: Path) -> None:
    pc = Debian(tmp_path)
    before(pc)
    pc.dpkg(*KEEP, "-i", pc.deb(2, files=(PLAIN, LIB, SPACE), conffiles=(SPACE,)))
    pc.dpkg(*KEEP, "-i", pc.deb(7, name="bar", files=(CONF,), conffiles=(CONF,)))
    assert pc.withdraw()[CONF] == f"{CONF} 7\n"


def test_a_conffile_that_was_made_absent(tmp_path: Path) -> None:
    pc = Debian(tmp_path)
    pc.install(1)
    pc.put({f"{CONF}##absent": ""})
    pc.good()
    pc.install(2)
    pc.good()
    pc.take(f"{CONF}##absent")
    pc.good()
    assert pc.read(CONF) == f"{CONF} 2\n", "left beside, since ours seemed removed by hand"


def test_a_path_that_was_diverted(tmp_path: Path) -> None:
    """What is diverted from our path lies elsewhere; what stood at it comes back."""
    pc = Debian(tmp_path)
    pc.install(1)
    divert = ["dpkg-divert", f"--root={pc.root}", "--local", "--rename", "--add", f"/{PLAIN}"]
    subprocess.run(divert, check=True, capture_output=True)
    pc.put({f"{PLAIN}.distrib": "ours\n"})
    pc.good()
    pc.install(2)
    assert "superseded" in pc.good()
    pc.take(f"{PLAIN}.distrib")
    pc.good()
    assert pc.read(f"{PLAIN}.distrib") == f"{PLAIN} 2\n"
    assert not pc.there(PLAIN)


def test_undo_of_a_withdrawal_and_another_one(tmp_path: Path) -> None:
    pc = Debian(tmp_path)
    upgrade_asks(pc)
    assert pc.withdraw() == both(2, 2)
    pc.pc.run("undo").ok()
    assert set(pc.found().values()) == {"ours\n"}
    pc.pc.run("resume").ok()
    pc.good()
    assert pc.found() == both(2, 2)


def test_what_ucf_looks_after(tmp_path: Path) -> None:
    """In no package's list: ucf notes the sum of what it brings, also where it keeps ours."""
    pc = Debian(tmp_path)
    name = "etc/ssh/sshd_config"

    def brings(version: int, where: str) -> None:
        text = f"version {version}\n"
        line = f"{md5(text.encode()).hexdigest()}  /{name}\n"
        make_tree(pc.root, {where: text, "var/lib/ucf/hashfile": line})

    brings(1, name)
    pc.put({name: "ours\n"})
    pc.good()
    brings(2, f"{name}.ucf-dist")
    pc.take(name)
    pc.good()
    assert pc.read(name) == "version 2\n"
