"""What a store that is a copy of another one knows of itself: mirror.json, at its top.

A few words, for people and for the next run; nothing in it describes a file.
"""

from __future__ import annotations

import json
import time

from allie.core.value import Value
from allie.machine.files import atomic

NAME = "mirror.json"
_TIMES = ("current", "thorough", "tried")


class MirrorState(Value):
    """How a store stands with the one that it is a copy of."""

    source: str  # that one's address
    current: float = 0.0  # seconds since the epoch: when it was last equal to it
    thorough: float = 0.0  # … compared by content, with ACLs and attributes
    tried: float = 0.0
    trouble: str = ""  # why it is not current; "" if it is

    @property
    def words(self) -> str:
        """It, in words."""
        when = "never yet"
        if self.current:
            when = time.strftime("last at %Y-%m-%d %H:%M", time.localtime(self.current))
        trouble = f"; {self.trouble}" if self.trouble else ""
        return f"a mirror of {self.source}: edits are overwritten; equal to it {when}{trouble}"


def read(store: str) -> MirrorState | None:
    """What is noted in a store; None in one of its own. A note that is damaged is of nobody."""
    text = atomic.read(f"{store}/{NAME}")
    if text is None:
        return None
    try:
        value = dict(json.loads(text))
        source, trouble = (str(value.get(key, "")) for key in ("source", "trouble"))
        current, thorough, tried = (float(value.get(key, 0)) for key in _TIMES)
        return MirrorState(source, current, thorough, tried, trouble)
    except (ValueError, TypeError):
        return MirrorState("")


def write(store: str, state: MirrorState) -> None:
    """Note it."""
    atomic.write(f"{store}/{NAME}", json.dumps(state._asdict()) + "\n", durable=False)
