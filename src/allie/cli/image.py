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
from allie.cli.options import ArgumentParser, Namespace
from allie.core.boot import disk_layout
from allie.core.conf import settings
from allie.core.errors import ATTENTION, DONE, UsageError
from allie.core.image.not_captured import LeftOut
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

_SHOWN = 20  # lines of what is alike
# Options that take a text: what the help calls that, and what it is for
_TEXTS = {
    "--tag": (None, "import: which image of an OCI layout"),
    "--arch": (None, "import: for which architecture (this machine's), as arm64"),
    "--include": ("PKG,…", "mmdebstrap: and these"),
    "--mirror": (None, "mmdebstrap: from there, or from these sources"),
    "--bwlimit": ("RATE", "capture: at most this, as 500 (KiB/s) or 2M"),
    "--out": ("DIR", "installer: there (installers/NAME of the store)"),
    "--append": ("WORDS", "installer: for the ISO's kernel line"),
    "--layout": ("FILE", "installer: how its PCs' disks are divided"),
}
_SWITCHES = {
    "--check": "blandify: only say what stands",
    "--blandify": "import, capture: do that before it is an image",
    "--force": "import: also what is no Linux root",
    "--no-iso": "installer: kernel and initrd alone",
}


def add_arguments(parser: ArgumentParser) -> None:
    """What to do, to which image, and from where."""
    parser.add_argument("action", choices=tuple(_DOING))
    parser.add_argument("name", nargs="?", default="", help="the image")
    parser.add_argument("source", nargs="?", default="", help="import, capture: from where")
    options.add_store(parser)
    options.add_json(parser)
    for option, words in _SWITCHES.items():
        parser.add_argument(option, action="store_true", help=words)
    for option, (metavar, words) in _TEXTS.items():
        parser.add_argument(option, default="", metavar=metavar, help=words)
    parser.add_argument("--variant", default="important", help="mmdebstrap: how much (important)")
    parser.add_argument(
        "--with", dest="wanted", action="append", default=[], metavar="PATH",
        help="capture: this, too, though it is another file system or left out",
    )  # fmt: skip


def run(args: Namespace) -> int:
    """Do it."""
    top = store.need(args.store)
    if args.action == "list":
        return _list(top, args)
    if args.action not in ("blandify", "installer"):
        options.no_json(args)
    _need_words(args)
    settings.check_name(args.name, "image")
    return _DOING[args.action](top, args)


def _need_words(args: Namespace) -> None:
    """Raise UsageError for a name or source too few, or a source too much."""
    takes_source = args.action in ("import", "capture")
    if args.source and not takes_source:
        raise UsageError(f"image {args.action} takes one name", "allie image --help")
    if takes_source and not args.source:
        raise UsageError(f"`allie image {args.action}` needs NAME SOURCE", "allie image --help")
    if not args.name:
        raise UsageError(f"`allie image {args.action}` needs NAME", "allie image list")


def _list(top: str, args: Namespace) -> int:
    names = [args.name] if args.name else catalogue.names(top)
    rows = [catalogue.describe(top, name) for name in names]
    if not rows and not args.json:
        console.tell("there are no images yet: allie image import NAME SOURCE makes one")
    options.show(args, rows, map(_line, rows))
    for name in catalogue.passed_over(top):
        console.warn(f"passed over: images/{name}: no directory, or no name of an image")
    for name in draft.unfinished(top):
        is_new = name not in catalogue.names(top)
        words = f"unfinished: {'' if is_new else 'a newer '}{name}: import or capture it again,"
        console.warn(f"{words} and it goes on{f'; or allie image remove {name}' * is_new}")
    return DONE


def _line(row: catalogue.Image) -> str:
    kernels = f"kernel {' '.join(row.kernels)}" if row.kernels else "no kernel"
    size = f"{row.size / (1 << 20):.0f} MiB"
    release = row.pretty or "no os-release"
    return f"{row.name:<20} {size:>9} {row.files:>7} files  {release}, {kernels}"


def _import(top: str, args: Namespace) -> int:
    with draft.begun(top, args.name) as work:
        left = _fill(work, top, args)
        _need_root(work, args)
        left += _complete(work, args)
    _say_made(top, args.name, left)
    return DONE


