"""`allie fleet adopt`: what a PC offers is a stranger's, until somebody has said yes.

docs/internals/rules.md, "A hand fix is offered by hand".
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allie.core import digest
from allie.core.change.hand_fix import LARGEST, HandFix
from allie.core.errors import Busy, StateError
from allie.machine.files import lock, tree
from allie.server.adopting import reach, take
from allie.server.adopting.take import OPEN, REFUSED, TAKEN
from allie.server.fleet import fleet as fleets
from allie.server.fleet.fleet import Concern, Fleet, Pc
from allie.server.fleet.told import Told, ToldFacts, ToldSystem
from tests.worlds.toy import File, make_tree

OLD, NEW = "the old lab\n", b"the new lab\n"


def fix(**other: Any) -> HandFix:
    base = digest.of(OLD.encode())
    return HandFix("etc/motd", "common", "etc/motd##class.lab", base, NEW)._replace(**other)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    top = tmp_path / "store"
    make_tree(top / "overlays/kit", {"root/conf/run-conf": OLD})
    make_tree(top / "overlays/common", {"etc/motd##class.lab": File(OLD, 0o640), "etc/motd": "x\n"})
    return top


def test_it_is_taken_and_a_second_time_changes_nothing(store: Path) -> None:
    path = store / "overlays/common/etc/motd##class.lab"
    os.chown(path, 7, 8) if os.geteuid() == 0 else None
    os.setxattr(path, "user.note", b"stays")
    before, times = path.stat(), (store / "overlays/common/etc/motd").stat().st_mtime_ns
    case = take.case_of(str(store), "pc07", fix())
    assert (case.state, case.present) == (OPEN, OLD.encode())
    take.take(str(store), case)
    after = path.stat()
    assert path.read_bytes() == NEW
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert os.getxattr(path, "user.note") == b"stays"
    assert (store / "overlays/common/etc/motd").stat().st_mtime_ns == times
    assert sorted(os.listdir(path.parent)) == ["motd", "motd##class.lab"]
    assert take.case_of(str(store), "pc07", fix()).state == TAKEN


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.rename(path.parents[4] / "outside")
    path.symlink_to(path.parents[4] / "outside")


def _linked_directory(path: Path) -> None:
    path.parent.rename(path.parents[4] / "elsewhere")
    path.parent.symlink_to(path.parents[4] / "elsewhere")


HOSTILE: dict[str, dict[str, Any]] = {
    "no overlay": {"overlay": "commun"},
    "the store's own place": {"overlay": ".parts"},
    "no name at all": {"overlay": ""},
    "a way out by the overlay": {"overlay": "../images", "spelling": "etc/motd"},
    "an absolute overlay": {"overlay": "/etc", "spelling": "passwd", "path": "passwd"},
    "another host's own": {"overlay": "private", "spelling": "pc08/etc/motd"},
    "by its place": {"overlay": "private/pc08", "spelling": "etc/motd"},
    "the kit": {"overlay": "kit", "spelling": "root/conf/run-conf", "path": "root/conf/run-conf"},
    "a new path": {"spelling": "etc/cron.d/evil", "path": "etc/cron.d/evil"},
    "a new variant": {"spelling": "etc/motd##host.pc08"},
    "a way out": {"spelling": "../../../../etc/passwd", "path": "../../../../etc/passwd"},
    "a way round": {"spelling": "etc/../etc/motd##class.lab"},
    "an absolute one": {"spelling": "/etc/passwd", "path": "/etc/passwd"},
    "a directory": {"spelling": "etc", "path": "etc"},
    "nothing": {"spelling": "", "path": ""},
    "a null byte": {"spelling": "etc/motd\0", "path": "etc/motd\0"},
    "another path's file": {"path": "etc/shadow"},
    "what the PC never compared with": {"base": "00" * 32},
    "too much": {"content": b"x" * (LARGEST + 1)},
    "no content": {"content": b""},
}
STORES: dict[str, Callable[[Path], object]] = {
    "a link": _link,
    "a link above it": _linked_directory,
    "a fifo": _fifo,
    "it is gone": Path.unlink,
    "setuid": lambda path: path.chmod(0o4755),
    "setgid": lambda path: path.chmod(0o2755),
    "another name": lambda path: os.link(path, path.with_name("other")),
    "larger": lambda path: path.write_bytes(b"x" * (LARGEST + 1)),
    "changed since": lambda path: path.write_text("changed since\n"),
}


def _all(top: Path) -> dict[str, Any]:
    """All that is in a store and beside it, with what a write would change."""
    out = {}
    for name, _ in tree.listing(str(top)):
        st = (top / name).lstat()
        out[name] = (st.st_mode, st.st_ino, st.st_size, st.st_mtime_ns)
    return out


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_report_cannot_do(store: Path, name: str) -> None:
    make_tree(store / "private/pc08", {"etc/motd": OLD})
    make_tree(store / "images/etc", {"motd": OLD})
    before = _all(store.parent)
    case = take.case_of(str(store), "pc07", fix(**HOSTILE[name]))
    assert case.state == REFUSED, case
    assert case.why
    with pytest.raises(StateError, match="nothing is taken"):
        take.take(str(store), case)
    assert _all(store.parent) == before


@pytest.mark.parametrize("name", STORES)
def test_what_is_left_to_a_person_in_the_store(store: Path, name: str) -> None:
    seen = take.case_of(str(store), "pc07", fix())
    STORES[name](store / "overlays/common/etc/motd##class.lab")
    before = _all(store.parent)
    case = take.case_of(str(store), "pc07", fix())
    assert case.state == REFUSED, case
    for each in (case, seen):  # also where it came between the look and the yes
        if each is seen or name != "changed since":
            with pytest.raises(StateError, match="nothing is taken"):
                take.take(str(store), each)
    assert _all(store.parent) == before


ELSEWHERE = {name: each for name, each in HOSTILE.items() if {"overlay", "spelling"} & {*each}}


@pytest.mark.parametrize("name", [*ELSEWHERE, *STORES, "as it is"])
def test_what_a_report_is_compared_with_is_the_overlays_file_alone(store: Path, name: str) -> None:
    """Each view asks whether an offer was taken: by a link or a fifo it hangs nowhere."""
    path = store / "overlays/common/etc/motd##class.lab"
    path.write_bytes(NEW)
    STORES.get(name, str)(path)
    told = Told("pc07", 1.0, fixes=(fix(**ELSEWHERE.get(name, {})),))
    found = fleets._waiting(str(store), ("common", "kit"), told)
    is_same = name in ("as it is", "setuid", "setgid", "another name")
    assert found is not None
    assert bool(found.fixes) != is_same


def test_two_at_once_wait_for_each_other(store: Path) -> None:
    case = take.case_of(str(store), "pc07", fix())
    with (
        lock.of_directory(str(store / "overlays/common"), lambda: Busy("held")),
        pytest.raises(Busy, match="somebody else"),
    ):
        take.take(str(store), case)


CALLS = ("open", "fchown", "setxattr", "fchmod", "fsync", "rename")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_it_is_old_or_new_and_goes_on(
    store: Path, call: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a child that is killed before or after a call, as by kill -9."""
    path = store / "overlays/common/etc/motd##class.lab"
    os.setxattr(path, "user.note", b"stays")
    case = take.case_of(str(store), "pc07", fix())
    child = os.fork()
    if not child:
        real = getattr(os, call)

        def dies(*words: Any, **named: Any) -> Any:
            if call == "open" and words[0] != take._BESIDE:
                return real(*words, **named)
            if after:
                real(*words, **named)
            os._exit(9)

        monkeypatch.setattr(os, call, dies)
        take.take(str(store), case)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert path.read_bytes() in (OLD.encode(), NEW)
    assert path.stat().st_mode & 0o7777 == 0o640
    again = take.case_of(str(store), "pc07", fix())
    if again.state != TAKEN:
        take.take(str(store), again)
    assert path.read_bytes() == NEW
    assert os.getxattr(path, "user.note") == b"stays"
    assert sorted(os.listdir(path.parent)) == ["motd", "motd##class.lab"]


