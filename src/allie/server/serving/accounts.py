"""The two accounts of the ssh door, made and taken away by the distribution's own programs.

allie-store: whom sshd runs the one command as. uid 0, for it reads files that are root's alone;
root's own account will not do: it is often locked, or has a shell that costs more than the command.
Its password is `*`: none fits, and sshd takes it, while `!` is a locked account, which it refuses.

allie-inbox: whose the reports are. It owns nothing else, and nobody logs in with it.
"""

from __future__ import annotations

import pwd

from allie.core.errors import StateError
from allie.core.value import Value
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.server.places import ACCOUNT, INBOX_ACCOUNT

_SHADOW = "/etc/shadow"


class _Account(Value):
    """An account as it is to be, and what useradd(8) has to be told."""

    name: str
    is_root: bool
    options: tuple[str, ...]


_ACCOUNTS = (
    _Account(ACCOUNT, True, ("-o", "-u", "0", "-g", "0", "-N", "-d", "/", "-s", "/bin/sh")),
    _Account(INBOX_ACCOUNT, False, ("-r", "-U", "-d", "/nonexistent", "-s", "/usr/sbin/nologin")),
)


def make() -> list[str]:
    """Make those that are missing, and look at those that are there; what was done."""
    done = []
    for each in _ACCOUNTS:
        there = _entry(each.name)
        if there is None:
            _run("useradd", *each.options, "-M", "-p", "*", "-c", "ALLiE's store", each.name)
            done.append(f"made the account {each.name}")
        elif (there.pw_uid == 0) != each.is_root:
            words = f"there is an account {each.name} already, with uid {there.pw_uid}"
            raise StateError(words, "it is none that ALLiE made: give it another name")
        elif each.is_root and _is_locked(each.name):
            _run("usermod", "-p", "*", each.name)
            done.append(f"unlocked the account {each.name}: no password fits, but its keys do")
    return done


def remove() -> list[str]:
    """Take both away; what was done."""
    done = []
    for each in filter(lambda each: _entry(each.name), _ACCOUNTS):
        # -f: to userdel(8) whatever root runs is allie-store's, so that it is never idle
        _run("userdel", *["-f"] * each.is_root, each.name)
        done.append(f"removed the account {each.name}")
    return done


def missing() -> list[str]:
    """The names of those that are not there."""
    return [each.name for each in _ACCOUNTS if not _entry(each.name)]


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _is_locked(name: str) -> bool:
    lines = (atomic.read(_SHADOW) or "").splitlines()
    return any(line.startswith(f"{name}:!") for line in lines)


def _run(program: str, *words: str) -> None:
    if not process.program(program):
        raise StateError(f"there is no {program} here", "install passwd (shadow-utils on others)")
    process.run([program, *words], check=True)
