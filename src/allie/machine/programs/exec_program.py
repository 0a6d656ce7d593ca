"""Go on as another program, found as a shell would find it; or say what it is that cannot be run.

The last step of `allie enter`, in the other system already: no module can be imported any more.
(`process.execute` does the same on an ordinary tick, with fewer words and less to load.)
"""

from __future__ import annotations

import os

from allie.core.errors import ProgramNotFound, ProgramNotRun
from allie.machine import libc

_IGNORED_BY_PYTHON = (13, 25)  # SIGPIPE, SIGXFSZ
_NOENT, _NOEXEC, _ACCES = 2, 8, 13  # the module errno takes time to load
_HEAD = 65536  # bytes of a program, in which its interpreter is named
_INTERPRETER = 3  # elf.h: PT_INTERP
_MOST_INTERPRETERS = 4  # that have one themselves


def become(argv: list[str], env: dict[str, str], places: tuple[str, ...]) -> None:
    """Go on as this program, in the first of these directories that is there. Never returns.

    A file that is no program for the kernel is one for /bin/sh, as for execvp(3) and every shell.
    Raises ProgramNotFound or ProgramNotRun.
    """
    for place in places:
        try:
            os.chdir(place)
            break
        except OSError:
            continue
    for number in _IGNORED_BY_PYTHON:
        libc.call("signal", number, None)  # SIG_DFL
    path = "" if "/" in argv[0] else env.get("PATH", os.defpath)
    folders = path.split(":") if argv[0] else ()
    refused = barred = ""
    for folder in folders:  # not execvpe, which would import a module that is away now
        program = os.path.join(folder, argv[0])
        try:
            os.execve(program, argv, env)
        except OSError as error:
            refused = refused or _why(program, error, argv, env)
            barred = barred or barred_way(program)
    if refused:
        raise ProgramNotRun(refused)
    if barred and "/" in argv[0]:
        raise ProgramNotRun(f"{argv[0]}: {barred}")
    raise ProgramNotFound(f"{argv[0]}: there is no such program in here", barred)


def barred_way(path: str) -> str:
    """Which directory above a path this user cannot pass, in words; "" if he can pass them all."""
    above = "/" if path.startswith("/") else "."
    for name in path.split("/")[:-1]:
        above = os.path.join(above, name)
        if os.path.isdir(above) and not os.access(above, os.X_OK, effective_ids=True):
            mode = os.stat(above).st_mode & 0o7777
            return f"you may not pass {above}, whose mode is {mode:04o}"
    return ""


def _why(program: str, error: OSError, argv: list[str], env: dict[str, str]) -> str:
    """Why a program did not start; "" if there is none of that name. A shell script is started."""
    if not os.path.lexists(program):
        return ""
    if error.errno == _NOEXEC and not _is_for_a_machine(program):
        try:
            os.execve("/bin/sh", ["/bin/sh", program, *argv[1:]], env)
        except OSError as shells:
            return f"{program}: it has no #! line, and /bin/sh: {shells.strerror}"
    if error.errno == _NOENT:
        lacking = _lacking(program)
        return f"{program}: {lacking}" if lacking else ""
    needed = interpreter(_head(program)) if os.access(program, os.X_OK) else ""
    if error.errno == _ACCES and needed:
        return f"{program}: it needs {needed}, which you may not run"
    if error.errno == _ACCES and os.path.isfile(program) and not os.access(program, os.X_OK):
        mode = os.stat(program).st_mode & 0o7777
        return f"{program}: you may not execute it: its mode is {mode:04o}"
    return f"{program}: {error.strerror}"


def _lacking(program: str) -> str:
    """What a file needs to be run that is not there, in words."""
    if not os.path.exists(program):
        return f"it is a link to {os.readlink(program)}, which is not there"
    for _ in range(_MOST_INTERPRETERS):
        needed = interpreter(_head(program))
        if not needed:
            break
        if not os.path.exists(needed):
            return f"it needs {needed}, which is not there"
        program = needed
    return "what it needs to be run is not there"


def _is_for_a_machine(program: str) -> bool:
    """Whether a file is a program of another kind of machine, and no text for a shell."""
    return b"\0" in _head(program).partition(b"\n")[0]


def _head(program: str) -> bytes:
    try:
        file = os.open(program, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # it may be a fifo
    except OSError:
        return b""
    try:
        return os.read(file, _HEAD)
    except OSError:  # it is a directory
        return b""
    finally:
        os.close(file)


def interpreter(head: bytes) -> str:
    """What a file names as the program to run it: a script's first word, an ELF file's loader.

    >>> interpreter(b"#! /usr/bin/python2 -E\\n")
    '/usr/bin/python2'
    """
    if head[:2] == b"#!":
        words = head[2:].partition(b"\n")[0].strip(b" \t").replace(b"\t", b" ")
        return os.fsdecode(words.partition(b" ")[0])
    if head[:4] != b"\x7fELF" or len(head) < 64:
        return ""

    def number(at: int, size: int) -> int:
        return int.from_bytes(head[at : at + size], "little" if head[5] == 1 else "big")

    wide = 8 if head[4] == 2 else 4  # bytes of an address
    first = number(24 + wide, wide)  # of the program headers
    each, count = (number(at + 3 * wide, 2) for at in (30, 32))
    offset, length = (8, 32) if wide == 8 else (4, 16)
    for place in (first + each * index for index in range(min(count, 512))):
        if number(place, 4) == _INTERPRETER:
            at = number(place + offset, wide)
            return os.fsdecode(head[at : at + number(place + length, wide)].rstrip(b"\0"))
    return ""
