"""The floors and wings of the house, and the sizes of its rooms, read from the imports.

    cli -> client, server, machine, core; client, server -> machine, core; machine -> core
    inside a floor: a wing imports those before it in WINGS, and all import the floor's own rooms

A failure names the module and the rule. The rule is the thing to keep: HACKING.md says why.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from allie.core import lean

SRC = Path(__file__).parents[1] / "src"
PACKAGE = SRC / "allie"

FLOORS = {
    "core": {"core"},
    "machine": {"machine", "core"},
    "client": {"client", "machine", "core"},
    "server": {"server", "machine", "core"},
    "cli": {"cli", "client", "server", "machine", "core"},
}
# Of each floor, from the ground up: a wing is a package that only those after it import
WINGS = {
    "core": "conf change boot image".split(),
    "machine": "programs mounts files roots namespaces transfer disk code".split(),
    "client": ("state mirror situation originals apply tick boot systems use setup".split()),
    "server": "doors serving images media mirroring fleet adopting history views site".split(),
    "cli": [],
}
# Pure ones: no I/O, no clock, no environment
CORE_MAY_IMPORT = set(
    "__future__ _collections _collections_abc binascii collections configparser contextlib"
    " difflib enum fnmatch functools hashlib itertools json _json operator _operator posixpath re"
    " signal _signal stat typing _hashlib _sha2 _sha256".split()
)
MODULE_LINES, FUNCTION_LINES, PRODUCT_LINES = 320, 60, 39_900
WING_ROOMS = OWN_ROOMS = 12
# Who may import inside a function, and why
LATE_IMPORTERS = {
    "allie.cli.main": "imports only the module of the verb that was asked for",
    "allie.client.systems.new_system": "the first tick's modules are loaded while rsync works",
    "allie.client.systems.early_overlays": "only what fetches ahead unpacks the client that came",
    "allie.client.apply.changes": "only what comes back is compared with what packages installed",
    "allie.client.apply.describe": "only drift is compared with what packages installed",
    "allie.client.originals.packages": "only another root's packages are asked inside it",
    "allie.client.originals.pristine": "only what stood there first is asked of the packages",
    "allie.client.mirror.fetch": "few PCs have a door of their own; nearly all find nothing new",
    "allie.client.mirror.questions": "few PCs have a door of their own to be asked",
    "allie.client.mirror.own_door": "nearly every fetch finds nothing new",
    "allie.client.mirror.stores": "only an ssh door asks who we are",
    "allie.client.tick.quick_note": "the quick tick's code is written once for each client",
    "allie.client.tick.part_work": "few ticks find an overlay off the list that would go",
    "allie.client.tick.part": "nearly every tick finds that it has nothing to do",
    "allie.machine.files.directory_identity": "only where no inode has a version a birth is asked",
    "allie.machine.mounts.fuse_waits": "only a child that hangs is freed by a mount of our own",
    "allie.machine.files.tree": "only what removes or walks another's tree must stay on its mount",
    "allie.machine.roots.reach": "only what changes something opens directories",
    "allie.machine.files.atomic": "only what changes a disk must sync it",
    "allie.machine.mounts.user_mounts": "only a file system that may be silent is asked",
    "allie.machine.transfer.rsync": "only a new rsync, or disk, is tried for what it can hold",
    "allie.machine.programs.process": "an ordinary tick starts nothing that must die with it",
    "allie.client.tick.script_process": "only another root's scripts need namespaces",
    "allie.client.systems.look_after": "only a PC with several systems loads what looks after them",
    "allie.core.digest": "loads OpenSSL only for what is large",
    "allie.client.use.enter": "only a system on a partition is looked at for its disk",
    "allie.machine.code.finder": "only the first module of those that few PCs load is compiled",
    "allie.machine.code.unpack": "only where it fails there is something to be removed",
    "allie.cli.start": "only what was asked for, and only a new archive is unpacked",
}
# All that `allie enter` may load beside what Python has loaded when it begins
IN_ENTER = set("_ctypes grp pwd __future__".split())
# Not needed for a tick, and each costs start-up time that every PC pays every hour
NOT_IN_A_TICK = set(
    "_ctypes ctypes shlex subprocess dataclasses pathlib inspect logging asyncio socket ssl"
    " tempfile shutil collections configparser contextlib enum functools importlib itertools json"
    " operator re signal types typing warnings".split()
)


class Module(NamedTuple):
    """One module of the product."""

    name: str
    path: Path
    text: str

    @property
    def tree(self) -> ast.Module:
        """It, parsed: only where its tests run, for that takes as much memory as all tests."""
        return _parsed(self.path, self.text)

    @property
    def floor(self) -> str:
        """`core` for allie.core.tags; empty for allie itself."""
        return self.name.split(".")[1] if "." in self.name else ""

    @property
    def wing(self) -> str:
        """`names` for allie.core.tags; empty for a room of the floor's own."""
        parts = self.name.split(".")[2:]
        is_wing = self.path.name == "__init__.py"
        return parts[0] if len(parts) > 1 or (parts and is_wing) else ""


