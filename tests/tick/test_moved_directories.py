"""What a script moves of ALLiE's directories in another root leads none of our writes out of it.

Administrators do so: `mv /var/log /data/log; ln -s /data/log /var/log`. In the root the link means
the root's own /data; to the tick, which stands outside, it would mean the base's.

Where logs or run cannot be written at all, a tick goes on.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from allie.core.errors import StateError
from allie.machine.roots import open_places, open_system
from tests.apply.test_unusable_places import TROUBLES
from tests.tick.site import lone_pc, script
from tests.worlds.toy import Dir, Link, Tree, make_tree

MOVED = ("var/log", "var/log/allie", "root", "root/done", "var/lib", "var/lib/allie", "etc", "var")


def _files(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


def _base(data: Path) -> list[str]:
    """The base's directory, with all that what is moved might be taken for."""
    names = ("allie/mirror", "done", "conf", "lib/allie", "log/allie", "lib")
    make_tree(data, {f"moved/{name}/.keep": "" for name in names})
    return _files(data)


@pytest.mark.root
@pytest.mark.parametrize("what", MOVED)
def test_what_a_script_moves_is_written_in_its_own_root(tmp_path: Path, what: str) -> None:
    data = tmp_path / "data"
    stood = _base(data)
    move = (
        f"[ ! -L /{what} ] || exit 0",
        f"mkdir -p {data}; cp -a /{what} {data}/moved; mv /{what} {data}/before",
        f"ln -s {data}/moved /{what}",
    )
    pc = lone_pc(tmp_path / "pc")
    pc.put({"root/conf/50move": script(*move), "root/conf/60talk": script("echo a secret")})
    assert pc.run("run-conf").rc == 0
    assert _files(data) == stood, "nothing was written in the base's"
    inside = Path(f"{pc.root}{data}")
    logs = [path for path in inside.rglob("60talk.log") if "before" not in str(path)]
    if what.startswith("var"):
        assert logs or what in ("var/lib", "var/lib/allie"), "it is where the link leads"
    before = pc.scripts()
    assert {before[name]["state"] for name in ("50move", "60talk")} == {"satisfied"}
    again = pc.tick()
    assert again["60talk"]["since"] == before["60talk"]["since"], "its done-file was found again"
    assert _files(data) == stood


@pytest.mark.root
@pytest.mark.parametrize("what", ["mirror", "undo", "mirror/7", "mirror/7/common", "systems"])
def test_a_link_in_another_roots_state_is_refused(tmp_path: Path, what: str) -> None:
    """Links deeper down would be followed by rsync, too: none of these was ever made by us."""
    data = tmp_path / "data"
    _base(data)
    pc = lone_pc(tmp_path / "pc")
    link = f"mkdir -p /var/lib/allie/{what}; rmdir /var/lib/allie/{what}"
    pc.put(
        {
            "root/conf/50link": script(link, f"ln -s {data}/moved /var/lib/allie/{what}"),
            "root/conf/60talk": script("echo x >>/ran"),
        }
    )
    done = pc.run("run-conf")
    assert done.rc == 2
    assert f"/var/lib/allie/{what} is a symlink" in done.err
    assert not pc.path("/ran").exists()
    assert pc.run("run-conf").rc == 2, "and no tick begins"


def _system(top: Path, tree: Tree) -> str:
    make_tree(top, {"etc/allie/system": "toy\n", "var/lib": Dir(), "run": Dir(), **tree})
    return str(top)


def test_what_is_pinned_is_said_by_its_name(tmp_path: Path) -> None:
    """No message, and no cache, shows by which descriptor a directory is reached."""
    root = _system(tmp_path / "root", {})
    here = open_system.open_system(root)
    with open_places.OpenPlaces(here, "test") as pinned:
        assert repr(pinned.here) == repr(here)
        assert pinned.here.state.startswith("/proc/self/fd/")
        for text in (f"{pinned.here.state}: full", f"{pinned.here.state}/ledger is odd"):
            said = text.replace(pinned.here.state, here.state)
            assert str(StateError(text)) == said
            assert StateError("", text).hint == said
    assert str(StateError("/proc/self/fd/3/x")) == "/proc/self/fd/3/x", "and not after it"


