"""Write the site: the pages once, the data where it is new."""

from __future__ import annotations

from allie.server.fleet.fleet import Fleet


def write(fleet: Fleet, place: str) -> list[str]:
    """Make the directory `place` the site of this fleet; the files that were written.

    Only what changed is written; what another site has left is removed. Files are of mode 0640,
    directories of 0750. Raises UsageError where `place` is full of something else.
    """
    raise NotImplementedError
