"""The kit that updates itself: a new client, a broken one, and the stub between them.

docs/internals/rules.md, "A new client is tried first" and "Stubs are known by their digest".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from allie import __version__
from allie.core import stubs
from allie.server import kit, store
from tests.tick.site import Site, altered, archive, debian, run_in, script
from tests.worlds.pc import Result
from tests.worlds.toy import File, make_tree

pytestmark = [pytest.mark.root, pytest.mark.real]
CLIENT = "usr/local/bin/allie"


class Base:
    """A Debian system that runs ALLiE itself, as its own base; its store is a directory in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.overlays = root / "store/overlays"
        store.init(str(root / "store"))

    def run(self, command: str) -> Result:
        """A shell command in it; nothing of ours may end in a traceback."""
        return run_in(self.root, command)

    def put(self, tree: dict[str | bytes, File | str], name: str = "common") -> None:
        """Make files in an overlay."""
        make_tree(self.overlays / name, tree)

    def read(self, name: str) -> str:
        """A file of the root."""
        return (self.root / name).read_text()


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Base:
    base = Base(debian("trixie", tmp_path_factory.mktemp("kit") / "pc"))
    base.put({"etc/motd": "common\n"})
    done = base.run("install -m 755 /store/overlays/kit/usr/local/bin/allie /usr/local/bin/"
                    " && allie join --image kit /store && /root/conf/run-conf")  # fmt: skip
    assert done.rc == 0, done
    return base


@pytest.fixture
def base(joined: Base) -> Iterator[Base]:
    """The joined system with the good kit in the store and in place, whatever a test did."""
    yield joined
    good = File(archive().read_bytes(), 0o755)
    make_tree(joined.overlays / "kit", {CLIENT: good})
    make_tree(joined.root, {CLIENT: good})
    done = joined.run("/root/conf/run-conf; /root/conf/run-conf")
    assert done.rc == 0, done


def _broken(how: str) -> bytes:
    """A client that does not work, and where it fails."""
    lags = "lagging = _is_lagging("
    members = {
        "at start": ("allie/client/tick/whole_tick.py", "import time", "import time, nonsense"),
        "in another verb": ("allie/client/apply/undo.py", "import os", "import os, nonsense"),
        "when it resolves": (
            "allie/client/situation/grounds.py",
            "def resolve(",
            "def resolved(",
        ),
        "in the fetch": ("allie/client/mirror/fetch.py", lags, f"{lags}nonsense, "),
        "in the tick": (
            "allie/client/tick/whole_tick.py",
            "began = time.time()",
            "began = time.fault",
        ),
        "in main": ("allie/cli/main.py", "import os", "import os, nonsense"),
    }
    whole = {
        "empty": b"",
        "no archive": b"#!/usr/bin/python3\nno archive at all\n",
        "no interpreter": b"#!/usr/bin/nothing\n",
    }
    return whole[how] if how in whole else altered(*members[how])


# --- what is delivered -------------------------------------------------------------------------


def test_the_stub_is_known(tmp_path: Path) -> None:
    kit.write(str(tmp_path))
    for name in (*(f"root/conf/{each}" for each in stubs.NAMES), "root/util/rsync-image"):
        assert sha256((tmp_path / name).read_bytes()).hexdigest() == stubs.DIGESTS[-1]
        assert os.stat(tmp_path / name).st_mode & 0o777 == 0o755
    assert kit.write(str(tmp_path)) == [], "what is right keeps its times"


def test_the_archive_is_the_client_alone() -> None:
    body = kit.archive()
    assert body == kit.archive() == archive().read_bytes()
    assert body.startswith(b"#!/bin/sh\n")
    assert b"allie/server/" not in body
    assert b"allie/client/tick/whole_tick.py" in body


