"""A fleet that was never there: reports of many PCs, made from a seed, and what is true of each.

    generated(5000, now) → Generated: a host, its report, when it arrived, what it was made to be
    put(store, …)        → the store's inbox/HOST/report, its overlays, and its file of classes
    judged(…, now)       → the Fleet that `fleet.load` would make, if reports came when they arrived
    counted(fleet)       → how that fleet may have stood in the week before

The same seed gives the same fleet, host by host: what becomes of one does not change the others.
The values are the product's own (Report, Verdict, sent_report), so the form is that of real PCs.
A file's ctime is when it was written: whoever needs another arrival has `Generated.arrived`.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from allie.core.change import sent_report
from allie.core.change.report import Applied, Contact, Report
from allie.core.change.resolution import Problem
from allie.core.change.sent_report import Host
from allie.core.script import Verdict
from allie.core.value import Value
from allie.server.fleet import judge, told
from allie.server.fleet.fleet import Fleet
from allie.server.history.notes import Count

HOUR, DAY = 3600.0, 24 * 3600.0
OVERLAYS = ("kit", "common", "lab")
SERVER = "rsync://store.example.org"
# What a host is made to be, and how many of a thousand are
KINDS = {
    "current": 792,
    "off": 90,
    "stale": 20,
    "missing": 8,
    "failing": 30,
    "problem": 8,
    "refused": 8,
    "paused": 4,
    "behind": 20,
    "arriving": 20,
}
DRIFTED = 0.03  # of those that have reported: beside any other kind
SCRIPTS = (
    "05hostname 10apt-sources 15packages 20drivers 25nvidia 30users 35sudoers 40ssh-keys"
    " 45nfs-mounts 50printers 55fonts 60texlive 65matlab-licence 70sshd 75firewall"
    " 80browser-policy 85lock-screen 90motd 95clean-up 97inventory"
).split()
ROOMS = ("lab-a", "lab-b", "physics", "library", "office")
DRIFT = (
    "etc/ssh/sshd_config",
    "etc/cups/cupsd.conf",
    "etc/default/grub",
    "etc/sudoers.d/lab",
    "etc/fstab",
    "usr/local/bin/scan",
    "etc/systemd/timesyncd.conf",
    "etc/motd",
)
FAILURES = (
    (
        "15packages",
        100,
        "E: Unable to fetch some archives\nE: mirror.example.org: connection timed out",
    ),
    ("25nvidia", 1, "dkms: kernel headers for 6.1.0-28-amd64 are missing\nbuild failed"),
    ("45nfs-mounts", 32, "mount.nfs: access denied by server while mounting nas:/home"),
    ("60texlive", 1, "No space left on device"),
    ("70sshd", 255, "/etc/ssh/sshd_config line 12: Bad configuration option: PermitRoot"),
)


class Generated(Value):
    """One PC that was thought up."""

    host: str
    kind: str  # of KINDS: what a view has to say of it
    drift: tuple[str, ...]
    arrived: float  # when its report did; 0: it never sent one
    report: bytes  # b"" of one that is missing
    classes: tuple[str, ...]


def generated(count: int, now: float, seed: int = 1) -> list[Generated]:
    """So many PCs, by name."""
    return sorted((_one(at, now, seed) for at in range(count)), key=lambda each: each.host)


def names(count: int) -> list[str]:
    """The hosts of a fleet of that size: PCs of rooms, some laptops, a few servers."""
    return [_name(at) for at in range(count)]


def put(store: Path, fleet: Iterable[Generated]) -> None:
    """Put the reports into a store's inbox; overlays, and in one of them who is of which class."""
    classes: dict[str, list[str]] = {}
    for each in fleet:
        for name in each.classes:
            classes.setdefault(name, []).append(each.host)
        place = store / "inbox" / each.host
        if each.report:
            place.mkdir(parents=True, exist_ok=True)
            (place / "report").write_bytes(each.report)
    lines = [f"{name}: {' '.join(hosts)}\n" for name, hosts in sorted(classes.items())]
    for overlay in OVERLAYS:
        (store / "overlays" / overlay / "etc").mkdir(parents=True, exist_ok=True)
    known = store / "overlays/common/etc/allie/classes"
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_text("".join(lines))


CHANGED = {"kit": 40 * DAY, "common": 5 * HOUR, "lab": 3 * DAY}  # overlay → how long ago


def judged(fleet: Iterable[Generated], now: float) -> Fleet:
    """All of them, read and judged by the product, with `CHANGED` for what the store has."""
    changed = {name: now - ago for name, ago in CHANGED.items()}
    newest = max(changed.values())
    pcs = []
    for each in fleet:
        said = told.read(each.host, each.arrived, each.report) if each.report else None
        silent = judge.silence(said, 0.0, now)
        systems = said.systems if said else ()
        views = [judge.system(said, one, newest, newest, silent, now) for one in systems if said]
        by = ("classes", "enrolled", "reported")[: 3 if said else 2]
        pcs.append(judge.pc(each.host, by, said, tuple(views), silent, each.classes))
    return Fleet(now, "/srv/allie", tuple(pcs), changed)


def counted(fleet: Fleet) -> list[Count]:
    """A week, looked at six times an hour: PCs are off at night; one night a change was bad."""
    now, all_of_them = fleet.now, len(fleet.pcs)
    found = []
    for step in range(7 * 24 * 6, -1, -1):
        at = now - step * 600
        light = max(0.0, math.sin(((at / HOUR) % 24 - 7) / 12 * math.pi))
        states = Counter(pc.state for pc in fleet.pcs)
        bad = int(all_of_them * 0.04 * max(0.0, 1 - abs(step - 300) / 60))
        off = int((states["current"] - bad) * 0.5 * (1 - light))
        states.update({"failing": bad, "off": off, "current": -bad - off})
        there = {
            name: int(all_of_them * 0.97 * (1 - math.exp((begun - at) / 3000)))
            for name, begun in fleet.changed.items()
            if at >= begun
        }
        reports = int(all_of_them * (0.05 + 0.08 * light) * random.Random(step).uniform(0.9, 1.1))
        changed = {name: fleet.changed[name] for name in there}
        following = dict.fromkeys(there, all_of_them)
        found.append(Count(at, states, reports, there, following, changed))
    return found


