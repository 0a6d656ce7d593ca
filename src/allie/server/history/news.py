"""What became bad or good since somebody last asked: for cron, which mails what is printed.

    Fleet, what was told  →  News, and what is to be remembered once they were printed

What is bad is told by its cause, so a second script that fails is news, and a silence that lasts is
none. What comes and goes is told as that, once, and again when it has been the same for a day.
Whoever prints says when it was printed; until then the same is told again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from allie.core.errors import UsageError
from allie.core.value import Value
from allie.machine.files import atomic
from allie.server.fleet.fleet import ATTENTION, STATES, Concern, Fleet, Pc
from allie.server.history import journal

NAME, _OF = "asked", "asked-"  # the file of who asks without a name, and so begin those of names
MOST_ASKERS = 16  # with names
BAD, GOOD, RESTLESS = "bad", "good", "restless"
_OFTEN, _DAY = 3, 86400  # so often within a day, and it comes and goes
_MOST, _TOO_MANY = 10, 30  # causes of one PC that are told; that come and go within a day
_WORDS = 200  # letters that are told of one cause
_NO_MORE = "so much that no more is told of it for a day"
_NAMED = ("allie run-conf ", "allie why ")  # so begins what names a script, or a path
_ALL = ""  # the cause that stands for all of a PC's, while too many of them come and go
_SILENT = ("missing", "stale")  # nothing is known of how its systems are


class News(Value):
    """What became so on some PCs."""

    kind: str  # bad, good or restless
    concern: Concern  # equal for all of them, but for its time
    system: str  # "": of the whole PC
    hosts: tuple[str, ...]  # "": this server


# Host → cause → what it is, whether it is so, its turns
_Asked = dict[str, dict[str, dict[str, Any]]]


def since_last(fleet: Fleet, asked: _Asked) -> tuple[list[News], _Asked]:
    """The news, worst first, and what is to be kept of them. asked: what was kept last time."""
    found: dict[tuple[str, str, str, str], tuple[Concern, list[str]]] = {}
    kept: _Asked = {}
    for host, present in _causes(fleet):
        told, known = _of_host(present, asked.get(host, {}), fleet.now)
        for kind, system, concern in told:
            key = (kind, system, concern.state, concern.why)
            found.setdefault(key, (concern, []))[1].append(host)
        kept[host] = {cause: each for cause, each in known.items() if each["bad"] or each["turns"]}
    news = [
        News(kind, concern, system, tuple(hosts))
        for (kind, system, _, _), (concern, hosts) in found.items()
    ]
    return sorted(news, key=_order), {host: each for host, each in kept.items() if each}


def _of_host(
    present: dict[str, tuple[str, Concern]], asked: dict[str, dict[str, Any]], now: float
) -> tuple[list[tuple[str, str, Concern]], dict[str, dict[str, Any]]]:
    """What is to be told of one PC, and to be kept of it."""
    known = {cause: dict(each) for cause, each in asked.items()}
    if _ALL in known and 0 <= now - known[_ALL]["turns"][0] < _DAY:
        return [], known
    known.pop(_ALL, None)
    if len(known) > _TOO_MANY:
        all_of_it = Concern(next(iter(known.values()))["state"], _NO_MORE)
        return [(RESTLESS, "", all_of_it)], {_ALL: {**_new("", all_of_it), "turns": [now]}}
    is_silent = any(concern.state in _SILENT for _, concern in present.values())
    told = []
    for cause in {**present, **known}:
        system, concern = present.get(cause, ("", None))
        entry = known.get(cause) or known.setdefault(cause, _new(system, concern))
        kind = "" if is_silent and not concern else _turned(entry, concern, now)
        if kind:
            was = Concern(entry["state"], entry["why"])
            told.append((kind, entry["system"], concern or was))
    return told, known


def read(store: str, asker: str = "") -> _Asked:
    """What was told when this one last asked; nothing where he never did, or it is damaged.

    asker: a name like a host's; "": whoever has none. Raises UsageError where too many ask.
    """
    if asker:
        _need_room(f"{store}/{journal.DIRECTORY}", asker)
    [value, *_] = [*journal.oldest_first(store, _file(asker)), {}]
    hosts = value.get("hosts")
    good = hosts if isinstance(hosts, dict) else {}
    return {str(host): _entries(each) for host, each in good.items()}


def save(store: str, asked: _Asked, asker: str = "") -> None:
    """Keep it. Raises StateError where the disk does not take it: then all is told again."""
    path = f"{store}/{journal.DIRECTORY}/{_file(asker)}"
    atomic.write(path, json.dumps({"hosts": asked}), 0o600)


def _need_room(place: str, asker: str) -> None:
    known = sorted(name for name in os.listdir(place) if name.startswith(_OF))
    if _file(asker) not in known and len(known) >= MOST_ASKERS:
        words = f"{len(known)} ask already: {', '.join(name[len(_OF) :] for name in known)}"
        raise UsageError(words, f"remove {place}/{_OF}NAME of one that asks no more")


def _file(asker: str) -> str:
    return f"{_OF}{asker}" if asker else NAME


def _causes_of(pc: Pc) -> dict[str, tuple[str, Concern]]:
    """What is bad about a PC: a name that stays the same as long as it is → (system, what it is).

    The system is "" where it is the whole PC.
    """
    whole = [("", each) for each in pc.concerns if each.state in ATTENTION]
    own = [(view.told.name, each) for view in pc.systems for each in view.concerns]
    found: dict[str, tuple[str, Concern]] = {}
    for system, each in whole or own:
        if each.state in ATTENTION and len(found) < _MOST:
            named = each.on_pc if each.on_pc.startswith(_NAMED) else each.why
            found[f"{system}/{each.state}/{named}"[:_WORDS]] = system, each
    return found


def _causes(fleet: Fleet) -> Iterator[tuple[str, dict[str, tuple[str, Concern]]]]:
    """Of each host, and ("") of the server itself."""
    yield "", {words[:_WORDS]: ("", Concern(STATES[0], words)) for words in fleet.troubles[:_MOST]}
    for pc in fleet.pcs:
        yield pc.host, _causes_of(pc)


def _new(system: str, concern: Concern | None) -> dict[str, Any]:
    state, why = (concern.state, concern.why[:_WORDS]) if concern else ("", "")
    present = {"system": system, "state": state, "why": why}
    return {**present, "bad": False, "turns": [], "restless": False}


def _turned(entry: dict[str, Any], concern: Concern | None, now: float) -> str:
    """What is to be told of one cause, "" if nothing; the entry is brought up to date."""
    is_bad = concern is not None
    turns = [at for at in entry["turns"] if 0 <= now - at < _DAY]
    has_turned = is_bad != entry["bad"]
    entry["bad"], entry["turns"] = is_bad, turns
    if has_turned:
        entry["turns"] = [*turns, now][-_OFTEN - 1 :]
        if concern:
            entry["state"], entry["why"] = concern.state, concern.why[:_WORDS]
    if entry["restless"]:
        entry["restless"] = bool(entry["turns"])
        return "" if entry["restless"] else _kind(is_bad)
    if len(entry["turns"]) > _OFTEN:
        entry["restless"] = True
        return RESTLESS
    return _kind(is_bad) if has_turned else ""


def _kind(is_bad: bool) -> str:
    return BAD if is_bad else GOOD


def _order(news: News) -> tuple[int, int, int, str]:
    """Worst first; of equal states what most PCs have."""
    kinds = (BAD, RESTLESS, GOOD)
    return (
        kinds.index(news.kind),
        STATES.index(news.concern.state),
        -len(news.hosts),
        news.concern.why,
    )


def _entries(value: Any) -> dict[str, dict[str, Any]]:
    """What was kept of one host, as far as it is sound."""
    good = value if isinstance(value, dict) else {}
    found = {}
    for cause, each in good.items():
        try:
            entry = {name: type(new)(each[name]) for name, new in _new("", None).items()}
            entry["turns"] = [float(at) for at in entry["turns"]]
        except (KeyError, TypeError, ValueError):
            continue
        if entry["state"] in STATES and (cause != _ALL or entry["turns"]):
            found[str(cause)] = entry
    return found