# --- the stub ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_stub_asks_once(base: Base) -> None:
    """A wrong option is no reason to try the last good client as well."""
    assert (base.root / "var/lib/allie/last-good").read_bytes() == archive().read_bytes()
    wrong = base.run("/root/conf/run-conf --wrong")
    assert (wrong.rc, wrong.err.count("has no option")) == (64, 1)
    shown = base.run("/root/conf/run-conf --help")
    assert (shown.rc, shown.out.count("usage:")) == (0, 1)
    missing = base.run("/root/conf/run-conf 77nothing")
    assert (missing.rc, missing.err.count("77nothing")) == (64, 1)
    left = base.run("/root/conf/00overlay; ls -A /run/allie /tmp; echo; /root/conf/01overact")
    assert "starting" not in left.out
    assert left.rc == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_who_stops_run_conf_stops_its_script(base: Base, signal: str) -> None:
    """As `systemctl stop` does with KillMode=process: run-conf alone is told."""
    waits = script(f"# {signal}", "[ -e /go ] || exit 0", "echo $$ >/pid", "sleep 300 & sleep 301")
    make_tree(base.root, {"root/conf/50waits": waits, "go": ""})
    # A shell has what it starts in the background ignore Ctrl-C; Python gives that back.
    code = "from signal import *; import os; signal(SIGINT, SIG_DFL);"
    code += " os.execv('/root/conf/run-conf', ['run-conf'])"
    told = base.run(
        f'rm -f /pid; python3 -c "{code}" & tick=$!;'
        " for n in $(seq 300); do [ -s /pid ] || sleep 0.1; done;"
        f" kill -{signal} $tick; wait $tick; echo $?;"
        " ls /run/allie; for each in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$each; echo; done"
    )
    number = {"INT": 130, "TERM": 143}[signal]
    lines = told.out.splitlines()
    assert lines[0] == str(number), told
    assert not [line for line in lines if "sleep 30" in line or "starting" in line], told
    os.unlink(base.root / "go")
    again = base.run("/root/conf/run-conf; allie status")
    assert "50waits                  satisfied" in again.out
    os.unlink(base.root / "root/conf/50waits")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_code_is_unpacked_once(base: Base) -> None:
    places = sorted(os.listdir(base.root / "var/lib/allie-code"))
    assert places == [sha256(archive().read_bytes()).hexdigest()]
    code = base.root / "var/lib/allie-code" / places[0]
    before = os.lstat(code)
    assert (before.st_uid, before.st_mode & 0o022) == (0, 0)
    assert base.run("allie status").rc == 0
    assert os.lstat(code).st_mtime_ns == before.st_mtime_ns
    # Somebody else's directory of that name is not believed.
    os.chown(code, 1000, 1000)
    assert base.run("allie status").rc == 0
    assert os.lstat(code).st_uid == 0


# --- a new client ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_new_client_in_mid_tick(base: Base) -> None:
    """The tick ends with the code that it began with; the next one is the new one's."""
    newer = altered("allie/__init__.py", '__version__ = "', '__version__ = "9.')
    base.put({CLIENT: File(newer, 0o755)}, "kit")
    base.put({"root/conf/50a": script("# allie: every tick", "allie --version >>/versions")})
    done = base.run("/root/conf/run-conf; allie status; allie --version")
    assert f"allie {__version__})" in done.out.splitlines()[0]
    assert done.out.splitlines()[-1].startswith("allie 9.")
    assert base.read("versions").startswith("allie 9."), "a script starts what stands there now"
    assert (base.root / "var/lib/allie/last-good").read_bytes() == archive().read_bytes()
    done = base.run("/root/conf/run-conf; allie status")
    assert done.rc == 0, done
    assert "allie 9." in done.out
    assert (base.root / "var/lib/allie/last-good").read_bytes() == newer
    code = base.root / "var/lib/allie-code"
    assert sha256(newer).hexdigest() in os.listdir(code)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "how", ["at start", "in another verb", "when it resolves", "empty", "no archive"]
)
def test_a_broken_client_is_held_back(base: Base, how: str) -> None:
    """The kit stays as it is, as one; everything else of the tick is done."""
    broken = _broken(how)
    (base.overlays / "kit" / CLIENT).write_bytes(broken)
    base.put({"root/conf/run-conf": File("#!/bin/sh\nexit 99\n", 0o755)}, "kit")
    base.put({"etc/motd": f"with {len(broken)}\n"})
    done = base.run("/root/conf/run-conf")
    assert done.rc == 1, done
    assert base.read("etc/motd") == f"with {len(broken)}\n"
    assert (base.root / CLIENT).read_bytes() == archive().read_bytes()
    assert "exit 99" not in base.read("root/conf/run-conf")
    assert "new client does not work here" in base.run("allie status").out
    kit.write(str(base.overlays / "kit"))
    assert base.run("/root/conf/run-conf").rc == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "how", ["at start", "in main", "empty", "no interpreter", "in the fetch", "in the tick"]
)
def test_a_broken_client_in_place_cannot_stop_the_fetch(base: Base, how: str) -> None:
    """However it came there: the last good one does the tick, and puts the client right."""
    broken = _broken(how)
    base.put({"etc/motd": f"despite {len(broken)}\n"})
    (base.root / CLIENT).write_bytes(broken)
    done = base.run("/root/conf/run-conf")
    assert "the last good one takes over" in done.err
    assert done.rc == 0, done
    assert base.read("etc/motd") == f"despite {len(broken)}\n"
    assert (base.root / CLIENT).read_bytes() == archive().read_bytes()
    again = base.run("/root/conf/run-conf")
    assert (again.rc, again.err) == (0, "")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_client_that_is_gone_comes_back(base: Base) -> None:
    (base.root / CLIENT).unlink()
    done = base.run("/root/conf/run-conf")
    assert "the last good one takes over" in done.err
    assert (base.root / CLIENT).read_bytes() == archive().read_bytes()


