"""What a PC may leave in its inbox to harm a fleet's views: a table, each with what is to be said.

A PC writes what it likes into its own inbox, as a file or through a bent rsync; a few of these it
could do only with a hole in the ssh door, and they are here for that day.
"""

from __future__ import annotations

import json
import os
import socket
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
        **{"tick": 7, "system": system, "host": host, "version": "0.1.0", "began": at},
        **{"seconds": 1.5, "verb": "run-conf", "image": system, "classes": ["lab"]},
        **{"contact": door, "own_door": {**door, "server": "ssh://store"}, "applied": []},
        **{"scripts": scripts, "named": [], "paused": "", "notes": [], "problems": []},
        **{"changed": {"tick": 3, "began": at, "did": {"new": ["etc/motd"]}, "counts": {"new": 1}}},
    }
    machine = {
        **{"host": host, "identity": "0" * 32, "boot": "x", "booted": int(at) - 900},
        **{"kernel": "6.1.0", "disk": 10**11, "free": 10**10},
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
        {"name": EVIL, "state": state, "why": EVIL, "since": 1.0, "code": 1, "last": f"{EVIL}\n" * 9}
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


# What is there → how it is made, and whether it can be read as a report: "flaw", or "read"
TABLE: dict[str, tuple[Deed, str]] = {
    "nothing": (lambda _: None, "flaw"),
    "empty": (_file(b""), "flaw"),
    "not-json": (_file(b"hello\n"), "flaw"),
    "not-utf8": (_file(NOT_UTF8), "flaw"),
    "nul": (_file(b"\0" * 5000), "flaw"),
    "null": (_file(b"null"), "flaw"),
    "list": (_file(b"[]"), "flaw"),
    "number": (_file(b"1e999"), "flaw"),
    "half": (_file(b'{"format": 1, "machine": {"host": '), "flaw"),
    "deep": (_file(b"[" * 100_000), "flaw"),
    "deep-within": (_file(b'{"format": 1, "machine": ' + b'{"a":' * 40_000), "flaw"),
    "deep-and-whole": (_file(b'{"x":' * 20_000 + b"1" + b"}" * 20_000), "flaw"),
    "a-million-deep": (_file(b"[" * 1_000_000), "flaw"),
    "huge": (_file(b" " * (64 << 20)), "flaw"),
    "sparse": (_sparse, "flaw"),
    "fifo": (lambda inbox: os.mkfifo(inbox / "report"), "flaw"),
    "link": (lambda inbox: (inbox / "report").symlink_to("/etc/shadow"), "flaw"),
    "link-to-another": (lambda inbox: (inbox / "report").symlink_to("../pc01/report"), "flaw"),
    "link-to-itself": (lambda inbox: (inbox / "report").symlink_to("report"), "flaw"),
    "endless-device": (lambda inbox: (inbox / "report").symlink_to("/dev/zero"), "flaw"),
    "socket": (_socket, "flaw"),
    "device": (lambda inbox: os.mknod(inbox / "report", 0o600 | 0o020000, os.makedev(1, 5)), "flaw"),
    "directory": (lambda inbox: (inbox / "report/report").mkdir(parents=True), "flaw"),
    "no-directory": (_no_directory, "flaw"),
    "linked-inbox": (_elsewhere, "flaw"),
    "unreadable": (lambda inbox: inbox.chmod(0), "flaw"),  # root reads it: there is none in it
    "beside": (_beside, "read"),
    "number-of-digits": (_file(b'{"format": ' + b"9" * 100_000 + b"}"), "flaw"),
    "format-of-text": (_value(lambda value, _: value.update(format="1")), "flaw"),
    "newer-format": (_value(lambda value, _: value.update(format=99, more=[EVIL])), "read"),
    "evil-texts": (_value(_all_evil), "read"),
    "evil-everywhere": (_value(lambda v, _: v.update(_everywhere({**v}, EVIL), format=1)), "read"),
    "infinite": (_numbers(float("inf")), "read"),
    "minus-infinite": (_numbers(float("-inf")), "read"),
    "nan": (_numbers(float("nan")), "read"),
    "large": (_numbers(1e308), "read"),
    "integers": (_numbers(10**400), "read"),
    "negative": (_numbers(-1), "read"),
    "of-2099": (_clock(CENTURY), "read"),
    "of-1970": (_clock(-1.79e9), "read"),
    "another-name": (_value(lambda v, own: (v["machine"].update(host="pc01"), own.update(host="pc01"))), "read"),
    "a-thousand-systems": (_value(lambda v, own: v.update(systems=[{**own, "system": f"s{n}"} for n in range(1000)])), "read"),
    "equal-systems": (_value(lambda v, own: v.update(systems=[own] * 30)), "read"),
    "no-systems": (_value(lambda v, _: v.update(systems=[])), "read"),
    "systems-of-what": (_value(lambda v, _: v.update(systems=[1, None, [], "x", {}, {"system": 3}])), "read"),
    "a-million-scripts": (_file(b'{"format":1,"systems":[{"scripts":[' + b"{}," * 1_000_000 + b"{}]}]}"), "flaw"),
    "many-scripts": (_value(lambda _, own: own.update(scripts=[{"name": f"{n:02}", "state": "failing"} for n in range(6000)])), "read"),
    "long-texts": (_value(lambda _, own: own.update(notes=["x" * 200_000], image="y" * 5000)), "read"),
    "long-name": (_value(lambda v, own: (v["machine"].update(host="h" * 4000), own.update(system="s" * 4000))), "read"),
    "odd-paths": (_value(lambda _, own: own["changed"].update(did={"drift": ["../../x", "/", "", "a\nb", ".", "..", "x" * 5000]})), "read"),
    "duplicates": (_file(b'{"format":1,"format":2,"machine":{"host":"a","host":"b"},"systems":[],"systems":{}}'), "read"),
    "lone-surrogate": (_file(b'{"format":1,"machine":{"host":"\\ud800","kernel":"\\udfff"},"systems":[{"system":"\\ud800"}]}'), "read"),
    "wrong-types": (_file(b'{"format":1,"machine":[],"systems":{"a":1},"sent":"now"}'), "read"),
    "prototype": (_value(lambda v, own: (v.update(__proto__={"x": 1}), own.update(system="__proto__", image="constructor"))), "read"),
    "metrics": (_value(lambda _, own: own.update(system='a"} 1\nallie_fleet_pcs{state="current', image="\\")), "read"),
    "a-format": (_value(lambda _, own: own.update(system="%n%s{0.__class__}", notes=["%(x)s {host}"])), "read"),
    "like-a-flag": (_value(lambda _, own: own.update(system="--help", image="-rf")), "read"),
}  # fmt: skip
