"""The file systems that have a label now, and what each of them lies on.

blkid(8) reads a label in a process of its own, as udev does for whatever is plugged in; no file
system is mounted, and nothing else on the disk is read, before core.boot.partition_choice has
chosen.
"""

from __future__ import annotations

import os
import stat
from _collections_abc import Iterator
from contextlib import ExitStack, contextmanager

from allie.core.boot import partition_choice
from allie.core.boot.partition_choice import Candidate
from allie.core.conf import system_roots
from allie.machine.disk import loop, physical
from allie.machine.programs import process, process_groups

_PATIENCE = 60.0  # seconds without a byte: a disk that answers nothing delays no tick
_LINKS = {"UUID": "by-uuid", "PARTUUID": "by-partuuid"}


@contextmanager
def pinned(where: str, device: str = "") -> Iterator[list[Candidate]]:
    """What LABEL= or PARTLABEL= names, each kept open, so that no other disk gets its number.

    device: only this one, whatever its label.
    """
    with ExitStack() as stack:
        found = []
        for words in [probe(device)] if device else _search(where):
            try:
                opened = os.open(words["DEVNAME"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue  # it is gone again
            stack.callback(os.close, opened)
            found.append(_described(opened, words))
        yield partition_choice.joined(found)


def names(where: str) -> list[str]:
    """The devices that LABEL= or PARTLABEL= names; on a healthy PC one, or none."""
    return [each["DEVNAME"] for each in _search(where)]


def _search(where: str) -> list[dict[str, str]]:
    # -c /dev/null: its cache may know disks that are gone
    found = _blkid(["-c", "/dev/null", "-o", "export", "-t", where])
    link = system_roots.device(where)
    if not found and os.path.exists(link):  # blkid is not here, or is another's (busybox)
        return [_by_links(os.path.realpath(link))]
    return found


def probe(device: str) -> dict[str, str]:
    """What blkid, in its words, finds on one device; else what udev says of it by its links."""
    for words in _blkid(["-p", "-o", "export", device]):
        named = {name.replace("PART_ENTRY_UUID", "PARTUUID"): words[name] for name in words}
        return {**named, "DEVNAME": device}
    return _by_links(device)


def _blkid(argv: list[str]) -> list[dict[str, str]]:
    """What it says of each device."""
    if not process.has_program("blkid"):
        return []
    done = process.run(["blkid", *argv], bounds=process_groups.Bounds(_PATIENCE))
    out = done.out.decode(errors="replace")
    blocks = [block.splitlines() for block in out.split("\n\n")]
    found = [dict(line.partition("=")[::2] for line in lines) for lines in blocks]
    return [each for each in found if each.get("DEVNAME")]


def _by_links(device: str) -> dict[str, str]:
    """What udev's links say of a device."""
    words = {"DEVNAME": device}
    for name, folder in _LINKS.items():
        place = f"/dev/disk/{folder}"
        links = os.listdir(place) if os.path.isdir(place) else []
        mine = [link for link in links if os.path.realpath(f"{place}/{link}") == device]
        if mine:
            words[name] = mine[0]
    return words


def _described(opened: int, words: dict[str, str]) -> Candidate:
    status = os.fstat(opened)
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    disks = physical.under(number) if stat.S_ISBLK(status.st_mode) else []
    is_loop = any(each.marks[0].startswith("loop=") for each in disks)
    file = loop.file_of(opened) if is_loop else ""
    if file:
        disks = [each._replace(marks=(*each.marks, f"file={file}")) for each in disks]
    return Candidate(
        words["DEVNAME"],
        words.get("UUID", ""),
        physical.layer_uuid(number) or words.get("PARTUUID", ""),
        words.get("TYPE", ""),
        tuple(disks),
        physical.is_partition(number),
    )
