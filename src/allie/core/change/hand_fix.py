"""A hand fix: a file of an overlay that somebody changed on a PC, and offers to the store.

    allie adopt PATH, on a PC  →  HandFix  →  the PC's report  →  allie fleet adopt, on the server

It is the one thing in a report that has the content of a file, and comes by a person's command
alone: one regular file that the overlay has already, without owner and mode, of a bounded size.
Pure. docs/internals/rules.md, "A hand fix is offered by hand".
"""

from __future__ import annotations

import binascii
from _collections_abc import Iterable

from allie.core.conf.settings import PRIVATE
from allie.core.stubs import KIT
from allie.core.value import TYPE_CHECKING, Value

if TYPE_CHECKING:
    from typing import Any

LARGEST = 64_000  # bytes of a file, and of all together that one PC offers
MOST = 16  # files that one PC offers
LONGEST_REASON = 400  # characters
_SET_ID = 0o6000  # stat.S_ISUID | stat.S_ISGID
_CAPABILITY = "security.capability"  # capabilities(7)


class HandFix(Value):
    """A file that somebody on the PC would like to have in the overlay (`allie adopt PATH`)."""

    path: str
    overlay: str  # which holds the file that it differs from
    spelling: str  # that file's path in the overlay, with its tags
    base: str  # sha256 of the overlay's file that it was compared with
    content: bytes  # at most LARGEST
    reason: str = ""
    at: float = 0.0  # seconds since the epoch

    @property
    def source(self) -> str:
        """Where the overlay's file stands below the store's overlays/."""
        return f"{self.overlay}/{self.spelling}"


def refusal(overlay: str, mode: int, attributes: Iterable[str] = ()) -> tuple[str, str]:
    """Why a file of an overlay cannot be offered, and what to do; ("", "") if it can.

    mode, attributes: the overlay's file's (the names of extended ones).
    """
    if overlay == PRIVATE or overlay.startswith(f"{PRIVATE}/"):
        return (
            "it is this host's own, of its private overlay: no report has such a file's content",
            "bring it to the server by hand, to STORE/private/HOST",
        )
    if overlay == KIT:
        return "it is ALLiE's own kit", "a newer ALLiE on the server brings another"
    if mode & _SET_ID or _CAPABILITY in attributes:
        return "it gives its caller rights (setuid, setgid, capabilities)", "change it in the store"
    return "", ""


def to_json(fix: HandFix) -> dict[str, Any]:
    """As it is kept, and in a report: the content in base64 (RFC 4648)."""
    return {**fix._asdict(), "content": binascii.b2a_base64(fix.content, newline=False).decode()}


def shown(fix: HandFix, state: str, why: str) -> dict[str, Any]:
    """As `allie adopt --list` and `allie fleet adopt` print it with --json."""
    found = {"path": f"/{fix.path}", "file": fix.source, "state": state, "why": why}
    return {**found, "reason": fix.reason, "at": fix.at}


def from_json(value: Any) -> HandFix:
    """Read what `to_json` wrote here; raises ValueError if it is anything else.

    What a report says is read by `server.fleet.told`, which believes less.
    """
    try:
        content = binascii.a2b_base64(value["content"])
        known = {name: value[name] for name in HandFix._fields if name in value}
        return HandFix(**{**known, "content": content})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no hand fix: {error!r}") from error
