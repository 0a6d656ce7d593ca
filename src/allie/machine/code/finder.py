"""Load ALLiE's modules from the one file of compiled code that `machine.code.unpack` made.

Their sources, for tracebacks, and the man pages are read from the copy of the archive beside it.
PEP 451 says what a finder and a loader are.
"""

from __future__ import annotations

import marshal
import sys
from _frozen_importlib import ModuleSpec, module_from_spec  # without all of importlib
from zipimport import zipimporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from allie.machine.code.cache import Index


def install(place: str, index: Index, body: bytes) -> None:
    """From now on import ALLiE from the code in `body`, the file that stands in `place`.

    Its packages are there at once: there is nothing in them but modules, and to import one by one
    would cost a tick as much as ten of those.
    """
    sys.path.pop(0)  # the archive that was called
    finder = Modules(f"{place}/archive", index, body)
    sys.meta_path.insert(0, finder)
    __import__("allie")
    for name in sorted([name for name, known in index.items() if known[0] and name != "allie"]):
        above, _, last = name.rpartition(".")
        package = sys.modules[name] = module_from_spec(finder.spec_of(name))
        setattr(sys.modules[above], last, package)


class Modules:
    """Finder and loader of the modules in a file of compiled code, which is in memory as a whole.

    What few ticks need is read late, and the file may be another one by then.
    """

    def __init__(self, archive: str, index: Index, body: bytes) -> None:
        self.archive = archive
        self.index = index
        self.body = body

    def code(self, name: str) -> memoryview:
        """A module's marshalled code; empty where it is not compiled yet."""
        _, _, begin, end = self.index[name]
        return memoryview(self.body)[begin:end]

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The spec of a module of ours; None for any other."""
        del path, target  # there is one module of a name, wherever it is asked for
        return self.spec_of(name) if name in self.index else None

    def spec_of(self, name: str) -> ModuleSpec:
        """The spec of a module of ours."""
        is_package, path, _, _ = self.index[name]
        spec = ModuleSpec(name, self, origin=f"{self.archive}/{path}", is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        spec.cached = spec.origin  # else where a .pyc would be is worked out, for each
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Nothing special: the import system makes the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code in it."""
        name = module.__name__
        code = self.code(name)
        if not code:
            from allie.machine.code import unpack  # noqa: PLC0415 - see HACKING.md, start-up

            self.index, self.body = unpack.add(self.archive, self.index, self.body, name)
            code = self.code(name)
        exec(marshal.loads(code), module.__dict__)

    def get_data(self, path: str) -> bytes:
        """A data file of the package (PEP 302), for pkgutil.get_data."""
        return zipimporter(self.archive).get_data(path)

    def get_source(self, name: str) -> str:
        """A module's source, for tracebacks."""
        return self.get_data(f"{self.archive}/{self.index[name][1]}").decode()
