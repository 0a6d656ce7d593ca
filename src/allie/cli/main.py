"""allie: keep Linux PCs current from a store of plain file trees.

Every command line begins here. The verb's module is imported and no other. Only this module prints
an error and turns it into an exit status.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from _collections_abc import Sequence

from allie import __version__
from allie.cli import plain_words, startup_mark
from allie.core import stubs
from allie.core.errors import (
    FAILED,
    PROTECTED,
    USAGE,
    AllieError,
    UsageError,
    did_you_mean,
    spoken,
    words_of,
)
from allie.core.lean import signal
from allie.core.system import ARCHIVE, SERVERS_OWN
from allie.core.value import TYPE_CHECKING
from allie.machine import console
from allie.machine.programs import signals

if TYPE_CHECKING:
    from types import ModuleType, SimpleNamespace
    from typing import Any
else:
    SimpleNamespace = type(sys.implementation)  # types takes a third of a millisecond

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
    "adopt": ("adopt", "offer a hand fix of this PC to the store's administrator"),
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
    "fleet": ("fleet", "show how all PCs stand, and what to do about it"),
    "help": ("manual", "show a man page"),
    # the kit's own
    "00overlay": ("kit_scripts", ""),
    "01overact": ("kit_scripts", ""),
    "98systems": ("kit_scripts", ""),
    "99report": ("kit_scripts", ""),
    "selfcheck": ("selfcheck", ""),
}
_HEADINGS = {"join": "On a PC:", "store": "On the server:", "help": "On both:"}
# What people try → what they mean
CALLED_OTHERWISE = {"tick": "run-conf", "diff": "plan", "version": "--version"} | {
    each: f"store {each}" for each in ("init", "serve", "setup", "enrol", "retire")
}
_WITHOUT_WORDS = stubs.NAMES  # the timer and the tick call them: no parser is loaded
_FOR_ANOTHER = "enter"  # its words are another program's
# Commands that leave something unfinished after Ctrl-C, and what goes on with it
_BY_A_TICK = (*_WITHOUT_WORDS, "undo")
_BY_THE_SAME = ("join", "install", "system", "image", "rsync-image")
_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room: a quota is reached",
    errno.EROFS: "mount it so that it can be written",
    errno.EPERM: PROTECTED,
    errno.ENOTCONN: "unmount it, and mount it again: the program that served it has ended",
    errno.EMFILE: "let it open more files: ulimit -n",
    errno.EIO: "look at the disk, and at what `dmesg` says of it",
}
_TAKEN_FIRST = ("--root", "--system", "--store")
_FAULTY = 1  # a fault of ours: as Python ends after a traceback
_UMASK = 0o022  # what ALLiE makes, and its scripts make, is the same whoever calls it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; its exit status."""
    console.have_streams()
    return console.finish(_main(argv))


def _main(argv: Sequence[str] | None) -> int:
    gc.disable()  # a short run that needs nearly all it has made until its end
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(list(words))
    except AllieError as error:
        _complain(error, error.message, error.hint)
        return error.exit_code
    except SystemExit as ended:  # after --help
        return USAGE if ended.code else 0
    except KeyboardInterrupt as interrupt:
        return _interrupted(interrupt, words)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(error, f"{where}{words_of(error)}")
        return FAILED
    except Exception as error:
        passing = _behind(error, KeyboardInterrupt)
        if passing:  # argparse's own cleaning up fails where it is cut short
            return _interrupted(passing, words)
        startup_mark.badly()
        import traceback

        for line in traceback.format_exc().splitlines():
            console.warn(line)
        return _FAULTY


def _interrupted(interrupt: BaseException, words: list[str]) -> int:
    console.warn(f"allie: interrupted{_going_on(words)}")
    return 128 + getattr(interrupt, "number", signal.SIGINT)


