"""A quick tick says "nothing to do" only where a whole one would find nothing to do.

docs/internals/rules.md, "A quick tick knows no rule".
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from allie.cli import startup_mark
from allie.client.state import quick_files, quick_seal, quick_tick, records
from allie.client.tick import quick_note
from allie.core import system
from allie.core.change import ledger
from allie.machine.files import stood as stood_now
from allie.machine.files import tree
from allie.machine.roots import open_system
from tests.crash import ptrace
from tests.tick.site import Site, script
from tests.worlds import forked
from tests.worlds.busybox import busybox_root
from tests.worlds.one_pc import World, mounted, snapshot
from tests.worlds.toy import Dir, File, Link, Tree, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]
OLD = 1_500_000_000
HOURLY = script("# allie: every 1h", "exit 0")
TREE = {
    "etc/a": File("1234\n", mtime=OLD),
    "etc/variant##host.pc07": File("1234\n", mtime=OLD),
    "srv/deep/f": "1\n",
    "srv/link": Link("deep"),
    "etc/no##absent": "",
}


class Quick(World):
    """A PC whose last whole tick has noted all that a quick one may go by."""

    def __init__(self, top: Path, **more: Any) -> None:
        super().__init__(top, TREE, made=busybox_root(top / "pc"), **more)
        own: Tree = {"root/conf/50once": script("exit 0"), "root/conf/60hourly": HOURLY}
        make_tree(self.root, {**own, "root/conf/70test": script("exit 9", mode=0o644)})
        for name in ("00overlay", "01overact", "98systems", "99report", "run-conf"):
            self.put({f"root/conf/{name}": File(_stub(), 0o755)}, "kit")
        self.follow("kit, common")
        self.tick().ok()
        self.settle()

    def settle(self) -> None:
        """Tick until a quick one is enough."""
        for _ in range(6):
            if self.is_quick():
                return
            time.sleep(0.03)
        pytest.fail("no quick tick")

    def run(self) -> forked.Result:
        """One tick, as the timer has it done."""
        return forked.allie(self.root, "run-conf")

    def is_quick(self) -> bool:
        """Have one tick done; whether it was a quick one."""
        before = self.counted()
        done = self.run()
        assert "Traceback" not in done.out
        return self.counted() == before and done.rc == 0

    def counted(self) -> str:
        """The number of the last whole tick."""
        path = self.state("tick")
        return path.read_text() if path.exists() else ""

    def note(self) -> dict[str, Any]:
        """What is noted."""
        return self.noted("note")

    def noted(self, name: str) -> dict[str, Any]:
        """One of the notes."""
        found: dict[str, Any] = quick_files.read(str(self.state(f"quick/{name}")), self.seal)[0]
        return found

    @property
    def seal(self) -> Callable[[bytes], bytes]:
        """What makes the seal of its notes."""
        return quick_seal.of(open_system.open_system(str(self.root)))


def _stub() -> str:
    return (Path(__file__).parents[2] / "src/allie/stub/stub.sh").read_text()


@pytest.fixture
def world(tmp_path: Path) -> Quick:
    return Quick(tmp_path)


def _same_size_and_time(path: Path) -> None:
    st = path.stat()
    path.write_text("4321\n")
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def _again(path: Path) -> None:
    """The same file, written anew."""
    text = path.read_bytes()
    path.unlink()
    path.write_bytes(text)


def _edit(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


# What is done to a path of the PC
CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a file, in place": ("etc/a", _same_size_and_time),
    "a variant": ("etc/variant", _same_size_and_time),
    "its mode": ("etc/a", lambda path: path.chmod(0o600)),
    "its owner": ("etc/a", lambda path: os.chown(path, 7, 7)),
    "a file goes": ("etc/a", Path.unlink),
    "a directory goes": ("srv/deep", shutil.rmtree),
    "a directory becomes a link": ("srv/deep", lambda path: _make_link(path)),
    "a link": ("srv/link", lambda path: _link_elsewhere(path)),
    "what is to be absent": ("etc/no", _edit("x\n")),
    "a new script": ("root/conf/55new", lambda path: path.symlink_to("50once")),
    "a script": ("root/conf/50once", _edit("#!/bin/sh\nexit 0\n#\n")),
    "a script goes": ("root/conf/60hourly", Path.unlink),
    "a script can be executed": ("root/conf/70test", lambda path: path.chmod(0o755)),
    "a done-file goes": ("root/done/50once", Path.unlink),
    "an alarm": ("root/done/50once", _edit("")),
    "a done-file's time": ("root/done/60hourly", lambda path: os.utime(path, (OLD, OLD))),
    "settings": ("etc/allie/allie.conf", _again),
    "the system's name": ("etc/allie/system", _again),
    "classes": ("etc/allie/classes", _edit("lab: pc07\n")),
    "hosts": ("etc/hosts", _edit("127.0.0.1 pc07.example.org pc07\n")),
    "os-release": ("etc/os-release", _edit("ID=other\n")),
    "the ledger": ("var/lib/allie/ledger", _again),
    "the ledger goes": ("var/lib/allie/ledger", Path.unlink),
    "contact": ("var/lib/allie/contact", _again),
    "a pause": ("var/lib/allie/paused", _edit('{"reason": "x"}')),
    "an intent": ("var/lib/allie/intent-overlay", _edit("[]")),
    "half a file": ("var/lib/allie/ledger.part", _edit("x")),
    "a fetch that is ready": ("var/lib/allie/mirror/9.ready", Path.mkdir),
    "the counter": ("var/lib/allie/tick", _edit("0\n")),
    "a report of a full disk": ("run/allie/report", _edit("{}")),
    "the note, cut short": ("var/lib/allie/quick/note", lambda path: os.truncate(path, 500)),
    "the note, in zeros": (
        "var/lib/allie/quick/note",
        lambda path: path.write_bytes(b"\0" * path.stat().st_size),
    ),
    "a note of tomorrow's": (
        "var/lib/allie/quick/note",
        lambda path: path.write_bytes(path.read_bytes().replace(b"note 1", b"note 2", 1)),
    ),
    "the note of a part": ("var/lib/allie/quick/overlay", Path.unlink),
    "the last one, cut short": ("var/lib/allie/quick/last", lambda path: os.truncate(path, 9)),
    "the last one, linked": (
        "var/lib/allie/quick/last",
        lambda path: os.link(path, path.with_name("other")),
    ),
}


def _link_elsewhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


def _make_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes_on_the_pc_is_for_a_whole_tick(world: Quick, what: str) -> None:
    name, change = CHANGES[what]
    world.at(name).parent.mkdir(exist_ok=True)
    change(world.at(name))
    assert not world.is_quick()


@pytest.mark.parametrize("change", ["chown 7", "chmod o+w"])
def test_a_way_that_is_no_longer_roots_alone(world: Quick, change: str) -> None:
    """Below such a directory a link is followed no more, and that is to be told."""
    make_tree(world.root, {"opt": Dir(), "opt/way": Link("/srv/real"), "srv/real": Dir()})
    world.put({"opt/way/f": "1\n"})
    world.settle()
    before = world.at("opt").stat()
    subprocess.run([*change.split(), world.at("opt")], check=True)
    done = world.run()
    assert (done.rc, "/opt/way is a symlink to /srv/real" in done.out) == (1, True)
    os.chown(world.at("opt"), before.st_uid, before.st_gid)
    world.at("opt").chmod(before.st_mode)
    world.run().ok()


def test_whatever_changes_in_the_store_is_for_a_whole_tick(world: Quick) -> None:
    changes: list[Callable[[], object]] = [
        lambda: world.put({"etc/b": "new\n"}),
        lambda: world.put({"etc/a": "another\n"}),
        lambda: world.take("etc/b"),
        lambda: (world.overlay() / "etc/a").chmod(0o600),
    ]
    for change in changes:
        change()
        assert not world.is_quick()
        world.settle()


def test_whatever_is_in_the_note_is_looked_at(world: Quick) -> None:
    """Each thing in it, if it were another."""
    path = world.state("quick/note")
    note, text = world.note(), path.read_bytes()
    assert world.is_quick()
    others: dict[str, list[Any]] = {
        "of": [("/elsewhere", note["of"][1]), (note["of"][0], "another client")],
        "until": [0],
        "after": [time.time() + 3600],
        "again": [time.time() - 1],
        "before": [0.0],
        "host": [("pc08", note["host"][1]), (note["host"][0], "m68k")],
        "settings": [{"ALLIE_CLASSES": "x"}],
        "room": [[(note["room"][0][0], 1 << 60, 1)], [(note["room"][0][0], 1, 1 << 60)]],
        "parts": [dict.fromkeys(note["parts"], 0)],
        "questions": [[("/bin/false",)], [("/bin/echo", "new")], [("/nowhere/rsync",)]],
        "patience": [],
        "environment": [],
        "passed": [],
        "served": [],
    }
    for name in ("grounds", "scripts", "followed"):
        paths, stood = note[name]
        assert len(paths) == len(stood) > 0
        others[name] = [
            (paths, [*stood[:number], "", *stood[number + 1 :]]) for number in range(len(paths))
        ]
    assert others.keys() == note.keys()
    here = str(world.state(""))
    for name, values in others.items():
        for value in values:
            path.write_bytes(quick_files.pack({**note, name: value}, world.seal))
            assert not _tries(world, here), (name, value)
    path.write_bytes(text)
    assert _tries(world, here)


def _tries(world: Quick, state: str) -> bool:
    try:
        return quick_tick.tick(
            str(world.root), state.rstrip("/"), quick_note.client(), {}, world.seal
        )
    finally:
        for each in (quick_tick.tried, quick_tick.answers, quick_tick.spared):
            each.clear()


@pytest.mark.parametrize("verb", ["run-conf", "00overlay", "01overact"])
def test_nothing_is_read_that_is_not_in_the_note(world: Quick, tmp_path: Path, verb: str) -> None:
    """What a tick that has nothing to do looks at on the PC, as strace sees it."""
    note = world.note()
    world.state("quick/note").unlink()
    trace = tmp_path / "trace"
    calls = "trace=%stat,%lstat,open,openat,readlink,readlinkat,access,faccessat,faccessat2,statx"
    env = {**world.pc.env, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    argv = ["strace", "-f", "-y", "-s", "4096", "-o", str(trace), "-e", calls]
    subprocess.run([*argv, *world.pc.argv(verb)], check=True, capture_output=True, env=env)
    root = str(world.root)
    names = ("grounds", "scripts", "followed") if verb == "run-conf" else ("grounds",)
    looked = {path for name in names for path in note[name][0]}
    for name in note["parts"]:
        part = world.noted(name)
        looked |= {f"{root}/{each}" for each in part["paths"]}
    met = _met(trace.read_text(), root)
    assert len(looked & met) > 10
    state = "mirror/1/ mirror/current/ tick report applied- contact fetched quick history"
    ours = [f"var/lib/allie/{name}" for name in state.split()]
    ours += ["run/allie/holder", "var/log/allie/", "run/allie/script", "tmp"]
    left = {path for path in met - looked if not path.startswith(tuple(_under(root, ours)))}
    # What is not there shows by the directory that it would be in
    left = {each for each in left if os.path.lexists(each) or os.path.dirname(each) not in looked}
    assert not left, sorted(left)


def _under(root: str, names: list[str]) -> list[str]:
    return [f"{root}/{name}" for name in names]


def _met(trace: str, root: str) -> set[str]:
    """The paths below a root that were asked for, by their names."""
    met = set()
    # A tick has its own directories open, and names what is in them by their descriptors
    own = {"var/lib/allie", "root/done", "run/allie", "var/log/allie"}
    for line in trace.splitlines():
        found = re.search(r'\((?:AT_FDCWD<[^>]*>, |\d+<([^>]*)>, )?"([^"]*)"', line)
        if not found:
            continue
        path = os.path.normpath(os.path.join(found[1] or "/", found[2]))
        below = re.sub(r"^/proc/(self|\d+)/fd/\d+", "", path)
        spelled = [f"{root}/{each}{below}" for each in own] if below != path else [path]
        met |= {each for each in spelled if below == path or os.path.lexists(each)}
    return {path for path in met if path.startswith(f"{root}/")}


@pytest.mark.parametrize("moment", ["_grounds", "_scripts_of", "_next_due", "_note_of"])
@pytest.mark.parametrize("name", ["root/conf/50once", "etc/allie/classes", "etc/a"])
def test_an_edit_while_the_note_is_made(
    world: Quick, monkeypatch: pytest.MonkeyPatch, moment: str, name: str
) -> None:
    """It is made by another, without the lock, after the tick has looked there."""
    real, path = getattr(quick_note, moment), world.at(name)

    def edited(*args: Any) -> Any:
        path.parent.mkdir(exist_ok=True)
        text = "lab: pc07\n" if "classes" in name else "#!/bin/sh\nexit 0\n# edited\n"
        path.write_text(text)
        return real(*args)

    world.state("quick/note").unlink()
    monkeypatch.setattr(quick_note, moment, edited)
    assert not world.is_quick()
    monkeypatch.setattr(quick_note, moment, real)
    assert not world.is_quick()


def test_a_script_that_is_due_by_its_time(world: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3000)  # every 1h: 6 minutes early at most
    assert world.is_quick()
    monkeypatch.setattr(time, "time", lambda: real() + 3300)
    assert not world.is_quick()


@pytest.mark.parametrize("jump", [-7200, -60, -1e9])
def test_a_clock_that_went_back(world: Quick, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert not world.is_quick()


def test_a_day_of_quick_ticks_ends_with_a_thorough_one(world: Quick) -> None:
    whole = int(world.counted())
    later = (whole // 24 + 1) * 24
    here = open_system.open_system(str(world.root))
    for number in range(records.last_tick(here) + 1, later):
        assert world.is_quick()
        assert records.last_tick(here) == number
    assert not world.is_quick()
    assert world.counted() == f"{later}\n"


def test_views_show_the_quick_tick(world: Quick) -> None:
    here = open_system.open_system(str(world.root))
    before = records.last_report(here)
    assert world.is_quick()
    after, contact = records.last_report(here), records.contact(here)
    assert before and after
    assert (after.tick, after.scripts) == (before.tick + 1, before.scripts)
    assert after.began > before.began
    assert contact.good == after.contact.good > before.contact.good
    assert [each.tick for each in after.applied] == [after.tick] * 2
    world.put({"etc/b": "new\n"})
    assert not world.is_quick()
    last = records.last_report(here)
    assert last
    assert last.tick == after.tick + 1, "no number comes twice"
    assert records.contact(here).good >= contact.good


def test_a_store_that_is_away_is_for_a_whole_tick(world: Quick) -> None:
    here = open_system.open_system(str(world.root))
    assert world.is_quick()
    good = records.contact(here).good
    world.store.rename(world.store.with_name("away"))
    assert not world.is_quick()
    assert records.contact(here).good == good, "what a quick tick has noted is kept"
    assert records.contact(here).trouble


def test_where_a_script_runs_at_every_tick_both_parts_are_spared(world: Quick) -> None:
    make_tree(world.root, {"root/conf/80every": script("# allie: every tick", "echo x >>/ran")})
    for _ in range(3):
        assert not world.is_quick()
        time.sleep(0.03)
    done = {each: world.at(f"var/log/allie/{each}.log").stat().st_mtime_ns for each in KITS}
    assert not world.is_quick()
    again = {each: world.at(f"var/log/allie/{each}.log").stat().st_mtime_ns for each in KITS}
    assert done == again, "no process was begun for them"
    report = records.last_report(open_system.open_system(str(world.root)))
    assert report
    assert [(each.part, each.tick) for each in report.applied] == [
        ("overlay", report.tick),
        ("overact", report.tick),
    ]
    _same_size_and_time(world.at("etc/a"))
    assert not world.is_quick()
    assert world.read("etc/a") == "1234\n"


KITS = ("00overlay", "01overact")


def test_what_a_script_changes_before_01overact_is_not_missed(world: Quick) -> None:
    lines = ("# allie: every tick", "[ -e /etc/go ] || exit 0", "echo mine >/etc/variant")
    make_tree(world.root, {"root/conf/00zz": script(*lines)})
    for _ in range(3):
        world.run().ok()
        time.sleep(0.03)
    make_tree(world.root, {"etc/go": ""})
    world.run()
    assert world.read("etc/variant") == "1234\n"


@pytest.mark.parametrize("name", ["98systems", "01overact"])
def test_a_script_that_is_not_the_kits_is_no_part(world: Quick, name: str) -> None:
    """Whatever its name is: it may do anything."""
    own = "\n".join(("#!/bin/sh", "# allie: every tick", "echo x >>/ran", ""))
    world.put({f"root/conf/{name}": File(own, 0o755)}, "kit")
    world.run()
    world.at("ran").unlink(missing_ok=True)
    for number in range(1, 6):
        assert not world.is_quick()
        assert world.read("ran") == "x\n" * number
        time.sleep(0.03)


MEANWHILE: dict[str, tuple[str, Callable[[Path], object]]] = {
    name: CHANGES[name]
    for name in (
        "a new script",
        "a script",
        "a script goes",
        "a script can be executed",
        "a done-file goes",
        "an alarm",
        "a done-file's time",
        "classes",
        "hosts",
    )
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_what_changes_while_the_note_is_written(
    world: Quick, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick has found how all stands some moments before it notes it."""
    name, change = MEANWHILE[what]
    written = quick_note._note_of

    def late(*args: Any) -> dict[str, Any]:
        world.at(name).parent.mkdir(exist_ok=True)
        change(world.at(name))
        return written(*args)

    monkeypatch.setattr(quick_note, "_note_of", late)
    world.state("quick/note").unlink()
    assert not world.is_quick()
    assert not world.is_quick()


