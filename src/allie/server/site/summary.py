"""What the overview shows of all PCs: a row of each, and what needs attention, folded.

It is loaded whole, and so kept short: columns, of which the words stand in a table once, and times
as seconds before the newest of them. Ages are the browser's affair: nothing here changes with time
alone. Pure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from allie.server.fleet import host_sets
from allie.server.fleet.fleet import ATTENTION, STATES, Fleet, Pc
from allie.server.fleet.standing import path_of
from allie.server.fleet.told import ToldScript
from allie.server.views.overview import SharedConcern, shared_concerns

Scripts = Mapping[str, Mapping[str, str]]  # by name, by host: how it stands there

SCRIPTS_WORST_FIRST = ("failing", "waiting", "due", "test", "satisfied")
_GROUPS, _NAMES = 100, 500  # of what needs attention; of scripts, and of paths
_WHY = 160  # letters
_WORDY = "why systems image version classes concerns scripts".split()
_NUMBER = re.compile("([0-9]+)")


def summary(fleet: Fleet, scripts: Scripts) -> dict[str, Any]:
    """All of it, as the page takes it. scripts: of `scripts_of`."""
    fleet = fleet._replace(pcs=tuple(sorted(fleet.pcs, key=_by_number)))
    found = _troubles_of(fleet)
    return {
        "states": STATES,
        "attention": ATTENTION,
        "counts": dict(Counter(pc.state for pc in fleet.pcs)),
        "rows": _columns(fleet, scripts, found[:_GROUPS]),
        "groups": [_group(each) for each in found[:_GROUPS]],
        "more": len({host for each in found[_GROUPS:] for host in each.hosts}),
        "verdicts": SCRIPTS_WORST_FIRST,
        "scripts": _bounded(
            {name: _numbers(by_host.values()) for name, by_host in scripts.items()}
        ),
        "paths": _bounded({path: [len(hosts)] for path, hosts in _paths_of(fleet).items()}),
        "troubles": [*fleet.troubles],
    }


def _troubles_of(fleet: Fleet) -> list[SharedConcern]:
    """What needs attention, worst first, then what befell the most; as `allie fleet` tells it."""
    return [each for each in shared_concerns(fleet) if each.concern.state in ATTENTION]


def scripts_of(fleet: Fleet) -> Scripts:
    """Script → host → how it stands there; where a host has several systems, the worst of it."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for pc in fleet.pcs:
        for system in pc.systems:
            for script in system.told.scripts:
                by_host = found[script.name]
                known = by_host.get(pc.host, script.state)
                by_host[pc.host] = script.state if known == script.state else _worse(known, script)
    return dict(sorted(found.items()))


def _paths_of(fleet: Fleet) -> dict[str, list[str]]:
    """Path that was changed by hand → the hosts."""
    found: dict[str, list[str]] = defaultdict(list)
    for pc in fleet.pcs:
        for path in dict.fromkeys(map(path_of, pc.drift)):
            found[path].append(pc.host)
    return dict(sorted(found.items()))


def _by_number(pc: Pc) -> list[str | int]:
    """To sort hosts as people do: pc9 before pc10."""
    pieces = _NUMBER.split(pc.host)
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)]


def _worse(state: str, script: ToldScript) -> str:
    return min(state, script.state, key=SCRIPTS_WORST_FIRST.index)


def _group(shared: SharedConcern) -> dict[str, Any]:
    concern = shared.concern
    return {
        "state": concern.state,
        "why": concern.why,
        "last": concern.last,
        "system": shared.system,
        "hosts": host_sets.fold(shared.hosts),
        "count": len(shared.hosts),
        "since": int(min((at for at in shared.since if at), default=0)),
        "todo": shared.todo,
    }


def _numbered(troubles: Iterable[SharedConcern]) -> Mapping[str, list[int]]:
    """Host → which of the troubles it has."""
    found: dict[str, list[int]] = defaultdict(list)
    for number, each in enumerate(troubles):
        for host in each.hosts:
            found[host].append(number)
    return found


def _numbers(verdicts: Iterable[str]) -> list[int]:
    counted = Counter(verdicts)
    return [counted[state] for state in SCRIPTS_WORST_FIRST]


def _bounded(numbers: Mapping[str, list[int]]) -> dict[str, Any]:
    """The worst of them, and how many there are."""
    worst = sorted(numbers.items(), key=lambda item: ([-each for each in item[1]], item[0]))
    return {"all": len(numbers), "worst": worst[:_NAMES]}


class _Words:
    """A column in which the same values come again and again: each stands once."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._at: list[int] = []

    def add(self, value: Hashable) -> None:
        self._at.append(self._numbers.setdefault(value, len(self._numbers)))

    def as_json(self) -> dict[str, Any]:
        return {"words": [*self._numbers], "at": self._at}


def _columns(fleet: Fleet, scripts: Scripts, troubles: Sequence[SharedConcern]) -> dict[str, Any]:
    """A row of each PC, column by column."""
    verdicts, concerns = _verdicts(scripts), _numbered(troubles)
    columns = {name: _Words() for name in _WORDY}
    for pc in fleet.pcs:
        first = pc.systems[0].told if pc.systems else None
        columns["why"].add(pc.why[:_WHY])
        columns["systems"].add(tuple(system.told.name for system in pc.systems))
        columns["image"].add(first.image if first else "")
        columns["version"].add(first.version if first else "")
        columns["classes"].add(pc.classes)
        columns["concerns"].add(tuple(concerns.get(pc.host, ())))
        columns["scripts"].add(tuple(verdicts.get(pc.host, ())))
    times = {
        "since": [pc.worst.since for pc in fleet.pcs],
        "heard": [pc.heard for pc in fleet.pcs],
        "reached": [pc.systems[0].reached if pc.systems else 0.0 for pc in fleet.pcs],
    }
    newest = max((int(at) for column in times.values() for at in column), default=0)
    return {
        "host": [pc.host for pc in fleet.pcs],
        "state": [STATES.index(pc.state) for pc in fleet.pcs],
        "drift": [len({*pc.drift}) for pc in fleet.pcs],
        "newest": newest,
        **{name: [_before(newest, at) for at in column] for name, column in times.items()},
        **{name: column.as_json() for name, column in columns.items()},
        "names": [*scripts],
    }


def _before(newest: int, at: float) -> int:
    """Seconds before the newest; -1: never, or not known."""
    return newest - int(at) if at > 0 else -1


def _verdicts(scripts: Scripts) -> Mapping[str, list[int]]:
    """Host → its scripts and how each stands, as numbers: 8 times the name's, and the state's."""
    found: dict[str, list[int]] = defaultdict(list)
    states = {state: at for at, state in enumerate(SCRIPTS_WORST_FIRST)}
    for number, by_host in enumerate(scripts.values()):
        for host, state in by_host.items():
            found[host].append(number * 8 + states[state])
    return found
