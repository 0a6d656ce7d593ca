"""One random history: a store, a PC, what is done to both, and what the model thinks of it.

The model knows nothing of ledgers, plans or mirrors. It keeps, for each path, the set of states in
which the path may be (a kill leaves two), and this is all it knows of a tick:
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

from tests.crash import ptrace
from tests.crash.world import STUB, lstats
from tests.worlds.busybox import busybox_root
from tests.worlds.forked import allie, work
from tests.worlds.toy import Dir, File, Link, Tree, make_tree

# What stands at a path: ("f", content, mode), ("l", target), ("d", inside), or None
Node = Optional[tuple[Any, ...]]


class Mine(NamedTuple):
    """What the model remembers of a path that ALLiE answers for."""

    placed: Node
    flag: str
    pristine: Node


State = tuple[Node, Optional[Mine]]
HELD = "held"  # a tie: what stands there stays


def ticked(state: State, winner: Any) -> State:
    """THE model: what a tick makes of one path. winner: (flag, node), None or HELD."""
    stands, mine = state
    if winner == HELD or (winner is None and mine is None):
        return state
    if winner is None:
        assert mine
        return (mine.pristine if stands in (mine.placed, None) else stands), None
    flag, node = winner
    pristine = mine.pristine if mine else stands
    if flag == "absent":
        return None, Mine(None, flag, pristine)
    if flag == "once" and stands is not None:
        return stands, mine._replace(flag=flag) if mine else None
    if stands and stands[0] == "d":
        return state  # a directory of somebody's does not make way
    return node, Mine(node, flag, pristine)


# --- the store ----------------------------------------------------------------------------------

OVERLAYS = ("one", "two", "three")
PATHS = (
    "etc/a",
    "etc/sub/b",
    "etc/sub/#c d",
    "etc/sub/deep/new\nline",
    "etc/sub/deep/.dot",
    "etc/\udcff",
    "srv/x;y",
)
# tag → (conditions that must hold, flag)
TAGS: dict[str, tuple[tuple[str, ...], str]] = {
    "": ((), ""),
    "##host.pc1": (("pc1",), ""),
    "##host.pc2": (("pc2",), ""),
    "##class.lab": (("lab",), ""),
    "##class.lab,host.pc1": (("lab", "pc1"), ""),
    "##absent": ((), "absent"),
    "##host.pc1,absent": (("pc1",), "absent"),
    "##once": ((), "once"),
    "##class.lab,once": (("lab",), "once"),
}
NODES: tuple[Node, ...] = (
    ("f", "A", 0o644),
    ("f", "B", 0o644),
    ("f", "A", 0o600),
    ("f", "longer\n", 0o755),
    ("l", "a"),
    ("l", "/nowhere"),
)


class Spelled(NamedTuple):
    """One file of an overlay: the path it is for, and how its name says so."""

    path: str
    tag: str
    on_directory: bool  # the tag is its directory's

    @property
    def name(self) -> str:
        """Its path in the overlay."""
        above, _, last = self.path.rpartition("/")
        return f"{above}{self.tag}/{last}" if self.on_directory else self.path + self.tag


def winner_of(overlays: dict[str, dict[Spelled, Node]], path: str, facts: frozenset[str]) -> Any:
    """The reference for tags: hosts before classes, later overlays before earlier ones."""
    found: Any = None
    for overlay in OVERLAYS:
        fits = []
        for spelled, node in overlays[overlay].items():
            conditions, flag = TAGS[spelled.tag]
            if spelled.path == path and facts.issuperset(conditions):
                hosts = sum(each.startswith("pc") for each in conditions)
                fits.append(((hosts, len(conditions) - hosts), flag, node))
        fits.sort(key=lambda each: each[0])
        if len(fits) > 1 and fits[-1][0] == fits[-2][0]:
            found = HELD
        elif fits:
            found = fits[-1][1:]
    return found


# --- a history ----------------------------------------------------------------------------------

ROOT: Tree = {
    "etc/a": File("the distribution's", 0o644),
    "etc/sub": Dir(0o750),
    "etc/sub/#c d": Link("elsewhere"),
    "srv/keep me": "nobody's",
    "etc/keep": File("nobody's", 0o600),
    "etc/sub/keep": "nobody's",
    "etc/keep.link": Link("keep"),
    "srv/.x;y.notours": "looks odd",
}
SENTINELS = ("srv/keep me", "etc/keep", "etc/keep.link", "srv/.x;y.notours", "etc/passwd")
WATCH = "50watch"
HOURLY = "60hourly"
SCRIPT = "#!/bin/sh\n# allie: {header}\necho x >>/var/log/{name}\nexit $(cat /root/result)\n"
CHANGING = ("root/done", "root/done/" + WATCH, "root/done/" + HOURLY, "var/log", "root")


class History:
    """What was done so far, on the disk and in the model."""

    def __init__(self, top: Path) -> None:
        self.store, self.root = top / "store", top / "root"
        stub = File(STUB.read_bytes(), 0o755)
        ours: Tree = {
            "etc/allie/system": "one\n",
            "root/result": "0\n",
            "root/conf/00overlay": stub,
            "root/conf/01overact": stub,
            f"root/conf/{WATCH}": File(
                SCRIPT.format(header="on-change /etc/sub/**", name=WATCH), 0o755
            ),
            f"root/conf/{HOURLY}": File(SCRIPT.format(header="every 1h", name=HOURLY), 0o755),
        }
        busybox_root(self.root, {**ROOT, **ours})
        self.overlays: dict[str, dict[Spelled, Node]] = {name: {} for name in OVERLAYS}
        (self.store / "overlays/kit").mkdir(parents=True)  # followed also where it is not named
        for name in OVERLAYS:
            make_tree(self.store / "overlays", {f"{name}/etc/keeps {name}": "never empty\n"})
        self.host, self.lab = "pc1", "pc2"
        self.facts(self.host, self.lab)
        self.may: dict[str, set[State]] = {path: {(self.node(path), None)} for path in PATHS}
        self.sentinels = {name: lstats_of(self.root / name) for name in SENTINELS}
        self.clock = 1_500_000_000
        self.killed = False
        self.said: list[str] = []

    # what somebody does

    def facts(self, host: str, lab: str) -> None:
        """Another name for this PC, or another member of the class lab."""
        self.host, self.lab = host, lab
        text = f"[allie]\nstore = {self.store}\nhost = {host}\n"
        text += f"[system one]\noverlays = {', '.join(OVERLAYS)}\n"
        (self.root / "etc/allie/allie.conf").write_text(text)
        (self.root / "etc/allie/classes").write_text(f"lab: {lab}\n")

    def put(self, overlay: str, path: str, tag: str, on_directory: bool, node: Node) -> None:
        """Somebody puts a file into an overlay."""
        spelled = Spelled(path, tag, on_directory and bool(tag) and "/sub/" in path)
        if spelled.on_directory and TAGS[tag][1]:
            return  # a flag on a directory is another matter
        target = self.store / "overlays" / overlay / spelled.name
        self.clock += 10  # no two files of the store are of one second
        _make(target, node, self.clock)
        self.overlays[overlay][spelled] = node

    def withdraw(self, overlay: str, number: int) -> None:
        """Somebody removes a file from an overlay, and the directories that are empty then."""
        names = list(self.overlays[overlay])
        if names:
            spelled = names[number % len(names)]
            del self.overlays[overlay][spelled]
            target = self.store / "overlays" / overlay / spelled.name
            target.unlink()
            while not any(target.parent.iterdir()):
                target = target.parent
                target.rmdir()

    def edit(self, path: str, node: Node) -> None:
        """Somebody does something to a file of the PC."""
        _make(self.root / path, node, time.time())
        self.may[path] = {(node, mine) for _, mine in self.may[path]}

    def wipe(self, directory: str) -> None:
        """Somebody removes a whole directory of the PC."""
        _make(self.root / directory, None, 0)
        for path in PATHS:
            if path.startswith(directory + "/"):
                self.may[path] = {(None, mine) for _, mine in self.may[path]}

    def result(self, code: int) -> None:
        """The scripts will end with this."""
        (self.root / "root/result").write_text(f"{code}\n")

    def clock_moves(self, seconds: int) -> None:
        """As if that much time had gone by (or come back) since the scripts were satisfied."""
        for name in (WATCH, HOURLY):
            path = self.root / "root/done" / name
            if path.exists():
                when = path.stat().st_mtime - seconds
                os.utime(path, (when, when))

    # ticks

    def kill(self, step: int, victim: str) -> None:
        """A tick that is killed at a step (or not, if it has fewer)."""
        ptrace.trace(work(self.root, "run-conf"), step, victim, below=self.root)
        after = self.after()
        self.may = {path: self.may[path] | after[path] for path in PATHS}
        halves = [path for path in PATHS if (self.node(path) or "-")[0] == "d"]
        self.look("a killed tick", but=halves)  # a directory may be on its way
        self.killed = True

    def tick(self) -> None:
        """A whole tick, after which there is no doubt left about what stands there."""
        before = self.node("etc/sub")
        due = {name: self.is_due(name) for name in (WATCH, HOURLY)}
        ran = {name: self.runs(name) for name in due}
        had = {name: (self.root / "root/done" / name).exists() for name in due}
        done = allie(self.root, "run-conf")
        self.said.append(done.out)
        assert "Traceback" not in done.out
        self.may = self.after()
        self.look(f"a tick: {done}")
        due[WATCH] = due[WATCH] or self.node("etc/sub") != before
        for name, was_due in due.items():
            more = self.runs(name) - ran[name]
            # A killed tick may have re-armed it for what is only now seen to be done.
            assert more == int(was_due) or (self.killed and more == 1), f"{name}: {more}: {done}"
            satisfied = (self.root / "root/result").read_text() == "0\n"
            has = (self.root / "root/done" / name).exists()
            assert has == (satisfied if more else had[name]), f"{name}: {has}: {done}"
        self.killed = False

    def settle(self) -> None:
        """Two ticks; the second changes nothing at all."""
        self.tick()
        before = lstats(self.root)
        again = allie(self.root, "run-conf")
        changed = {
            name
            for name, st in lstats(self.root).items()
            if before.get(name) != st and name not in CHANGING and not name.startswith("var/log/")
        }
        assert not changed, f"a second tick changed {changed}: {again}"
        for name, st in self.sentinels.items():
            assert lstats_of(self.root / name) == st, f"{name} was touched"
        odd = [
            name
            for name in before
            if ".~tmp~" in name or ".allie-" in name or name.endswith(".part")
        ]
        assert not odd, f"left behind: {odd}"
        state = {each.name for each in (self.root / "var/lib/allie").iterdir()}
        assert not any(name.startswith("intent") for name in state), state

    def after(self) -> dict[str, set[State]]:
        """The model's tick, for every path in every state that it may be in."""
        facts = frozenset({self.host, *(["lab"] if self.host == self.lab else [])})
        return {
            path: {ticked(each, winner_of(self.overlays, path, facts)) for each in states}
            for path, states in self.may.items()
        }

    def look(self, what: str, but: Sequence[str] = ()) -> None:
        """What stands there tells which of the states it is; it must be one of them."""
        for path in [path for path in PATHS if path not in but]:
            stands = self.node(path)
            fits = {each for each in self.may[path] if each[0] == stands}
            allowed = {each[0] for each in self.may[path]}
            assert fits, f"after {what}: {path!r} is {stands}, not one of {allowed}"
            self.may[path] = fits

    def node(self, path: str) -> Node:
        """What stands at a path."""
        return node_of(self.root / path)

    def runs(self, name: str) -> int:
        """How often a script has run."""
        log = self.root / "var/log" / name
        return len(log.read_text().split()) if log.exists() else 0

    def is_due(self, name: str) -> bool:
        """Whether a script is due, going by its done-file alone."""
        path = self.root / "root/done" / name
        if not path.exists():
            return True
        age = time.time() - path.stat().st_mtime
        return name == HOURLY and not -3600 <= age < 3600


def node_of(path: Path) -> Node:
    """What stands at a path."""
    if path.is_symlink():
        return ("l", os.readlink(path))
    if path.is_dir():
        return ("d", tuple((each.name, node_of(each)) for each in sorted(path.iterdir())))
    if path.exists():
        return ("f", path.read_text(), path.stat().st_mode & 0o7777)
    return None


def lstats_of(path: Path) -> tuple[int, ...]:
    """An lstat, but for the time of the last look."""
    st = path.lstat()
    return (st.st_ino, st.st_mode, st.st_nlink, st.st_mtime_ns, st.st_ctime_ns)


def _make(path: Path, node: Node, mtime: float) -> None:
    """Have this, and nothing else, at a path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    if node is None:
        return
    if node[0] == "d":
        for name, inside in node[1]:
            _make(path / name, inside, mtime)
        return
    entry = Link(node[1]) if node[0] == "l" else File(node[1], node[2], mtime=mtime)
    make_tree(path.parent, {os.fsencode(path.name): entry})
