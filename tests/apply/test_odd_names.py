"""Every odd thing that a tree can hold, through the whole flow.

docs/internals/rules.md, "rsync reads names as comments".
"""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.worlds.one_pc import Thing, World, plain, snapshot, thing
from tests.worlds.store import served
from tests.worlds.toy import Device, Dir, Entry, Fifo, File, Hard, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

CAPS = {"security.capability": bytes.fromhex("0100000200040000000000000000000000000000")}
ODD: dict[str | bytes, Entry] = {
    "odd/new\nline": "1\n",
    "odd/dir with\nnewline/f": "1\n",
    b"odd/\xff\xfe": "not UTF-8\n",
    b"odd/\xe9t\xe9/\xff": "Latin-1\n",
    "odd/-rf": "dash\n",
    "odd/--delete": "dashes\n",
    "odd/a b  c ": "spaces\n",
    "odd/#comment": "hash\n",
    "odd/;comment": "semicolon\n",
    "odd/#one": "one hash\n",
    "odd/*?[x]": "glob\n",
    "odd/$(id)`id`": "shell\n",
    "odd/back\\slash": "b\n",
    "odd/\\#012": "rsync's own escape\n",
    "odd/'\"": "quotes\n",
    "odd/\t\x01\x7f": "control\n",
    "odd/.hidden": "dot\n",
    "odd/...": "dots\n",
    "odd/.~tmp~x": "nearly rsync's\n",
    "odd/.f.Ab12Cd": "just like rsync's\n",
    "odd/f": "its name\n",
    "odd/\u00fc\u4e2d\U0001f600": "Unicode\n",
    "odd/x": File("a name\n", 0o644),
    "odd/.x": File("its twin with a dot\n", 0o600),
    "odd/..x": File("and with two\n", 0o640),
    "odd/" + "n" * 255: File("as long as a name can be\n", 0o644),
    "odd/." + "n" * 254: File("its twin with a dot\n", 0o600),
    "odd/.." + "n" * 253: File("and with two\n", 0o640),
    "odd/" + "n" * 254: "one letter less\n",
    "odd/" + "n" * 247 + "é" * 4: "cut in a letter\n",
    "odd/" + "d" * 255 + "/f": "1\n",
    "odd/." + "d" * 254 + "/f": "2\n",
    "odd/" + "/".join("deep" for _ in range(60)) + "/f": "deep\n",
    "odd/empty": "",
    "odd/sparse": File("head", size=50_000_000),
    "odd/dangling": Link("nowhere"),
    "odd/absolute": Link("/etc/motd"),
    "odd/loop": Link("loop"),
    "odd/pipe": Fifo(0o620),
    "odd/null": Device(1, 3, stat.S_IFCHR | 0o666),
    "odd/block": Device(7, 0, stat.S_IFBLK | 0o600),
    "odd/one": "linked\n",
    "odd/two": Hard("odd/one"),
    "odd/suid": File("s", 0o4755, owner=(5, 6)),
    "odd/sgid": File("s", 0o2755, owner=(0, 6)),
    "odd/none": File("s", 0o000),
    "odd/caps": File("c", 0o755, owner=(5, 6), xattrs=CAPS),
    "odd/xattr": File("x", xattrs={"user.\u00fc": b"\0\xff" * 100, "trusted.t": b"1"}),
    "odd/epoch": File("x", mtime=0),
    "odd/empty dir": Dir(0o1777, owner=(5, 6)),
    "odd/shut": Dir(0o000),
    "odd/shut/f": "1\n",
}


def below(shot: dict[str, Thing]) -> dict[str, Thing]:
    return {name: each for name, each in shot.items() if name.startswith("odd")}


@pytest.mark.parametrize("by", ["path", "daemon"])
def test_every_odd_thing_is_placed_repaired_and_withdrawn(tmp_path: Path, by: str) -> None:
    world = World(tmp_path, ODD)
    world.tolerated = (".f.Ab12Cd",)
    world.put({"stays": "s\n", ".allie-withdraw": ""})
    subprocess.run(["setfacl", "-m", "u:1000:rw", str(world.overlay() / "odd/empty")], check=True)
    subprocess.run(
        ["setfacl", "-d", "-m", "u:1000:rw", str(world.overlay() / "odd/empty dir")], check=True
    )
    with served(world.store) as server:
        world.follow(store=server.url if by == "daemon" else "")
        first = plain(snapshot(world.root))
        world.good()
        wanted, placed = snapshot(world.overlay()), snapshot(world.root)
        assert below(plain(placed)) == below(plain(wanted))
        for name, each in wanted.items():
            if name.startswith("odd") and stat.S_ISREG(each.mode):
                assert placed[name].mtime == each.mtime, name
                assert placed[name].links == each.links, name
        assert world.at("odd/sparse").stat().st_blocks * 512 < 1_000_000
        _spoil(world)
        assert world.tick().rc == 0
        assert below(plain(snapshot(world.root))) == below(plain(wanted))
        world.steady()
        subprocess.run(["rm", "-r", str(world.overlay() / "odd")], check=True)
        world.good()
        now = plain(snapshot(world.root))
        now.pop("stays")
        assert now == first


def _spoil(world: World) -> None:
    """Drift in everything that is no directory."""
    for name in list(ODD):
        path = os.path.join(os.fsencode(world.root), os.fsencode(name))
        st = os.lstat(path)
        if stat.S_ISREG(st.st_mode):
            with open(path, "ab") as file:
                file.write(b"drift")
        elif not stat.S_ISDIR(st.st_mode):
            os.unlink(path)


def test_odd_names_as_variants(tmp_path: Path) -> None:
    names = ["new\nline", "-rf", "#x", "a b", ";", ".hidden"]
    world = World(tmp_path, {f"etc/{name}##host.pc07": f"{name}\n" for name in names})
    world.put({b"etc/\xff##host.pc07": "raw\n", b"etc/\xff": "default\n"})
    world.good()
    for name in names:
        assert world.read(f"etc/{name}") == f"{name}\n"
    assert Path(os.fsdecode(os.fsencode(world.root) + b"/etc/\xff")).read_text() == "raw\n"


def test_odd_names_are_undone(tmp_path: Path) -> None:
    root = {name: "before\n" for name in ODD if b"shut" not in os.fsencode(name)}
    names = dict.fromkeys(root, "ours\n")
    world = World(tmp_path, names, root=root)
    world.tolerated = (".f.Ab12Cd",)
    before = plain(snapshot(world.root))
    world.good()
    world.pc.run("undo").ok()
    assert plain(snapshot(world.root)) == before


def test_names_are_shown_without_harm(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/\x1b[31mred": "1\n", b"etc/\xff": "2\n"})
    done = world.pc.run("00overlay").ok()
    assert "\x1b" not in done.out
    assert "\\x1b[31mred" in done.out
    assert world.pc.run("status").rc in (0, 1)
    assert world.pc.run("log").rc == 0


def test_users_files_that_look_like_rsyncs_stay(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/f": "1\n"}, root={"etc/.f.Ab12Cd": "mine\n"})
    make_tree(world.root, {"etc/.~tmp~": Dir(0o700), "etc/.~tmp~/mine": "m\n"})
    before = thing(str(world.at("etc/.f.Ab12Cd")))
    world.tick().ok()
    world.put({"etc/f": "2\n"})
    world.tick().ok()
    assert world.read("etc/f") == "2\n"
    assert thing(str(world.at("etc/.f.Ab12Cd"))) == before
    assert world.read("etc/.~tmp~/mine") == "m\n"