def test_another_systems_etc_is_where_its_link_leads(world: Quick) -> None:
    """An absolute one leads to a directory in its root, and not to the running system's."""
    world.at("etc").rename(world.at("usr/etc"))
    world.at("etc").symlink_to("/usr/etc")
    for _ in range(3):
        world.run()
        time.sleep(0.03)
    world.settle()
    world.at("usr/etc/hosts").write_text("127.0.0.1 pc07.example.org pc07\n")
    assert not world.is_quick()


def test_a_patience_of_ages(world: Quick) -> None:
    world.follow("kit, common", stall=999_999_999)
    world.run()
    world.settle()


@contextmanager
def _fuse_like(world: Quick, where: str) -> Iterator[None]:
    """A mount of a kind that somebody answers for."""
    with mounted(world.at(where), "-t", "tmpfs", source="tmpfs"):
        yield


@pytest.mark.parametrize(("where", "quick"), [("srv/deep", False), ("home/ann", True)])
def test_a_mount_that_somebody_answers_for(world: Quick, where: str, quick: bool) -> None:
    """It is not crossed where it is on a way of ours, and is nobody's business elsewhere."""
    world.at(where).mkdir(parents=True, exist_ok=True)
    note = world.note()
    part = world.noted("overlay")
    with _fuse_like(world, where):
        assert quick_tick._crosses(f"{world.root}/", part["paths"], [" - tmpfs"]) is not quick
        assert not quick_tick._crosses(f"{world.root}/", part["paths"], note["served"])


