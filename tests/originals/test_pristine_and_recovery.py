"""What stood there before comes back, whatever was killed in between.

docs/internals/rules.md, "What stood there first is kept once".
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, injected, leftovers, plain, snapshot, tmpfs
from tests.worlds.toy import Dir, File, Hard, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep
DRIVER = """
import os, signal, sys
from allie.cli.main import main
from allie.client.{wing} import {module} as module
real = module.{name}
def dies(*args, **more):
    if {after}:
        real(*args, **more)
    os.kill(os.getpid(), signal.SIGKILL)
module.{name} = dies
sys.exit(main())
"""

EDITOR = """
import sys
from allie.cli.main import main
from allie.client.apply import placing
real = placing.Placer._take_its_place
def edits(*args):
    open({path!r}, "w").write("edited at the last moment\\n")
    placing.Placer._take_its_place = real
    return real(*args)
placing.Placer._take_its_place = edits
sys.exit(main())
"""


def killed_at(world: World, where: str, *, after: bool = False, verb: str = "00overlay") -> None:
    """A tick that is killed as it calls (or has called) a function of the client."""
    wing, module, name = where.split(".", 2)
    code = DRIVER.format(wing=wing, module=module, name=name, after=after)
    argv = [world.pc.python, "-c", code, "--root", str(world.root), verb]
    src = str(Path(__file__).parents[2] / "src")
    ended = subprocess.run(
        argv, env={**world.pc.env, "PYTHONPATH": src}, check=False, capture_output=True
    )
    assert ended.returncode == -9, ended


POINTS = [
    ("apply.placing.Placer._write_all", False),
    ("apply.placing.Placer._write_all", True),
    ("apply.placing.Placer._take_its_place", True),
    ("apply.placing.Placer.place", True),
    ("apply.transaction.confirm", False),
    ("state.records.save_ledger", True),
    ("apply.transaction._retire_pristines", True),
]


@pytest.mark.parametrize(("where", "after"), POINTS)
def test_our_own_file_never_becomes_the_pristine(tmp_path: Path, where: str, after: bool) -> None:
    world = World(tmp_path, {"etc/a": "ours\n", "etc/b": "ours\n"}, root={"etc/a": "before\n"})
    if where == "state.records.save_ledger":  # the first is the empty one
        world.put({"etc/z": "z\n"})
        world.tick().ok()
        world.at("etc/a").write_text("before\n")
    killed_at(world, where, after=after)
    world.tick().ok()
    world.steady()
    assert world.read("etc/a") == "ours\n"
    world.take("etc/a", "etc/b")
    world.put({"etc/c": "c\n"})
    world.good()
    assert not world.there("etc/b")
    if where != "state.records.save_ledger":
        assert world.read("etc/a") == "before\n"


@pytest.mark.parametrize(("where", "after"), [*POINTS[:5], POINTS[6]])
def test_placed_by_a_killed_tick_and_withdrawn_by_the_store_meanwhile(
    tmp_path: Path, where: str, after: bool
) -> None:
    world = World(tmp_path, {"etc/a": "ours\n", "etc/b": "ours\n"}, root={"etc/a": "before\n"})
    killed_at(world, where, after=after)
    world.take("etc/a", "etc/b")
    world.put({"etc/c": "c\n"})
    world.tick()
    world.steady()
    assert world.read("etc/a") == "before\n"
    assert not world.there("etc/b")


def test_an_edit_between_the_kill_and_the_next_tick_is_saved(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "ours\n"}, root={"etc/a": "before\n"})
    killed_at(world, "apply.transaction.confirm")
    world.at("etc/a").write_text("edited\n")
    world.good()
    assert world.read("etc/a") == "ours\n"
    saved = [path.read_text() for path in world.state("undo").glob("*/overlay/files/etc/a")]
    assert "edited\n" in saved
    world.take("etc/a")
    world.put({"etc/c": "c\n"})
    world.good()
    assert world.read("etc/a") == "before\n"


def test_a_re_arm_is_not_lost_by_a_kill(tmp_path: Path) -> None:
    script = "#!/bin/sh\n# allie: on-change /etc/a\n"
    world = World(tmp_path, {"etc/a": "2\n"}, root={"root/conf/50x": File(script, 0o755)})
    make_tree(world.root, {"root/done/50x": "done\n", "root/done/51y": "done\n"})
    killed_at(world, "apply.placing.Placer.place", after=True)
    assert not world.there("root/done/50x")
    assert world.there("root/done/51y")


def test_pristine_keeps_everything_and_is_no_hard_link(tmp_path: Path) -> None:
    before = {
        "etc/caps": File("x", 0o755, owner=(5, 6), xattrs={"security.capability": CAPABILITY}),
        "etc/sparse": File("head", size=50_000_000),
        "etc/shut": File("s", 0o000, owner=(1000, 1000), mtime=1_000_000_000),
        "etc/suid": File("s", 0o4755),
        "etc/attr": File("s", xattrs={"user.note": b"\0\xff"}),
        "etc/link": Link("/nowhere"),
        "etc/one": "linked\n",
        "srv/other": Hard("etc/one"),
    }
    names = [name for name in before if name.startswith("etc/")]
    world = World(tmp_path, dict.fromkeys(names, "ours\n"), root=before)
    subprocess.run(["setfacl", "-m", "u:1000:rw", str(world.at("etc/one"))], check=True)
    first = plain(snapshot(world.root))
    files = [name for name in names if name != "etc/link"]  # a link's time is kept to the second
    times = {name: world.at(name).stat().st_mtime_ns for name in files}
    world.put({".allie-withdraw": "", "etc/stays": ""})
    world.good()
    assert world.read("srv/other") == "linked\n"
    kept = {path.name.partition("-")[2]: path for path in world.state("pristine").iterdir()}
    assert kept["sparse"].stat().st_blocks * 512 < 1_000_000
    world.at("srv/other").write_text("edited in place\n")
    world.take(*names)
    world.good()
    back = plain(snapshot(world.root))
    assert {name: back[name] for name in names} == {name: first[name] for name in names}
    assert {name: world.at(name).stat().st_mtime_ns for name in files} == times


def test_pristine_and_undo_on_another_disk(tmp_path: Path) -> None:
    """Also the capability of a file that is not root's, which rsync's own copy would lose."""
    root = tmp_path / "pc"
    caps = {"security.capability": CAPABILITY}
    with tmpfs(root / "var/lib/allie", "size=8m"):
        world = World(tmp_path, {"etc/a": "1\n"}, root={"usr/bin/x": File("b", 0o755)})
        world.put({"usr/bin/x": File("ours", 0o755, owner=(5, 6), xattrs=caps)})
        world.good()
        world.put({"usr/bin/x": File("newer", 0o755)})
        world.good()
        (saved,) = [
            path
            for path in world.state("undo").glob("*/overlay/files/usr/bin/x")
            if path.read_text() == "ours"
        ]
        assert saved.stat().st_uid == 5
        world.pc.run("undo").ok()
        assert world.read("usr/bin/x") == "ours"
        assert world.at("usr/bin/x").stat().st_uid == 5
        assert os.getxattr(world.at("usr/bin/x"), "security.capability") == CAPABILITY
        assert leftovers(root) == []
        world.pc.run("resume").ok()
        world.good()
        world.take("usr/bin/x")
        world.good()
        assert world.read("usr/bin/x") == "b"


def test_hard_links_and_undo_on_another_disk(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "pc/var/lib/allie", "size=8m"):
        world = World(tmp_path, {"etc/e": "e\n", "etc/a": "1\n", "etc/b": Hard("etc/a")})
        world.good()
        (world.overlay() / "etc/a").unlink()
        world.take("etc/b")
        world.put({"etc/a": "2\n"})
        world.good()
        assert not world.there("etc/b")
        world.pc.run("undo").ok()
        assert (world.read("etc/a"), world.read("etc/b")) == ("1\n", "1\n")
        assert world.at("etc/a").samefile(world.at("etc/b"))


def test_an_edit_at_the_last_moment_is_what_undo_brings_back(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "pc/var/lib/allie", "size=8m"):
        world = World(tmp_path, {"etc/a": "1\n", "etc/b": Hard("etc/a")})
        world.good()
        (world.overlay() / "etc/a").unlink()
        (world.overlay() / "etc/b").unlink()
        world.put({"etc/a": "2\n", "etc/b": Hard("etc/a")})
        src = str(Path(__file__).parents[2] / "src")
        edit = world.at("etc/a")
        code = EDITOR.format(path=str(edit))
        argv = [world.pc.python, "-c", code, "--root", str(world.root), "00overlay"]
        subprocess.run(argv, env={**world.pc.env, "PYTHONPATH": src}, check=True)
        assert world.read("etc/a") == "2\n"
        world.pc.run("undo").ok()
        assert world.read("etc/a") == "edited at the last moment\n"


def test_withdrawal_to_undo_on_another_disk(tmp_path: Path) -> None:
    root = tmp_path / "pc"
    with tmpfs(root / "var/lib/allie", "size=8m"):
        world = World(tmp_path, {"etc/a": "1\n", "etc/b": "2\n", "etc/d/c": "3\n"})
        world.good()
        world.take("etc/a", "etc/d/c")
        world.good()
        assert not world.there("etc/a")
        assert not world.there("etc/d")
        world.pc.run("undo").ok()
        assert world.read("etc/a") == "1\n"
        assert world.read("etc/d/c") == "3\n"


def test_a_damaged_intent_stops_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    world.state("intent-overlay").write_text("{half")
    world.state("intent-overact").write_bytes(b"\xff\0")
    world.put({"etc/a": "2\n"})
    world.tick().ok()
    world.steady()


@pytest.mark.parametrize("damage", ["gone", "empty", "half", "garbage"])
def test_a_lost_ledger_is_rebuilt_and_takes_nothing_away(tmp_path: Path, damage: str) -> None:
    world = World(
        tmp_path,
        {"etc/a": "ours\n", "etc/b": "ours\n", "etc/v##host.pc07": "ours\n", "etc/d/x": "x\n"},
        root={"etc/a": "before\n"},
    )
    world.good()
    ledger = world.state("ledger")
    text = ledger.read_bytes()
    ledger.unlink()
    if damage != "gone":
        ledger.write_bytes({"empty": b"", "half": text[: len(text) // 2]}.get(damage, b"\xff\0{"))
    before = plain(snapshot(world.root))
    world.tick().ok()
    world.steady()
    assert plain(snapshot(world.root)) == before
    world.take("etc/b", "etc/v##host.pc07")
    world.put({"etc/c": "c\n"})
    done = world.tick()
    assert "nobody knows" in done.out
    assert world.read("etc/b") == world.read("etc/v") == "ours\n"
    world.steady()
    world.at("etc/a").write_text("drift\n")
    assert "drift: /etc/a" in world.tick().out


def test_directories_that_we_made_go_deepest_first_if_empty(tmp_path: Path) -> None:
    world = World(tmp_path, {"a/b/c/f": "1\n", "a/b/d/g": "2\n", "etc/e": "e\n"})
    world.good()
    make_tree(world.root, {"a/b/d/users": "u\n"})
    world.take("a/b/c/f", "a/b/d/g")
    world.good()
    assert not world.there("a/b/c")
    assert world.read("a/b/d/users") == "u\n"
    assert world.pc.run("status").rc in (0, 1)


def test_a_directory_that_stood_there_before_stays(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/d/f": "1\n", "etc/e": "e\n"}, root={"srv/d": Dir(0o700)})
    world.good()
    world.take("srv/d/f")
    world.good()
    assert world.at("srv/d").is_dir()


def test_a_capability_on_what_is_placed_survives_its_owner(tmp_path: Path) -> None:
    caps = {"security.capability": CAPABILITY}
    world = World(tmp_path, {"usr/bin/x": File("b", 0o755, owner=(5, 6), xattrs=caps)})
    world.good()
    assert os.getxattr(world.at("usr/bin/x"), "security.capability") == CAPABILITY
    os.removexattr(world.at("usr/bin/x"), "security.capability")
    assert "drift: /usr/bin/x" in world.good()
    assert os.getxattr(world.at("usr/bin/x"), "security.capability") == CAPABILITY


def test_a_directory_that_made_way_before_the_kill_is_not_forgotten(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        {"etc/d": Dir(0o750), "etc/d/f": "1\n", "etc/e": "e\n"},
        root={"srv/empty": Dir(0o700, owner=(5, 6))},
    )
    world.good()
    before = plain(snapshot(world.root))
    world.take("etc/d/f")
    world.put({"etc/d": "a file\n", "srv/empty": "a file\n"})
    killed_at(world, "apply.placing.Placer._write_all")
    assert not world.there("etc/d")
    assert not world.there("srv/empty")
    first = world.state("tick").read_text().strip()
    world.good()
    world.pc.run("undo", first).ok()
    assert plain(snapshot(world.root)) == before
    world.pc.run("resume").ok()
    world.good()
    world.take("srv/empty")
    world.good()
    assert plain(snapshot(world.root))["srv/empty"] == before["srv/empty"]


# A disk that cannot read one file just now: EIO, as from a bad sector or a loose cable
UNREADABLE = """
import os
real = os.open
def opens(path, *args, **more):
    if isinstance(path, str) and path.endswith({name!r}):
        raise OSError(5, os.strerror(5), path)
    return real(path, *args, **more)
os.open = opens
"""
BOOKS = ["/ledger", "/tick", "/allie.conf", "/etc/allie/system", "/paused"]


@pytest.mark.parametrize("name", BOOKS)
def test_a_book_that_cannot_be_read_is_not_begun_anew(tmp_path: Path, name: str) -> None:
    """Nor is anything decided without it: it says what stood here before."""
    world = World(tmp_path, {"etc/motd": "store\n"}, root={"etc/motd": "own\n"})
    world.good()
    world.put({"etc/motd": "store 2\n", "etc/more": "1\n"})
    env = injected(tmp_path / "fault", UNREADABLE.format(name=name))
    done = world.tick(env=env)
    assert done.rc in (1, 2), done
    assert "cannot be read: Input/output error" in done.err + done.out
    assert "Traceback" not in done.err + done.out
    assert world.read("etc/motd") == "store\n"
    world.tick()
    assert world.read("etc/motd") == "store 2\n"
    world.take("etc/motd")
    world.put({"etc/more": "2\n"})
    world.tick()
    assert world.read("etc/motd") == "own\n"
    world.steady()
