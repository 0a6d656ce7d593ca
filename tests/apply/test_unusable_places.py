"""One place of the root that cannot be used: its paths are named, all others come, and it heals.

Whatever is to be done below it (place, change, take away, bring back), and whatever is wrong.
"""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, mounted
from tests.worlds.served_mount import serving
from tests.worlds.toy import Dir, File, Link, Tree

pytestmark = [pytest.mark.real, pytest.mark.root]
PLACE = "srv/p"
BEFORE: Tree = {
    f"{PLACE}/kept": "k\n",
    f"{PLACE}/changed": "1\n",
    f"{PLACE}/gone": "g\n",
    f"{PLACE}/sub/gone": "g\n",
    f"{PLACE}/becomes/file": "f\n",
    f"{PLACE}/was": "f\n",
    f"{PLACE}/variant##host.pc07": "1\n",
    f"{PLACE}/taken": "t\n",
    f"{PLACE}/mode": Dir(0o755),
}
ROOT: Tree = {f"{PLACE}/taken": "the PC's\n", f"{PLACE}/mine/f": "f\n"}
AFTER: Tree = {
    f"{PLACE}/changed": "22\n",
    f"{PLACE}/becomes": "a file\n",
    f"{PLACE}/was/file": "in a directory\n",
    f"{PLACE}/variant##host.pc07": "22\n",
    f"{PLACE}/mine##absent": "",
    f"{PLACE}/new/in/new": "n\n",
    f"{PLACE}/link": Link("kept"),
    f"{PLACE}/mode": Dir(0o700),
    f"{PLACE}/secret": File("s\n", 0o600),
}
GONE = ("gone", "sub/gone", "becomes/file", "was", "taken")
Trouble = Callable[[Path], AbstractContextManager[object]]

# Mounts a file system of root's whose every answer is one error. argv: the mount point, the number.
_ERRORS = """
import ctypes, os, struct, sys
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if ctypes.CDLL(None).mount(b"x", sys.argv[1].encode(), b"fuse.x", 6, options):
    sys.exit("not mounted")
first = True
while True:
    try:
        request = os.read(fuse, 1 << 18)
    except OSError:
        break
    number, = struct.unpack_from("<Q", request, 8)
    if first:
        body = struct.pack("<IIIIHHIIHHII", 7, 31, 65536, 0, 16, 12, 65536, 1, 0, 0, 0, 0)
        body += bytes(24)
        os.write(fuse, struct.pack("<IiQ", 16 + len(body), 0, number) + body)
        print("mounted", flush=True)
        first = False
    elif struct.unpack_from("<I", request, 4)[0] not in (2, 36, 42):  # FORGET, INTERRUPT: no answer
        os.write(fuse, struct.pack("<IiQ", 16, -int(sys.argv[2]), number))
"""


def _answers(number: int) -> Trouble:
    @contextmanager
    def trouble(place: Path) -> Iterator[None]:
        try:
            with serving(_ERRORS, place, number):
                yield
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)

    return trouble


def _attribute(letter: str, name: str = "") -> Trouble:
    @contextmanager
    def trouble(place: Path) -> Iterator[None]:
        subprocess.run(["chattr", f"+{letter}", place / name], check=True)
        try:
            yield
        finally:
            subprocess.run(["chattr", f"-{letter}", place / name], check=True)

    return trouble


@contextmanager
def _read_only(place: Path) -> Iterator[None]:
    with mounted(place, "--bind", source=str(place)):
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        yield


@contextmanager
def _empty_and_read_only(place: Path) -> Iterator[None]:
    with mounted(place, "-t", "tmpfs", "-o", "ro"):
        yield


def _another(make: Callable[[Path], object]) -> Trouble:
    """Something else has come in its stead."""

    @contextmanager
    def trouble(place: Path) -> Iterator[None]:
        place.rename(place.with_name("away"))
        make(place)
        try:
            yield
        finally:
            place.unlink()
            place.with_name("away").rename(place)

    return trouble


ERRORS = ("EIO", "ESTALE", "EACCES", "EPERM", "ENOTCONN", "ETIMEDOUT", "ELOOP", "ENAMETOOLONG")
TROUBLES: dict[str, Trouble] = {
    **{f"answers {name}": _answers(getattr(errno, name)) for name in ERRORS},
    "an immutable directory": _attribute("i"),
    "a directory that only grows": _attribute("a"),
    "an immutable file": _attribute("i", "changed"),
    "an immutable file that goes": _attribute("i", "gone"),
    "an immutable file in a directory that goes": _attribute("i", "sub/gone"),
    "an immutable file in a directory that becomes a file": _attribute("i", "becomes/file"),
    "an immutable directory that goes": _attribute("i", "mine"),
    "an immutable directory of ours": _attribute("i", "sub"),
    "a read-only mount": _read_only,
    "an empty read-only mount": _empty_and_read_only,
    "a link to itself": _another(lambda place: place.symlink_to(place.name)),
    "a link to nowhere": _another(lambda place: place.symlink_to("/no/where")),
    "a link to a file": _another(lambda place: place.symlink_to("/etc/other")),
}


@pytest.mark.parametrize("what", TROUBLES)
def test_all_others_come_and_it_heals(tmp_path: Path, what: str) -> None:
    world = World(tmp_path, {**BEFORE, "etc/other": "0\n"}, root=ROOT)
    world.good()
    with TROUBLES[what](world.at(PLACE)):
        world.take(*(f"{PLACE}/{name}" for name in GONE))
        world.put(AFTER)
        for number in range(1, 4):
            world.put({"etc/other": "x" * number, f"etc/new{number}": "n\n"})
            done = world.tick()
            assert world.read("etc/other") == "x" * number, done.out
            assert world.there(f"etc/new{number}"), done.out
            assert done.rc == 1, done.out
            assert f"/{PLACE}" in done.out and "a fault in this client" not in done.out, done.out
    for _ in range(2):
        world.tick()
    world.steady()
    assert world.read(f"{PLACE}/kept") == "k\n"
    assert world.read(f"{PLACE}/changed") == "22\n"
    assert world.read(f"{PLACE}/becomes") == "a file\n"
    assert world.read(f"{PLACE}/was/file") == "in a directory\n"
    assert world.read(f"{PLACE}/variant") == "22\n"
    assert world.read(f"{PLACE}/new/in/new") == "n\n"
    assert world.read(f"{PLACE}/taken") == "the PC's\n"
    assert world.at(f"{PLACE}/mode").stat().st_mode & 0o777 == 0o700
    for name in ("gone", "sub", "mine"):
        assert not world.there(f"{PLACE}/{name}"), name
