"""Take a hand fix that a PC offers into an overlay.

allie fleet adopt [HOST]       what is offered, and how it stands
allie fleet adopt HOST PATH    show it, and who else would get it; ask, and take it
"""

from __future__ import annotations

import time

from allie.cli import consent, options
from allie.cli.options import ArgumentParser, Namespace
from allie.core.change import difference, hand_fix
from allie.core.errors import DONE, StateError, UsageError, did_you_mean
from allie.core.script import span_text
from allie.machine import console
from allie.server import store as stores
from allie.server.adopting import reach, take
from allie.server.adopting.take import OPEN, TAKEN, Case
from allie.server.fleet import fleet as fleets
from allie.server.fleet import host_sets
from allie.server.fleet.fleet import Fleet
from allie.server.fleet.standing import adopting

_LOOKS = {OPEN: "warn", TAKEN: "good"}


def add_arguments(parser: ArgumentParser) -> None:
    """Whose, and which."""
    parser.add_argument("host", nargs="?", help="the PC")
    parser.add_argument("path", nargs="?", help="the file, as the PC names it")
    options.add_store(parser)
    options.add_json(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: Namespace) -> int:
    """Show it, or take it."""
    store = stores.need(args.store)
    options.need_root()
    fleet = fleets.load(store, time.time())
    cases = _cases(fleet, args.host)
    if not args.path:
        return _list(cases, args)
    options.no_json(args)
    path = args.path.strip("/")
    case = next((each for each in cases if each.fix.path == path), None)
    if case is None:
        near = did_you_mean(f"/{path}", [f"/{each.fix.path}" for each in cases])
        raise UsageError(f"{args.host} does not offer /{path}", near or "allie fleet adopt")
    return _take(fleet, case, args)


def _cases(fleet: Fleet, host: str | None) -> list[Case]:
    """What is offered, by one host or by all. Raises UsageError for a host that nobody knows."""
    named = [each.host for each in fleet.pcs]
    if host is not None and host not in named:
        hint = did_you_mean(host, named) or "allie fleet"
        raise UsageError(f"no host {host} is known here", hint)
    offer = [each.host for each in fleet.pcs if each.told and each.told.fixes]
    wanted = offer if host is None else [host]  # of one also what was taken
    whole = [fleets.told_by(fleet.store, each) for each in wanted]
    return [
        take.case_of(fleet.store, told.host, fix) for told in whole if told for fix in told.fixes
    ]


def _list(cases: list[Case], args: Namespace) -> int:
    value = [
        {"host": each.host, **hand_fix.shown(each.fix, each.state, each.why)} for each in cases
    ]
    options.show(args, value, [line for each in cases for line in _lines(each, args)])
    if not cases and not args.json:
        console.say("nothing is offered")
    return DONE


def _lines(case: Case, args: Namespace) -> list[str]:
    fix = case.fix
    state = console.paint(f"{case.state:<8}", _LOOKS.get(case.state, "bad"))
    since = f", {span_text(time.time() - fix.at)} ago" if 0 < fix.at <= time.time() else ""
    lines = [f"{state} {case.host} /{fix.path}  for {fix.source}{since}"]
    lines += [f"         {fix.reason}"] if fix.reason else []
    if case.state == OPEN:
        lines.append(f"         {adopting(stores.need(args.store), case.host, fix.path)}")
    return lines + ([f"         {case.why}"] if case.why else [])


def _take(fleet: Fleet, case: Case, args: Namespace) -> int:
    fix = case.fix
    if case.state == TAKEN:
        console.say(f"{fix.source} is so already: nothing is changed")
        return DONE
    console.say(
        f"{case.host} offers this for {fix.source}{f': {fix.reason}' if fix.reason else ''}"
    )
    names = (f"{fix.source} (the store's)", f"{case.host}:/{fix.path}")
    consent.difference(difference.lines(case.present, fix.content, names) if case.present else [])
    if case.state != OPEN:
        hint = f"change {fix.source} by hand, or have {case.host} offer it again after a tick"
        raise StateError(f"it is not taken: {case.why}", hint)
    _say_whom(fleet, case)
    consent.need(f"Write it to {fix.source}?", "nothing is changed", yes=args.yes)
    take.take(fleet.store, case)
    console.say(f"{fix.source} is changed; owner and mode are as they were")
    console.say("  PCs have it after their next tick; in a store under git it is to be committed")
    return DONE


def _say_whom(fleet: Fleet, case: Case) -> None:
    """Say who gets the file, as all have told of themselves."""
    found = reach.reached(fleet, case.fix)
    count = len(found.certain)
    who = f"{count} host{'s get' if count != 1 else ' gets'} it: {host_sets.fold(found.certain)}"
    console.say(who if count else "no host gets it, by what they have told")
    if found.perhaps:
        words = "by distro, version, arch or virt, which they do not tell, perhaps also to"
        console.say(f"  {words} {host_sets.fold(found.perhaps)}")
    if found.silent:
        console.say(f"  not known of {host_sets.fold(found.silent)}: no report of theirs says")
