"""Let a host in no more at the ssh door: its private files and its inbox are closed to it at once.

allie store retire HOST              what it has it keeps; its places here stay
allie store retire HOST --withdraw   first its next tick withdraws what it has of its private files
allie store retire HOST --purge      and its places here are removed
"""

from __future__ import annotations

import os
import time

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.core.errors import ATTENTION, DONE, UsageError, did_you_mean
from allie.machine import console
from allie.server import store, store_conf
from allie.server.doors import connections, enrolled, host_places
from allie.server.fleet import expected
from allie.server.places import Places


def add_arguments(parser: ArgumentParser) -> None:
    """Whom, and what becomes of its files."""
    parser.add_argument("host", help="the host")
    options.add_store(parser)
    words = "let it withdraw its private files first; say it again to see whether it has"
    parser.add_argument("--withdraw", action="store_true", help=words)
    words = "remove what the store has of it: private files, and its report"
    parser.add_argument("--purge", action="store_true", help=words)


def run(args: Namespace) -> int:
    """Do it; 1 while the host has not withdrawn its files."""
    places = store_conf.places(store.need(args.store))
    host = enrolled.check_host(args.host)
    known = {each.host for each in enrolled.read(places)}
    placed = host_places.hosts(places)
    if host not in known | placed:
        classes = expected.survey(places.store, placed).classes_of(host)
        if classes:
            words = f"{host} is not enrolled, and has no place here: a class names it"
            raise UsageError(words, f"take it out of {', '.join(classes)} in the overlays' classes")
        hint = did_you_mean(host, known | placed) or "allie store enrol --list"
        raise UsageError(f"{host} is not enrolled, and has no place here", hint)
    if args.withdraw and host in known and _waits(places, host):
        return ATTENTION
    for gone in enrolled.retire(places, host):
        console.say(f"{host}: {gone.key.fingerprint} is its key no more")
    ended = connections.end(host)
    if ended:
        console.say(f"ended {ended} processes that served it, or were idle at the ssh door")
    for path in host_places.purge(places, host) if args.purge else ():
        console.say(f"removed {path}")
    if not args.purge and host in placed:
        console.say(f"its files stay here: {_retire(places, host)} --purge")
    return DONE


def _waits(places: Places, host: str) -> bool:
    """Whether the host has still to withdraw its private files; they are taken away now if not yet.

    A report that came later than that tells that it has: it ticks with an empty private place.
    """
    since = host_places.emptied(places, host)
    again, at_once = (f"{_retire(places, host)}{more}" for more in (" --withdraw", ""))
    if not since:
        if not os.path.isdir(places.private(host)):
            return False
        kept = host_places.empty(places, host)
        console.say(f"its private files are kept in {kept}; its next tick withdraws them")
        console.say(f"then: {again}")
        return True
    if host_places.reported(places, host) > since:
        return False
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(since))
    console.say(f"{host} has not reported since its private files were taken away, {when}")
    console.say(f"later again: {again}; or at once, and it keeps them: {at_once}")
    return True


def _retire(places: Places, host: str) -> str:
    """The command that retires it, to go on with."""
    return f"allie store retire {host}{store.named_store(places.store)}"
