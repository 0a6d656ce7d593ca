"""One random history: a store, a PC, what is done to both, and what the model thinks of it."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.crash import ptrace
from tests.crash.world import STUB, lstats
from tests.model import roots
from tests.model.model import (
    ENDS,
    OVERLAYS,
    PLACES,
    TAGS,
    WAY,
    Mine,
    Node,
    Overlays,
    Spelled,
    State,
    ticked,
    winner_of,
)
from tests.worlds.busybox import busybox_root
from tests.worlds.forked import Result, allie, work
from tests.worlds.toy import Dir, File, Link, Tree, make_tree

ANN = (1000, 1000)
OWN = "home/ann/.conf"  # a directory of Ann's
ROOT: Tree = {
    "etc/a": File("the distribution's", 0o644),
    "etc/sub": Dir(0o750),
    "etc/sub/#c d": Link("elsewhere"),
    "etc/end1/only": "of the first end",
    "etc/end2": Dir(),
    "etc/way": Link("end1"),
    "home/ann": Dir(0o755, ANN),
    OWN: Dir(0o755, ANN),
    "srv/keep me": "nobody's",
    "etc/keep": File("nobody's", 0o600),
    "etc/sub/keep": "nobody's",
    "etc/keep.link": Link("keep"),
    "srv/.x;y.notours": "looks odd",
    "var/lib/dpkg/info": Dir(),
    "var/lib/dpkg/status": "",
}
SENTINELS = ("srv/keep me", "etc/keep", "etc/keep.link", "srv/.x;y.notours", "etc/passwd")
WATCH = "50watch"
HOURLY = "60hourly"
SCRIPT = "#!/bin/sh\n# allie: {header}\necho x >>/var/log/{name}\nexit $(cat /root/result)\n"
CHANGING = ("root/done", "root/done/" + WATCH, "root/done/" + HOURLY, "var/log", "root")
SECOND = "srv/second names"  # hard links that somebody made to files of the PC


class Shut(NamedTuple):
    """A place that refuses."""

    how: str
    place: str


class Journal(NamedTuple):
    """What a tick made of each path, for undo."""

    before: dict[str, set[State]]
    after: dict[str, set[State]]


class History:
    """What was done so far, on the disk and in the model."""

    def __init__(self, top: Path, kind: str = "disk") -> None:
        self.top, self.store = top, top / "store"
        stub = File(STUB.read_bytes(), 0o755)
        ours: Tree = {
            "etc/allie/system": "one\n",
            "root/result": "0\n",
            "root/conf/00overlay": stub,
            "root/conf/01overact": stub,
            f"root/conf/{WATCH}": _script(WATCH, "on-change /etc/sub/**"),
            f"root/conf/{HOURLY}": _script(HOURLY, "every 1h"),
        }
        self.root = busybox_root(roots.before(kind, top), {**ROOT, **ours})
        self.overlays: Overlays = {name: {} for name in OVERLAYS}
        self.came: list[Overlays | None] = [
            None
        ]  # what the PC may have of the store; None: nothing
        self.folder = {name: name for name in OVERLAYS}
        (self.store / "overlays/kit").mkdir(parents=True)  # followed also where it is not named
        for name in OVERLAYS:
            self._keeps(name)
        self.host, self.lab, self.online = "pc1", "pc2", True
        self.quick = 0  # ticks
        self.facts(self.host, self.lab)
        if kind == "overlayfs":  # a lab that was frozen after its first tick
            allie(self.root, "run-conf").ok()
            self.came = [copy.deepcopy(self.overlays)]
        self.root = roots.after(kind, top)
        self.may: dict[str, set[State]] = {path: {(self.node(path), None)} for path in PLACES}
        self.sentinels = {name: lstats_of(self.root / name) for name in SENTINELS}
        self.second: dict[str, Node] = {}
        self.packages: dict[str, str] = {}
        self.journal: dict[str, Journal | None] = {}
        self.ever: dict[str, set[Mine | None]] = {path: {None} for path in PLACES}
        self.backup: History | None = None
        self.shut: Shut | None = None
        self.swapped = self.paused = self.killed = False
        self.clock = 1_500_000_000
        self.directories: set[str] = set()
        self.astray: set[str] = set()

    # --- in the store ---------------------------------------------------------------------------

    def _keeps(self, overlay: str) -> None:
        name = self.folder[overlay]
        make_tree(self.store / "overlays", {f"{name}/etc/keeps {overlay}": "never empty\n"})

    def _target(self, overlay: str, spelled: Spelled) -> Path:
        return self.store / "overlays" / self.folder[overlay] / spelled.name

    def put(self, overlay: str, path: str, tag: str, on_directory: bool, node: Node) -> None:
        """Somebody puts a file into an overlay, or replaces it."""
        spelled = Spelled(path, tag, on_directory and bool(tag) and "/sub/" in path)
        if spelled.on_directory and TAGS[tag][1]:
            return  # a flag on a directory is another matter
        if overlay not in self.folder:
            self._comes_back(overlay)
        self.clock += 10  # no two files of the store are of one second
        _make(self._target(overlay, spelled), node, self.clock)
        self.overlays[overlay][spelled] = node

    def link(self, overlay: str, number: int, path: str) -> None:
        """A file of an overlay gets a second name there, which is another path's."""
        files = [each for each, node in self.overlays[overlay].items() if node and node[0] == "f"]
        if files:
            old, new = files[number % len(files)], Spelled(path, "", False)
            if old != new:
                target = self._target(overlay, new)
                _make(target, None, 0)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(self._target(overlay, old), target)
                self.overlays[overlay][new] = self.overlays[overlay][old]

    def withdraw(self, overlay: str, number: int) -> None:
        """Somebody removes a file from an overlay, and the directories that are empty then."""
        names = list(self.overlays[overlay])
        if names:
            spelled = names[number % len(names)]
            del self.overlays[overlay][spelled]
            target = self._target(overlay, spelled)
            target.unlink()
            while not any(target.parent.iterdir()):
                target = target.parent
                target.rmdir()

    def rename(self, overlay: str) -> None:
        """An overlay has another name now, in the store and in allie.conf."""
        if overlay in self.folder and self.online:
            new = {overlay: f"{overlay}2"}.get(self.folder[overlay], overlay)
            os.rename(self.store / "overlays" / self.folder[overlay], self.store / "overlays" / new)
            self.folder[overlay] = new
            self.facts(self.host, self.lab)

    def retire(self, overlay: str) -> None:
        """An overlay is gone, from the store and from allie.conf."""
        if overlay in self.folder and len(self.folder) > 1 and self.online:
            shutil.rmtree(self.store / "overlays" / self.folder.pop(overlay))
            self.overlays[overlay] = {}
            self.facts(self.host, self.lab)

    def _comes_back(self, overlay: str) -> None:
        self.folder[overlay] = overlay
        self._keeps(overlay)
        self.facts(self.host, self.lab)

    # --- on the PC ------------------------------------------------------------------------------

    def facts(self, host: str, lab: str) -> None:
        """Another name for this PC, or another member of the class lab."""
        self.host, self.lab = host, lab
        store = self.store if self.online else self.store / "nowhere"
        names = ", ".join(self.folder[each] for each in OVERLAYS if each in self.folder)
        text = f"[allie]\nstore = {store}\nhost = {host}\n[system one]\noverlays = {names}\n"
        (self.root / "etc/allie/allie.conf").write_text(text)
        (self.root / "etc/allie/classes").write_text(f"lab: {lab}\n")

    def misset(self) -> None:
        """Somebody edits allie.conf: the store is not there; or mends it."""
        self.online = not self.online
        self.facts(self.host, self.lab)

    def edit(self, path: str, node: Node, in_place: bool = False) -> None:
        """Somebody does something to a file of the PC."""
        if self.is_closed(path) or self._real(path) != path:
            return
        old = self.node(path)
        if in_place and node and old and old[0] == node[0] == "f" and len(old[1]) == len(node[1]):
            _forge(self.root / path, node)
            for name in self.second:
                if os.path.samefile(self.root / SECOND / name, self.root / path):
                    self.second[name] = node
        else:
            _make(self.root / path, node, time.time())
        self.may[path] = {(node, mine) for _, mine in self.may[path]}

    def second_name(self, path: str) -> None:
        """Somebody makes a hard link to a file of the PC."""
        node = self.node(path)
        if node and node[0] == "f" and not self.is_closed(path):
            name = str(len(self.second))
            (self.root / SECOND).mkdir(exist_ok=True)
            with suppress(OSError):  # another file system, or immutable
                os.link(self.root / path, self.root / SECOND / name)
                self.second[name] = node

    def wipe(self, directory: str) -> None:
        """Somebody removes a whole directory of the PC."""
        if not self._touches_closed(directory):
            _make(self.root / directory, None, 0)
            for path in PLACES:
                if path.startswith(directory + "/"):
                    self.may[path] = {(None, mine) for _, mine in self.may[path]}

    def package(self, path: str, content: str, conffile: bool) -> None:
        """A package is upgraded, and brings its newer file, as a conffile or not."""
        if self.is_closed(path) or self._real(path) != path or "\n" in path or "\udcff" in path:
            return
        self.packages[path] = content
        self.edit(path, ("f", content, 0o644))
        digest = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
        info, status = self.root / "var/lib/dpkg/info", self.root / "var/lib/dpkg/status"
        name = f"p{PLACES.index(path)}"
        sums = f"{digest}  {path}\n"
        (info / f"{name}.md5sums").write_text("" if conffile else sums)
        (info / f"{name}.list").write_text(f"/.\n/{path}\n")
        entries = [each for each in status.read_text().split("\n\n") if f": {name}\n" not in each]
        conffiles = f"Conffiles:\n /{path} {digest}\n" if conffile else ""
        entry = f"Package: {name}\nStatus: install ok installed\nVersion: 1\n{conffiles}"
        status.write_text("\n\n".join(filter(None, [*entries, entry.strip()])) + "\n")

    def unpackage(self, number: int) -> None:
        """A package is removed, with its file, if that is still its own."""
        if self.packages:
            path = list(self.packages)[number % len(self.packages)]
            if self.is_closed(path) or self._real(path) != path:
                return
            content = self.packages.pop(path)
            name = f"p{PLACES.index(path)}"
            for each in (self.root / "var/lib/dpkg/info").glob(f"{name}.*"):
                each.unlink()
            status = self.root / "var/lib/dpkg/status"
            entries = status.read_text().split("\n\n")
            status.write_text("\n\n".join(each for each in entries if f": {name}\n" not in each))
            if (self.node(path) or "?")[:2] == ("f", content):
                self.edit(path, None)

    def relink(self, end: str | None) -> None:
        """Root has the directory `etc/way` lead to another one, or be one."""
        way = self.root / WAY
        if self._touches_closed("etc/way") or self._touches_closed(end or "etc/way"):
            return
        old = f"{WAY}/only"
        states = self.may[old]
        _make(way, Link(end.rpartition("/")[2]) if end else None, 0)
        if end is None:
            way.mkdir()
            self.may[old] = {(None, mine) for _, mine in states}
            return
        (self.root / end).mkdir(exist_ok=True)
        self.may[old] = {(None, None)}
        # ALLiE answers by today's name for what it has placed by the old one
        new, stands = f"{end}/only", self.node(f"{end}/only")
        moved = {(stands, mine) for _, mine in states if mine and mine.placed == stands}
        self.may[new] = self.may[new] | moved

    def close(self, how: str, place: str) -> None:
        """A place begins to refuse: it is immutable, mounted read-only, or a dead mount."""
        path = self.root / place
        if not self.shut and not self.swapped and os.path.lexists(path) and roots.shut(how, path):
            self.shut = Shut(how, self._real(place))

    def open(self) -> None:
        """No place refuses any more."""
        if self.shut:
            roots.reopen(self.shut.how, self.root / self.shut.place)
            self.shut = None
        if self.swapped:
            (self.root / OWN).unlink()
            _move(self.root / f"{OWN}.away", self.root / OWN)
            self.swapped = False

    def swap(self, target: str) -> None:
        """Ann has her directory lead to one of root's."""
        own = self.root / OWN
        if not self.shut and not self.swapped and own.is_dir() and own.stat().st_uid:
            _move(own, f"{own}.away")
            own.symlink_to(target)
            os.chown(own, *ANN, follow_symlinks=False)
            self.swapped = True

    def is_closed(self, path: str) -> bool:
        """Whether a path is in a place that refuses."""
        shut = self.shut.place if self.shut else "\0"
        if self.swapped and path.startswith(f"{OWN}/"):
            return True
        way = self.root / WAY
        ends = (f"{WAY}/only", self._real(f"{WAY}/only"))
        if path in ends and os.path.islink(way) and not os.path.isdir(way):
            return True  # no directory is made for a link that leads nowhere
        return f"{path}/".startswith(f"{shut}/")

    def _touches_closed(self, directory: str) -> bool:
        inside = self.shut and f"{self.shut.place}/".startswith(f"{directory}/")
        return bool(inside) or self.is_closed(directory) or (self.swapped and "ann" in directory)

    def _hides(self, path: str) -> bool:
        """Whether nobody can see what stands there."""
        return self.is_closed(path) and (self.swapped or "dead" in (self.shut or ()))

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

    # --- what ALLiE is told, and its state ------------------------------------------------------

    def undo(self) -> None:
        """The last tick that changed something is taken back."""
        known = self._undoable()
        done = allie(self.root, "undo")
        assert "Traceback" not in done.out, done
        if not known or "nothing to undo" in done.out:
            assert done.rc and not any(map(self.journal.get, known)), done
            return
        self.paused = True
        journal = self.journal.get(known[-1])
        for number in self._undoable():
            self.journal.setdefault(number, None)  # the undo's own
        for path in [path for path in PLACES if not self._hides(path)]:
            states, stands = self.may[path], self.node(path)
            if journal:
                back = journal.before[path] if states & journal.after[path] else set()
                states = states | back if self.is_closed(path) or len(back) != 1 else back
            else:
                states = states | {(stands, mine) for mine in self.ever[path]}
            self.may[path] = states
        self.look(f"an undo: {done}")

    def _undoable(self) -> list[str]:
        place = self.root / "var/lib/allie/undo"
        return sorted(os.listdir(place), key=int) if place.exists() else []

    def pause(self) -> None:
        """Ticks only report."""
        allie(self.root, "pause").ok()
        self.paused = True

    def resume(self) -> None:
        """Ticks work again."""
        if self.paused:
            allie(self.root, "resume").ok()
        self.paused = False

    def lose_counter(self, content: str | None) -> None:
        """The number of the last tick is lost, or what is there is no number."""
        counter = self.root / "var/lib/allie/tick"
        if content is None:
            counter.unlink(missing_ok=True)
        elif counter.exists():
            counter.write_text(content)

    def save(self) -> None:
        """Somebody has a backup of ALLiE's state."""
        state = self.root / "var/lib/allie"
        if state.exists() and not self.killed:
            shutil.rmtree(self.top / "saved", ignore_errors=True)
            shutil.copytree(state, self.top / "saved", symlinks=True)
            self.backup = copy.copy(self)
            self.backup.may = dict(self.may)
            self.backup.journal = {}

    def restore(self) -> None:
        """ALLiE's state is again what the backup has; the files are as they are."""
        if self.backup:
            state = self.root / "var/lib/allie"
            shutil.rmtree(state)
            shutil.copytree(self.top / "saved", state, symlinks=True)
            for path, states in self.may.items():
                stands = {stands for stands, _ in states}
                mines = {mine for _, mine in self.backup.may[path]}
                self.may[path] = {(each, mine) for each in stands for mine in mines}
            self.came, self.paused = self.backup.came, self.backup.paused
            self.journal = {}
            self.killed = True  # scripts may run once too often

    # --- ticks ----------------------------------------------------------------------------------

    def kill(self, step: int, victim: str) -> None:
        """A tick that is killed at a step (or not, if it has fewer)."""
        before = self._before()
        ptrace.trace(work(self.root, "run-conf"), step, victim, below=self.root)
        if self.online:
            self.came = [*self.came, copy.deepcopy(self.overlays)]
        after = self.after()
        self.may = {path: self.may[path] | after[path] for path in PLACES}
        halves = [path for path in PLACES if (self.node(path) or "-")[0] == "d"]
        self.look("a killed tick", but=halves)  # a directory may be on its way
        self.killed = True
        self._note(before)

    def tick(self) -> None:
        """A whole tick, after which there is no doubt left about what stands there."""
        if self.online:
            self.came = [copy.deepcopy(self.overlays)]
        before = self._before()
        check, counted = self._scripts(), self._counted()
        done = allie(self.root, "run-conf")
        assert "Traceback" not in done.out
        if self._counted() == counted and done.rc == 0:
            self._agree_with_a_whole_tick()
        self.may = self.after()
        self.look(f"a tick: {done}")
        self._note(before)
        check(done)
        self.killed = self.killed and self.paused

    def rest(self) -> None:
        """Ticks until nothing is to be done, and the last of them has noted that."""
        for _ in range(3):
            self.tick()
            time.sleep(0.03)  # what is changed in the clock's grain is not noted

    def _counted(self) -> str:
        """The number of the last whole tick."""
        path = self.root / "var/lib/allie/tick"
        return path.read_text() if path.exists() else ""

    def _agree_with_a_whole_tick(self) -> None:
        """A quick tick found nothing to do: a whole one, in its place, finds nothing either."""
        note = self.root / "var/lib/allie/quick/note"
        if not note.exists() or self.online is False:
            return  # it was no tick at all: the disk refused it, say
        before = {path: self.node(path) for path in PLACES}, self.runs(WATCH), self.runs(HOURLY)
        note.unlink()
        done = allie(self.root, "run-conf")
        after = {path: self.node(path) for path in PLACES}, self.runs(WATCH), self.runs(HOURLY)
        assert before == after, f"a quick tick said nothing of this: {done}"
        self.quick += 1

    def _before(self) -> dict[str, set[State]]:
        """What is to be known of the root before a tick."""
        parents = {path: (self.root / path).parent for path in PLACES}
        self.astray = {path for path, parent in parents.items() if not os.path.isdir(parent)}
        return self.may

    def _note(self, before: dict[str, set[State]]) -> None:
        """Remember what the tick did that is the newest to be undone; None where it is in doubt."""
        for number in self._undoable():
            if number not in self.journal:
                self.journal[number] = (
                    None if self.killed else Journal(dict(before), dict(self.may))
                )
        for path, states in self.may.items():
            self.ever[path] |= {mine for _, mine in states}

    def _scripts(self) -> Callable[[Result], None]:
        """What is to be compared once a tick is over: who was due, and has run."""
        before, directories = self.node("etc/sub"), self.directories
        self.directories = self._directories()
        due = {name: self.is_due(name) for name in (WATCH, HOURLY)}
        ran = {name: self.runs(name) for name in due}
        had = {name: (self.root / "root/done" / name).exists() for name in due}

        def check(done: Result) -> None:
            due[WATCH] = due[WATCH] or self.node("etc/sub") != before
            for name, was_due in due.items():
                more = self.runs(name) - ran[name]
                was_due = was_due and not self.paused
                # A killed tick may have re-armed it for what is only now seen to be done, and so
                # may a directory that stays, since something of somebody's is in it.
                maybe = self.killed or directories != self.directories
                assert more == int(was_due) or (maybe and more == 1), f"{name}: {more}: {done}"
                satisfied = (self.root / "root/result").read_text() == "0\n"
                has = (self.root / "root/done" / name).exists()
                assert has == (satisfied if more else had[name]), f"{name}: {has}: {done}"

        return check

    def settle(self) -> None:
        """All is open and mended; then two ticks, of which the second changes nothing at all."""
        self.open()
        self.resume()
        if not self.online:
            self.misset()
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
        for name, node in self.second.items():
            stands = node_of(self.root / SECOND / name)
            assert stands == node, f"a second name of a file: {stands}, not {node}"
        odd = [
            name
            for name in before
            if ".~tmp~" in name or ".allie-" in name or name.endswith(".part")
        ]
        assert not odd, f"left behind: {odd}"
        state = {each.name for each in (self.root / "var/lib/allie").iterdir()}
        assert not any(name.startswith(("intent", "stage-")) for name in state), state

    def after(self) -> dict[str, set[State]]:
        """The model's tick, for every path in every state that it may be in."""
        if self.paused:
            return self.may
        facts = frozenset({self.host, *(["lab"] if self.host == self.lab else [])})
        made: dict[str, set[State]] = {}
        for path, states in self.may.items():
            spelled = self._spelled(path)
            package = self.packages.get(path)
            made[path] = set(states) if self.is_closed(path) or None in self.came else set()
            if self._hides(path):
                continue
            for came in filter(None, self.came):
                winner = winner_of(came, spelled, facts) if spelled else None
                made[path] |= {ticked(each, winner, package) for each in states}
                if winner is None and not os.path.isdir((self.root / path).parent):
                    made[path].add(
                        (None, None)
                    )  # what stood in a directory that is gone stays away
        return made

    def look(self, what: str, but: list[str] | None = None) -> None:
        """What stands there tells which of the states it is; it must be one of them."""
        for path in [path for path in PLACES if path not in (but or []) and not self._hides(path)]:
            stands = self.node(path)
            fits = {each for each in self.may[path] if each[0] == stands}
            allowed = {each[0] for each in self.may[path]}
            assert fits, f"after {what}: {path!r} is {stands}, not one of {allowed}"
            self.may[path] = fits
        for victim in ("etc/sub/mine", "root/mine"):
            assert not os.path.lexists(self.root / victim), f"{victim}: by Ann's link"

    # --- places ---------------------------------------------------------------------------------

    def _real(self, path: str) -> str:
        """The place at which a path ends: one of its directories may be a link."""
        way = self.root / WAY
        if path == f"{WAY}/only" and os.path.islink(way):  # false for a dead mount
            return f"etc/{os.readlink(way)}/only"
        return path

    def _spelled(self, place: str) -> str | None:
        """The path in the overlays that ends at a place."""
        if place.startswith(ENDS):
            return f"{WAY}/only" if self._real(f"{WAY}/only") == place else None
        return place if self._real(place) == place else None

    def node(self, path: str) -> Node:
        """What stands at a place."""
        return node_of(self.root / path) if self._real(path) == path else None

    def runs(self, name: str) -> int:
        """How often a script has run."""
        log = self.root / "var/log" / name
        return len(log.read_text().split()) if log.exists() else 0

    def _directories(self) -> set[str]:
        """Those below `etc/sub` that the overlays have."""
        names = [each.name for overlay in self.overlays.values() for each in overlay]
        return {each.rpartition("/")[0] for each in names if each.startswith("etc/sub")}

    def is_due(self, name: str) -> bool:
        """Whether a script is due, going by its done-file alone."""
        path = self.root / "root/done" / name
        if not path.exists():
            return True
        age = time.time() - path.stat().st_mtime
        return name == HOURLY and not -3600 <= age < 3600


