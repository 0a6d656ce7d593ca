"""Groups of PCs, for ClusterShell: `allie fleet --group NAME`, `allie fleet --groups [HOST]`.

Its group source (packaging/clustershell/allie.conf) asks for nothing else. A name that is `-` is
read from standard input, so that none comes into a command line of the shell.
"""

from __future__ import annotations

import sys

from allie.cli.options import ArgumentParser, Namespace
from allie.core.errors import DONE, UsageError, did_you_mean
from allie.machine import console
from allie.server.fleet.fleet import Fleet
from allie.server.views import groups

_LONGEST = 512  # characters of a name that is read


def add_arguments(parser: ArgumentParser) -> None:
    """Which group, or all of them."""
    words = "print the hosts of a group, one a line; -: its name is read from standard input"
    parser.add_argument("--group", metavar="NAME", help=words)
    words = "list the groups; of a host: those that it is in"
    parser.add_argument("--groups", action="store_true", help=words)


def is_asked(args: Namespace) -> bool:
    """Whether one of them is asked for."""
    return args.groups or args.group is not None


def run(args: Namespace, fleet: Fleet) -> int:
    """Print the hosts of a group, or the names of groups; 0 also where there are none."""
    if args.group is not None:
        for host in _members(fleet, _name(args.group)):
            console.say(host)
        return DONE
    if len(args.host) > 1:
        raise UsageError("--groups is of one host, or of all", "allie fleet --groups pc07")
    host = _name(args.host[0]) if args.host else ""
    pcs = tuple(pc for pc in fleet.pcs if host in ("", pc.host))
    found = groups.of(pcs[0]) if host and pcs else () if host else groups.members(pcs)
    for each in sorted(found):
        console.say(each)
    return DONE


def _members(fleet: Fleet, group: str) -> list[str]:
    """The hosts of a group. Raises UsageError where there is no such group."""
    found = groups.members(fleet.pcs)
    if group not in found:
        hint = did_you_mean(group, found) or "allie fleet --groups"
        raise UsageError(f"there is no group {group} of PCs", hint)
    return found[group]


def _name(word: str) -> str:
    """What was said, or is read."""
    return sys.stdin.readline(_LONGEST).rstrip("\n") if word == "-" else word
