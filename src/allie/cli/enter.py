"""Run a program in another system's userland, on this kernel, as the calling user.

Without a command: the user's shell. Home, /tmp, devices, screen, sound, names of users and hosts
are those of the base; programs and libraries the other system's. Root enters as administrator: the
system's own /etc and /root, and none of the base's services.
"""

from __future__ import annotations

import os

from allie.client.use import enter
from allie.core.errors import AllieError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from _collections_abc import Sequence
    from typing import NoReturn


class Arguments:
    """A command line: DIR or a SYSTEM's name, and what to run."""

    def __init__(self) -> None:
        self.root = ""
        self.user = ""
        self.system = ""
        self.command: list[str] = []


def main(argv: Sequence[str]) -> int:
    """The short way in, past cli.main, whose imports would add a third to the start.

    Once the process is in the other system, it can import no module any more.
    """
    try:
        run(parse(list(argv[1:])))
    except AllieError as error:
        lines = [f"allie: {error.message}", *([f"       {error.hint}"] if error.hint else [])]
        # As machine.console does it, which takes longer to load than to enter the system
        text = "".join(f"{''.join(map(_shown, line))}\n" for line in lines)
        os.write(2, text.encode(errors="backslashreplace"))
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _shown(letter: str) -> str:
    """A letter of a message; what would drive the terminal is shown escaped."""
    return letter if letter.isprintable() or "\ud800" <= letter <= "\udfff" else repr(letter)[1:-1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For --help alone: `parse` reads the command line."""
    parser.add_argument("--root", metavar="DIR", help="enter the system whose root is DIR")
    parser.add_argument(
        "--user", choices=["root"], help="only as root, who enters as administrator"
    )
    parser.add_argument("system", nargs="?", help="a name in allie.conf; not with --root")
    parser.add_argument("command", nargs="*", help="after --: the program and its arguments")


def parse(words: list[str]) -> Arguments:
    """Read the command line up to `--`, by hand: argparse takes longer than the entering."""
    found = Arguments()
    ahead = list(words)
    while ahead:
        word = ahead.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            found.command = ahead
            break
        if name in ("--root", "--user"):
            if not equals and not ahead:
                raise UsageError(f"{name} wants a value", "allie enter --help")
            setattr(found, name[2:], value if equals else ahead.pop(0))
        elif word.startswith("-"):
            raise UsageError(f"there is no option {word}", "allie enter --help")
        elif found.root:
            message = f"--root {found.root} names the system already: leave out {word}"
            raise UsageError(message, f"allie enter {word} …, or allie enter --root DIR -- …")
        elif found.system:
            raise UsageError(f"put -- before the command: -- {word} …", "allie enter --help")
        else:
            found.system = word
    if found.system and found.root:
        message = f"both --root {found.root} and {found.system}: one of them names the system"
        raise UsageError(message, "allie enter SYSTEM -- …, or allie enter --root DIR -- …")
    if not found.system and not found.root:
        raise UsageError("enter which system?", "allie enter SYSTEM [-- COMMAND …]")
    if found.user not in ("", "root"):
        hint = f"runuser -u {found.user} -- allie enter …"
        raise UsageError(f"--user {found.user}: it is only for root", hint)
    return found


def run(args: Arguments) -> NoReturn:
    """Become the program."""
    if args.user and os.geteuid() != 0:
        raise UsageError("only root can enter as root", "sudo allie enter --user root …")
    root, name = args.root, args.system
    if root:
        root = os.path.realpath(root)
        name = enter.name_of(root)
    else:
        root = enter.root_of(name)
    enter.go(name, root, args.command)
    raise AssertionError("exec came back")
