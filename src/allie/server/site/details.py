"""What the pages of one host, one script and one path show: loaded when somebody looks at one.

Each is part of one of 256 files, by its name (`as_script.shard`); so of 5,000 hosts' details a few
files are written where a few hosts have news. Of what a host offers (`allie adopt`), the content is
not in it. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from allie.server.fleet import host_sets
from allie.server.fleet.fleet import Fleet, Pc, SystemView
from allie.server.fleet.standing import adopting, ending, path_of
from allie.server.fleet.told import ToldScript
from allie.server.history.notes import Event
from allie.server.site import as_script, summary
from allie.server.site.summary import Scripts
from allie.server.views import exchange

_EVENTS = 30  # of one host
_HOSTS = 1000  # of a path, and of a script in one state


def shards(
    fleet: Fleet, found: Scripts, events: Iterable[Event]
) -> Iterator[tuple[str, str, dict[str, dict[str, Any]]]]:
    """Kind (h, s or p), shard, and the details of what belongs there, by name.

    found: of `summary.scripts_of`; events: the newest first.
    """
    told = _by_host(events)
    by_shard: dict[str, list[Pc]] = defaultdict(list)
    for pc in fleet.pcs:
        by_shard[as_script.shard(pc.host)].append(pc)
    for shard, pcs in sorted(by_shard.items()):
        yield "h", shard, {pc.host: host(pc, fleet.store, told.get(pc.host, ())) for pc in pcs}
    for kind, details in (("s", scripts(fleet, found)), ("p", paths(fleet))):
        parts: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for name, value in details.items():
            parts[as_script.shard(name)][name] = value
        for shard, values in sorted(parts.items()):
            yield kind, shard, values


def host(pc: Pc, store: str, events: Iterable[Event]) -> dict[str, Any]:
    """All of one host."""
    found: dict[str, Any] = {
        **pc._asdict(),
        **exchange.of_concern(pc.worst, pc.host),
        "worst": None,
        "systems": [_system(each, pc.host) for each in pc.systems],
        "concerns": [],
        "events": [[int(each.at), each.system, each.kind, each.what] for each in events],
        "told": None,
    }
    if pc.told and not pc.told.flaw:
        fixes = [
            [each.path, each.overlay, each.reason, adopting(store, pc.host, each.path)]
            for each in pc.told.fixes
        ]
        told = pc.told._asdict()
        del told["systems"], told["host"], told["flaw"]
        found["told"] = {**told, "fixes": fixes}
    return found


def scripts(fleet: Fleet, known: Scripts) -> dict[str, dict[str, Any]]:
    """Each script: where it stands how, folded; and where it is not satisfied, what it said."""
    troubles: dict[str, dict[tuple[str, str, str], list[tuple[str, ToldScript]]]] = {}
    for pc in fleet.pcs:
        for system in pc.systems:
            for each in system.told.scripts:
                found = troubles.setdefault(each.name, defaultdict(list))
                if each.state not in ("satisfied", "due"):
                    found[each.state, ending(each), each.last].append((pc.host, each))
    return {
        name: {"states": _folded(by_host), "groups": _groups(troubles[name])}
        for name, by_host in known.items()
    }


def paths(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """Each path that was changed by hand: where, and when that was seen."""
    found: dict[str, list[tuple[str, str, int, str]]] = defaultdict(list)
    for pc in fleet.pcs:
        for system in pc.systems:
            for path in system.drift:
                change = system.told.change
                seen = (pc.host, system.told.name, int(change.at), change.kinds.get(path, ""))
                found[path_of(path)].append(seen)
    return {
        path: {
            "hosts": host_sets.fold(each[0] for each in seen),
            "count": len({each[0] for each in seen}),
            "seen": sorted(seen, key=lambda each: -each[2])[:_HOSTS],
        }
        for path, seen in found.items()
    }


def _by_host(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The newest of each host."""
    found: dict[str, list[Event]] = defaultdict(list)
    for each in events:
        if len(found[each.host]) < _EVENTS:
            found[each.host].append(each)
    return found


def _system(view: SystemView, host: str) -> dict[str, Any]:
    told = view.told
    return {
        **told._asdict(),
        **view._asdict(),
        **exchange.of_concern(view.worst, host),
        "worst": None,
        "told": None,
        "concerns": [[each.state, each.why, each.since, each.todo(host)] for each in view.concerns],
        "drift": [[path_of(path), told.change.kinds.get(path, "")] for path in view.drift],
        "facts": told.facts._asdict(),
        "contact": told.contact._asdict(),
        "own": told.own._asdict(),
        "change": told.change._asdict(),
    }


def _folded(by_host: Mapping[str, str]) -> list[tuple[str, int, str]]:
    """State, how many hosts, and which, "" where it is most of a large fleet: worst first."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, state in by_host.items():
        found[state].append(name)
    return [
        (state, len(hosts), host_sets.fold(hosts) if len(hosts) <= _HOSTS else "")
        for state in summary.SCRIPTS_WORST_FIRST
        if (hosts := found.get(state, ()))
    ]


def _groups(
    alike: Mapping[tuple[str, str, str], list[tuple[str, ToldScript]]],
) -> list[dict[str, Any]]:
    """Where it is not satisfied: hosts on which it ended alike together, the most first."""
    found = [
        {
            "state": state,
            "why": why,
            "last": last,
            "hosts": host_sets.fold(host for host, _ in each),
            "names": sorted({host for host, _ in each})[:_HOSTS],
            "count": len({host for host, _ in each}),
            "since": int(min((one.since for _, one in each if one.since), default=0)),
        }
        for (state, why, last), each in alike.items()
    ]
    order = summary.SCRIPTS_WORST_FIRST.index
    return sorted(found, key=lambda each: (order(str(each["state"])), -len(each["names"])))