# --- the lock, on a base -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_script_that_calls_the_kit(base: Base) -> None:
    """Inside a tick nothing is locked twice; a daemon that a script leaves keeps no lock."""
    late = "printf late >/store/overlays/common/etc/late"
    base.put(
        {
            "root/conf/50a": script(late, "sh /root/conf/00overlay || exit 9; cat /etc/late"),
            "root/conf/51b": script("setsid sleep 777 >/dev/null 2>&1 &"),
        }
    )
    done = base.run(
        "/root/conf/run-conf; /root/conf/run-conf; echo second $?;"
        " allie status; grep -l 777 /proc/[0-9]*/cmdline"
    )
    assert "second 0" in done.out, done
    assert base.read("etc/late") == "late"
    assert base.read("root/done/50a")
    for name in ("50a", "51b"):
        (base.overlays / "common/root/conf" / name).unlink()


# --- in a site without Debian ------------------------------------------------------------------


def test_the_kit_is_the_first_overlay(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.join()
    assert "overlays = kit, common" in site.pc.read("/etc/allie/allie.conf")
    for name in ("run-conf", "00overlay", "01overact"):
        assert site.pc.path(f"/root/conf/{name}").stat().st_mode & 0o111


@pytest.mark.parametrize(
    "damage", ["garbage", "empty", "gone", "fifo", "directory", "link", "huge"]
)
def test_a_fetcher_that_is_damaged_is_put_right(tmp_path: Path, damage: str) -> None:
    """It brings everything, itself too: as it stands it would bring nothing, for ever."""
    site = Site(tmp_path, {"etc/motd": "common\n"})
    site.join()
    fetcher = site.pc.path("/root/conf/00overlay")
    good = fetcher.read_bytes()
    fetcher.unlink()
    if damage == "fifo":
        os.mkfifo(fetcher)
    elif damage == "directory":
        fetcher.mkdir()
    elif damage == "link":
        fetcher.symlink_to("/dev/zero")
    elif damage != "gone":
        fetcher.write_text("#!/bin/nowhere\n" if damage == "garbage" else "")
        fetcher.chmod(0o755)
    if damage == "huge":
        os.truncate(fetcher, 1 << 40)
    site.overlay({"etc/motd": "second\n"})
    assert site.pc.tick()["00overlay"]["state"] == "satisfied"
    assert fetcher.read_bytes() == good
    assert site.pc.read("/etc/motd") == "second\n"
    assert not site.pc.path("/root/done/00overlay").exists()
    site.pc.path("/root/conf/run-conf").write_text("garbage\n")
    site.pc.tick()  # as `allie run-conf`, which is not the stub
    assert site.pc.path("/root/conf/run-conf").read_bytes() == good


@pytest.mark.parametrize("name", ["00overlay", "run-conf"])
@pytest.mark.parametrize("slip", ["fifo", "empty", "mode", "text", "link"])
def test_a_script_that_cannot_be_run_is_held_back(tmp_path: Path, name: str, slip: str) -> None:
    """No PC would ever fetch the right one, if one that is of no use took its place."""
    site = Site(tmp_path, {"etc/motd": "common\n"})
    site.join()
    placed, new = (top / "root/conf" / name for top in (site.pc.root, site.store / "overlays/kit"))
    good = placed.read_bytes()
    new.unlink()
    if slip == "fifo":
        os.mkfifo(new)
    elif slip == "link":
        new.symlink_to("/dev/zero")
    else:
        new.write_bytes({"empty": b"", "mode": good, "text": b"garbage\n"}[slip])
        new.chmod(0o644 if slip == "mode" else 0o755)
    site.overlay({"etc/motd": "second\n"})
    assert site.pc.run("run-conf").rc == 1
    assert "could not be run" in site.pc.run("status").out
    assert (placed.read_bytes(), placed.stat().st_mode & 0o777) == (good, 0o755)
    assert site.pc.read("/etc/motd") == "second\n"


def test_a_fetcher_of_another_overlay_is_no_damage(tmp_path: Path) -> None:
    site = Site(tmp_path, {"root/conf/00overlay": script("echo mine >/ran")})
    site.join()
    site.pc.tick()
    assert site.pc.read("/ran") == "mine\n"
    assert "echo mine" in site.pc.read("/root/conf/00overlay")
