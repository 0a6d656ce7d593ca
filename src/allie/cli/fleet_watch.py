"""The views of the fleet over time: --log, --changed-since-last, --metrics, --site, --timer.

What several of them show is one look at the fleet, which is noted in the fleet's log. Where that
cannot be written, they are made all the same.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.core import hosts
from allie.core.errors import ATTENTION, DONE, AllieError, Busy, StateError, UsageError
from allie.core.script import parse_span
from allie.machine import console
from allie.machine.files import atomic
from allie.server import store as stores
from allie.server import systemd
from allie.server.fleet import fleet as fleets
from allie.server.fleet.fleet import Fleet
from allie.server.fleet.host_sets import fold
from allie.server.history import folded, journal, metrics, news, notes, timer
from allie.server.history.compare import Event
from allie.server.history.folded import Folded
from allie.server.history.news import BAD, GOOD, News
from allie.server.images import catalogue
from allie.server.site import write as site
from allie.server.views.overview import SharedConcern
from allie.server.views.selection import Selection, selected

_LINES = 40  # of the log, unless it is said since when
_EVENTS, _JSON_EVENTS = 50_000, 1000  # that are read for those; that are printed for programs
_WIDE = 60  # letters of a host set that stand in a line with other words
_COLLECTED = ".prom"  # how a file is called that node_exporter's textfile collector reads
_LOOKS = {BAD: "bad", GOOD: "good"}
_NARROW = ("names", "class_", "system_", "state", "stale", "failing", "missing", "drift", "script")
_MAKES = ("changed_since_last", "metrics", "site", "timer")  # options that make one look together


def add_arguments(parser: ArgumentParser) -> None:
    """What is to be made, or told."""
    words = "what changed where and when; of hosts or of a path"
    parser.add_argument("--log", action="store_true", help=words)
    words = "--log: all of this time, as 2d or 12h (the newest 40 lines)"
    parser.add_argument("--since", metavar="SPAN", help=words)
    words = "print what became bad or good since this (or NAME) last asked, and nothing else"
    parser.add_argument(
        "--changed-since-last", nargs="?", const=True, type=_asker, metavar="NAME", help=words
    )
    words = "write metrics for node_exporter's textfile collector"
    parser.add_argument("--metrics", metavar="FILE", help=words)
    parser.add_argument("--site", metavar="DIR", help="write a static site")
    words = "have systemd do --site and --metrics every few minutes"
    parser.add_argument("--timer", action="store_true", help=words)
    parser.add_argument("--every", metavar="TIME", help=f"the timer's pace ({timer.EVERY})")
    parser.add_argument("--remove", action="store_true", help="with --timer: remove it")


def _asker(text: str) -> str:
    """Who asks. Raises UsageError for a name that is no file's of ours."""
    if not hosts.is_name(text):
        raise UsageError(f"{text!r} is no name of one who asks", "a-z, 0-9, and - or . between")
    return text


def is_asked(args: Namespace) -> bool:
    """Whether one of them is asked for."""
    words = ("log", "since", "every", "remove", *_MAKES)
    return any(getattr(args, each) for each in words)


def run(args: Namespace) -> int:
    """Do it; 1 where something became bad, or the log could not be written."""
    _need_sense(args)
    options.need_root()
    if args.remove:
        options.say_removed(systemd.uninstall(timer.NAME))
        return DONE
    store = stores.need(args.store)
    if args.log:
        return _log(args, store)
    for place in filter(None, (args.site, args.metrics)):
        directory = os.path.dirname(os.path.realpath(place))
        if not os.path.isdir(directory):
            raise StateError(f"there is no {directory}", f"install -d {shlex.quote(directory)}")
    fleet = fleets.load(store, time.time())
    code = _note(fleet)
    if args.site:
        written = len(site.write(fleet, args.site))
        console.tell(f"wrote {args.site}: {written:,} file{'s' * (written != 1)} new")
    if args.metrics:
        text = metrics.text(fleet, catalogue.names(store))
        atomic.write(args.metrics, text, 0o644, durable=False)
        console.tell(f"wrote {args.metrics}")
    if args.timer:
        where = [each and os.path.realpath(each) for each in (args.site, args.metrics)]
        for path in systemd.install(timer.chore(store, *where), args.every or timer.EVERY):
            console.say(f"wrote {path}")
    return max(code, _changed_since_last(args, fleet)) if args.changed_since_last else code


def _need_sense(args: Namespace) -> None:
    """Raise UsageError for options that do not go together."""
    makes = [f"--{each.replace('_', '-')}" for each in _MAKES if getattr(args, each)]
    if args.log and makes:
        raise UsageError(f"--log and {makes[0]} do not go together", "one after the other")
    for each in _NARROW:
        if getattr(args, each):
            what = f"--{each.rstrip('_')} does not narrow {makes[0] if makes else '--log'}"
            only = "; --log is of HOSTS, or of a PATH" if args.log else ""
            raise UsageError(f"{what}{only}", f"leave out --{each.rstrip('_')}")
    if args.since and not args.log:
        raise UsageError("--since is the log's", "add --log")
    if args.host and not args.log:
        raise UsageError(f"{makes[0] if makes else '--log'} is of all hosts", "leave out HOSTS")
    if (args.every or args.remove) and not args.timer:
        word = "--every" if args.every else "--remove"
        raise UsageError(f"{word} is the timer's", "add --timer")
    if args.remove and (args.site or args.metrics or args.every or args.changed_since_last):
        raise UsageError("--remove removes the timer, and does nothing else", "leave out the rest")
    if args.timer and not (args.remove or args.site or args.metrics):
        raise UsageError("what is the timer to make?", "add --site DIR, or --metrics FILE")
    if args.metrics and not args.metrics.endswith(_COLLECTED):
        what = f"{args.metrics}: node_exporter reads files called *{_COLLECTED} alone"
        raise UsageError(what, f"--metrics {args.metrics}{_COLLECTED}")
    if args.json and makes and makes != ["--changed-since-last"]:
        raise UsageError(f"`allie fleet {makes[0]}` prints no JSON", "leave out --json")


