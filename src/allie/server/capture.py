"""Capture a golden machine's system: over ssh, or from the daemon of `allie offer`.

A second capture brings the difference; one that was cut short goes on where it was.
"""

from __future__ import annotations

import os
import re

from allie.core import leftout, offering
from allie.core.errors import UsageError
from allie.core.value import Value
from allie.machine import atomic, mounts, process, rsync
from allie.machine.groups import Bounds
from allie.server import bring
from allie.server.parts import Part

_STALL = 300  # seconds; a golden machine may be slow to list its files
_ADDRESS = re.compile(r"(ssh://[^/]+(/.*)?|rsync://[^/]+/.+)")
_HIDING = re.compile(rb"\[sender\] hiding \S+ (.*) because of pattern (.*)")


class LeftOut(Value):
    """Some of what was not brought."""

    what: str
    why: str
    entries: int = 0  # what is in a directory is not counted


def check_address(address: str) -> None:
    """Raise UsageError unless it is one of the two kinds of golden machine."""
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"{address} is no golden machine",
            "ssh://root@HOST/, or the rsync://HOST:PORT/offer that `allie offer` shows there",
        )


def capture(
    part: Part, address: str, wanted: tuple[str, ...], bandwidth: str = ""
) -> list[LeftOut]:
    """Bring the golden machine's root; what was left out.

    wanted: paths on other file systems, or of those that are left out, that are to come as well.
    bandwidth: what the transfer may take, as rsync's --bwlimit has it.
    """
    check_address(address)
    for path in wanted:
        if not path.startswith("/"):
            raise UsageError(f"--with {path}: not an absolute path")
    rows = leftout.rows(wanted)
    options = [*rsync.transport(address, _STALL), "-x", "-vv", "--info=NONE", "--debug=NONE"]
    options += [f"--bwlimit={bandwidth}"] * bool(bandwidth)
    options += ["--relative"] * bool(wanted)
    options += leftout.filters(rows)
    sources = _sources(address, wanted)
    done = bring.bring(part, sources, options, address, stall=_STALL, is_running=True)
    bring.need_root(part.tree, address, force=False)
    return _hidden(done.out, rows) + _other_disks(address, wanted)


def tell_done(part: Part, address: str) -> bool:
    """Let the offer end; False where it could not be told."""
    mailbox = offering.mailbox(address)
    if not mailbox:
        return True
    note = f"{part.top}.{offering.MESSAGE}"
    atomic.write(note, f"{os.path.basename(part.image)} on {os.uname().nodename}\n", durable=False)
    reach = rsync.transport(address, _STALL)
    argv = ["rsync", *reach, "--", note, f"{mailbox}/{offering.MESSAGE}"]
    done = process.run(argv, bounds=Bounds(_STALL))
    atomic.remove(note)
    return done.code == 0


def _sources(address: str, wanted: tuple[str, ...]) -> list[str]:
    """The arguments for rsync; with more than the root, each relative to the root (/./)."""
    dot = "./" if wanted else ""
    if address.startswith("rsync://"):
        base = address.rstrip("/")
        return [f"{base}/{dot}", *(f"{base}/{dot}{path.strip('/')}/" for path in wanted)]
    host, top = rsync.ssh_target(address)
    base = f"/{top}".rstrip("/")
    return [f"{host}:{base}/{dot}", *(f":{base}/{dot}{path.strip('/')}/" for path in wanted)]


def _hidden(out: bytes, rows: list[leftout.Row]) -> list[LeftOut]:
    """What rsync says that it left out, one row for each reason."""
    counts: dict[str, list[str]] = {}
    for line in out.splitlines():
        found = _HIDING.search(line)
        if found:
            pattern = found.group(2).decode(errors="replace")
            why = leftout.reason(pattern, rows)
            where = "lost+found" if pattern == "lost+found/" else pattern.rstrip("*").rstrip("/")
            counts.setdefault(why, []).append(where)
    return [
        LeftOut(" ".join(sorted(set(places))), why, len(places)) for why, places in counts.items()
    ]


def _other_disks(address: str, wanted: tuple[str, ...]) -> list[LeftOut]:
    """The file systems of the golden machine that were not brought; an offer shows its own."""
    if not address.startswith("ssh://"):
        return []
    host, top = rsync.ssh_target(address)
    if top.strip("/"):
        return []
    remote = rsync.transport(address, _STALL)[1].split()
    done = process.run([*remote, host, "cat", "/proc/self/mountinfo"], bounds=Bounds(_STALL))
    points = {mounts.parse_line(line) for line in done.out.splitlines() if len(line.split()) > 5}
    left = sorted(mounts.other_disks(points, "/") - set(wanted))
    return [LeftOut(point, "another file system: --with takes it in") for point in left]
