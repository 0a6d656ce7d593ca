"""Words that all views have: times, host sets in lines, the looks of states."""

from __future__ import annotations

import time
from collections.abc import Iterable

from allie.core.script import span_text
from allie.server.fleet.host_sets import fold

LOOKS = {
    "missing": "bad",
    "stale": "bad",
    "failing": "bad",
    "refused": "bad",
    "paused": "warn",
    "behind": "warn",
    "arriving": "",
    "off": "dim",
    "current": "good",
}
_DAY, _YEAR = 86400, 365 * 86400


def when(at: float, now: float) -> str:
    """A time in at most ten letters: 09:14 of today, 28 Nov, 2024-11-28; - where there is none."""
    if not at:
        return "-"
    then, today = time.localtime(at), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M", then)
    return time.strftime("%d %b" if abs(now - at) < _YEAR / 2 else "%Y-%m-%d", then)


def moment(at: float) -> str:
    """A time in full."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else "never"


def spans(since: Iterable[float], now: float) -> str:
    """For how long something has been so, of several: `for 2 h`, `for 2 h to 5 d`; "" of none."""
    known = [now - each for each in since if 0 < each <= now]
    if not known:
        return ""
    least, most = span_text(min(known)), span_text(max(known))
    return f"for {least}" if least == most else f"for {least} to {most}"


def wrapped(names: Iterable[str], width: int, most: int = 4) -> list[str]:
    """A folded host set in lines of a width, `most` at most; longer pieces are not divided."""
    lines = [""]
    pieces = fold(names).split(",")
    for at, piece in enumerate(pieces):
        text = piece + ("," if at + 1 < len(pieces) else "")
        if lines[-1] and len(lines[-1]) + len(text) > width:
            if len(lines) == most:
                lines[-1] = lines[-1][: width - 1] + "…"
                return lines
            lines.append("")
        lines[-1] += text
    return lines


def many(number: int, what: str) -> str:
    """A number of things: 1 PC, 2 PCs."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")
