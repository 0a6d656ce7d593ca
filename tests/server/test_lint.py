"""`overlay lint` says of everything that PCs refuse, or that can never match; and nothing else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from allie.core.change import leavings
from allie.server import lint, lint_settings, store
from tests.worlds import machine
from tests.worlds.one_pc import World
from tests.worlds.toy import Dir, Fifo, File, Link, make_tree

CONF = "[allie]\nstore = /srv\n[system pc]\nimage = pc\noverlays = kit, lab\n"
SETTINGS = "etc/allie/allie.conf"
CLASSES = "etc/allie/classes"
WELL: dict[str, Any] = {
    SETTINGS: CONF,
    CLASSES: "lab: pc[01-20,35] srv* PC7.example.org a-b_c\r\n# a comment\nnone: [!a-c]x [a-c]y\n",
    "etc/motd": "",
    "etc/motd##class.lab,~virt.none": "",
    "etc/motd##host.pc[01-20]": "",
    "etc/motd##host.pc07,host.pc07.example.org": "",
    "etc/issue##distro.debian,arch.x86_64,version.12,image.debian*": "",
    "etc/gone##absent": "",
    "etc/user##once": "",
    "etc/ssl/private": Dir(0o700),
    "etc/ssl/private/key": File("", 0o600),
    "root/.ssh": Dir(0o700),
    "root/.ssh/config": "",
    "root/conf/50x": File(
        "#!/bin/sh\n# allie: on-change /etc/ssh/** /etc/[ab]*\n# allie: every 1h\n", 0o755
    ),
    "root/conf/51y": "#!/bin/sh\n# what allie does\n",
}


def script(*lines: str) -> File:
    return File("\n".join(["#!/bin/sh", *lines, ""]), 0o755)


def conf(old: str, new: str) -> dict[str, Any]:
    return {SETTINGS: CONF.replace(old, new)}


# What is put into an overlay in which all is well, and the word for it in lint's one finding
FINDINGS: list[tuple[dict[str, Any], str]] = [
    # allie.conf
    (conf("kit, lab", "kit, lab # mine"), "overlay '#'"),
    (conf("store = /srv", ""), "names no store"),
    (conf("/srv", "server:/srv"), "not the address"),
    (conf("image", "root = /\nimage"), "root = /"),
    (conf("overlays = kit, lab", ""), "names no overlays"),
    (conf("store", "stall = x\nstore"), "stall = 'x'"),
    (conf("store", "ring = slow\nstore"), "the store has no releases/lab/slow"),
    (conf("store", "sore = x\nstore"), "sore is not known"),
    (conf("store", "host = pc07\nstore"), "one name"),
    (conf("kit, lab", "kit, lab, extr"), "the store has no overlay extr"),
    (conf("kit, lab", "lab"), "kit is not named"),
    (conf("kit, lab", "kit, common"), "follows the overlay lab"),
    (conf("[system pc]", "[system b]\noverlays = kit\n[system pc]"), "it keeps its first"),
    (conf("image", "root = LABEL=pc\nimage"), "the store has no image pc"),
    ({SETTINGS: ""}, "declares no system"),
    ({SETTINGS: "\0"}, "before the first [section]"),
    ({SETTINGS: File(CONF, 0o600)}, "users cannot read it"),
    ({SETTINGS: Link("other.conf")}, "no PC reads it"),
    ({SETTINGS: None, f"{SETTINGS}/x": ""}, "no regular file"),
    ({SETTINGS: None, f"{SETTINGS}##absent": ""}, "no regular file"),
    ({SETTINGS: None, f"{SETTINGS}##class.lab": CONF}, "it can have no class"),
    # classes
    ({CLASSES: "lab: pc01, pc02\n"}, "','"),
    ({CLASSES: "lab: pc01,pc02\n"}, "','"),
    ({CLASSES: "lab: pc[01-10],srv[1-3]\n"}, "','"),
    ({CLASSES: "lab: pc[10-01]\n"}, "runs backwards"),
    ({CLASSES: "lab: pc[z-a]\n"}, "runs backwards"),
    ({CLASSES: "lab: pc[01-20\n"}, "has no partner"),
    ({CLASSES: "lab: pc01-20]\n"}, "has no partner"),
    ({CLASSES: "lab: pc[0-10/2]\n"}, "no range of numbers"),
    ({CLASSES: "lab: pc[07]\n"}, "no range of numbers"),
    ({CLASSES: "lab: @rack1\n"}, "'@'"),
    ({CLASSES: "lab:\n"}, "has no hosts"),
    ({CLASSES: "lab pc01\n"}, "not of the form"),
    ({CLASSES: Link("lab")}, "no PC reads it"),
    # tags
    ({"etc/m##host.pc[01-20": ""}, "has no partner"),
    ({"etc/m##host.pc[10-01]": ""}, "runs backwards"),
    ({"etc/m##host.pc01;pc02": ""}, "';'"),
    ({"etc/m##class.nosuch": ""}, "has the class nosuch"),
    ({"etc/m##class.lab,~class.lab": ""}, "no system is both"),
    ({"etc/m##host.a,host.b": ""}, "more than one host"),
    ({"etc/m##arch.amd64": ""}, "x86_64"),
    ({"etc/m##virt.vm": ""}, "systemd-detect-virt"),
    ({"etc/m##arch.ARM64": ""}, "aarch64"),
    ({"etc/m##arch.X86_64": ""}, "small letters"),
    ({"etc/m##version.12*": ""}, "take patterns"),
    ({"etc/m##distro.deb*": ""}, "take patterns"),
    ({"etc/m##version.bookworm": ""}, "a number"),
    ({"etc/m##image.a,image.b": ""}, "more than one image"),
    ({"etc/m##distro.Debian": ""}, "small letters"),
    ({"etc/m##image.[z-a]": ""}, "no letter"),
    ({"etc/m##hots.x": ""}, "unknown attribute 'hots'; did you mean host?"),
    ({"etc/m##colour.x": ""}, "unknown attribute 'colour'"),
    ({"etc/m##": ""}, "an empty condition"),
    ({"etc/m##host.a": Dir(), "etc/m": ""}, "a directory and a file"),
    # scripts
    ({"root/conf/50x": script("# allie: on-change etc/foo")}, "not understood"),
    ({"root/conf/50x": script("# allie: on-change /etc/d/")}, "not understood"),
    ({"root/conf/50x": script("# allie: on-change /etc/foo, /etc/bar")}, "on-change /etc/foo,"),
    ({"root/conf/50x": script('# allie: on-change "/etc/foo"')}, "not understood"),
    ({"root/conf/50x": script("# allie: on-change /etc/[z-a]")}, "not understood"),
    ({"root/conf/50x": script("# allie: on-change /proc/x")}, "never comes"),
    ({"root/conf/50x": script("# allie: on-change /etc/{a,b}")}, "never comes"),
    ({"root/conf/50x": script("# allie: on-change /etc/[ab")}, "never comes"),
    ({"root/conf/50x": script("# allie: on-change /etc/m##host.pc07")}, "never comes"),
    ({"root/conf/50x": script("# allie: evry 1h")}, "not understood"),
    ({"root/conf/50x": script("# allie every 1h")}, "is no header"),
    ({"root/conf/50x": script(" # allie: every 1h")}, "is no header"),
    ({"root/conf/50x": script("# Allie: every 1h")}, "is no header"),
    ({"root/conf/50x": script("# allie - every 1h")}, "is no header"),
    ({"root/conf/50x": script("// allie: every 1h")}, "is no header"),
    ({"root/conf/50x": script("#" * 5000, "# allie: every 1h")}, "is no header"),
    ({"root/conf/50x": File("#!/bin/sh\r\n", 0o755)}, "CRLF"),
    ({"root/conf/50x": File("#!/bin/sh\nif x\r\n", 0o755)}, "CRLF"),
    ({"root/conf/50x": File("#!sh\n", 0o755)}, "no absolute path"),
    ({"root/conf/50x": Dir()}, "no script of this name"),
    ({"root/conf/50x": Fifo()}, "no script of this name"),
    ({"root/conf/50x": File("exit 0\n", 0o755)}, "it is run by /bin/sh"),
    ({"root/conf/x": script()}, "never runs"),
    ({"root/conf/00overlay": script()}, "ALLiE's own file"),
    # names, modes, sizes
    ({"etc/.git/config": ""}, "names like .git"),
    ({"etc/motd~": ""}, "names like *~"),
    ({"etc/motd##host.pc07~": ""}, "names like *~"),
    ({".allie-withdraw": ""}, "nothing guards this overlay"),
    ({"etc/.allie-withdraw": ""}, "means something only as"),
    ({"var/lib": Link("../x")}, "can be nothing else"),
    ({"usr/local/bin/allie": Dir()}, "is a file that ALLiE itself needs"),
    ({"etc/allie##absent": ""}, "cannot be made absent"),
    ({"root/conf/00overlay##absent": ""}, "cannot be made absent"),
    ({"var/lib/allie/x": ""}, "is not for overlays"),
    ({"etc": Dir(0o700)}, "root alone can pass it"),
    ({"etc/d": Dir(0o700), "etc/d/f": ""}, "others cannot reach etc/d/f"),
    ({"usr/bin/x": File("", 0o700)}, "root alone can read it"),
    ({"etc/hosts": File("", 0o600)}, "root alone can read it"),
    ({"etc/profile.d": Dir(0o700)}, "root alone can pass it"),
    ({"etc/x": File("", 0o666)}, "written by everybody"),
]  # fmt: skip


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("store")
    store.init(str(made))
    return made


def site(top: Path, tree: dict[str, Any]) -> str:
    """A store whose overlay lab has these files beside those in which all is well."""
    shutil.rmtree(top / "overlays/lab", ignore_errors=True)
    make_tree(top / "overlays/lab", {k: v for k, v in {**WELL, **tree}.items() if v is not None})
    return str(top)


def said(top: str) -> list[str]:
    found = lint_settings.of_store(top)
    found += [each for name in store.overlays(top) for each in lint.lint(top, name, [])]
    return [f"{each.path}: {each.message}" for each in found]


def test_where_all_is_well_nothing_is_said(top: Path) -> None:
    assert said(site(top, {})) == []
    scripts = {"50program": File("\x7fELF", 0o755), "51here": Link("/usr/sbin/here")}
    assert said(site(top, {f"root/conf/{name}": each for name, each in scripts.items()})) == []


@pytest.mark.parametrize(("tree", "words"), FINDINGS, ids=[str(each[1]) for each in FINDINGS])
def test_what_no_pc_takes_or_what_never_matches_is_named(
    top: Path, tree: dict[str, Any], words: str
) -> None:
    found = said(site(top, tree))
    assert [each for each in found if words in each], found
    assert len(found) <= 2, found


def test_a_store_as_it_was_made_has_no_faults(tmp_path: Path) -> None:
    """The kit is linted with the other overlays, and holds what ALLiE itself needs."""
    store.init(str(tmp_path))
    assert said(str(tmp_path)) == []


def test_the_store_as_a_whole(tmp_path: Path) -> None:
    store.init(str(tmp_path))
    (tmp_path / "overlays/.git").mkdir()
    (tmp_path / "overlays/a b").mkdir()
    (tmp_path / "overlays/link").symlink_to("common")
    (tmp_path / "overlays/kit").rename(tmp_path / "kit")
    found = said(str(tmp_path))
    assert [each for each in found if each.startswith("overlays/a b: is no overlay")]
    assert [each for each in found if each.startswith("overlays/link: is a symlink")]
    assert "overlays/kit: is missing: allie store init" in found
    assert not [each for each in found if ".git" in each]


# --- what tools leave ---------------------------------------------------------------------------


def test_the_documented_list_is_the_one_that_holds() -> None:
    page = Path(__file__).parents[2] / "docs/reference/files.md"
    part = page.read_text().partition("## Left out\n")[2].partition("\n## ")[0]
    assert re.findall("`([^` ]+)`", part.partition("Images")[0]) == leavings.PATTERNS


@pytest.mark.real
@pytest.mark.root
def test_leavings_never_come_and_what_came_before_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not machine.is_root():
        pytest.skip("needs root")
    left = ["etc/motd~", "etc/.git/objects/x", ".git/config", "etc/.m.swp", "etc/d/.DS_Store"]
    left += ["etc/#m#", "etc/.#m", "etc/m##host.pc07~"]
    world = World(tmp_path, {"etc/a": "a\n", "etc/d/b": "b\n", **dict.fromkeys(left, "x\n")})
    patterns = leavings.PATTERNS
    monkeypatch.setattr(leavings, "PATTERNS", [])
    world.good()
    assert world.there("etc/.git/objects/x")
    monkeypatch.setattr(leavings, "PATTERNS", patterns)
    for _ in range(2):
        world.good()
        assert [name for name in left if world.there(name)] == []
        assert not world.there("etc/.git")
        assert world.read("etc/d/b") == "b\n"
        mirror = world.state("mirror/current/common")
        assert [name for name in left if (mirror / name).exists()] == []
        world.put({"etc/new~": "x\n", "etc/.git/objects/y": "y\n", "etc/d/b": "b\n"})
    world.put({"etc/b": "b\n"}, "lab")
    world.follow("common, lab")  # which fetches all
    world.good()
    assert not world.there("etc/new~")
