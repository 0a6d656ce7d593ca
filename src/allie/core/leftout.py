"""What of a golden machine's root is not the system, and is not captured: rsync's filter rules.

Pure data, each row with its reason. Read by `server.capture`. Other file systems are left out, too
(rsync -x); `--with` takes one of these back in.
"""

from __future__ import annotations

from allie.core.value import Value


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
    ),
    Row("/swapfile /swap.img /swap/* /var/swap* /swap.file", "swap"),
    Row("lost+found/", "a file system's own"),
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
    """rsync's options for these rows; the first rule that matches a name decides."""
    options = []
    for row in chosen:
        options += [f"--filter=+ {pattern}" for pattern in row.keep.split()]
        options += [f"--filter=- {pattern}" for pattern in row.patterns.split()]
    return options


def reason(pattern: str, chosen: list[Row]) -> str:
    """Why a pattern is left out; "" if it is none of these."""
    return next((row.why for row in chosen if pattern in row.patterns.split()), "")


def _is_wanted(pattern: str, wanted: tuple[str, ...]) -> bool:
    return any(pattern == path or pattern.startswith(path.rstrip("/") + "/") for path in wanted)
