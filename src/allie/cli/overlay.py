"""List, check and explain the store's overlays.

allie overlay list [NAME…]       names and sizes
allie overlay lint [NAME…]       what PCs refuse, and what can never match
allie overlay why PATH --host H  which variant a host gets, and why not the others
"""

from __future__ import annotations

from _collections_abc import Sequence

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.cli.why import explain
from allie.core.errors import ATTENTION, DONE, UsageError, did_you_mean
from allie.core.facts import Facts
from allie.core.stubs import KIT
from allie.machine import console
from allie.server import lint, lint_settings, overlays, store
from allie.server.images import catalogue


def add_arguments(parser: ArgumentParser) -> None:
    """list, lint, why, and the facts that why pretends."""
    parser.add_argument("action", choices=("list", "lint", "why"))
    parser.add_argument("name", nargs="*", help="overlays; for why: a path")
    options.add_store(parser)
    options.add_json(parser)
    parser.add_argument("--overlays", default="", help="why: the overlays a PC follows, in order")
    parser.add_argument(
        "--over", default="", metavar="IMAGE,…", help="lint: images it is laid over"
    )
    parser.add_argument("--host", default="", help="why: the host's name")
    for fact in ("classes", "image", "distro", "version", "arch", "virt"):
        parser.add_argument(f"--{fact}", default="", help=f"why: its {fact}")


def run(args: Namespace) -> int:
    """Do it; lint ends with 1 if there is an error."""
    top = store.need(args.store)
    return {"list": _list, "lint": _lint, "why": _why}[args.action](top, args)


def _list(top: str, args: Namespace) -> int:
    rows = []
    for name in _named(top, args.name):
        listing = overlays.load(top, name).listing
        files = sum(1 for each in listing if not each.is_dir)
        rows.append({"name": name, "files": files})
    options.show(args, rows, (f"{row['name']:<24} {row['files']:>6} files" for row in rows))
    return DONE


def _lint(top: str, args: Namespace) -> int:
    over = options.words(args.over)
    for image in over:
        catalogue.need(top, image)
    site = lint_settings.survey(top)
    found = lint_settings.of_store(top)
    if args.name:
        found = [each for each in found if each.path in map(overlays.place, args.name)]
    for name in _named(top, args.name):
        found += lint.lint(top, name, over, site)
    kinds = {True: console.paint("error", "bad"), False: "warning"}
    lines = (f"{kinds[each.is_error]}: {each.path}: {each.message}" for each in found)
    options.show(args, found, lines)
    return ATTENTION if any(each.is_error for each in found) else DONE


def _named(top: str, names: Sequence[str]) -> Sequence[str]:
    """The named overlays of the store; all where none is named. Raises UsageError."""
    known = [*store.overlays(top), *overlays.private(top)]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or "allie overlay list"
            raise UsageError(f"there is no overlay {name}", hint)
    return names or known


def _why(top: str, args: Namespace) -> int:
    if len(args.name) != 1 or not args.host:
        raise UsageError(
            "overlay why needs one path and --host", "allie overlay why /etc/motd --host pc07"
        )
    usual = [name for name in (KIT, "common", args.image) if name in store.overlays(top)]
    last = overlays.private_of(args.host, overlays.private(top))  # as each host lays it
    names = (*_named(top, options.words(args.overlays) or usual), *last)
    known = _pretended(args)
    known = known._replace(classes=known.classes or overlays.classes_for(top, names, known))
    resolution = overlays.why(top, names, known)
    path = args.name[0].strip("/")
    value = {"path": f"/{path}", "winner": resolution.entries.get(path)}
    options.show(args, value, explain(path, resolution))
    return DONE


def _pretended(args: Namespace) -> Facts:
    """The facts that the options pretend."""
    return Facts(
        host=args.host.partition(".")[0],
        fqdn=args.host if "." in args.host else "",
        classes=options.words(args.classes),
        image=args.image,
        distro=options.words(args.distro),
        version=args.version,
        arch=args.arch,
        virt=args.virt,
    )
