"""The store's images: whole operating systems as plain trees.

allie image list                  names, sizes, releases, kernels
allie image import NAME SOURCE    from a directory, tar or OCI image, or mmdebstrap:SUITE
allie image capture NAME FROM     from a golden machine: ssh://root@HOST/, or what `offer` shows
allie image blandify NAME         take out what is one machine's own; --check: only look
allie image installer NAME        a kernel, an initramfs and an ISO that boot to `allie install`
allie image remove NAME
"""

from __future__ import annotations

import os

from allie.cli import options
from allie.cli.store import add_store
from allie.core.boot import disk_layout
from allie.core.conf import settings
from allie.core.errors import ATTENTION, DONE, UsageError
from allie.core.image.not_captured import LeftOut
from allie.core.value import TYPE_CHECKING
from allie.machine import console
from allie.server import store
from allie.server.images import (
    blandify,
    capture,
    catalogue,
    draft,
    from_archive,
    from_tree,
    without_overlays,
)
from allie.server.images.draft import Draft
from allie.server.images.from_archive import Recipe
from allie.server.images.oci import Wanted
from allie.server.media import installer

if TYPE_CHECKING:
    import argparse

_ACTIONS = ("list", "import", "capture", "blandify", "installer", "remove")
_SHOWN = 20  # lines of what is alike


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, to which image, and from where."""
    parser.add_argument("action", choices=_ACTIONS)
    parser.add_argument("name", nargs="?", default="", help="the image")
    parser.add_argument("source", nargs="?", default="", help="import, capture: from where")
    add_store(parser)
    options.add_json(parser)
    parser.add_argument("--check", action="store_true", help="blandify: only say what stands")
    parser.add_argument(
        "--blandify", action="store_true", help="import, capture: do that before it is an image"
    )
    parser.add_argument("--force", action="store_true", help="import: also what is no Linux root")
    parser.add_argument("--tag", default="", help="import: which image of an OCI layout")
    parser.add_argument(
        "--arch", default="", help="import: for which architecture (this machine's), as arm64"
    )
    parser.add_argument("--variant", default="important", help="mmdebstrap: how much (important)")
    parser.add_argument("--include", default="", metavar="PKG,…", help="mmdebstrap: and these")
    parser.add_argument(
        "--mirror", default="", help="mmdebstrap: from there, or from these sources"
    )
    parser.add_argument(
        "--with", dest="wanted", action="append", default=[], metavar="PATH",
        help="capture: this, too, though it is another file system or left out",
    )  # fmt: skip
    parser.add_argument(
        "--bwlimit", default="", metavar="RATE", help="capture: at most this, as 500 (KiB/s) or 2M"
    )
    parser.add_argument(
        "--out", default="", metavar="DIR", help="installer: there (installers/NAME of the store)"
    )
    parser.add_argument(
        "--append", default="", metavar="WORDS", help="installer: for the ISO's kernel line"
    )
    parser.add_argument(
        "--layout", default="", metavar="FILE", help="installer: how its PCs' disks are divided"
    )
    parser.add_argument("--no-iso", action="store_true", help="installer: kernel and initrd alone")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    top = store.need(args.store)
    if args.action == "list":
        return _list(top, args)
    if args.action not in ("blandify", "installer"):
        options.no_json(args)
    if args.source and args.action not in ("import", "capture"):
        raise UsageError(f"image {args.action} takes one name", "allie image --help")
    wanted = "NAME SOURCE" if args.action in ("import", "capture") else "NAME"
    if not args.name or (not args.source and wanted != "NAME"):
        hint = "allie image --help" if wanted != "NAME" else "allie image list"
        raise UsageError(f"`allie image {args.action}` needs {wanted}", hint)
    settings.check_name(args.name, "image")
    doing = {
        "import": _import,
        "capture": _capture,
        "blandify": _blandify,
        "installer": _installer,
        "remove": _remove,
    }
    return doing[args.action](top, args)


def _list(top: str, args: argparse.Namespace) -> int:
    names = [args.name] if args.name else catalogue.names(top)
    rows = [catalogue.describe(top, name) for name in names]
    if args.json:
        options.say_json([row._asdict() for row in rows])
    else:
        for row in rows:
            console.say(_line(row))
        if not rows:
            console.tell("there are no images yet: allie image import NAME SOURCE makes one")
    for name in catalogue.passed_over(top):
        console.warn(f"passed over: images/{name}: no directory, or no name of an image")
    for name in draft.unfinished(top):
        console.warn(
            f"unfinished: {name}: import or capture it again, and it goes on;"
            f" or allie image remove {name}"
            if name not in catalogue.names(top)
            else f"unfinished: a newer {name}: import or capture it again, and it goes on"
        )
    return DONE


def _line(row: catalogue.Image) -> str:
    kernels = f"kernel {' '.join(row.kernels)}" if row.kernels else "no kernel"
    size = f"{row.size / (1 << 20):.0f} MiB"
    release = row.pretty or "no os-release"
    return f"{row.name:<20} {size:>9} {row.files:>7} files  {release}, {kernels}"


def _import(top: str, args: argparse.Namespace) -> int:
    with draft.begun(top, args.name) as work:
        left = _fill(work, top, args)
        _need_root(work, args)
        left += _complete(work, args)
    _say_left_out(left)
    console.say(_line(catalogue.describe(top, args.name)))
    return DONE


def _complete(work: Draft, args: argparse.Namespace) -> list[LeftOut]:
    """Make a tree that has come the image; what is not taken over into it."""
    left = from_tree.without_swap(work) + without_overlays.take_back(work.tree)
    if args.blandify:
        blandify.apply(work.tree, blandify.own_of(work.tree, args.name))
    draft.switch(work)
    return left


def _say_left_out(left: list[LeftOut]) -> None:
    for each in left:
        count = f" ({each.entries} entries)" if each.entries else ""
        console.say(f"left out: {each.what}{count}: {each.why}")


def _fill(work: Draft, top: str, args: argparse.Namespace) -> list[LeftOut]:
    """Fill the draft from whatever kind of source it is; what of a directory is left out."""
    source = args.source
    if source.startswith(from_archive.DEBIAN):
        suite = source[len(from_archive.DEBIAN) :]
        from_archive.from_packages(work, Recipe(suite, args.variant, args.include, args.mirror))
        args.blandify = True  # it knows the machine that it was made on
    elif os.path.isfile(source):
        from_archive.from_tar(work, source, Wanted(args.tag, args.arch))
    elif from_archive.is_container(source):
        from_archive.from_layout(work, source, Wanted(args.tag, args.arch))
    else:
        return from_tree.from_directory(work, source, top, force=args.force)
    return []


def _need_root(work: Draft, args: argparse.Namespace) -> None:
    """What was unpacked may be anything; then nothing of it stays."""
    try:
        from_tree.need_root(work.tree, args.source, force=args.force)
    except UsageError:
        draft.drop(work)
        raise


def _capture(top: str, args: argparse.Namespace) -> int:
    capture.check_address(args.source)
    if args.bwlimit and not settings.is_bandwidth(args.bwlimit):
        raise UsageError(f"--bwlimit {args.bwlimit}: KiB a second, or 2M, as for rsync")
    if args.source.startswith("ssh://"):
        from_tree.need_program("ssh", "openssh-client")
    with draft.begun(top, args.name) as work:
        left = capture.capture(work, args.source, tuple(args.wanted), args.bwlimit)
        left += _complete(work, args)
        told = capture.tell_done(work, args.source)
    _say_left_out(left)
    console.say(_line(catalogue.describe(top, args.name)))
    if not args.blandify:
        console.say(f"that machine's own is still in it: allie image blandify {args.name}")
    if not told:
        console.warn("the offer still waits: end it there with Ctrl-C")
    return DONE


def _blandify(top: str, args: argparse.Namespace) -> int:
    image = catalogue.need(top, args.name)
    if args.check:
        stands = blandify.check(image, blandify.own_of(image, args.name))
        if args.json:
            options.say_json([each._asdict() for each in stands])
        else:
            for each in stands:
                console.say(f"{each.path}: {each.why}")
        return ATTENTION if stands else DONE
    golden = blandify.own_of(image, args.name)
    words = (golden.host, blandify.machine_id(image))
    with draft.begun(top, args.name) as work:
        from_tree.bring(work, [f"{image}/"], [], image)
        left = without_overlays.take_back(work.tree)
        done = blandify.apply(work.tree, golden)
        named = blandify.mentions(work.tree, words)
        if done or left:
            draft.switch(work)
        else:
            draft.drop(work)
    _say_left_out(left)
    if args.json:
        options.say_json([each._asdict() for each in done])
    else:
        for each in done:
            console.say(f"{each.what} {each.path}: {each.why}")
    for path in named[:_SHOWN]:
        console.warn(f"look at {path}: it still names {golden.host or 'the machine'}")
    if not args.json:
        console.say(f"{len(done)} paths changed" if done else "nothing was one machine's own")
    return DONE


def _installer(top: str, args: argparse.Namespace) -> int:
    plan = options.read_layout(args.layout) if args.layout else ""
    if args.layout:
        disk_layout.fit(plan, 1 << 30)  # of a disk that is large enough for any: is it one?
    made = installer.make(
        top, args.name, args.out, args.append, plan=plan, with_iso=not args.no_iso
    )
    if args.json:
        options.say_json({**made._asdict(), "sizes": dict(made.sizes)})
        return DONE
    for name, size in made.sizes:
        console.say(f"{made.directory}/{name}  {size / (1 << 20):.0f} MiB")
    console.say(f"kernel {made.release}; its line: allie.store=… allie.image=… allie.disk=…")
    return DONE


def _remove(top: str, args: argparse.Namespace) -> int:
    named = catalogue.mentions(top, args.name)
    was = catalogue.remove(top, args.name)
    console.say(f"removed {args.name}" if was else f"removed what was left of {args.name}")
    for path in named:
        console.warn(f"{path} still names it: PCs that have it keep it, and cannot fetch it again")
    return DONE
