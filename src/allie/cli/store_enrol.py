"""Enrol hosts: each is known by its own ssh host key, and gets a private place and an inbox.

allie store enrol HOST KEY                     KEY: of its ssh_host_ed25519_key.pub
allie store enrol --scan HOST…                 ask them; pc07, pc[01-20], pc07=10.0.0.7
allie store enrol --known-hosts FILE [HOST…]   those of a known_hosts; all of it without HOST
allie store enrol --list [HOST…]               who is enrolled
"""

from __future__ import annotations

from collections.abc import Mapping

from allie.cli import consent, options
from allie.cli.options import ArgumentParser, Namespace
from allie.core.errors import ATTENTION, DONE, UsageError
from allie.machine import console
from allie.server import store, store_conf
from allie.server.doors import enrolled, host_places, public_key, scan
from allie.server.doors.public_key import PublicKey
from allie.server.places import Places


def add_arguments(parser: ArgumentParser) -> None:
    """Who, and from where the keys come."""
    parser.add_argument("host", nargs="*", help="the host and its key; or the hosts")
    options.add_store(parser)
    options.add_json(parser)
    parser.add_argument("--scan", action="store_true", help="ask the hosts for their keys")
    parser.add_argument("--known-hosts", metavar="FILE", help="the keys are in this file")
    parser.add_argument(
        "--port", type=options.port, default=scan.SSH_PORT, help="of the hosts' sshd (22)"
    )
    parser.add_argument("--list", action="store_true", help="who is enrolled, by which keys")
    parser.add_argument("--replace", action="store_true", help="instead of the keys that it has")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: Namespace) -> int:
    """Do it; 1 where a host was refused, or gave no key."""
    places = store_conf.places(store.need(args.store))
    if (bool(args.scan), bool(args.list), args.known_hosts is not None).count(True) > 1:
        raise UsageError("--scan, --known-hosts and --list are three ways", "take one of them")
    if args.list:
        return _list(places, args)
    options.no_json(args)
    if args.scan or args.known_hosts is not None:
        return _found(places, args)
    if len(args.host) < 2:
        raise UsageError("enrol needs HOST KEY", "allie store enrol pc07 'ssh-ed25519 AAAA…'")
    host = enrolled.check_host(args.host[0])
    return _enrol(places, {host: public_key.parse(" ".join(args.host[1:]))}, args)


def _found(places: Places, args: Namespace) -> int:
    """Enrol what a scan or a known_hosts has, once somebody has seen it."""
    named = scan.addresses(args.host)
    if args.scan and not named:
        raise UsageError("--scan needs hosts", "allie store enrol --scan pc[01-20]")
    if args.scan:
        found = scan.ask(named, args.port)
    else:
        found = scan.in_known_hosts(args.known_hosts, named, args.port)
    for words in found.said:
        console.warn(words)
    if args.scan and found.said:
        console.warn("       `allie status` on a PC that has no sshd shows how it is enrolled")
    known = {(each.host, each.key) for each in enrolled.read(places)}
    new = {host: key for host, key in found.keys.items() if (host, key) not in known}
    for host, key in new.items():
        console.say(f"{host:<24} {key.short_kind:<8} {key.fingerprint}")
    if len(new) < len(found.keys):
        console.say(f"{len(found.keys) - len(new)} enrolled already")
    if new and not args.yes:
        _need_consent(len(new))
    code = _enrol(places, new, args) if new else DONE
    return ATTENTION if found.said else code


def _need_consent(count: int) -> None:
    """Ask whether the keys shown are right. Raises UsageError where nobody says so."""
    consent.need_somebody(f"{count} would be enrolled;")
    console.say("Whoever answers first is believed: compare with what the PCs show.")
    consent.ask(f"Enrol {'it' if count == 1 else f'these {count}'}?", "nothing is enrolled")


def _enrol(places: Places, keys: Mapping[str, PublicKey], args: Namespace) -> int:
    outcome = enrolled.enrol(places, keys, replace=args.replace)
    for gone in outcome.gone:
        console.say(f"{gone.host}: {gone.key.fingerprint} is its key no more")
    for error in outcome.refused:
        console.warn(console.paint(f"not enrolled: {error.message}", "bad"))
        console.warn(f"       {error.hint}")
    refused = {each.host for each in outcome.refused}
    well = {host: key for host, key in keys.items() if host not in refused}
    for host, key in well.items() if len(well) == 1 else ():
        console.say(f"{host} is enrolled: {key.short_kind} {key.fingerprint}")
        console.say(f"what is for it alone goes below {places.private(host)}")
    if len(well) > 1:
        console.say(f"{len(well)} hosts are enrolled")
    return ATTENTION if outcome.refused else DONE


def _list(places: Places, args: Namespace) -> int:
    """Show who is enrolled, and who has a place here and is not."""
    wanted = {enrolled.check_host(host) for host in scan.addresses(args.host)}
    keys = [(each.host, each.key) for each in enrolled.read(places)]
    placed = host_places.hosts(places) - {host for host, _ in keys}
    rows = [
        {
            "host": host,
            "type": key.short_kind if key else None,
            "fingerprint": key.fingerprint if key else None,
            **host_places.standing(places, host)._asdict(),
        }
        for host, key in [*keys, *((host, None) for host in sorted(placed))]
        if host in wanted or not wanted
    ]
    options.show(args, rows, map(_line, rows))
    return DONE


def _line(row: dict[str, str | bool | None]) -> str:
    missing = [name for name in ("private", "inbox") if not row[name]]
    key = f"{row['type']:<8} {row['fingerprint']}" if row["type"] else "is not enrolled"
    return f"{row['host']:<24} {key}" + (f"; has no {' and no '.join(missing)}" if missing else "")
