"""Unpack the client archive once for each version, and load its modules from there.

    /var/lib/allie-code/<sha256 of the archive>/   written by root alone, readable by all
        allie/                                     the sources, for tracebacks, and the man pages
        modules.<python>                           the compiled code of all modules in one file
        complete                                   the archives and Pythons that it is good for

An archive that is broken, or that would unpack to more than a client is, is not unpacked.

Compiling the sources at each start would double a tick's cost, and a file for each module would add
5 ms. Not root, no room, a read-only disk: the code runs from the archive itself, only slower.

docs/internals/rules.md, "A new client is tried first".
"""

from __future__ import annotations

import hashlib
import marshal
import os
import shutil
import tempfile
import time
import zipfile
import zlib

from allie.core.errors import StateError
from allie.machine.code.cache import CODE, MODULES, is_roots, mark_of
from allie.machine.files import atomic

_DAY = 86400  # seconds
_LARGEST = 32 << 20  # bytes, packed or unpacked; a client is a hundredth of that
_MOST_MARKS = 15  # copies of one archive that are known, beside the newest
# What zipfile and compile() say of an archive that is cut short, encrypted, or no program
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, SyntaxError, ValueError)


def unpack(archive: str) -> str:
    """The directory with the code of this archive, made if need be; "" where it cannot be made."""
    temporary = ""
    try:
        mark = mark_of(archive)
        if os.path.getsize(archive) > _LARGEST:
            return ""
        with open(archive, "rb") as file:
            place = f"{CODE}/{hashlib.sha256(file.read()).hexdigest()}"
        if os.geteuid() != 0:
            return ""
        if _is_known(place, mark):
            return place
        os.makedirs(CODE, 0o755, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=".new-", dir=CODE)
        with zipfile.ZipFile(archive) as packed:
            if sum(each.file_size for each in packed.infolist()) > _LARGEST:
                return ""
            packed.extractall(temporary)
        with open(f"{temporary}/{MODULES}", "wb") as file:
            file.write(marshal.dumps(_compiled(temporary, place)))
        _make_readable(temporary)
        atomic.write(f"{temporary}/complete", f"{mark}\n", durable=False)
        atomic.sync_filesystem(temporary)
        shutil.rmtree(place, ignore_errors=True)
        os.rename(temporary, place)
        return place
    except (OSError, StateError, MemoryError, *_BROKEN):
        return ""
    finally:  # also after Ctrl-C
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_old(running: str) -> None:
    """Remove the code of other versions; called by a tick that holds the lock.

    Not what is younger than a day: somebody may have it running in another root.
    """
    for name in os.listdir(CODE):
        place = f"{CODE}/{name}"
        if place != running and time.time() - os.lstat(place).st_mtime > _DAY:
            shutil.rmtree(place, ignore_errors=True)


def _compiled(top: str, place: str) -> dict[str, tuple[bool, str, bytes]]:
    """The code of all modules below `top`, which will stand at `place`: see machine.code.finder."""
    table = {}
    for above, _, files in os.walk(f"{top}/allie"):
        for name in [name for name in files if name.endswith(".py")]:
            path = os.path.relpath(f"{above}/{name}", top)
            with open(f"{top}/{path}", "rb") as file:
                code = compile(file.read(), f"{place}/{path}", "exec", dont_inherit=True)
            module = path[: -len(".py")].replace("/", ".")
            is_package = name == "__init__.py"
            module = module[: -len(".__init__")] if is_package else module
            table[module] = (is_package, path, marshal.dumps(code))
    return table


def _make_readable(top: str) -> None:
    """Users run it, too."""
    for above, _, files in os.walk(top):
        os.chmod(above, 0o755)
        for name in files:
            os.chmod(f"{above}/{name}", 0o644)


def _is_known(place: str, mark: str) -> bool:
    """Whether this archive is unpacked already, from another place (a sibling's own copy).

    Its mark is then added, so that the next start finds it without reading the archive.
    """
    known = (atomic.read(f"{place}/complete") or "").splitlines()
    if not known or not is_roots(place) or not os.path.exists(f"{place}/{MODULES}"):
        return False
    marks = "\n".join([*known[-_MOST_MARKS:], mark])
    atomic.write(f"{place}/complete", f"{marks}\n", durable=False)
    return True
