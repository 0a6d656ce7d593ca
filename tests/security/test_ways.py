"""Only root says where a path leads (docs/internals/security.md, "The way to a path")."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from allie.core.errors import PathRefused
from allie.machine.files import tree
from allie.machine.roots.paths import Inside, LinkBounds
from tests.worlds.one_pc import Paths, Thing, World, injected, snapshot
from tests.worlds.toy import Dir, File, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

ANN, BOB = 4242, 4243
HOME: Paths = {"home/ann": Dir(owner=(ANN, ANN)), "etc/app.d/theirs": "root's\n"}


def own(uid: int, *paths: Path) -> None:
    """Give paths, links themselves too, to a user."""
    for path in paths:
        os.lchown(path, uid, uid)


# A link in a directory: (directory, its owner and mode, link's owner, target, target's owner)
FOLLOWED = {
    "one's own, to one's own": ("home/ann", ANN, 0o755, ANN, "dot", ANN),
    "one's own, elsewhere": ("home/ann", ANN, 0o755, ANN, "/srv/ann", ANN),
    "root's, where only root writes": ("var", 0, 0o755, 0, "/srv/ann", ANN),
    "anybody's, where only root writes": ("var", 0, 0o755, ANN, "/srv/root", 0),
    "root's, of staff, that stays below": ("usr/local", 0, 0o2775, 0, "share", 0),
}
REFUSED = {
    "a user's, to root's": ("home/ann", ANN, 0o755, ANN, "/etc/app.d", 0),
    "root's, moved by the user": ("home/ann", ANN, 0o755, 0, "/etc/app.d", 0),
    "root's, to the user's": ("home/ann", ANN, 0o755, 0, "/srv/ann", ANN),
    "a user's, to another's": ("home/ann", ANN, 0o755, ANN, "/srv/bob", BOB),
    "another's, in a shared directory": ("srv/shared", 0, 0o1777, BOB, "/srv/ann", ANN),
    "a user's, of a shared directory": ("srv/shared", 0, 0o1777, ANN, "/srv/ann", ANN),
    "root's, of staff, that leads out": ("usr/local", 0, 0o2775, 0, "/etc/app.d", 0),
    "nobody's": ("home/ann", 65534, 0o755, 65534, "dot", 65534),
    "dots that lead out": ("home/ann", ANN, 0o755, ANN, "../../etc/app.d", 0),
}


def linked(top: Path, case: tuple[str, int, int, int, str, int]) -> str:
    """Make a root with the case's link, called `way`: its path."""
    directory, owner, mode, link_owner, target, target_owner = case
    place = top / directory
    end = top / target.lstrip("/") if target.startswith("/") else place / target
    end = Path(os.path.normpath(end))
    for each in (place, end):
        each.mkdir(parents=True, exist_ok=True)
    own(target_owner, end)
    own(owner, place)
    place.chmod(mode)
    (place / "way").symlink_to(target)
    own(link_owner, place / "way")
    return f"{directory}/way"


@pytest.mark.parametrize("name", FOLLOWED)
def test_links_that_are_followed(tmp_path: Path, name: str) -> None:
    path = linked(tmp_path, FOLLOWED[name])
    assert Inside(str(tmp_path)).directory(path).exists


@pytest.mark.parametrize("name", REFUSED)
def test_links_that_are_not(tmp_path: Path, name: str) -> None:
    path = linked(tmp_path, REFUSED[name])
    with pytest.raises(PathRefused, match="not followed"):
        Inside(str(tmp_path)).entry(f"{path}/file")


@pytest.mark.parametrize("name", REFUSED)
def test_what_root_placed_or_trusts_is_followed(tmp_path: Path, name: str) -> None:
    path = linked(tmp_path, REFUSED[name])
    target = os.readlink(tmp_path / path)
    above = path.rpartition("/")[0]
    for bounds in (LinkBounds(links={path: target}), LinkBounds(trusted=(above,))):
        assert Inside(str(tmp_path), bounds).directory(path).exists
    for bounds in (LinkBounds(links={path: target + "x"}), LinkBounds(trusted=(above[:-1],))):
        with pytest.raises(PathRefused):
            Inside(str(tmp_path), bounds).directory(path)