def a_fleet(store: Path, told: dict[str, ToldSystem | None]) -> Fleet:
    """Hosts that told this of themselves."""
    pcs = [
        Pc(host, Concern("current", ""), 1.0, (), system and Told(host, 1.0, systems=(system,)), ())
        for host, system in told.items()
    ]
    return Fleet(2.0, str(store), tuple(pcs), {})


def test_whom_it_would_reach(store: Path) -> None:
    lab = ToldSystem("a", "debian12", classes=("lab",), overlays=("kit", "common", "private"))
    make_tree(
        store / "overlays",
        {
            "over/etc/motd": "over it\n",
            "far/etc/motd##arch.x86_64": "perhaps\n",
            "near/etc##host.pc10/motd": "a directory's tag\n",
        },
    )
    make_tree(store / "private/pc02", {"etc/motd": "its own\n"})
    fleet = a_fleet(
        store,
        {
            "pc01": lab,
            "pc02": lab,  # has its own
            "pc03": lab._replace(classes=()),
            "pc04": lab._replace(overlays=("kit", "common", "over")),
            "pc05": lab._replace(overlays=("kit", "common", "far")),
            "pc06": lab._replace(overlays=("kit",)),
            "pc07": None,
            "pc08.lab.example": lab,
            "pc09": lab._replace(overlays=("kit", "common", "gone")),
            "pc10": lab._replace(overlays=("kit", "common", "near")),
            "pc11": lab._replace(overlays=("kit", "common", "near")),
            "pc12": lab._replace(overlays=("kit", "common", "far"), facts=ToldFacts(arch="x86_64")),
            "pc13": lab._replace(overlays=("kit", "common", "far"), facts=ToldFacts(arch="armv7l")),
        },
    )
    found = reach.reached(fleet, fix())
    assert found.certain == ("pc01", "pc08.lab.example", "pc09", "pc11", "pc13")
    assert found.perhaps == ("pc05",)
    assert found.silent == ("pc07",)
    far = reach.reached(fleet, fix(overlay="far", spelling="etc/motd##arch.x86_64"))
    assert (far.certain, far.perhaps) == (("pc12",), ("pc05",))
    virt = reach.reached(fleet, fix(overlay="far", spelling="etc/motd##virt.kvm"))
    assert virt.perhaps == ("pc05", "pc12", "pc13"), "nobody has asked there on what they run"
    plain = reach.reached(fleet, fix(spelling="etc/motd"))
    assert plain.certain == ("pc03",)
