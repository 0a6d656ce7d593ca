"""The fleet's log on disk: what is noted between two looks, bounded, whole after a kill."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allie.core.errors import Busy, NoRoom, StateError
from allie.machine.files import lock
from allie.server.fleet import fleet as fleets
from allie.server.fleet import rhythm
from allie.server.fleet.fleet import Fleet, Pc
from allie.server.history import compare, journal, notes, tally
from allie.server.history.notes import Count, Event
from tests.worlds import fleets as generator
from tests.worlds.one_pc import tmpfs

NOW = 1_796_000_000.0
HOUR, DAY = 3600.0, 86400.0


def report(tick: int = 1, **more: Any) -> bytes:
    """A small report; more: fields of its only system, or of its machine."""
    machine = {name: more.pop(name) for name in ("boot", "kernel") if name in more}
    system = {"system": "debian12", "tick": tick, "contact": {}, **more}
    return json.dumps({"format": 1, "machine": machine, "systems": [system]}).encode()


def changed(tick: int, **did: list[str]) -> dict[str, Any]:
    return {"changed": {"tick": tick, "did": did, "counts": {}}}


def failing(name: str, code: int = 1) -> dict[str, Any]:
    return {"scripts": [{"name": name, "state": "failing", "code": code, "last": "no\n"}]}


def make_store(store: Path) -> None:
    """As little of one as the fleet's views need."""
    for name in ("overlays/common", "inbox"):
        (store / name).mkdir(parents=True)
    (store / "store.conf").write_text("[serve]\nhosts allow = 127.0.0.1\n")