def _fill(work: Draft, top: str, args: Namespace) -> list[LeftOut]:
    """Fill the draft from whatever kind of source it is; what of a directory is left out."""
    source = args.source
    if source.startswith(from_archive.DEBIAN) or os.path.isfile(source):
        console.tell(f"{args.name} is made of {source}, which may take minutes")
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


def _need_root(work: Draft, args: Namespace) -> None:
    """Drop what was unpacked where it is no Linux root. Raises UsageError."""
    try:
        from_tree.need_root(work.tree, args.source, force=args.force)
    except UsageError:
        draft.drop(work)
        raise


def _complete(work: Draft, args: Namespace) -> list[LeftOut]:
    """Make a tree that has come the image; what is not taken over into it."""
    left = from_tree.without_swap(work) + without_overlays.take_back(work.tree)
    if args.blandify:
        blandify.apply(work.tree, blandify.own_of(work.tree, args.name))
    draft.switch(work)
    return left


def _say_made(top: str, name: str, left: list[LeftOut]) -> None:
    _say_left_out(left)
    console.say(_line(catalogue.describe(top, name)))


def _say_left_out(left: list[LeftOut]) -> None:
    for each in left:
        count = f" ({each.entries} entries)" if each.entries else ""
        console.say(f"left out: {each.what}{count}: {each.why}")


def _capture(top: str, args: Namespace) -> int:
    capture.check_address(args.source)
    if args.bwlimit and not settings.is_bandwidth(args.bwlimit):
        raise UsageError(f"--bwlimit {args.bwlimit}: KiB a second, or 2M, as for rsync")
    if args.source.startswith("ssh://"):
        from_tree.need_program("ssh", "openssh-client")
    with draft.begun(top, args.name) as work:
        left = capture.capture(work, args.source, tuple(args.wanted), args.bwlimit)
        left += _complete(work, args)
        told = capture.tell_done(work, args.source)
    _say_made(top, args.name, left)
    if not args.blandify:
        console.say(f"that machine's own is still in it: allie image blandify {args.name}")
    if not told:
        console.warn("the offer still waits: end it there with Ctrl-C")
    return DONE


def _blandify(top: str, args: Namespace) -> int:
    image = catalogue.need(top, args.name)
    golden = blandify.own_of(image, args.name)
    if args.check:
        stands = blandify.check(image, golden)
        lines = (f"{each.path}: {each.why}" for each in stands)
        options.show(args, stands, lines)
        return ATTENTION if stands else DONE
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
    lines = (f"{each.what} {each.path}: {each.why}" for each in done)
    options.show(args, done, lines)
    for path in named[:_SHOWN]:
        console.warn(f"look at {path}: it still names {golden.host or 'the machine'}")
    if not args.json:
        console.say(f"{len(done)} paths changed" if done else "nothing was one machine's own")
    return DONE


def _installer(top: str, args: Namespace) -> int:
    plan = options.read_layout(args.layout) if args.layout else ""
    if args.layout:
        disk_layout.fit(plan, 1 << 30)  # of a disk that is large enough for any: is it one?
    made = installer.make(
        top, args.name, args.out, args.append, plan=plan, with_iso=not args.no_iso
    )
    lines = [f"{made.directory}/{name}  {size / (1 << 20):.0f} MiB" for name, size in made.sizes]
    lines.append(f"kernel {made.release}; its line: allie.store=… allie.image=… allie.disk=…")
    options.show(args, {**made._asdict(), "sizes": dict(made.sizes)}, lines)
    return DONE


def _remove(top: str, args: Namespace) -> int:
    named = catalogue.mentions(top, args.name)
    was = catalogue.remove(top, args.name)
    console.say(f"removed {args.name}" if was else f"removed what was left of {args.name}")
    for path in named:
        console.warn(f"{path} still names it: PCs that have it keep it, and cannot fetch it again")
    return DONE


_DOING = {
    "list": _list,
    "import": _import,
    "capture": _capture,
    "blandify": _blandify,
    "installer": _installer,
    "remove": _remove,
}