@cache
def modules() -> dict[str, Module]:
    """All modules of the product by name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, path.read_text())
    return found


@cache
def _parsed(path: Path, text: str) -> ast.Module:
    return ast.parse(text, str(path), feature_version=(3, 9))


def imports(module: Module, node: ast.AST | None = None) -> Iterator[str]:
    """The full names of what it imports, wherever in the file."""
    for child in ast.walk(node or module.tree):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = _base(module, child)
            for alias in child.names:
                full = f"{base}.{alias.name}"
                yield full if full in modules() else base


def _base(module: Module, node: ast.ImportFrom) -> str:
    """The module that `from … import` names, a relative one made absolute."""
    if not node.level:
        return node.module or ""
    is_package = module.path.name == "__init__.py"
    parts = module.name.split(".")
    package = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*package, node.module] if node.module else package)


def own(module: Module) -> set[str]:
    """The modules of the product that it imports."""
    return {name for name in imports(module) if name == "allie" or name.startswith("allie.")}


def foreign(module: Module) -> set[str]:
    """The top-level packages of others that it imports."""
    return {name.split(".")[0] for name in imports(module)} - {"allie"}


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Its functions and methods, nested ones too."""
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


each_module = pytest.mark.parametrize("module", modules().values(), ids=lambda m: m.name)


def test_there_is_something_to_check() -> None:
    assert "allie" in modules()


def test_every_package_is_on_a_floor() -> None:
    assert {module.floor for module in modules().values()} - {""} <= set(FLOORS)


@each_module
def test_imports_go_down(module: Module) -> None:
    if not module.floor:
        assert not own(module)
        return
    for name in own(module):
        floor = modules()[name].floor
        assert not floor or floor in FLOORS[module.floor], f"{module.name} imports {name}"


@each_module
def test_wings_import_those_before_them(module: Module) -> None:
    order = ["", *WINGS.get(module.floor, [])]
    for other in map(modules().__getitem__, own(module)):
        if other.floor == module.floor and module.floor != "":
            down = order.index(other.wing) <= order.index(module.wing)
            assert down, f"{module.name} imports {other.name}"


@pytest.mark.parametrize("floor", WINGS)
def test_a_wing_has_few_rooms_and_says_what_it_is(floor: str) -> None:
    wings = [each.wing for each in modules().values() if each.floor == floor and each.wing]
    assert set(wings) == set(WINGS[floor])
    for wing in WINGS[floor]:
        assert wings.count(wing) - 1 <= WING_ROOMS, f"{floor}/{wing} has more rooms"


def test_a_flat_floor_is_not_built_again() -> None:
    """Few rooms of a floor stand in no wing."""
    for floor in ("core", "machine", "client", "server"):
        rooms = [
            each.name
            for each in modules().values()
            if each.floor == floor and not each.wing and each.path.name != "__init__.py"
        ]
        assert len(rooms) <= OWN_ROOMS, rooms


@each_module
def test_core_is_pure(module: Module) -> None:
    if module.floor == "core":
        assert foreign(module) <= CORE_MAY_IMPORT


@each_module
@pytest.mark.skipif(sys.version_info < (3, 10), reason="sys.stdlib_module_names is from 3.10 on")
def test_only_the_standard_library(module: Module) -> None:
    if sys.version_info >= (3, 10):
        assert foreign(module) <= sys.stdlib_module_names | {"_sha2", "_sha256"}  # of 3.12, of 3.11


def test_no_cycles() -> None:
    graph = {name: own(module) - {name} for name, module in modules().items()}
    clear: set[str] = set()  # nothing below it leads back

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "a cycle: " + " -> ".join([*trail[trail.index(name) :], name])
        if name not in clear:
            for below in sorted(graph.get(name, ())):
                visit(below, (*trail, name))
            clear.add(name)

    for name in graph:
        visit(name, ())


@each_module
def test_no_import_inside_a_function(module: Module) -> None:
    if module.name in LATE_IMPORTERS:
        return
    late = [f"{one.name}: {name}" for one in functions(module) for name in imports(module, one)]
    assert not late, f"{module.path.name} imports inside a function: {late}"


@each_module
def test_a_module_says_what_it_is(module: Module) -> None:
    text = ast.get_docstring(module.tree) or ""
    assert text, f"{module.name} has no docstring"
    called = re.match(r"(?:An? |The )?([A-Z0-9]\w*(?:[ -]\w+)?): ", text)  # "Placing: put …"
    if called and module.path.name != "__init__.py":
        words = re.findall(r"\w{4,}", called[1].lower())
        is_it = any(each[:4] in module.path.stem for each in words)
        assert is_it, f"{module.name} is no {called[1]}"
    assert module.path.stem not in ("util", "utils", "helpers", "misc", "common")


def test_a_class_name_means_one_thing() -> None:
    classes = [
        (node.name.lstrip("_"), module.name)
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    ]
    names = [name for name, _ in classes]
    assert not sorted(each for each in classes if names.count(each[0]) > 1)


@each_module
def test_no_work_in_an_init(module: Module) -> None:
    if module.path.name == "__init__.py":
        rest = [ast.unparse(node) for node in module.tree.body[1:]]
        assert all(line.startswith("__version__ = ") for line in rest), rest