class Room:
    """A store whose reports arrive when we say so."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.arrived: dict[str, float] = {}
        make_store(store)

    def send(self, host: str, at: float, text: bytes) -> None:
        (self.store / "inbox" / host).mkdir(exist_ok=True)
        (self.store / "inbox" / host / "report").write_bytes(text)
        self.arrived[host] = at

    def look(self, now: float) -> list[Event]:
        return notes.note(self.fleet(now))

    def fleet(self, now: float) -> Fleet:
        """As it is loaded, with times of arrival of our own: a ctime cannot be set."""
        known = fleets.load(str(self.store), now)
        return known._replace(pcs=tuple(self._judged(each.host, now) for each in known.pcs))

    def _judged(self, host: str, now: float) -> Any:
        from allie.server.fleet import judge, told

        text = (self.store / "inbox" / host / "report").read_bytes()
        said = told.read(host, self.arrived[host], text)
        silent = judge.silence(said, 0.0, now)
        systems = [judge.system(said, each, 0.0, 0.0, silent, now) for each in said.systems]
        return judge.pc(host, (), said, tuple(systems), silent)

    def log(self, about: str = "", since: float = 0.0) -> list[tuple[str, str]]:
        found = notes.events(str(self.store), about=about, since=since)
        return [(each.host, each.what) for each in found]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "store")


def test_what_became_otherwise_is_noted_once(room: Room) -> None:
    room.send(
        "pc07", NOW, report(5, version="0.1.0", boot="a", kernel="6.1", **changed(3, new=["a"]))
    )
    assert room.look(NOW + 10) == [], "there is nothing to compare with"
    room.send(
        "pc07", NOW + HOUR,
        report(6, version="0.2.0", boot="b", kernel="6.2", **failing("20packages", 100),
               **changed(6, changed=["etc/motd"], drift=["etc/fstab"])),
    )  # fmt: skip
    found = room.look(NOW + HOUR + 10)
    assert {(each.kind, each.what) for each in found} == {
        ("state", "current → failing: 20packages exit 100"),
        ("boot", "booted"),
        ("version", "kernel 6.1 → 6.2"),
        ("version", "ALLiE 0.1.0 → 0.2.0"),
        ("change", "/etc/motd changed"),
        ("drift", "/etc/fstab put back: changed by hand"),
        ("script", "20packages fails: exit 100"),
    }
    assert {each.at for each in found} == {NOW + HOUR}, "when it was told"
    assert room.look(NOW + HOUR + 300) == []
    room.send("pc07", NOW + 2 * HOUR, report(7, version="0.2.0", boot="b", kernel="6.2",
              **changed(6, changed=["etc/motd"], drift=["etc/fstab"])))  # fmt: skip
    whats = {each.what for each in room.look(NOW + 2 * HOUR + 1)}
    assert whats == {"failing → current", "20packages fails no more: it is gone"}
    assert room.log("/etc/motd") == [("pc07", "/etc/motd changed")]


def test_silence_is_noted_when_it_is_seen(room: Room) -> None:
    room.send("pc07", NOW, report())
    room.look(NOW + 1)
    assert room.look(NOW + HOUR) == []
    assert [each.what for each in room.look(NOW + 27 * HOUR)] == [
        "current → off: its daily report is late"
    ]
    [event] = room.look(NOW + 4 * DAY)
    assert event.what.startswith("off → stale") and event.at == NOW + 4 * DAY


def test_a_new_host_has_one_event(room: Room) -> None:
    room.send("pc07", NOW, report())
    room.look(NOW + 1)
    room.send("pc08", NOW + 2, report(9, **changed(9, new=["etc/motd"])))
    assert [(each.host, each.what) for each in room.look(NOW + 3)] == [("pc08", "new → current")]


def test_who_is_expected_no_longer(room: Room) -> None:
    for host in ("pc07", "pc08"):
        room.send(host, NOW, report())
    room.look(NOW + 1)
    shutil.rmtree(room.store / "inbox/pc08")
    assert [(each.host, each.what) for each in room.look(NOW + 2)] == [
        ("pc08", "no longer expected")
    ]
    assert room.look(NOW + 3) == []


def test_what_a_report_says_is_not_all_remembered(room: Room) -> None:
    """One that says too much is remembered by how it stands."""
    much = [{"name": f"{at:02}{'x' * 100}", "state": "failing"} for at in range(90)]
    systems = [{"system": f"s{at}{'y' * 90}", "scripts": much} for at in range(16)]
    room.send("pc07", NOW, json.dumps({"format": 1, "systems": systems}).encode())
    room.send("pc08", NOW, report(scripts=much))
    room.look(NOW)
    lines = (room.store / "fleet/known").read_text().splitlines()[1:]
    assert all(len(line) < 12_000 for line in lines)
    room.send("pc08", NOW + 60, report(2, scripts=much))
    room.send("pc07", NOW + 60, json.dumps({"format": 1, "systems": systems[:1]}).encode())
    assert room.look(NOW + 61) == [], "the same scripts fail still"


def test_about_hosts_and_paths(room: Room) -> None:
    for host in ("pc07", "pc08", "srv1"):
        room.send(host, NOW, report())
    room.look(NOW + 1)
    for at, host in enumerate(("pc07", "pc08", "srv1")):
        room.send(host, NOW + 10 + at, report(2, **changed(2, changed=["etc/ssh/sshd_config"])))
    room.look(NOW + 20)
    assert [host for host, _ in room.log()] == ["srv1", "pc08", "pc07"], "newest first"
    assert [host for host, _ in room.log("pc[07-08]")] == ["pc08", "pc07"]
    assert [host for host, _ in room.log("pc07,srv*")] == ["srv1", "pc07"]
    assert len(room.log("/etc/ssh")) == 3 and room.log("/etc/ss") == []
    assert [host for host, _ in room.log(since=NOW + 11)] == ["srv1", "pc08"]


def test_a_host_that_flaps_does_not_fill_it(room: Room) -> None:
    room.send("good", NOW, report())
    room.send("pc07", NOW, report())
    room.look(NOW + 1)
    for tick in range(2, 130):
        now = NOW + tick * 60
        paths = [f"etc/{tick}/{each}/{'x' * 300}" for each in range(20)]
        room.send("pc07", now, report(tick, **changed(tick, changed=paths)))
        room.look(now + 1)
    log = room.store / "fleet/log"
    assert sum(each.stat().st_size for each in log.iterdir()) < 2 * notes.BYTES_OF_A_DAY * 1.1
    said = [what for host, what in room.log("pc07") if what.startswith("more of it")]
    assert len(said) == len(list(log.iterdir())), "once a day"
    room.send("good", NOW + 131 * 60, report(2, **changed(2, changed=["etc/motd"])))
    assert [each.what for each in room.look(NOW + 131 * 60)] == ["/etc/motd changed"]


def test_the_oldest_days_go(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "DAYS", 3)
    room.send("pc07", NOW, report())
    room.look(NOW)
    for day in range(1, 6):
        room.send("pc07", NOW + day * DAY, report(day, **changed(day, changed=["etc/motd"])))
        room.look(NOW + day * DAY)
    days = sorted(each.name for each in (room.store / "fleet/log").iterdir())
    assert days == [time.strftime("%Y-%m-%d", time.gmtime(NOW + day * DAY)) for day in (3, 4, 5)]


def test_it_is_roots_alone(room: Room) -> None:
    room.send("pc07", NOW, report())
    room.look(NOW)
    room.send("pc07", NOW + 1, report(2, **changed(2, changed=["etc/motd"])))
    room.look(NOW + 2)
    for top, names, files in os.walk(room.store / "fleet"):
        assert stat.S_IMODE(os.stat(top).st_mode) == 0o700
        modes = {stat.S_IMODE(os.stat(f"{top}/{each}").st_mode) for each in files}
        assert modes <= {0o600}, (names, files)


def _killed_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Callable[[], int]:
    """Have the number-th write of a look be the one at which it is killed; how many there were."""
    done = [0]
    append, rename = journal.Journal._append, os.rename

    class KilledError(BaseException):
        pass

    def step() -> None:
        done[0] += 1
        if done[0] == number:
            raise KilledError

    def torn_append(self: journal.Journal, name: str, at: int, lines: str) -> None:
        step()
        if done[0] + 1 == number:
            append(self, name, at, lines[: len(lines) // 2])
        step()
        append(self, name, at, lines)
        step()

    def killed_rename(old: str, new: str) -> None:
        step()
        rename(old, new)
        step()

    monkeypatch.setattr(journal.Journal, "_append", torn_append)
    monkeypatch.setattr(os, "rename", killed_rename)
    return lambda: done[0]


def test_killed_at_any_step_each_event_is_noted_once(tmp_path: Path) -> None:
    number, steps = 0, 99
    while number < steps:
        number += 1
        room = Room(tmp_path / str(number))
        for host in ("pc07", "pc08"):
            room.send(host, NOW, report())
        room.look(NOW)
        room.send("pc07", NOW + 60, report(2, **changed(2, changed=["etc/motd"])))
        room.look(NOW + 61)
        room.send("pc08", NOW + 120, report(2, **changed(2, changed=["etc/hosts"])))
        with pytest.MonkeyPatch.context() as patched:
            count = _killed_at(patched, number)
            try:
                room.look(NOW + 121)
                steps = count()
            except BaseException as killed:
                assert type(killed).__name__ == "KilledError", killed
        room.look(NOW + 300)
        whats = [what for _, what in room.log()]
        assert whats == ["/etc/hosts changed", "/etc/motd changed"], number
        times = [each.at for each in notes.counts(str(room.store))]
        assert times == sorted(set(times)) and len(times) >= 3, number
        shutil.rmtree(tmp_path / str(number))
    assert steps > 5


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with tmpfs(tmp_path, "size=4m") as disk:
        room = Room(disk / "store")
        room.send("pc07", NOW, report())
        room.look(NOW)
        room.send("pc07", NOW + 60, report(2, **changed(2, changed=["etc/motd"])))
        filler = disk / "filler"
        with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        with pytest.raises(NoRoom):
            room.look(NOW + 61)
        filler.unlink()
        assert [each.what for each in room.look(NOW + 300)] == ["/etc/motd changed"]
        assert room.log() == [("pc07", "/etc/motd changed")]


@pytest.mark.parametrize("name", ["known", "rhythm", "arrivals"])
def test_what_a_disk_does_not_say_just_now_is_not_begun_anew(
    room: Room, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    room.send("pc07", NOW, report())
    room.look(NOW)
    path = room.store / "fleet" / name
    path.touch()
    was, call = path.read_bytes(), os.open

    def opens(path: Any, *more: Any, **named: Any) -> int:
        if str(path).endswith(f"fleet/{name}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return call(path, *more, **named)

    room.send("pc07", NOW + 60, report(2, **changed(2, changed=["etc/motd"])))
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opens)
        with pytest.raises(StateError, match=f"{name} cannot be read: Input/output error"):
            room.look(NOW + 61)
        assert fleets.load(str(room.store), NOW + 61).pcs, "who only looks sees the fleet"
    assert path.read_bytes() == was
    room.look(NOW + 62)
    assert room.log() == [("pc07", "/etc/motd changed")]


@pytest.mark.parametrize(
    "name", ["known", "counts", "log/2026-11-30", "rhythm", "arrivals", "asked"]
)
@pytest.mark.parametrize("how", ["empty", "nul", "torn", "json", "directory"])
def test_a_damaged_file_stops_nothing(room: Room, name: str, how: str) -> None:
    room.send("pc07", NOW, report())
    room.look(NOW)
    room.send("pc07", NOW + 60, report(2, **changed(2, changed=["etc/motd"])))
    room.look(NOW + 61)
    path = room.store / "fleet" / name
    was = path.read_bytes() if path.exists() else b"{}"
    if how == "directory":
        path.unlink(missing_ok=True)
        path.mkdir()
    else:
        texts = {
            "empty": b"",
            "nul": b"\0" * 50,
            "torn": was[: len(was) // 2],
            "json": b'[1,{"a":[]}]\n',
        }
        path.write_bytes(texts[how])
    room.send("pc07", NOW + 120, report(3, **changed(3, changed=["etc/hosts"])))
    try:
        room.look(NOW + 121)
    except (StateError, OSError):
        assert how == "directory", "what was put there by hand is not ours to remove"
        path.rmdir()
    room.look(NOW + 150)
    room.log()
    notes.counts(str(room.store))
    room.send("pc07", NOW + 180, report(4, **changed(4, changed=["etc/fstab"])))
    assert "/etc/fstab changed" in [each.what for each in room.look(NOW + 181)]
    assert room.log()[0] == ("pc07", "/etc/fstab changed")


@pytest.mark.parametrize("name", ["counts", "log/2026-11-30"])
def test_a_line_with_odd_values_is_passed_over(room: Room, name: str) -> None:
    room.send("pc07", NOW, report())
    room.look(NOW)
    room.send("pc07", NOW + 60, report(2, **changed(2, changed=["etc/motd"])))
    room.look(NOW + 61)
    path = room.store / "fleet" / name
    line = json.loads(path.read_text().splitlines()[-1])
    odd: list[Any] = [None, [], {}, [[]], {"a": "b"}, float("nan"), float("inf"), -1, "x"]
    with path.open("a") as file:
        file.writelines(f"{json.dumps({**line, name: each})}\n" for name in line for each in odd)
    for event in notes.events(str(room.store)):
        assert 0 <= event.at <= NOW + 61
        assert "".join((event.host, event.system, event.kind, event.what, *event.paths))
    for count in notes.counts(str(room.store)):
        assert 0 <= count.at <= NOW + 61
        assert all(sum(each.values()) >= 0 for each in (count.states, count.reached))


def test_two_looks_at_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_PATIENCE", 0)
    room.send("pc07", NOW, report())
    room.look(NOW)
    with (
        lock.of_directory(str(room.store / "fleet"), lambda: Busy("?")),
        pytest.raises(Busy, match="at work"),
    ):
        room.look(NOW + 1)
    room.look(NOW + 2)


def test_a_clock_that_jumps_loses_nothing(room: Room) -> None:
    room.send("pc07", NOW, report())
    room.look(NOW)
    room.send("pc07", NOW + 60, report(2, **changed(2, changed=["etc/motd"])))
    room.look(NOW + 61)
    far = NOW + 70 * 365 * DAY
    room.look(far)  # it is 2096 …
    back = room.look(NOW + 600)  # … and is not
    assert back[0].what.startswith("the server's clock was set back")
    assert ("pc07", "/etc/motd changed") in room.log()
    room.send("pc07", NOW + 900, report(3, **changed(3, changed=["etc/hosts"])))
    assert [each.what for each in room.look(NOW + 901)] == ["/etc/hosts changed"]
    later = [each.what for each in notes.events(str(room.store), now=NOW + 901)]
    assert (later[0], "stale" in later[-1]) == ("/etc/hosts changed", True), "what is not yet"
    recent = [each.at for each in notes.events(str(room.store), since=NOW, now=NOW + 901)]
    assert recent == sorted(recent, reverse=True) and max(recent) <= NOW + 901
    room.look(1000.0)  # 1970
    assert ("pc07", "/etc/hosts changed") in room.log()
    assert rhythm.kept(str(room.store)) == {}


def test_rhythm_of_a_laptop(room: Room) -> None:
    """It is away each weekend, and looked at every few hours."""
    room.send("laptop", NOW, report())
    now = NOW
    for day in range(1, 22):
        for part in range(6):
            now = NOW + day * DAY + part * 4 * HOUR
            if part == 2 and day % 7 not in (5, 6):
                room.send("laptop", now - 60, report(day))
            room.look(now)
    usual = rhythm.read(str(room.store), now)["laptop"]
    assert 2.5 * DAY < usual <= 3 * DAY
    room.send("other", NOW, report())
    arrived = (room.store / "inbox/laptop/report").stat().st_ctime
    rhythm.add(str(room.store), {"laptop": (arrived - 9 * DAY, usual)})
    rhythm.add(str(room.store), {"laptop": (arrived - 2 * DAY, usual)})
    later = fleets.load(str(room.store), arrived + 4 * DAY)
    assert [(pc.host, pc.state) for pc in later.pcs] == [("laptop", "off"), ("other", "stale")]


def test_counts_and_a_rollout(room: Room) -> None:
    for number in range(4):
        room.send(f"pc{number}", NOW, report(contact={"good": NOW}, overlays=["common"]))
    fleet = room.fleet(NOW)
    for number in range(5):
        at = NOW + 100 + number * 900
        pcs = tuple(
            pc._replace(systems=tuple(
                view._replace(told=view.told._replace(
                    overlays=("common",),
                    contact=view.told.contact._replace(good=at if each < number else NOW),
                )) for view in pc.systems
            )) for each, pc in enumerate(fleet.pcs)
        )  # fmt: skip
        looked = fleet._replace(now=at, pcs=pcs, changed={"common": NOW + 50, "private/pc1": NOW})
        notes.note(looked)
    counts = notes.counts(str(room.store))
    assert [each.reached["common"] for each in counts] == [0, 1, 2, 3, 4]
    assert set(counts[-1].changed) == {"common"}, "what is one host's own is no roll-out"
    assert counts[-1].changed == {"common": NOW + 50} and counts[-1].following == {"common": 4}


def test_counts_are_thinned(room: Room) -> None:
    counts = [Count(NOW - at * 300, {"current": 70}, 3) for at in range(100_000)][::-1]
    kept = tally.thinned(counts, NOW)
    assert kept[-1] == counts[-1] and len(kept) < 5000
    assert sum(NOW - each.at <= 2 * DAY for each in kept) == 2 * 288
    assert tally.thinned(kept, NOW) == kept
    (room.store / "fleet").mkdir()
    lines = "".join(json.dumps(each._asdict()) + "\n" for each in counts[-30_000:])
    (room.store / "fleet/counts").write_text(lines)
    room.send("pc07", NOW, report())
    room.look(NOW + 300)
    assert (room.store / "fleet/counts").stat().st_size < len(lines) / 5
    assert notes.counts(str(room.store))[-1].at == NOW + 300
    room.look(NOW + 600)
    times = [each.at for each in notes.counts(str(room.store))]
    assert times[-2:] == [NOW + 300, NOW + 600] and times == sorted(set(times))


def test_a_look_costs_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 PCs those are taken apart that have reported since."""
    store = tmp_path / "store"
    make_store(store)
    generator.put(store, generator.generated(300, time.time()))
    notes.note(fleets.load(str(store), time.time()))
    compared: list[str] = []
    inner = compare.compared

    def counted(before: Any, pc: Pc, at: float) -> Any:
        compared.append(pc.host)
        return inner(before, pc, at)

    monkeypatch.setattr(compare, "compared", counted)
    for host in ("pc00001", "pc00002"):
        path = store / "inbox" / host / "report"
        path.write_bytes(path.read_bytes().replace(b"debian12-2026", b"debian12-2027"))
    notes.note(fleets.load(str(store), time.time()))
    assert {"pc00001", "pc00002"} <= set(compared) and len(compared) < 20