def _name(at: int) -> str:
    if at % 40 == 39:
        return f"srv{at // 40 + 1:03}"
    return f"laptop{at // 11 + 1:04}" if at % 11 == 10 else f"pc{at + 1:05}"


def _one(at: int, now: float, seed: int) -> Generated:
    dice = random.Random(f"{seed} {at}")
    host = _name(at)
    kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
    room = ROOMS[at * len(ROOMS) // 97 % len(ROOMS)]
    kinds = {"lap": "laptop", "srv": "server"}
    classes = (room, kinds.get(host[:3], "desktop"))
    if kind == "missing":
        return Generated(host, kind, (), 0.0, b"", classes)
    silent = {"off": dice.uniform(28 * HOUR, 60 * HOUR), "stale": dice.uniform(31 * DAY, 90 * DAY)}
    arrived = now - silent.get(kind, dice.expovariate(1 / (5 * HOUR)) % (22 * HOUR))
    drift = tuple(sorted(dice.sample(DRIFT, dice.choice((1, 1, 1, 2, 4)))))
    drift = drift if dice.random() < DRIFTED else ()
    reports = _systems(dice, kind, host, classes, drift, arrived)
    value = sent_report.value_of(_machine(dice, host, arrived), _sent(reports, kind, dice))
    return Generated(host, kind, drift, arrived, json.dumps(value).encode(), classes)


def _sent(reports: Sequence[Report], kind: str, dice: random.Random) -> list[dict[str, object]]:
    """What is sent of its systems: the running one, and perhaps another that is on its way."""
    systems: list[dict[str, object]] = [sent_report.told(each, {}) for each in reports]
    if kind == "arriving":
        words = f"{dice.randint(2, 97)} % of 9.4 GB has come"
        systems.append({"system": "debian13", "arriving": words})
    return systems


def _machine(dice: random.Random, host: str, arrived: float) -> Host:
    disk = dice.choice((250, 500, 1000)) * 10**9
    return Host(
        host,
        f"{dice.getrandbits(128):032x}",
        f"{dice.getrandbits(128):032x}",
        int(arrived - dice.uniform(0.2, 9) * DAY),
        dice.choice(("6.1.0-28-amd64", "6.1.0-28-amd64", "6.1.0-27-amd64", "6.12.6-amd64")),
        disk,
        int(disk * dice.uniform(0.05, 0.8)),
    )


def _systems(
    dice: random.Random,
    kind: str,
    host: str,
    classes: tuple[str, ...],
    drift: tuple[str, ...],
    arrived: float,
) -> list[Report]:
    """What its systems report, the running one first: one PC in seven has a second one."""
    first = _report(dice, kind, host, classes, drift, arrived)
    if dice.random() > 1 / 7:
        return [first]
    other = _report(dice, "current", host, classes, (), arrived)
    return [first, other._replace(system="fedora41", image="fedora41-2026.10")]


def _report(
    dice: random.Random,
    kind: str,
    host: str,
    classes: tuple[str, ...],
    drift: tuple[str, ...],
    arrived: float,
) -> Report:
    tick, generation = dice.randint(3, 9000), dice.randint(1, 120)
    good = arrived - 20
    contact = Contact(SERVER, generation, good, answered=good)
    if kind == "refused":
        why = "overlay lab lost 412 of 430 files: held back"
        contact = contact._replace(trouble=why, since=good - 3 * HOUR, refused=True)
    if kind == "behind":
        contact = contact.after_trouble(f"{SERVER} does not answer: connection timed out", good)
        contact = contact._replace(good=good - 6 * DAY, since=good - 6 * DAY)
    did = {"drift": list(drift)} if drift else {"changed": ["etc/motd"]}
    problems = (Problem("etc/fstab", "is a mount point"),) if kind == "problem" else ()
    applied = Applied(
        tick, "overlay", generation, did, {why: len(paths) for why, paths in did.items()}, problems
    )
    return Report(
        tick,
        "debian12",
        host,
        dice.choice(("0.1.0", "0.1.0", "0.1.0", "0.0.9")),
        arrived - 30,
        dice.uniform(0.2, 9),
        image=dice.choice(("debian12-2026.11", "debian12-2026.11", "debian12-2026.09")),
        classes=classes,
        contact=contact,
        applied=(applied,),
        scripts=_scripts(dice, kind, arrived),
        paused="exam until Friday" if kind == "paused" else "",
    )


def _scripts(dice: random.Random, kind: str, arrived: float) -> tuple[Verdict, ...]:
    """How each of 20 scripts stands: those of one that fails, fail in one of five ways."""
    name, code, last = dice.choice(FAILURES)
    found = []
    for each in SCRIPTS:
        since = arrived - dice.uniform(1, 60) * DAY
        if kind == "failing" and each == name:
            since = arrived - dice.uniform(0.1, 9) * DAY
            found.append(Verdict(each, "failing", f"exit {code}", since, code, 3.2, last))
        elif each == "97inventory" and dice.random() < 0.1:
            found.append(Verdict(each, "waiting", "exit 75: not yet", since, 75, 0.1))
        else:
            found.append(Verdict(each, "satisfied", "exit 0", since, 0, dice.uniform(0.01, 4)))
    return tuple(found)
