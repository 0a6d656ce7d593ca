"""Capture a golden machine's system: over ssh, or from the daemon of `allie offer`.

A second capture brings the difference; one that was cut short goes on where it was.
"""

from __future__ import annotations

import json
import os
import re
import shlex

from allie.core.conf import addresses
from allie.core.errors import StoreError, UsageError
from allie.core.image import not_captured, offering
from allie.core.image.not_captured import LeftOut
from allie.machine.disk.mounts_and_swap import Machine, described
from allie.machine.files import atomic
from allie.machine.mounts import mount_table
from allie.machine.programs import process
from allie.machine.programs.process_groups import Bounds
from allie.machine.transfer import rsync
from allie.server.images import from_tree
from allie.server.images.draft import Draft

_STALL = 300  # seconds; a golden machine may be slow to list its files
_ADDRESS = re.compile(r"(ssh://[^/]+(/.*)?|rsync://[^/]+/.+)")
_HIDING = re.compile(rb"\[sender\] hiding \S+ (.*) because of pattern (.*)")


def check_address(address: str) -> None:
    """Raise UsageError unless it is one of the two kinds of golden machine."""
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"{address} is no golden machine",
            "ssh://root@HOST/, or the rsync://HOST:PORT/offer that `allie offer` shows there",
        )


def capture(
    work: Draft, address: str, wanted: tuple[str, ...], bandwidth: str = ""
) -> list[LeftOut]:
    """Bring the golden machine's root; what was left out.

    wanted: paths on other file systems, or of those that are left out, that are to come as well.
    bandwidth: what the transfer may take, as rsync's --bwlimit has it.
    """
    check_address(address)
    for path in wanted:
        if not path.startswith("/"):
            raise UsageError(f"--with {path}: not an absolute path")
        # Of what a link leads to on another disk rsync would bring empty directories
        place = _sources(address, ())[0] + path.strip("/")
        ask = ["rsync", "--list-only", *rsync.transport(address, _STALL), "--", place]
        if process.run(ask, bounds=Bounds(_STALL)).out.startswith(b"l"):
            raise UsageError(f"--with {path}: that is a link there", "name what it leads to")
    rows = not_captured.rows(wanted)
    machine = _machine(work, address)
    options = [*rsync.transport(address, _STALL), "-vv", "--info=NONE", "--debug=NONE"]
    options += [] if machine.has_subvolumes else ["-x"]  # which takes them for other file systems
    options += [f"--bwlimit={bandwidth}"] * bool(bandwidth)
    options += ["--relative"] * bool(wanted)
    swap = set(machine.swap) - set(wanted)
    options += [*not_captured.ways(wanted), *not_captured.files(swap), *not_captured.filters(rows)]
    options += not_captured.mounted(machine.mounts, wanted)
    sources = _sources(address, wanted)
    done = from_tree.bring(work, sources, options, address, stall=_STALL, is_running=True)
    from_tree.need_root(work.tree, address, force=False)
    others = sorted(mount_table.other_disks(machine.mounts, "/") - set(wanted))
    left = [LeftOut(path, "swap") for path in sorted(swap)]
    left += [LeftOut(point, "another file system: --with takes it in") for point in others]
    return _hidden(done.out, rows) + left


def tell_done(work: Draft, address: str) -> bool:
    """Let the offer end; False where it could not be told."""
    mailbox = offering.mailbox(address)
    if not mailbox:
        return True
    note = f"{work.top}.{offering.MESSAGE}"
    atomic.write(note, f"{os.path.basename(work.image)} on {os.uname().nodename}\n", durable=False)
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
    host, _, top = addresses.login_at(address)
    base = f"/{top}".rstrip("/")
    return [f"{host}:{base}/{dot}", *(f":{base}/{dot}{path.strip('/')}/" for path in wanted)]


def _hidden(out: bytes, rows: list[not_captured.Row]) -> list[LeftOut]:
    """What rsync says that it left out, one row for each reason."""
    counts: dict[str, list[str]] = {}
    for line in out.splitlines():
        found = _HIDING.search(line)
        if found:
            pattern = found.group(2).decode(errors="replace")
            why = not_captured.reason(pattern, rows)
            if not why:
                continue  # a mount point or a swap file: these are named one by one
            where = "lost+found" if pattern == "lost+found/" else pattern.rstrip("*").rstrip("/")
            counts.setdefault(why, []).append(where)
    return [
        LeftOut(" ".join(sorted(set(places))), why, len(places)) for why, places in counts.items()
    ]


def _machine(work: Draft, address: str) -> Machine:
    """What the golden machine says of itself; what an offer of an older client says: nothing."""
    reach = rsync.transport(address, _STALL)
    if address.startswith("ssh://"):
        host, _, top = addresses.login_at(address)
        place = shlex.quote(f"/{top}".rstrip("/") or "/")
        tables = f"/proc/self/mountinfo /proc/swaps {place}/etc/fstab"
        ask = [*reach[1].split(), host, f"readlink -f -- {place} && cat {tables}"]
        done = process.run(ask, bounds=Bounds(_STALL))
        real, _, said = done.out.partition(b"\n")
        if not real.startswith(b"/"):
            raise StoreError(f"{address}: cannot be asked what is mounted: {done.last_words()}")
        return described(said.decode(errors="surrogateescape"), os.fsdecode(real))
    about, note = offering.about(address), f"{work.top}.{offering.MACHINE}"
    if not about:
        return Machine()
    try:
        fetch = ["rsync", "--max-size=16m", *reach, "--"]
        done = process.run([*fetch, f"{about}/{offering.MACHINE}", note], bounds=Bounds(_STALL))
        value = json.loads((atomic.read(note) or "") if done.code == 0 else "{}")
        paths = {key: tuple(map(str, value.get(key, ()))) for key in ("mounts", "swap")}
        return Machine(**paths, has_subvolumes=bool(value.get("has_subvolumes")))
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{address}: what it says of its mounts cannot be read") from error
    finally:
        atomic.remove(note)
