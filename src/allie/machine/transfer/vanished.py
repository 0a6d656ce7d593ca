"""Whether all that rsync missed had gone away: of a tree in which people, or a system, are at work.

That is no failure: such a tree has no state in which it stands still.
"""

from __future__ import annotations

from allie.core.lean import re
from allie.machine.programs.process import Finished
from allie.machine.transfer import rsync

_VANISHED = 24  # rsync(1), EXIT VALUES
# A name that was asked for is another thing: it may never have been there
_GONE = rb"rsync: (\[sender\] )?(?!link_stat |change_dir )[^\[].*: No such file or directory \(2\)$"


def is_all(finished: Finished) -> bool:
    """Whether nothing else is wrong. Where it asks for an ACL rsync says 23, not 24."""
    lines = finished.err.splitlines() if finished.code == rsync.PARTIAL else []
    errors = [line for line in lines if line.startswith((b"rsync: ", b"could "))]
    is_known = finished.code in (0, _VANISHED, rsync.PARTIAL) and not finished.cut
    return is_known and all(re.match(_GONE, line) for line in errors)