def test_words_are_those_of_the_long_way() -> None:
    assert quick_tick.STARTING == startup_mark._NAME == "ALLIE_STARTING"
    assert f"/{system.STATE}" == quick_tick._BASE
    for path in ("/", "/etc/passwd", "/proc/self", "/tmp", "/nowhere"):
        st = tree.status(path)
        way = tree.way_of(st) if st else stood_now.NEITHER
        assert (stood_now.way(path) == way) == (path != "/proc/self"), "of a link all is noted"
    assert stood_now.DIRECTORY == ledger.DIRECTORY


@pytest.mark.skipif(not ptrace.works(), reason="needs ptrace")
def test_killed_at_any_step(world: Quick) -> None:
    """Of a quick tick, and of the whole one that writes its note: a rerun converges."""
    before = snapshot(world.root)
    quick = ptrace.trace(forked.work(world.root, "run-conf"), below=world.root)
    assert not any("lib/allie/tick" in each for each in quick.steps)
    for number in range(1, len(quick.steps) + 1):
        ptrace.trace(forked.work(world.root, "run-conf"), number, below=world.root)
        assert world.is_quick()
    world.state("quick/note").unlink()
    whole = ptrace.trace(forked.work(world.root, "run-conf"), below=world.root)
    noting = [place for place, each in enumerate(whole.steps, 1) if "quick/" in each]
    assert len(noting) > 4
    for number in range(noting[0], len(whole.steps) + 1):
        world.state("quick/note").unlink(missing_ok=True)
        ptrace.trace(forked.work(world.root, "run-conf"), number, below=world.root)
        world.settle()
    assert snapshot(world.root) == before


