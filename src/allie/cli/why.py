"""Show why a file is as it is: which variants there are, which one wins, and what stands there."""

from __future__ import annotations

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.apply import real_paths
from allie.client.situation import grounds
from allie.client.state import records
from allie.core.change.ledger import NOTHING, UNKNOWN, Ledger
from allie.core.change.resolution import Resolution
from allie.core.errors import DONE, PathRefused
from allie.core.system import System
from allie.machine.roots import paths
from allie.machine.roots.reach import Reach


def add_arguments(parser: ArgumentParser) -> None:
    """A path."""
    options.add_view(parser)
    parser.add_argument("path", help="a path on this system, as /etc/hosts.allow")


def run(args: Namespace) -> int:
    """Print the resolution of one path."""
    here = options.joined_system(args)
    path = options.path_of(here, args.path)
    known = grounds.resolve(here)
    ledger = records.load_ledger(here)
    inside = real_paths.inside_of(here, ledger, known)
    path = real_paths.as_spelled(inside, path, known)
    stands = _stands(here, inside, path, ledger)
    value = _value(path, known.resolution) | {"stands": stands.strip()}
    options.show(args, value, [*explain(path, known.resolution), stands])
    return DONE


def explain(path: str, resolution: Resolution) -> list[str]:
    """The winner and the losers of a path, in words."""
    entry = resolution.entries.get(path)
    problems = [f"  {each.message}" for each in resolution.problems if each.path == path]
    what = "left as it is" if problems else "in no overlay for this system"
    if entry:
        what = entry.source + (f" ({entry.flag})" if entry.flag else "")
    lines = [f"/{path} is {what}"]
    lines += [
        f"  not {each.overlay}/{each.spelling}: {each.reason}"
        for each in resolution.losers
        if each.path == path
    ]
    return lines + problems


def _value(path: str, resolution: Resolution) -> dict[str, object]:
    return {
        "path": f"/{path}",
        "winner": resolution.entries.get(path),
        "losers": [each for each in resolution.losers if each.path == path],
        "problems": [each.message for each in resolution.problems if each.path == path],
    }


def _stands(here: System, inside: paths.Inside, path: str, ledger: Ledger) -> str:
    """What stands at the path, as far as the ledger knows of it."""
    try:
        real = inside.entry(path)
        with Reach(here.root) as reach:
            stands = reach.describe(real)
    except PathRefused as refused:
        return f"  {refused}"
    except OSError as error:
        return f"  it cannot be looked at: {error.strerror}"
    also = f" (really /{real})" if real != path else ""
    placed = ledger.entries.get(real)
    if placed is None:
        what = "nothing stands there" if stands[0] == NOTHING else "it is not ALLiE's"
        return f"  {what}{also}"
    before = {
        NOTHING: "nothing stood there before",
        UNKNOWN: "nobody knows what stood there before",
    }.get(placed.pristine, "what stood there before is kept")
    same = stands == (placed.content, placed.attrs)
    since = "gone since" if stands[0] == NOTHING else "changed since"
    return f"  {'as' if same else since} it was placed{also}; {before}"
