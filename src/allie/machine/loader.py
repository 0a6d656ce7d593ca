"""The archive's own beginning: find (or make) its unpacked, compiled form and go on from there.

This file stands in the archive a second time as `__main__.py`, so it imports nothing of ALLiE's
before it has found the code, and as little as it can of Python's: what it loads is paid for by
every `allie` that anybody types. Compiling the sources at each start would double a tick's cost.

    /var/lib/allie-code/<sha256 of the archive>/   written by root alone, readable by all
        allie/                                     the sources, for tracebacks, and the man pages
        modules.<python>                           the compiled code of all modules in one file
        complete                                   which archive and Python it was made from

Not root, no room, a read-only disk: the code runs from the archive itself, only slower (RULES B9).
"""

from __future__ import annotations

import marshal
import os
import stat
import sys
import time
from importlib.machinery import ModuleSpec  # loaded by now: an archive is run by runpy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

CODE = "/var/lib/allie-code"
_DAY = 86400
_MODULES = f"modules.{sys.implementation.cache_tag}"
_MOST_MARKS = 15  # copies of one archive that are known, beside the newest


def find(archive: str) -> str:
    """Where to import ALLiE from: the unpacked code of this archive, or the archive."""
    try:
        mark = _mark(archive)
        for name in os.listdir(CODE):
            place = f"{CODE}/{name}"
            if _is_roots(place) and mark in _read(f"{place}/complete").splitlines():
                return place
    except OSError:
        pass
    return _unpack(archive) if os.geteuid() == 0 else archive


def remove_old(running: str) -> None:
    """Remove the code of other versions; called by a tick that holds the lock.

    Not what is younger than a day: somebody may have it running in another root.
    """
    import shutil  # noqa: PLC0415 - loaded only in the one tick after an update

    for name in os.listdir(CODE):
        place = f"{CODE}/{name}"
        if place != running and time.time() - os.lstat(place).st_mtime > _DAY:
            shutil.rmtree(place, ignore_errors=True)


def _mark(archive: str) -> str:
    st = os.stat(archive)
    return f"{st.st_ino} {st.st_ctime_ns} {st.st_size} {sys.implementation.cache_tag}"


def _is_roots(place: str) -> bool:
    st = os.lstat(place)
    return stat.S_ISDIR(st.st_mode) and st.st_uid == 0 and not st.st_mode & 0o022


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _unpack(archive: str) -> str:
    """Unpack and compile once for each version; the archive itself where that cannot be done."""
    import hashlib  # noqa: PLC0415 - only the first start of a version comes here
    import shutil  # noqa: PLC0415
    import tempfile  # noqa: PLC0415
    import zipfile  # noqa: PLC0415

    temporary = ""
    try:
        mark = _mark(archive)
        with open(archive, "rb") as file:
            place = f"{CODE}/{hashlib.sha256(file.read()).hexdigest()}"
        if _is_known(place, mark):
            return place
        os.makedirs(CODE, 0o755, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=".new-", dir=CODE)
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(temporary)
        _compile(temporary, place)
        for above, _, files in os.walk(temporary):
            os.chmod(above, 0o755)
            for name in files:
                os.chmod(f"{above}/{name}", 0o644)
        with open(f"{temporary}/complete", "w", encoding="utf-8") as file:
            file.write(mark + "\n")
        os.sync()
        shutil.rmtree(place, ignore_errors=True)
        os.rename(temporary, place)
        return place
    except (OSError, zipfile.BadZipFile):
        return archive
    finally:  # also after Ctrl-C
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def _compile(top: str, place: str) -> None:
    """Gather the code of all modules below `top`, which will stand at `place`, in one file."""
    table = {}
    for above, _, files in os.walk(top):
        for name in files:
            path = os.path.relpath(f"{above}/{name}", top)
            if name.endswith(".py") and "/" in path:
                with open(f"{top}/{path}", "rb") as file:
                    code = compile(file.read(), f"{place}/{path}", "exec", dont_inherit=True)
                module = path[: -len(".py")].replace("/", ".")
                is_package = name == "__init__.py"
                module = module[: -len(".__init__")] if is_package else module
                table[module] = (is_package, path, marshal.dumps(code))
    with open(f"{top}/{_MODULES}", "wb") as file:
        file.write(marshal.dumps(table))


def _is_known(place: str, mark: str) -> bool:
    """Whether this archive is unpacked already, from another place (a sibling's own copy).

    Its mark is then added, so that the next start finds it without reading the archive.
    """
    known = _read(f"{place}/complete").splitlines()
    if not known or not _is_roots(place) or known[-1].split()[-1:] != mark.split()[-1:]:
        return False
    with open(f"{place}/complete.new", "w", encoding="utf-8") as file:
        file.write("\n".join([*known[-_MOST_MARKS:], mark]) + "\n")
    os.replace(f"{place}/complete.new", f"{place}/complete")
    return True


class _Modules:
    """Finds and loads ALLiE's modules from the one file that `_compile` wrote (PEP 451)."""

    def __init__(self, place: str) -> None:
        self.place = place
        with open(f"{place}/{_MODULES}", "rb") as file:
            self.table = marshal.load(file)

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """The spec of a module of ours; None for any other."""
        known = self.table.get(name)
        if known is None:
            return None
        is_package, path, _ = known
        spec = ModuleSpec(name, self, origin=f"{self.place}/{path}", is_package=is_package)  # type: ignore[arg-type]  # a loader by its methods, not by its class
        spec.has_location = True
        return spec

    def create_module(self, spec: object) -> None:
        """Nothing special: the import system makes the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code in it."""
        exec(marshal.loads(self.table[module.__name__][2]), module.__dict__)

    def get_data(self, path: str) -> bytes:
        """A data file of the package (PEP 302), for pkgutil.get_data."""
        with open(path, "rb") as file:
            return file.read()


def main() -> int:
    """Run the command line from the best form of the code that there is."""
    place = find(os.path.realpath(sys.path[0]))
    if place.startswith(CODE):
        sys.path.pop(0)
        sys.meta_path.insert(0, _Modules(place))  # type: ignore[arg-type]
    from allie.cli.main import main as command_line  # noqa: PLC0415 - its place is known only now

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