def test_no_other_copy_is_taken_for_ours(world: Quick, tmp_path: Path) -> None:
    """A root that was copied whole has other inodes, and one that was moved another name."""
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(world.root), str(copy)], check=True)
    number = (copy / "var/lib/allie/tick").read_text()
    forked.allie(copy, "run-conf").ok()
    assert (copy / "var/lib/allie/tick").read_text() != number


_OWN = "etc root var run usr/local srv".split()
_BASE = (
    'cd "$1"; shift; mount --make-rprivate /; for each in $OWN; do mount --bind $each /$each; done;'
    ' cd /; exec "$@"'
)


@pytest.fixture
def base(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The running system: its own directories over this machine's, in a mount namespace."""
    site = Site(tmp_path, {"etc/a": "1\n", "root/conf/50once": script("exit 0")})
    top = site.pc.root
    for name in _OWN:
        (top / name).mkdir(parents=True, exist_ok=True)
    shutil.copy("/etc/passwd", top / "etc/passwd")
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "OWN": " ".join(_OWN)}

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        inside = ["unshare", "--mount", "sh", "-c", _BASE, "sh", str(top)]
        return subprocess.run([*inside, *argv], env=env, capture_output=True, text=True, check=True)

    (top / "usr/local/bin").mkdir(exist_ok=True)
    shutil.copytree(site.store, top / "srv/store", symlinks=True)
    shutil.copy2(top / "srv/store/overlays/kit/usr/local/bin/allie", top / "usr/local/bin/allie")
    run("allie", "join", "/srv/store", "--no-timer", "--image", "toy")
    return run