def node_of(path: Path) -> Node:
    """What stands at a path."""
    try:
        if path.is_symlink():
            return ("l", os.readlink(path))
        if path.is_dir():
            return ("d", tuple((each.name, node_of(each)) for each in sorted(path.iterdir())))
        if path.exists():
            return ("f", path.read_text(), path.stat().st_mode & 0o7777)
    except OSError as error:  # a dead mount
        return ("?", error.errno)
    return None


def _move(old: Path | str, new: Path | str) -> None:
    """As mv does it: overlayfs renames no directory of its lower layer."""
    subprocess.run(["mv", "-T", str(old), str(new)], check=True)


def lstats_of(path: Path) -> tuple[int, ...]:
    """An lstat, but for the time of the last look."""
    st = path.lstat()
    return (st.st_ino, st.st_mode, st.st_nlink, st.st_mtime_ns, st.st_ctime_ns)


def _script(name: str, header: str) -> File:
    return File(SCRIPT.format(header=header, name=name), 0o755)


def _forge(path: Path, node: tuple[str, str, int]) -> None:
    """Other content in the same file, of the same size and time."""
    st = path.stat()
    path.write_text(node[1])
    path.chmod(node[2])
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def _make(path: Path, node: Node | Link, mtime: float) -> None:
    """Have this, and nothing else, at a path."""
    if not path.is_symlink() and path.is_dir():  # a link may lead to a dead mount
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    if node is None:
        return
    if isinstance(node, Link):
        path.symlink_to(node.target)
        return
    if node[0] == "d":
        for name, inside in node[1]:
            _make(path / name, inside, mtime)
        return
    entry = Link(node[1]) if node[0] == "l" else File(node[1], node[2], mtime=mtime)
    make_tree(path.parent, {os.fsencode(path.name): entry})
