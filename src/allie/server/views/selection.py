"""Selection: which PCs of the fleet somebody asks for.

Hosts are meant by name (`pc07`), by ranges (`pc[01-20,35]`), by globs (`lab*`), and by
host sets with commas, as they are printed here. What else is asked for narrows that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from allie.core import hosts
from allie.core.errors import UsageError, did_you_mean
from allie.core.value import Value
from allie.server.fleet.fleet import Fleet, Pc
from allie.server.fleet.host_sets import divided

_MOST = 100_000  # hosts that one range may name


class Selection(Value):
    """What is asked for: all of it must hold."""

    hosts: tuple[str, ...] = ()  # patterns; (): all
    classes: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    script: str = ""
    drift: bool = False

    @property
    def one(self) -> str:
        """The name of the one host that is meant, by its name alone; "" where it is otherwise."""
        alone = self._replace(hosts=()) == Selection() and len(self.hosts) == 1
        named = self.hosts[0] if alone else ""
        return named.lower() if named and hosts.is_exact(named) and "," not in named else ""


def selected(fleet: Fleet, asked: Selection) -> Fleet:
    """The fleet without those who are not asked for.

    Raises UsageError where a pattern, a class, a system or a script fits nobody at all: a slip.
    """
    pcs: Iterable[Pc] = fleet.pcs
    if asked.hosts:
        meant = _meant(fleet, asked.hosts)
        pcs = (pc for pc in pcs if pc.host in meant)
    for name in asked.classes:
        _need("class", name, {each for pc in fleet.pcs for each in pc.classes})
        pcs = [pc for pc in pcs if name in pc.classes]
    for name in asked.systems:
        _need("system", name, {each.told.name for pc in fleet.pcs for each in pc.systems})
        pcs = [pc for pc in pcs if any(each.told.name == name for each in pc.systems)]
    for state in asked.states:
        pcs = [pc for pc in pcs if pc.stands(state)]
    if asked.drift:
        pcs = [pc for pc in pcs if pc.drift]
    if asked.script:
        _need("script", asked.script, scripts(fleet.pcs))
    return fleet._replace(pcs=tuple(pcs))


def scripts(pcs: Iterable[Pc]) -> set[str]:
    """The names of all scripts that any of them has."""
    return {one.name for pc in pcs for each in pc.systems for one in each.told.scripts}


def _meant(fleet: Fleet, words: Sequence[str]) -> set[str]:
    by_name: dict[str, list[str]] = {}
    for pc in fleet.pcs:
        for name in {*hosts.names_of(pc.host)}:
            by_name.setdefault(name, []).append(pc.host)
    found: set[str] = set()
    for pattern in (each.lower() for word in words for each in divided(word)):
        named = hosts.named(pattern, _MOST)
        fits = [host for name in named for host in by_name.get(name, ())]
        if not named:
            fits = [pc.host for pc in fleet.pcs if hosts.matches(pattern, hosts.names_of(pc.host))]
        if not fits:
            nobody = f"{pattern[:80]}: no such host is expected, and none has reported"
            raise UsageError(nobody, did_you_mean(pattern, by_name) or "allie fleet")
        found.update(fits)
    return found


def _need(what: str, name: str, known: set[str]) -> None:
    if name not in known:
        some = f"there are: {', '.join(sorted(known)[:12])}" if known else ""
        hint = did_you_mean(name, known) or some or "allie fleet"
        raise UsageError(f"no PC has a {what} {name[:80]}", hint)