def _note(fleet: Fleet) -> int:
    """Keep what is new in the log; 1 where that cannot be, which is said."""
    try:
        notes.note(fleet)
    except (Busy, StateError, OSError) as error:
        why = error.message if isinstance(error, AllieError) else str(error)
        console.warn(f"allie: the fleet's log was not written: {why}")
        return ATTENTION
    return DONE


def _changed_since_last(args: Namespace, fleet: Fleet) -> int:
    """Print the news; they are told again where somebody did not get them."""
    asker = "" if args.changed_since_last is True else args.changed_since_last
    with journal.opened(fleet.store):
        found, kept = news.since_last(fleet, news.read(fleet.store, asker))
        lines = [line for each in found for line in _news(each)]
        options.show(args, [_value(each) for each in found], lines)
        if console.is_heard():
            news.save(fleet.store, kept, asker)
    return ATTENTION if any(each.kind == BAD for each in found) else DONE


def _news(news: News) -> list[str]:
    """What became so, where; and what to do next."""
    state = news.concern.state
    heads = {BAD: f"now {state}", GOOD: f"no longer {state}"}
    head = console.paint(heads.get(news.kind, "comes and goes"), _LOOKS.get(news.kind, "warn"))
    where, below = fold(filter(None, news.hosts)) or "this server", []
    if len(where) > _WIDE:
        where, below = f"{len(news.hosts)} PCs", [f"    {where}"]
    more = "; told again once it stays the same for a day" if news.kind not in heads else ""
    return [f"{head}: {where}: {news.concern.why}{more}", *below, *_todo(news)]


def _todo(news: News) -> list[str]:
    """What to do about it: on one PC, or on all of them."""
    if news.kind != BAD or not any(news.hosts):
        return []
    todo = SharedConcern(news.concern, news.system, news.hosts, ()).todo
    return [f"    {todo}"] * bool(todo)


def _value(news: News) -> dict[str, Any]:
    """The same for programs."""
    told = {"kind": news.kind, "state": news.concern.state, "why": news.concern.why}
    where = {"system": news.system, "hosts": news.hosts}
    return {**told, **where, "todo": "".join(_todo(news)).strip()}


def _log(args: Namespace, store: str) -> int:
    """Print what became otherwise, newest first."""
    since = _since(args.since)
    about = ",".join(args.host)
    if len(args.host) > 1 and any(each.startswith("/") for each in args.host):
        raise UsageError("of one path at a time, or of hosts", f"allie fleet --log {args.host[0]}")
    fleet = fleets.load(store, time.time())
    code = _note(fleet)
    found = notes.events(store, about=about, since=since, now=fleet.now)
    if about and not about.startswith("/"):
        found = _some(found, fleet, args.host)
    if args.json:
        options.say_json(list(found if since else islice(found, _JSON_EVENTS)))
        return code
    events = list(islice(found, _EVENTS))
    lines = folded.plainly(folded.folded(events))
    several = len({each.system for each in lines if each.system}) > 1
    shown = lines if since else lines[:_LINES]
    for each in shown:
        console.say(_line(each, several=several))
    if len(lines) > len(shown):
        console.say(f"… and {len(lines) - len(shown)} more: allie fleet --log --since 30d")
    elif len(events) == _EVENTS:
        console.say("… and more: a shorter --since, some hosts, or --json has the rest")
    if not lines:
        of_what = f" of {about}" if about else ""
        console.tell(f"nothing is in the log{of_what}; what changes from now on will be")
    return code


def _some(found: Iterator[Event], fleet: Fleet, asked: list[str]) -> Iterator[Event]:
    """The same events. Raises UsageError where there are none, nor a host that is called so."""
    first = list(islice(found, 1))
    if not first:
        selected(fleet, Selection(tuple(asked)))
    return chain(first, found)


def _line(folded: Folded, *, several: bool) -> str:
    first, last = (time.localtime(at) for at in (folded.first, folded.last))
    when = time.strftime("%Y-%m-%d %H:%M", last)
    if last[:5] != first[:5]:
        is_one_day = last[:3] == first[:3]
        begin = time.strftime("%H:%M" if is_one_day else "%Y-%m-%d %H:%M", first)
        when = f"{time.strftime('%Y-%m-%d', last)} {begin}-{time.strftime('%H:%M', last)}"
        when = when if is_one_day else f"{begin} to {time.strftime('%Y-%m-%d %H:%M', last)}"
    where = folded.hosts or "the log"
    where = where if len(where) <= _WIDE else f"{folded.number} PCs ({where[: _WIDE - 20]}…)"
    system = f" {folded.system}" if several and folded.system else ""
    return f"{when:<22}  {where}{system}: {folded.what}"


def _since(span: str | None) -> float:
    """The time that --since means; 0 without."""
    if not span:
        return 0.0
    seconds = parse_span(span)
    if not seconds or span.isdigit():
        raise UsageError(f"--since {span}: that is no span of time", "12h, 2d, 4w")
    return time.time() - seconds