def _behind(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    """The error of a kind that an error is, or arose from; None if there is none."""
    while error and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def _complain(error: Exception, message: str, hint: str = "") -> None:
    """Print an error; where somebody who is not root was refused something, say that."""
    cause = _behind(error, OSError)
    if isinstance(cause, PermissionError) and os.geteuid() != 0:
        message, hint = f"only root can do this: {message}", "run it as root, as with sudo"
    elif isinstance(cause, OSError):
        hint = hint or _REMEDIES.get(cause.errno or 0, "")
    console.warn(console.paint(f"allie: {spoken(message)}", "bad"))
    if hint:
        console.warn(f"       {hint}")


def _going_on(words: list[str]) -> str:
    """How a command goes on that Ctrl-C has interrupted, if it left something unfinished."""
    verb = next((word for word in words if word in VERBS), "")
    if verb == "store" and "mirror" in words:
        return "; the same command, or the timer, goes on from here"
    if verb in _BY_A_TICK:
        return "; the next tick goes on from here"
    return "; the same command goes on from here" if verb in _BY_THE_SAME else ""


def _dispatch(words: list[str]) -> int:
    ahead: list[str] = []
    while words and words[0].partition("=")[0] in _TAKEN_FIRST:
        if "=" not in words[0]:
            ahead.append(words.pop(0))
            if not words:
                raise UsageError(f"{ahead[-1]} needs a value", f"allie {ahead[-1]} … COMMAND")
        ahead.append(words.pop(0))
    verb = words.pop(0) if words else "--help"
    if verb in ("--help", "-h"):
        console.say_text(_overview())
        return 0
    if verb == "--version":
        console.say(f"allie {__version__}")
        return 0
    if verb not in VERBS:
        if verb.startswith("-"):
            raise UsageError(f"{verb}: that goes after the command", "allie COMMAND --help")
        known = [each for each, (_, what) in VERBS.items() if what]
        meant = did_you_mean(CALLED_OTHERWISE.get(verb, verb), [*known, *CALLED_OTHERWISE.values()])
        raise UsageError(f"there is no command {verb!r}", meant or "allie --help lists them")
    module = module_of(verb)
    callers = os.umask(_UMASK)
    startup_mark.well()
    if os.path.isfile(sys.path[0]):  # an archive that was not unpacked, and that a tick may replace
        _imported("allie.cli.selfcheck")  # loads what a tick may load late
    if verb == _FOR_ANOTHER:
        os.umask(callers)  # the program that is entered has it
    else:
        signals.heed()
    args = _arguments(verb, module, ahead + words)
    if getattr(args, "sibling", None):
        return int(_imported("allie.cli.on_sibling").run(module, args))
    return int(module.run(args))


def _arguments(verb: str, module: ModuleType, words: list[str]) -> Any:
    """The parsed command line; a stub's call without words needs no parser."""
    if not words and verb in _WITHOUT_WORDS:
        return SimpleNamespace(verb=verb, root="/", sibling="", script=[])
    if verb == _FOR_ANOTHER and words[:1] not in (["--help"], ["-h"]):
        return module.parse(words)
    args: Any = plain_words.parse(module, words)
    if args is None:
        from allie.cli import parsing

        args = parsing.parse(verb, module, words)
    args.verb = verb
    return args


def module_of(verb: str) -> ModuleType:
    """The module of a verb; the client archive lacks the store's."""
    name = f"allie.cli.{VERBS[verb][0]}"
    try:
        return _imported(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        _hand_over()
        hint = f"on the server, install allie-server, or link /{SERVERS_OWN} to its own command"
        raise UsageError(f"`allie {verb}` is for the server; this is the client", hint) from None


def _imported(name: str) -> ModuleType:
    """As importlib has it, which loads warnings."""
    __import__(name)
    return sys.modules[name]


def _hand_over() -> None:
    """Become the server's own `allie`, if this client stands on a server (client.setup.join).

    Its command was moved aside for the client's, or is in a directory that comes later in PATH.
    """
    here = os.path.realpath(sys.argv[0])  # the archive
    if not here.endswith(f"/{ARCHIVE}"):
        return
    top = here[: -len(ARCHIVE)]
    for own in (f"{top}{each}" for each in (SERVERS_OWN, "usr/local/sbin/allie", "usr/bin/allie")):
        if os.path.exists(own) and os.path.realpath(own) != here:
            from allie.machine.programs import exec_program

            exec_program.become([own, *sys.argv[1:]], dict(os.environ), (".",))


def _overview() -> str:
    lines = ["usage: allie [--root DIR | --system NAME] COMMAND …"]
    for verb, (_, what) in VERBS.items():
        lines += ["", _HEADINGS[verb]] if verb in _HEADINGS else []
        lines += [f"  {verb:<12} {what}"] if what else []
    return "\n".join([*lines, "", "allie COMMAND --help says more; allie help shows the manual."])


if __name__ == "__main__":
    sys.exit(main())