def test_taint_goes_on_below(tmp_path: Path) -> None:
    """A directory of root's below one of a user's is as little root's alone as that."""
    make_tree(tmp_path, {"home/ann/root/way": Link("/etc/app.d"), "etc/app.d": Dir()})
    own(ANN, tmp_path / "home/ann")
    with pytest.raises(PathRefused):
        Inside(str(tmp_path)).directory("home/ann/root/way")


def test_a_chain_is_as_good_as_each_of_its_links(tmp_path: Path) -> None:
    make_tree(tmp_path, {"home/ann/a": Link("b"), "home/ann/b": Link("/srv/c"), "srv/d": Dir()})
    make_tree(tmp_path, {"srv/c": Link("d")})
    own(ANN, tmp_path / "home/ann", tmp_path / "home/ann/a", tmp_path / "home/ann/b")
    with pytest.raises(PathRefused):
        Inside(str(tmp_path)).directory("home/ann/a")
    own(ANN, tmp_path / "srv/d")
    assert Inside(str(tmp_path)).directory("home/ann/a").real == "srv/d"
    own(BOB, tmp_path / "home/ann/b")
    with pytest.raises(PathRefused):
        Inside(str(tmp_path)).directory("home/ann/a")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A PC whose user has files of every kind from an overlay."""
    app = "home/ann/.config/app"
    mine = {
        f"{app}/conf": File("1\n", owner=(ANN, ANN)),
        f"{app}/keep": File("1\n", owner=(ANN, ANN)),
        f"{app}/secret": File("1\n", 0o600),
        f"{app}/once##once": File("1\n", owner=(ANN, ANN)),
        f"{app}/tagged##host.pc07": File("1\n", owner=(ANN, ANN)),
        f"{app}/theirs##absent": "",
        "home/ann/.config": Dir(owner=(ANN, ANN)),
        app: Dir(0o700, owner=(ANN, ANN)),
        "etc/motd": "1\n",
    }
    world = World(tmp_path, mine, root=HOME)
    world.good()
    return world


def plant(world: World, target: str = "/etc") -> dict[str, Thing]:
    """The user puts a link where .config was: what the link leads to, as it stands."""
    make_tree(world.root, {"etc/app/conf": "root's\n", "etc/app/theirs": "root's\n"})
    make_tree(world.root, {"etc/app/secret": File("root's\n", 0o600), "etc/app": Dir(0o755)})
    was = world.at("home/ann/.config")
    was.rename(world.at("home/ann/.was"))
    was.symlink_to(target)
    own(ANN, was)
    return snapshot(world.at("etc/app"))


def change(world: World) -> None:
    """The store changes everything that the user has, and something else."""
    app = "home/ann/.config/app"
    world.put({f"{app}/conf": File("2\n", owner=(ANN, ANN)), "etc/motd": "2\n"})
    world.put({f"{app}/tagged##host.pc07": File("2\n", owner=(ANN, ANN))})
    world.put({app: Dir(0o750, owner=(ANN, ANN))})


def withdraw(world: World) -> None:
    """The store takes all of it away but one file, which is among many others."""
    app = "home/ann/.config/app"
    world.take(f"{app}/conf", f"{app}/secret", f"{app}/tagged##host.pc07", f"{app}/theirs##absent")
    world.put({"etc/motd": "2\n"})


def nothing(world: World) -> None:
    """Only the other file changes: what is there is looked at, and put right."""
    world.put({"etc/motd": "2\n"})


@pytest.mark.parametrize("deed", [change, withdraw, nothing])
def test_a_tick_does_nothing_through_a_users_link(
    world: World, deed: Callable[[World], None]
) -> None:
    before = plant(world)
    deed(world)
    for _ in range(2):  # what the first one wrote down does not help the second
        done = world.tick()
        assert world.read("etc/motd") == "2\n"
        assert snapshot(world.at("etc/app")) == before
        assert (done.rc, "not followed" in done.out) == (1, True), done.out
    world.at("home/ann/.config").unlink()
    world.at("home/ann/.was").rename(world.at("home/ann/.config"))
    world.tick().ok()
    world.steady()
    assert snapshot(world.at("etc/app")) == before


def test_undo_does_nothing_through_a_users_link(world: World) -> None:
    first = int(world.state("tick").read_text()) + 1
    change(world)
    world.good()
    before = plant(world)
    done = world.pc.run("undo", str(first))
    assert done.rc == 1
    assert "/home/ann/.config/app/conf" in done.err
    assert world.read("etc/motd") == "1\n"
    assert snapshot(world.at("etc/app")) == before


KILLED = """
import os, signal
from allie.client.apply import {module}
{module}.{name} = lambda *args, **more: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("where", ["transaction.confirm", "placing.Placer._take_its_place"])
def test_recovery_does_nothing_through_a_users_link(
    world: World, tmp_path: Path, where: str
) -> None:
    change(world)
    module, _, name = where.partition(".")
    code = KILLED.format(module=module, name=name)
    assert world.pc.run("00overlay", env=injected(tmp_path / "fault", code)).rc == -9
    before = plant(world)
    world.tick()
    assert world.read("etc/motd") == "2\n"
    assert snapshot(world.at("etc/app")) == before