@each_module
def test_sizes(module: Module) -> None:
    lines = len(module.text.splitlines())
    assert lines <= MODULE_LINES, f"{module.name} has {lines} lines, more than {MODULE_LINES}"
    for one in functions(module):
        length = (one.end_lineno or one.lineno) - one.lineno + 1
        assert length <= FUNCTION_LINES, f"{module.name}.{one.name} has {length} lines"


# What changes a root, or reads what may be a user's, reaches it by open directories alone
BY_DESCRIPTORS = set(
    "changes undo_copies verify placing pristine recover remove transaction undo describe"
    " clone stage".split()
)
# An absolute path of something below a root is made by `System.at`, or of `Inside.prefix`
_MAKES_PATHS = ("at", "prefix")
MAY_MAKE_PATHS = {
    "allie.client.apply.describe": "compares one with the table of mounts, and opens nothing by it",
}


def test_what_is_listed_here_exists() -> None:
    assert set(LATE_IMPORTERS) <= set(modules())
    assert {each.path.stem for each in modules().values()} >= BY_DESCRIPTORS
    assert set(MAY_MAKE_PATHS) <= set(modules())


@each_module
def test_no_path_of_strings_below_a_root(module: Module) -> None:
    if module.path.stem not in BY_DESCRIPTORS or module.name in MAY_MAKE_PATHS:
        return
    made = [
        f"line {node.lineno}: .{node.attr}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in _MAKES_PATHS
    ]
    assert not made, f"{module.name} makes a path below a root of strings: {made}"


def test_size_of_the_product() -> None:
    lines = sum(len(module.text.splitlines()) for module in modules().values())
    assert lines < PRODUCT_LINES


def loaded_by(module: str) -> set[str]:
    """The modules that importing this one brings in."""
    program = (
        f"import os, sys; sys.path.insert(0, {str(SRC)!r}); before = set(sys.modules);"
        f"import {module}; loaded = sorted(set(sys.modules) - before);"
        "import json; print(json.dumps(loaded))"
    )
    # -I -S, as the client is started: no site, whose .pth files import what they like
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_a_tick_starts_light() -> None:
    """What it loads while it works, too, but for what calls the kernel directly."""
    assert not NOT_IN_A_TICK & loaded_by("allie.cli.run_conf")
    calls = {"_ctypes", "ctypes", "types"}
    assert not NOT_IN_A_TICK - calls & loaded_by("allie.client.tick.part_work")


def test_a_new_client_is_tried_with_all_that_a_tick_may_load_late() -> None:
    """A fault in it, or a replaced archive, would else be met in the middle of a tick."""
    late = {
        name
        for importer in LATE_IMPORTERS
        for function in functions(modules()[importer])
        for name in imports(modules()[importer], function)
        if name in modules()
    }
    before_any_verb = {"allie.cli.parsing", "allie.machine.code.unpack", "allie.machine.code.cache"}
    assert late - before_any_verb <= loaded_by("allie.cli.selfcheck")


_READ_IN_A_TICK = r"""
from allie.core import facts, hosts, lean, script
from allie.core.conf import settings
from allie.machine import console
from allie.machine.transfer import rsync

conf = "[allie]\nstore = rsync://server:873/\nhost = pc07\n[system a]\noverlays = kit\n"
settings.parse(conf, "a")
facts.parse_os_release('ID=debian\nPRETTY_NAME="Debian 12"')
facts.classes_of(("pc07", ""), facts.parse_classes("lab: pc[01-20,35] srv*"))
assert script.is_name("50yum") and script.parse_headers(b"#!/bin/sh\n# allie: every 1h\n").every
assert rsync.parse_answer(b">f.st...... common/etc/motd\n*deleting   common/etc/gone\n").gone
assert lean.loads(lean.dumps({"tick": 7}))
console.say("placed /etc/motd")
print({*lean._LATE} & {*sys.modules})
for damaged in ("", '{"tick', "[1,]", "{1}", "[1] 2"):
    try:
        print(lean.loads(damaged))
    except ValueError:
        [sys.modules.pop(name) for name in [*sys.modules] if name.startswith("json")]
"""


def test_what_is_read_in_an_ordinary_tick_loads_nothing_late() -> None:
    program = f"import sys; sys.path.insert(0, {str(SRC)!r})\n{_READ_IN_A_TICK}"
    argv = [sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.stdout.splitlines()[1:] == ["set()"], done.stdout + done.stderr


@pytest.mark.parametrize("room", ["sealed_run", "confined_daemon", "trial"])
def test_who_leaves_for_another_root_has_loaded_all_before(room: str) -> None:
    """Where he goes stands another Python's library, which may be anybody's."""
    assert set(lean._LATE) <= loaded_by(f"allie.machine.namespaces.{room}")


def test_enter_starts_lighter_still() -> None:
    foreign = {name for name in loaded_by("allie.cli.enter") if name.split(".")[0] != "allie"}
    assert foreign <= IN_ENTER
    assert "allie.core.lean" not in loaded_by("allie.cli.enter")
