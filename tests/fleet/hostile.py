"""What a PC may leave in its inbox to harm a fleet's views: a table, each with what is to be said.

A PC writes what it likes into its own inbox, as a file or through a bent rsync; a few of these it
could do only with a hole in the ssh door, and they are here for that day.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

Deed = Callable[[Path], object]

ESC, BIDI, TAGS = "\x1b[2J\x1b]0;pwned\x07", "\u202ecod.exe\u2066", "<img src=x onerror=alert(1)>"
EVIL = f"{TAGS}{ESC}{BIDI}\r\n\x00\x9b31m\u2028'\"`$(id);&|\\"
NOT_UTF8 = b'{"format": 1, "machine": {"host": "\xff\xfe"}}'
CENTURY = 73 * 365 * 24 * 3600


def report(host: str, at: float, system: str = "debian12", **more: Any) -> dict[str, Any]:
    """What a PC that is well sends. at: by its clock."""
    door = {"server": "rsync://store", "generation": 3, "good": at, "answered": at, "trouble": ""}
    scripts = [
        {"name": name, "state": "satisfied", "why": "exit 0", "since": at, "code": 0, "last": ""}
        for name in ("00overlay", "01overact", "20disk")
    ]
    own = {
        "tick": 7,
        "system": system,
        "host": host,
        "version": "0.1.0",
        "began": at,
        "seconds": 1.5,
        "verb": "run-conf",
        "image": system,
        "classes": ["lab"],
        "contact": door,
        "own_door": {**door, "server": "ssh://store"},
        "applied": [],
        "scripts": scripts,
        "named": [],
        "paused": "",
        "notes": [],
        "problems": [],
        "changed": {"tick": 3, "began": at, "did": {"new": ["etc/motd"]}, "counts": {"new": 1}},
    }
    machine = {
        "host": host,
        "identity": "0" * 32,
        "boot": "x",
        "booted": int(at) - 900,
        "kernel": "6.1.0",
        "disk": 10**11,
        "free": 10**10,
    }
    return {"format": 1, "sent": at, "machine": machine, "systems": [own], **more}


def _file(text: bytes) -> Deed:
    return lambda inbox: (inbox / "report").write_bytes(text)


def _value(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Deed:
    """A good report with something changed. change: gets all of it, and its system."""

    def leave(inbox: Path) -> None:
        value = report(inbox.name, inbox.stat().st_ctime)
        change(value, value["systems"][0])
        (inbox / "report").write_text(json.dumps(value, allow_nan=True))

    return leave


def _everywhere(value: Any, text: str) -> Any:
    """A value with a text in place of each of its texts, and in each name of a path or script."""
    if isinstance(value, dict):
        return {name: _everywhere(each, text) for name, each in value.items()}
    if isinstance(value, list):
        return [_everywhere(each, text) for each in value]
    return text if isinstance(value, str) else value


def _all_evil(value: dict[str, Any], own: dict[str, Any]) -> None:
    own["changed"]["did"] = {EVIL: [EVIL], "drift": [EVIL, "../../etc/shadow", "/", ""]}
    own["changed"]["counts"] = {EVIL: 1}
    own.update(problems=[{"path": EVIL, "message": EVIL}], notes=[EVIL], paused=EVIL)
    own["scripts"] = [
        {
            "name": EVIL,
            "state": state,
            "why": EVIL,
            "since": 1.0,
            "code": 1,
            "last": f"{EVIL}\n" * 9,
        }
        for state in ("failing", "waiting", EVIL)
    ]
    own.update(system=EVIL, image=EVIL, version=EVIL, classes=[EVIL], host=EVIL, overlays=[EVIL])
    own["contact"].update(server=EVIL, trouble=EVIL, refused=True)
    value["machine"].update(host=EVIL, kernel=EVIL, identity=EVIL)
    value.update(rsync=EVIL, next_tick=EVIL, offers=[EVIL], fixes=[{"path": EVIL, "content": EVIL}])


def _numbers(number: float) -> Deed:
    def change(value: dict[str, Any], own: dict[str, Any]) -> None:
        value.update(sent=number, next_tick=number)
        value["machine"].update(booted=number, disk=number, free=number)
        own.update(tick=number, began=number, seconds=number)
        own["contact"].update(good=number, since=number, generation=number)
        own["changed"].update(began=number, counts={"new": number})
        own["scripts"][0].update(since=number, code=number)

    return _value(change)


def _clock(ahead: float) -> Deed:
    def leave(inbox: Path) -> None:
        value = report(inbox.name, inbox.stat().st_ctime + ahead)
        (inbox / "report").write_text(json.dumps(value))

    return leave


def _socket(inbox: Path) -> None:
    before = os.getcwd()
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(inbox)  # a socket's path is short
        try:
            made.bind("report")
        finally:
            os.chdir(before)


def _huge(inbox: Path) -> None:
    _file(b" " * (64 << 20))(inbox)  # made here, else all tests of a run would hold it


def _sparse(inbox: Path) -> None:
    with (inbox / "report").open("wb") as file:
        file.truncate(1 << 40)


def _no_directory(inbox: Path) -> None:
    inbox.rmdir()
    inbox.write_text("{}")


def _elsewhere(inbox: Path) -> None:
    inbox.rmdir()
    inbox.symlink_to("/etc")


def _beside(inbox: Path) -> None:
    """Much that nobody asked for, beside a good report."""
    for number in range(300):
        (inbox / f"{number}\n\x1b[31m").write_bytes(b"x" * 1000)
    _value(lambda *_: None)(inbox)


def _own(**more: Any) -> Deed:
    """A good report, with more or other fields of its system."""
    return _value(lambda _, own: own.update(more))


def _whole(**more: Any) -> Deed:
    """A good report, with more or other fields of its own."""
    return _value(lambda value, _: value.update(more))


def _named(host: str) -> Deed:
    """A good report of another host."""
    return _value(lambda value, own: (value["machine"].update(host=host), own.update(host=host)))


def _systems(count: int, name: str = "s{}") -> Deed:
    def change(value: dict[str, Any], own: dict[str, Any]) -> None:
        value["systems"] = [{**own, "system": name.format(at)} for at in range(count)]

    return _value(change)


def _link(target: str) -> Deed:
    return lambda inbox: (inbox / "report").symlink_to(target)


def _device(inbox: Path) -> None:
    os.mknod(inbox / "report", 0o600 | stat.S_IFCHR, os.makedev(1, 5))


FLAW = False  # what cannot be read as a report
READ = True  # what can

_BEGUN = b'{"format":1,"systems":[{"system":"s","scripts":['
_TWICE = b'{"format":1,"format":2,"systems":[],"systems":{},"machine":{"host":"a","host":"b"}}'
_LONE = b'{"format":1,"machine":{"host":"\\ud800"},"systems":[{"system":"\\ud800 \\udfff"}]}'

# What is there → how it is made, and whether it can be read as a report
TABLE: dict[str, tuple[Deed, bool]] = {
    "nothing": (lambda _: None, FLAW),
    "empty": (_file(b""), FLAW),
    "not-json": (_file(b"hello\n"), FLAW),
    "not-utf8": (_file(NOT_UTF8), FLAW),
    "nul": (_file(b"\0" * 5000), FLAW),
    "null": (_file(b"null"), FLAW),
    "list": (_file(b"[]"), FLAW),
    "number": (_file(b"1e999"), FLAW),
    "half": (_file(b'{"format": 1, "machine": {"host": '), FLAW),
    "deep": (_file(b"[" * 100_000), FLAW),
    "deep-within": (_file(b'{"format": 1, "machine": ' + b'{"a":' * 40_000), FLAW),
    "deep-and-whole": (_file(b'{"x":' * 20_000 + b"1" + b"}" * 20_000), FLAW),
    "a-million-deep": (_file(b"[" * 1_000_000), FLAW),
    "huge": (_huge, FLAW),
    "sparse": (_sparse, FLAW),
    "fifo": (lambda inbox: os.mkfifo(inbox / "report"), FLAW),
    "link": (_link("/etc/shadow"), FLAW),
    "link-to-another": (_link("../pc01/report"), FLAW),
    "link-to-itself": (_link("report"), FLAW),
    "endless-device": (_link("/dev/zero"), FLAW),
    "socket": (_socket, FLAW),
    "device": (_device, FLAW),
    "directory": (lambda inbox: (inbox / "report/report").mkdir(parents=True), FLAW),
    "no-directory": (_no_directory, FLAW),
    "linked-inbox": (_elsewhere, FLAW),
    "closed": (lambda inbox: inbox.chmod(0), FLAW),
    "beside": (_beside, READ),
    "number-of-digits": (_file(b'{"format": ' + b"9" * 100_000 + b"}"), FLAW),
    "format-of-text": (_whole(format="1"), READ),
    "newer-format": (_whole(format=99, more=[EVIL]), READ),
    "evil-texts": (_value(_all_evil), READ),
    "evil-everywhere": (_value(lambda value, _: value.update(_everywhere(value, EVIL))), READ),
    "infinite": (_numbers(float("inf")), READ),
    "minus-infinite": (_numbers(float("-inf")), READ),
    "nan": (_numbers(float("nan")), READ),
    "large": (_numbers(1e308), READ),
    "integers": (_numbers(10**400), READ),
    "negative": (_numbers(-1), READ),
    "of-2099": (_clock(CENTURY), READ),
    "of-1970": (_clock(-1.79e9), READ),
    "another-name": (_named("pc01"), READ),
    "long-name": (_named("h" * 4000), READ),
    "thirty-systems": (_systems(30), READ),
    "equal-systems": (_systems(30, "same"), READ),
    "a-thousand-systems": (_systems(1000), FLAW),  # it is too large
    "no-systems": (_whole(systems=[]), FLAW),
    "systems-of-what": (_whole(systems=[1, None, [], "x", {}, {"system": 3}]), FLAW),
    "wrong-types": (_file(b'{"format":1,"machine":[],"systems":{"a":1},"sent":"now"}'), FLAW),
    "a-million-scripts": (_file(_BEGUN + b"{}," * 1_000_000 + b"{}]}]}"), FLAW),
    "many-scripts": (_file(_BEGUN + b"{}," * 80_000 + b"{}]}]}"), READ),
    "long-texts": (_own(notes=["x" * 200_000], image="y" * 5000), READ),
    "odd-paths": (_own(changed={"did": {"drift": ["../x", "/", "", "a\nb", ".", "..", 7]}}), READ),
    "duplicates": (_file(_TWICE), FLAW),
    "lone-surrogate": (_file(_LONE), READ),
    "prototype": (_own(system="__proto__", image="constructor"), READ),
    "metrics": (_own(system='a"} 1\nallie_fleet_pcs{state="current', image="\\"), READ),
    "a-format": (_own(system="%n%s{0.__class__}", image="%(x)s {host}"), READ),
    "like-a-flag": (_own(system="--help", image="-rf"), READ),
}