def test_what_is_pinned_stays_what_it_was(tmp_path: Path) -> None:
    """Whoever can rename a directory on the way changes nothing for a tick that is at work."""
    root = _system(tmp_path / "root", {})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with open_places.OpenPlaces(open_system.open_system(root), "test") as pinned:
        os.rename(f"{root}/var/log/allie", f"{root}/var/log/away")
        os.symlink(elsewhere, f"{root}/var/log/allie")
        Path(pinned.here.logs, "50a.log").write_text("said\n")
        assert Path(root, "var/log/away/50a.log").read_text() == "said\n"
    assert list(elsewhere.iterdir()) == []


def test_a_link_out_of_the_root_is_resolved_in_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = _system(tmp_path / "root", {"var/log": Link(str(outside)), "run": Dir()})
    make_tree(Path(root), {str(outside)[1:]: Dir()})
    with open_places.OpenPlaces(open_system.open_system(root), "test") as pinned:
        Path(pinned.here.logs, "50a.log").write_text("said\n")
    assert list(outside.iterdir()) == []
    assert Path(f"{root}{outside}", "allie/50a.log").read_text() == "said\n"


@pytest.mark.root
@pytest.mark.parametrize("place", ["var/lib/allie", "root/done", "var/log/allie", "run/allie"])
def test_a_directory_of_somebody_elses_is_not_written_in(tmp_path: Path, place: str) -> None:
    root = _system(tmp_path / "root", {place: Dir()})
    os.chown(f"{root}/{place}", 4242, 4242)
    pinned = open_places.OpenPlaces(open_system.open_system(root), "test")
    if place in ("var/lib/allie", "root/done"):
        with pytest.raises(StateError, match=f"/{place} belongs to uid 4242"):
            pinned.__enter__()
        return
    with pinned:
        assert f"/{place} belongs to uid 4242" in "".join(pinned.notes)
    assert not os.listdir(f"{root}/{place}")
    (spare,) = Path(root, "var/lib/allie").glob("spare-*")
    shutil.rmtree(spare)
    spare.symlink_to(tmp_path)
    with pytest.raises(StateError, match=f"/{spare.name} cannot be used"):
        open_places.OpenPlaces(open_system.open_system(root), "test").__enter__()


UNUSABLE = [
    *("answers ENOTCONN", "answers EIO", "an empty read-only mount"),
    *("a link to itself", "a link to nowhere", "a link to a file"),
]


@pytest.mark.root
@pytest.mark.parametrize("place", ["var/log", "run"])
@pytest.mark.parametrize("trouble", UNUSABLE)
def test_no_tick_waits_for_logs_or_run(tmp_path: Path, place: str, trouble: str) -> None:
    pc = lone_pc(tmp_path / "pc", {"root/conf/60talk": script("# allie: every tick", "echo said")})
    pc.tick()
    with TROUBLES[trouble](pc.path(place)):
        assert pc.tick(rc=1)["60talk"]["state"] == "satisfied"
        (note,) = pc.status()["notes"]
        assert f"/{place}" in note and "/var/lib/allie/spare-" in note
        if place == "var/log":
            assert pc.read("/var/lib/allie/spare-logs/60talk.log") == "said\n"
    pc.tick()
    assert pc.status()["notes"] == []


def test_a_spare_place_is_in_the_root_too(tmp_path: Path) -> None:
    """Where another root has a link in its stead, that is resolved in this root, as all others."""
    outside = tmp_path / "outside"
    outside.mkdir()
    spare: Tree = {"run/allie": Link("/nowhere"), "var/lib/allie/spare-run": Link(str(outside))}
    root = _system(tmp_path / "root", {**spare, str(outside)[1:]: Dir()})
    assert open_system.open_system(root).run == f"{root}{outside}"
