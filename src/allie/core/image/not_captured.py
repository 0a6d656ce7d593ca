"""What of a root is not the system, and is not brought into an image: rsync's filter rules.

Pure. A captured machine lacks the rows below, each with its reason, its swap files and what is
mounted in it; `--with` takes one of these back in. An import lacks only what is mounted.
Mount points are left out by name: rsync's -x looks at device numbers, so it would bring a bind
mount of the same file system, and leave out a nested subvolume of a btrfs.
"""

from __future__ import annotations

import re
from _collections_abc import Iterable

from allie.core.value import Value


class LeftOut(Value):
    """Something that was not brought into an image."""

    what: str
    why: str
    entries: int = 0  # what is in a directory is not counted


class Row(Value):
    """Patterns as in rsync(1), FILTER RULES; anchored at the root by a slash."""

    patterns: str
    why: str
    keep: str = ""  # below them, this is brought nevertheless


ROWS = (
    Row("/proc/* /sys/* /dev/* /run/*", "the running kernel's"),
    Row("/tmp/* /var/tmp/*", "temporary files"),
    Row("/home/*", "users' own files"),
    Row("/root/.cache/*", "caches"),
    # debconf keeps the answers to its questions there
    Row("/var/cache/**", "caches", keep="/var/cache/**/ /var/cache/debconf/**"),
    Row("/var/log/**", "contents of logs", keep="/var/log/**/"),
    Row(
        "/var/lib/allie/* /var/lib/allie-code /var/log/allie /root/done/*",
        "what ALLiE knows of that machine",
        # the server needs these to put back what stood there before; then it removes them
        keep="/var/lib/allie/ledger /var/lib/allie/pristine/ /var/lib/allie/pristine/**",
    ),
    Row("/swapfile /swap.img /swap/* /var/swap* /swap.file", "swap"),
    Row("lost+found/", "a file system's own"),
    Row("/.snapshots/* /home/.snapshots/*", "snapshots"),
)


def rows(wanted: tuple[str, ...]) -> list[Row]:
    """The rows but for those of a path that is wanted nevertheless.

    >>> [row.why for row in rows(("/home",)) if "home" in row.patterns]
    []
    """
    found = []
    for row in ROWS:
        patterns = [each for each in row.patterns.split() if not _is_wanted(each, wanted)]
        if patterns:
            found.append(row._replace(patterns=" ".join(patterns)))
    return found


def filters(chosen: list[Row]) -> list[str]:
    """rsync's options for these rows. The first rule that matches a name decides."""
    options = []
    for row in chosen:
        options += [f"--filter=+ {pattern}" for pattern in row.keep.split()]
        options += [f"--filter=- {pattern}" for pattern in row.patterns.split()]
    return options


def mounted(points: Iterable[str], wanted: tuple[str, ...] = ()) -> list[str]:
    """rsync's options that leave out what is mounted at these points: a directory stays, empty.

    >>> mounted(["/srv/a*b"])
    ['--filter=+ /srv/a\\\\*b/', '--filter=- /srv/a\\\\*b/*', '--filter=- /srv/a\\\\*b']
    """
    rules = []
    for point in sorted(set(points) - {path.rstrip("/") for path in wanted}):
        name = literal(point)
        # A trailing slash is for directories alone; the last rule is for a file mounted over
        rules += [f"+ {name}/", f"- {_escaped(point)}/*", f"- {name}"]
    return [f"--filter={rule}" for rule in rules]


def ways(wanted: tuple[str, ...]) -> list[str]:
    """rsync's options by which these paths, and the directories above them, come in any case.

    They must stand before those that leave something out.
    """
    found = []
    for path in wanted:
        names = path.strip("/").split("/")
        above = ["/" + "/".join(names[:count]) for count in range(1, len(names) + 1)]
        found += [f"--filter=+ {literal(each)}/" for each in above]
    return found


def files(paths: Iterable[str]) -> list[str]:
    """rsync's options that leave out these files."""
    return [f"--filter=- {literal(path)}" for path in sorted(paths)]


def literal(path: str) -> str:
    """A path as a pattern of rsync's that matches it alone: it reads escapes beside wildcards."""
    return _escaped(path) if re.search(r"[*?[]", path) else path


def _escaped(path: str) -> str:
    return re.sub(r"([\\*?[])", r"\\\1", path)


def reason(pattern: str, chosen: list[Row]) -> str:
    """Why a pattern is left out; "" if it is none of these."""
    return next((row.why for row in chosen if pattern in row.patterns.split()), "")


def _is_wanted(pattern: str, wanted: tuple[str, ...]) -> bool:
    return any(pattern == path or pattern.startswith(path.rstrip("/") + "/") for path in wanted)
