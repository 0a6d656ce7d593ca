"""What became bad or good since somebody last asked: for cron, which mails what is printed.

    Fleet, what was told  →  News, and what is to be remembered once they were printed

What is bad is told by its cause, so a second script that fails is news, and a silence that lasts is
none. What comes and goes is told as that, once, and again when it has been the same for a day.
Whoever prints says when it was printed; until then the same is told again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from allie.core.value import Value
from allie.machine.files import atomic
from allie.server.fleet.fleet import ATTENTION, STATES, Fleet, Pc, SystemView
from allie.server.fleet.host_sets import fold
from allie.server.history import journal
from allie.server.history.compare import ending, path_of

NAME = "asked"
BAD, GOOD, RESTLESS = "bad", "good", "restless"
_OFTEN, _DAY = 3, 86400  # so often within a day, and it comes and goes
_MOST, _TOO_MANY = 10, 30  # causes of one PC that are told; that come and go within a day
_WORDS = 200  # letters that are told of one cause
_NO_MORE = "so much that no more is told of it for a day"
_ALL = ""  # the cause that stands for all of a PC's, while too many of them come and go
_SILENT = ("missing", "stale")  # nothing is known of how its systems are


class Cause(Value):
    """One cause for which a PC needs attention."""

    state: str
    words: str  # the same for all PCs that have it
    todo: str


class News(Value):
    """What became so on some PCs."""

    kind: str  # bad, good or restless
    state: str
    words: str
    hosts: tuple[str, ...]
    todo: str = ""  # for one of them

    @property
    def host_set(self) -> str:
        """The PCs, folded; "" of the server's own trouble."""
        return fold(filter(None, self.hosts))


_Asked = dict[str, dict[str, dict[str, Any]]]  # host → cause → is it bad, its words, its turns


def since_last(fleet: Fleet, asked: _Asked) -> tuple[list[News], _Asked]:
    """The news, worst first, and what is to be kept of them. asked: what was kept last time."""
    found: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    kept: _Asked = {}
    for host, present in _causes(fleet):
        told, known = _of_host(present, asked.get(host, {}), fleet.now)
        for kind, trouble in told:
            found[kind, trouble.state, trouble.words][host] = trouble.todo
        kept[host] = {cause: each for cause, each in known.items() if each["bad"] or each["turns"]}
    news = [
        News(kind, state, words, tuple(hosts), next(iter(hosts.values())))
        for (kind, state, words), hosts in found.items()
    ]
    return sorted(news, key=_order), {host: each for host, each in kept.items() if each}


def _of_host(
    present: dict[str, Cause], asked: dict[str, dict[str, Any]], now: float
) -> tuple[list[tuple[str, Cause]], dict[str, dict[str, Any]]]:
    """What is to be told of one PC, and to be kept of it."""
    known = {cause: dict(each) for cause, each in asked.items()}
    if _ALL in known and 0 <= now - known[_ALL]["turns"][0] < _DAY:
        return [], known
    known.pop(_ALL, None)
    if len(known) > _TOO_MANY:
        all_of_it = Cause(next(iter(known.values()))["state"], _NO_MORE, "")
        return [(RESTLESS, all_of_it)], {_ALL: {**_new(all_of_it), "turns": [now]}}
    is_silent = any(each.state in _SILENT for each in present.values())
    told = []
    for cause in {**present, **known}:
        trouble, entry = present.get(cause), known.setdefault(cause, _new(present.get(cause)))
        kind = "" if is_silent and not trouble else _turned(entry, trouble, now)
        if kind:
            todo = trouble.todo if trouble else ""
            told.append((kind, Cause(entry["state"], entry["words"], todo)))
    return told, known


def read(store: str) -> _Asked:
    """What was told when somebody last asked; nothing where nobody did, or it is damaged."""
    [value, *_] = [*journal.oldest_first(store, NAME), {}]
    hosts = value.get("hosts")
    good = hosts if isinstance(hosts, dict) else {}
    return {str(host): _entries(each) for host, each in good.items()}


def save(store: str, asked: _Asked) -> None:
    """Keep it. Raises StateError where the disk does not take it: then all is told again."""
    atomic.write(f"{store}/{journal.DIRECTORY}/{NAME}", json.dumps({"hosts": asked}), 0o600)


def causes_of(pc: Pc) -> dict[str, Cause]:
    """What is bad about a PC: a name that stays the same as long as it is → what it is."""
    if pc.state in _SILENT:
        words = pc.why if pc.state == "missing" else "not heard of for long"
        return {pc.state: Cause(pc.state, words, pc.todo)}
    found: dict[str, Cause] = {}
    for view in pc.systems:
        if view.state in ATTENTION:
            of_which = "" if view is pc.systems[0] else f"{view.told.name}: "
            for cause, words in _words(view):
                trouble = Cause(view.state, f"{of_which}{words}"[:_WORDS], view.todo)
                found[f"{view.told.name}/{cause}"] = trouble
    return dict(list(found.items())[:_MOST])


def _causes(fleet: Fleet) -> Iterator[tuple[str, dict[str, Cause]]]:
    """Of each host, and ("") of the server itself."""
    yield "", {f"server/{words}": Cause(STATES[0], words, "") for words in fleet.troubles[:_MOST]}
    for pc in fleet.pcs:
        yield pc.host, causes_of(pc)


def _words(view: SystemView) -> Iterator[tuple[str, str]]:
    """The causes of one system's state, each with its words."""
    failing = [each for each in view.told.scripts if each.state == "failing"]
    if view.state == "failing" and (failing or view.told.problems):
        for script in failing:
            yield f"script {script.name}", f"{script.name} fails: {ending(script)}"
        for problem in view.told.problems:
            path = path_of(problem.path)
            yield f"path {path}", f"{path} is left as it is: {problem.message}"
    else:
        yield view.state, view.why


def _new(trouble: Cause | None) -> dict[str, Any]:
    state, words = (trouble.state, trouble.words) if trouble else ("", "")
    return {"bad": False, "state": state, "words": words, "turns": [], "restless": False}


def _turned(entry: dict[str, Any], trouble: Cause | None, now: float) -> str:
    """What is to be told of one cause, "" if nothing; the entry is brought up to date."""
    is_bad = trouble is not None
    turns = [at for at in entry["turns"] if 0 <= now - at < _DAY]
    has_turned = is_bad != entry["bad"]
    entry["bad"], entry["turns"] = is_bad, turns
    if has_turned:
        entry["turns"] = [*turns, now][-_OFTEN - 1 :]
        if trouble:
            entry["state"], entry["words"] = trouble.state, trouble.words
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
    return kinds.index(news.kind), STATES.index(news.state), -len(news.hosts), news.words


def _entries(value: Any) -> dict[str, dict[str, Any]]:
    """What was kept of one host, as far as it is sound."""
    good = value if isinstance(value, dict) else {}
    found = {}
    for cause, each in good.items():
        try:
            entry = {name: type(new)(each[name]) for name, new in _new(None).items()}
            entry["turns"] = [float(at) for at in entry["turns"]]
        except (KeyError, TypeError, ValueError):
            continue
        if entry["state"] in STATES and (cause != _ALL or entry["turns"]):
            found[str(cause)] = entry
    return found