def test_a_moved_directory_keeps_what_it_had_and_the_link_is_its_own(world: World) -> None:
    """An honest user who keeps his .config elsewhere has what the overlay has there, too."""
    config = world.at("home/ann/.config")
    config.rename(world.at("home/ann/dotfiles"))
    config.symlink_to("dotfiles")
    own(ANN, config)
    world.put({"home/ann/.config/app/conf": File("2\n", owner=(ANN, ANN))})
    world.tick().ok()
    world.steady()
    assert world.read("home/ann/dotfiles/app/conf") == "2\n"
    assert config.is_symlink()


def test_directories_pass_for_ours_only_where_we_made_them(world: World) -> None:
    """By a link of root's own making, even: the directory behind it is not the one that we made."""
    app = world.at("home/ann/.config/app")
    app.rename(app.with_name("was"))
    make_tree(app, {"left by sudo": "secret\n", ".": Dir(0o700)})
    change(world)
    world.tick()
    st = app.stat()
    assert (st.st_uid, st.st_mode & 0o777) == (0, 0o700)
    assert world.read("etc/motd") == "2\n"


def test_a_directory_that_ends_up_as_ours_was_is_taken_for_ours(world: World) -> None:
    """After a restore from a backup, say: it follows the overlay from then on."""
    app = world.at("home/ann/.config/app")
    app.rename(app.with_name("was"))
    make_tree(app.parent, {"app": Dir(0o700, owner=(ANN, ANN))})
    for each in app.with_name("was").iterdir():
        each.rename(app / each.name)
    world.tick().ok()
    world.put({"home/ann/.config/app": Dir(0o750, owner=(ANN, ANN))})
    world.tick().ok()
    assert app.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("link", [True, False])
def test_the_setting_trusted(world: World, link: bool) -> None:
    """An administrator who means it says so; and it is said in the store, too."""
    before = plant(world)
    text = world.read("etc/allie/allie.conf")
    make_tree(
        world.root,
        {"etc/allie/allie.conf": text.replace("[system", "trusted = /home/ann\n[system", 1)},
    )
    if not link:
        make_tree(
            world.root,
            {"etc/allie/allie.conf": text.replace("[system", "trusted = /home/an\n[system", 1)},
        )
    done = world.tick()
    assert (snapshot(world.at("etc/app")) == before) == (not link)
    assert done.rc == (0 if link else 1)


def test_what_a_users_link_leads_to_is_not_what_we_placed(world: World) -> None:
    """He has a file of his own there: it is kept before ours comes, and comes back."""
    app = "home/ann/.config/app"
    make_tree(world.root, {"home/ann/mine/app/conf": File("his own\n", owner=(ANN, ANN))})
    own(ANN, world.at("home/ann/mine"), world.at("home/ann/mine/app"))
    config = world.at("home/ann/.config")
    config.rename(world.at("home/ann/was"))
    config.symlink_to("mine")
    own(ANN, config)
    world.tick().ok()
    assert world.read("home/ann/mine/app/conf") == "1\n"
    world.take(f"{app}/conf")
    world.tick().ok()
    assert world.read("home/ann/mine/app/conf") == "his own\n"