def test_the_archive_begins_with_it(
    base: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Nothing of the client is loaded: neither from the archive nor from its unpacked code."""
    counted = tmp_path / "pc/var/lib/allie/tick"
    for _ in range(4):
        base("/root/conf/run-conf")
        time.sleep(0.03)
    before = counted.read_text()
    trace = tmp_path / "pc/var/trace"
    calls = ["-f", "-o", "/var/trace", "-e", "trace=open,openat,execve"]
    base("strace", *calls, "/root/conf/run-conf")
    assert counted.read_text() == before
    opened = [line for line in trace.read_text().splitlines() if "= -1" not in line]
    code = [line for line in opened if "/modules." in line or "os.py" in line or "zip" in line]
    assert not code
    assert sum("bin/allie" in line and "open" in line for line in opened) == 1, "by the shell"
    assert not list((tmp_path / "pc/run/allie").glob("starting.*"))
    named = [path.name for path in (tmp_path / "pc/var/lib/allie/quick").glob("code-*")]
    st = (tmp_path / "pc/usr/local/bin/allie").stat()
    assert [name.split("-")[1] for name in named] == [str(st.st_ino)]


@pytest.mark.parametrize(
    ("how", "quick"),
    [
        *((f"exec run-conf {each}", True) for each in ("<&-", ">&-", "<&- >&-", "<&- >&- 2>&-")),
        ("trap '' CHLD ALRM HUP PIPE; exec run-conf", True),
        ("exec python3 -c 'import os, signal; signal.pthread_sigmask(0, range(1, 65));"
         ' os.execv("/usr/local/bin/allie", ["allie", "run-conf"])\'', True),
        ("mkdir -p /srv/gone; cd /srv/gone; rmdir /srv/gone; exec run-conf", False),
        ("HOME=/srv/ann RSYNC_RSH=/bin/false RSYNC_OLD_ARGS=1 TZ=Asia/Tokyo exec run-conf", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("whole", [False, True])
def test_whoever_calls_it(
    base: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    how: str,
    quick: bool,
    whole: bool,
) -> None:
    """What a caller has closed, or ignores; whole: also where there is a change."""
    for _ in range(3):
        base("/root/conf/run-conf")
        time.sleep(0.03)
    counted, known = tmp_path / "pc/var/lib/allie/tick", tmp_path / "pc/var/lib/allie/contact"
    before = counted.read_text()
    if whole:
        (tmp_path / "pc/srv/store/overlays/common/etc/b").write_text("new\n")
    base("timeout", "-k1", "60", "sh", "-c", f"PATH=/root/conf:$PATH; {how}")
    assert (counted.read_text() == before) is (quick and not whole)
    assert (tmp_path / "pc/etc/b").exists() is whole
    assert '"trouble": ""' in known.read_text()


@pytest.mark.parametrize("how", ["theirs", "open", "open directory", "cut", "not ours"])
def test_code_that_others_can_write_is_not_run(
    base: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, how: str
) -> None:
    for _ in range(3):
        base("/root/conf/run-conf")
        time.sleep(0.03)
    counted = tmp_path / "pc/var/lib/allie/tick"
    before = counted.read_text()
    directory = tmp_path / "pc/var/lib/allie/quick"
    (code,) = directory.glob("code-*")
    if how == "theirs":
        os.chown(code, 7, 7)
    elif how == "open":
        code.chmod(0o666)
    elif how == "open directory":
        directory.chmod(0o777)
    elif how == "cut":
        os.truncate(code, 100)
    else:
        code.write_bytes(b"N.")
    base("/root/conf/run-conf")
    assert counted.read_text() != before


@pytest.mark.parametrize("seal", [quick_files.checksum, lambda _: b"", lambda _: b"0" * 64])
def test_a_note_of_another_systems_root_is_not_followed(
    world: Quick, tmp_path: Path, seal: Callable[[bytes], bytes]
) -> None:
    """Its questions are command lines, that the running system's root would run."""
    touch = ("/usr/bin/touch", str(tmp_path / "ran"))
    forged = {**world.note(), "questions": [touch]}
    world.state("quick/note").write_bytes(quick_files.pack(forged, seal))
    assert not world.is_quick()
    assert not (tmp_path / "ran").exists()


def test_another_systems_root_cannot_seal(world: Quick) -> None:
    text = world.state("quick/note").read_bytes()
    assert Path(quick_seal._SECRET).stat().st_mode & 0o777 == 0o600
    assert Path(quick_seal._SECRET).read_bytes() not in text
    world.state("quick/note").write_bytes(text[:-1] + bytes([text[-1] ^ 1]))
    assert not world.is_quick()


def test_the_store_has_answered_a_tick_that_spares_the_parts(world: Quick) -> None:
    """Also after quick ticks, which have noted an earlier answer."""
    assert world.is_quick()
    make_tree(world.root, {"root/conf/55new": script("exit 0")})
    began = time.time()
    assert not world.is_quick()
    here = open_system.open_system(str(world.root))
    report = records.last_report(here)
    assert report
    assert report.contact.good > began
    assert records.contact(here).good > began


def test_an_empty_directory_counts(world: Quick) -> None:
    """A directory of the overlays that is gone from the PC."""
    world.put({"srv/empty": Dir()})
    world.settle()
    world.at("srv/empty").rmdir()
    assert not world.is_quick()
    assert world.there("srv/empty")


def test_it_needs_no_more_than_the_interpreter_has() -> None:
    """Nothing is imported that would cost more than the tick itself."""
    for name in quick_note._QUICK:
        path = Path(__file__).parents[2] / "src" / f"{name.replace('.', '/')}.py"
        found = re.findall(r"(?m)^(?:import|from) (\S+)", path.read_text())
        modules = {each for each in found if not each.startswith("allie.")}
        assert modules <= set("_signal binascii fcntl gc marshal posix select time".split())


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("exit 0", (0, b"", b"")),
        ("echo new; echo odd >&2; exit 3", (3, b"new\n", b"odd\n")),
        ("head -c 60000 /dev/zero >&2; echo end", (0, b"end\n", b"\0" * 60000)),
        ("sleep 60 >/dev/null & exit 5", (5, b"", b"")),  # it keeps its errors' pipe
        ("head -c 99999 /dev/zero >&2", None),
        ("head -c 99999 /dev/zero", None),
        ("sleep 60", None),
    ],
)
def test_what_is_asked_is_bounded(program: str, told: tuple[int, bytes, bytes] | None) -> None:
    env = {"PATH": "/usr/bin:/bin"}
    began = time.monotonic()
    if told is None:
        with pytest.raises(OSError):
            quick_tick._ask(["/bin/sh", "-c", program], env, 2)
    else:
        assert quick_tick._ask(["/bin/sh", "-c", program], env, 20) == told
    assert time.monotonic() - began < 20, "and nothing of it is waited for"
