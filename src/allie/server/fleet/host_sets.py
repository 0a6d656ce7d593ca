"""Names of hosts, folded as cluster tools fold them: pc[01-38,40]."""

from __future__ import annotations

from collections.abc import Iterable


def fold(names: Iterable[str]) -> str:
    """One host set of all names, which ClusterShell reads as the same hosts; "" of none.

    >>> fold(["pc02", "pc01", "srv", "pc03"])
    'pc[01-03],srv'
    """
    raise NotImplementedError