@pytest.mark.parametrize("links", [38, 39, 40, 41])
@pytest.mark.parametrize("tagged", [True, False])
def test_a_users_links_say_nothing_about_roots(tmp_path: Path, links: int, tagged: bool) -> None:
    """As many as can be followed, and then one of root's: what came by that one stays."""
    unit = "lib/systemd/system/firewall.service"
    mine = {"home/ann/.config/app": File("1\n", owner=(ANN, ANN)), unit: "1\n", "etc/motd": "1\n"}
    if tagged:
        mine["home/ann/.config/z##host.pc07"] = File("1\n", owner=(ANN, ANN))
    world = World(tmp_path, mine, root={**HOME, "lib": Link("usr/lib"), "usr/lib": Dir()})
    world.good()
    home = world.at("home/ann")
    (home / ".config").rename(home / "was")
    for number in range(links):
        here = home / (f"l{number}" if number else ".config")
        here.symlink_to(f"l{number + 1}" if number + 1 < links else "/lib")
        own(ANN, here)
    for _ in range(2):
        world.tick()
        assert world.read(f"usr/{unit}") == "1\n"
    world.put({unit: "2\n"})
    world.tick()
    assert world.read(f"usr/{unit}") == "2\n"


def test_a_way_without_an_end_is_one_paths_problem(world: World) -> None:
    deep = world.at("home/ann/a")
    config = world.at("home/ann/.config")
    config.rename(world.at("home/ann/was"))
    code = "import os, sys\nos.chdir(sys.argv[1])\nfor _ in range(1200):\n    os.mkdir('a', 0o755);"
    code += f"os.chown('a', {ANN}, {ANN}); os.chdir('a')"
    subprocess.run([sys.executable, "-c", code, str(world.at("home/ann"))], check=True)
    config.symlink_to("/".join(["a"] * 1200))
    own(ANN, config)
    try:
        world.put({"etc/motd": "2\n"})
        done = world.tick()
        assert (done.rc, world.read("etc/motd")) == (1, "2\n")
        assert "nested deeper" in done.out
    finally:
        tree.remove(str(deep))


def test_trusted_by_a_name_that_is_a_link(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/motd": "1\n"}, root={"home": Link("var/home")})
    make_tree(world.root, {"var/home/ann/way": Link("/srv/d"), "srv/d": Dir()})
    own(ANN, world.at("var/home/ann"), world.at("var/home/ann/way"))
    world.put({"home/ann/way/f": "1\n"})
    assert world.tick().rc == 1
    text = world.read("etc/allie/allie.conf")
    trusting = text.replace("[system", "trusted = /home/ann\n[system", 1)
    make_tree(world.root, {"etc/allie/allie.conf": trusting})
    world.good()
    assert world.read("srv/d/f") == "1\n"


@pytest.mark.parametrize("how", ["no marks", "other inodes"])
def test_roots_directories_in_a_group_writable_place_follow_the_store(
    tmp_path: Path, how: str
) -> None:
    """As /usr/local of root and staff; after an upgrade of ALLiE, and after a restore."""
    world = World(
        tmp_path,
        {"usr/local/share/app/f": "1\n"},
        root={"usr/local": Dir(0o2775, owner=(0, 50))},
    )
    world.good()
    app = world.at("usr/local/share/app")
    if how == "no marks":
        ledger = world.state("ledger")
        text = re.sub(rb'"marks":{[^}]*}', b'"marks":{}', ledger.read_bytes())
        ledger.write_bytes(text)
    else:
        app.rename(app.with_name("was"))
        subprocess.run(["cp", "-a", app.with_name("was"), app], check=True)
        subprocess.run(["rm", "-r", app.with_name("was")], check=True)
        world.good()
    world.put({"usr/local/share/app": Dir(0o750)})
    world.good()
    assert app.stat().st_mode & 0o777 == 0o750
