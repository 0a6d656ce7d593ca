"""allie: keep Linux PCs current from a store of plain file trees.

The command line's one door. It finds the verb, imports that verb's module and no other, and is the
only place that prints an error and turns it into an exit status.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace

from allie import __version__
from allie.cli import starting
from allie.core.errors import FAILED, USAGE, AllieError, UsageError
from allie.core.value import TYPE_CHECKING
from allie.machine import caller, console

if TYPE_CHECKING:
    from typing import Any

# verb → (module in allie.cli, what it is for)
VERBS: dict[str, tuple[str, str]] = {
    "join": ("join", "make this system follow a store"),
    "install": ("install", "install a PC: divide a disk, bring a system, make it boot"),
    "run-conf": ("run_conf", "run the tick: every conf script that is due, or the named ones"),
    "status": ("status", "show how this system and its scripts stand"),
    "plan": ("plan", "show what the next tick would change"),
    "why": ("why", "show why a file is as it is"),
    "log": ("log", "show what ticks did"),
    "undo": ("undo", "put back what a tick replaced, and pause"),
    "pause": ("pause", "let ticks only report"),
    "resume": ("resume", "let ticks work again"),
    "enter": ("enter", "run a program, or a shell, in another system of this PC"),
    "export": ("export", "have a program of another system start by its name"),
    "boot": ("boot", "show and choose which system this PC boots"),
    "vm": ("vm", "boot another system of this PC in a virtual machine"),
    "system": ("system", "list, add, update, roll back and remove this PC's other systems"),
    "rsync-image": ("rsync_image", "fetch an image or overlay tree into a directory"),
    "offer": ("offer", "offer this system, or a disk's, for one capture into a store"),
    "store": ("store", "make and serve a store"),
    "overlay": ("overlay", "list, check and explain the store's overlays"),
    "image": ("image", "list, import, capture, blandify and remove the store's images"),
    "help": ("manual", "show a man page"),
    # the kit's own
    "00overlay": ("part", ""),
    "01overact": ("part", ""),
    "98systems": ("systems", ""),
    "selfcheck": ("selfcheck", ""),
}
# What the timer and the tick call: the arguments are known without asking a parser.
_WITHOUT_WORDS = ("run-conf", "00overlay", "01overact", "98systems")
_FOR_ANOTHER = "enter"  # what it is given is for another program to parse
_FAULTY = 1  # a fault of ours: as Python ends after a traceback
_UMASK = 0o022  # what ALLiE makes, and its scripts make, is the same whoever calls it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; its exit status."""
    caller.have_streams()
    return console.finish(_main(argv))


def _main(argv: Sequence[str] | None) -> int:
    gc.disable()  # we live for a moment, and hold what we read until the end
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except AllieError as error:
        console.warn(console.paint(f"allie: {error.message}", "bad"))
        if error.hint:
            console.warn(f"       {error.hint}")
        return error.exit_code
    except SystemExit as ended:  # after --help
        return USAGE if ended.code else 0
    except KeyboardInterrupt as interrupt:
        console.warn("allie: interrupted; the next tick goes on from here")
        return 128 + getattr(interrupt, "number", signal.SIGINT)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        console.warn(f"allie: {error.strerror or error}{where}")
        return FAILED
    except Exception:
        starting.badly()
        import traceback

        for line in traceback.format_exc().splitlines():
            console.warn(line)
        return _FAULTY


def _dispatch(words: list[str]) -> int:
    ahead: list[str] = []
    while words and words[0] in ("--root", "--system", "--store") and len(words) > 1:
        ahead += [words.pop(0), words.pop(0)]
    verb = words.pop(0) if words else "--help"
    if verb in ("--help", "-h"):
        console.say_text(_overview())
        return 0
    if verb == "--version":
        console.say(f"allie {__version__}")
        return 0
    if verb not in VERBS:
        raise UsageError(f"there is no command {verb!r}", "allie --help lists them")
    module = module_of(verb)
    callers = os.umask(_UMASK)
    starting.well()
    if os.path.isfile(sys.path[0]):
        _from_archive(sys.path[0])
    if verb == _FOR_ANOTHER:
        os.umask(callers)  # the program that is entered has it
    else:
        caller.heed()
    args = _arguments(verb, module, ahead + words)
    if getattr(args, "sibling", None):
        return int(importlib.import_module("allie.cli.elsewhere").run(module, args))
    return int(module.run(args))


def _from_archive(archive: str) -> None:
    """We run from the archive, which a tick may replace: load all of it now. Unpack it, too."""
    importlib.import_module("allie.cli.selfcheck")
    loader = importlib.import_module("allie.machine.loader")
    loader.unpack(os.path.realpath(archive))


def _arguments(verb: str, module: ModuleType, words: list[str]) -> Any:
    """The parsed command line; a stub's call without any words needs no parser."""
    if not words and verb in _WITHOUT_WORDS:
        return SimpleNamespace(verb=verb, root="/", sibling="", script=[])
    if verb == _FOR_ANOTHER and words[:1] not in (["--help"], ["-h"]):
        return module.parse(words)
    from allie.cli import parsing

    args = parsing.parse(verb, module, words)
    args.verb = verb
    return args


def module_of(verb: str) -> ModuleType:
    """The module of a verb; the client archive lacks the store's."""
    name = f"allie.cli.{VERBS[verb][0]}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise UsageError(f"`allie {verb}` is for the server; this is the client") from None


def _overview() -> str:
    lines = ["usage: allie [--root DIR | --system NAME] COMMAND …", ""]
    lines += [f"  {verb:<12} {what}" for verb, (_, what) in VERBS.items() if what]
    return "\n".join([*lines, "", "allie COMMAND --help says more; allie help shows the manual."])


if __name__ == "__main__":
    sys.exit(main())
