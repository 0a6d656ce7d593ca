"""List a directory, or one file, of a store by rsync. Pure."""

from __future__ import annotations

import os

from allie.machine.transfer import rsync


def of(store: str, path: str, reach: list[str]) -> list[str]:
    """List one file of a store or, with a / at its end, what is in a directory."""
    able = ["--list-only", "--8-bit-output", "--outbuf=L"]
    return ["rsync", *able, *reach, "--", rsync.sources(store, [path])[0]]


def parse(out: bytes) -> list[str]:
    """The directories in the output of that."""
    lines = (line.split(None, 3)[3:] for line in out.split(b"\n") if line[:1] == b"d")
    names = [os.fsdecode(each.partition(b" ")[2]) for line in lines for each in line]
    return [name for name in names if name != "."]
