"""The archive's own beginning: each version is unpacked once, however many copies there are."""

from __future__ import annotations

import io
import marshal
import os
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from allie.core.system import ARCHIVE
from allie.machine.code import cache, unpack
from allie.server import compile_client, kit
from tests.test_structure import SRC
from tests.tick.site import Site
from tests.worlds import machine


@pytest.mark.root
@pytest.mark.skipif(not machine.is_root(), reason="needs root")
def test_copies_share_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base's archive and a sibling's, started in turn, do not unpack each other's code anew."""
    monkeypatch.setattr(unpack, "CODE", str(tmp_path / "code"))
    monkeypatch.setattr(cache, "CODE", str(tmp_path / "code"))
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(kit.archive())
    shutil.copy(first, second)
    place = unpack.unpack(str(first))
    made = os.stat(place).st_ino
    for archive in (second, first, second):
        assert (cache.find(str(archive)) or unpack.unpack(str(archive))) == place
    assert os.stat(place).st_ino == made
    marks = Path(place, "complete").read_text().splitlines()
    assert len(marks) == 2
    assert cache.find(str(second)) == place
    assert os.listdir(cache.CODE) == [os.path.basename(place)]


_COUNTING = """
import builtins, os, sys
if sys.argv.pop(1):
    os.geteuid = lambda: 1000
compiles, log = compile, os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def counting(text, name, *rest, **more):
    os.write(log, f"{name}\\n".encode())
    return compiles(text, name, *rest, **more)
builtins.compile = counting
sys.argv.pop(0)
sys.path.insert(0, sys.argv[0])
from start import main
sys.exit(main())
"""


class Client:
    """An archive with a place of its own for its code; what it compiles is noted.

    compiled: the Python that it comes compiled for; "": it has its sources alone.
    """

    def __init__(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, compiled: str = ""
    ) -> None:
        self.compiled = compiled
        self.code = directory / "code"
        self.path = directory / "client"
        read = kit._read
        with monkeypatch.context() as here:
            here.setattr(kit, "CODE", str(self.code))
            here.setattr(kit, "_PYTHON", compiled)
            here.setattr(kit, "_read", lambda name: _moved(read(name), self.code))
            if not compiled:
                here.setattr(kit, "_compiled", lambda _: None)
            self.path.write_bytes(kit.archive())
        self.path.chmod(0o755)

    def compiled_by(self, *words: str, user: bool = False) -> list[str]:
        """Run a command line; the files whose code was compiled, also by what was forked.

        Without start.py, which is compiled each time where it did not come compiled.
        """
        log = self.path.parent / "log"
        log.unlink(missing_ok=True)
        argv = [
            sys.executable,
            "-ISBXutf8",
            "-c",
            _COUNTING,
            "user" * user,
            str(log),
            str(self.path),
            *words,
        ]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode in (0, 1), done
        lines = log.read_text().splitlines() if log.exists() else []
        return [name for name in lines if "/allie/" in name or (self.compiled and "start" in name)]


def _moved(text: bytes, code: Path) -> bytes:
    return text.replace(cache.CODE.encode(), bytes(code))


@pytest.mark.root
@pytest.mark.real
@pytest.mark.skipif(not machine.is_root(), reason="needs root")
def test_a_first_tick_compiles_each_module_once_and_no_more_than_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(tmp_path, monkeypatch)
    site = Site(tmp_path / "site", {"etc/motd": "common\n"})
    shutil.copy(client.path, site.store / "overlays/kit" / ARCHIVE)
    root = str(site.pc.root)
    compiled = client.compiled_by("join", str(site.store), "--root", root, "--no-timer")
    kept = [name for name in compiled if name.startswith(str(client.code))]
    assert len(kept) == len(set(kept)) > 100
    assert not [name for name in kept if name.endswith(("/systemd_boot.py", "/disks.py"))]
    assert len(compiled) - len(kept) < 20, "loaded from the archive, where it is compiled twice"
    assert client.compiled_by("run-conf", "--root", root) == []


@pytest.mark.root
@pytest.mark.skipif(not machine.is_root(), reason="needs root")
def test_what_few_load_is_compiled_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user compiles what he needs, each time; root all of it, once."""
    client = Client(tmp_path, monkeypatch)
    assert client.compiled_by("status", "--help")
    for _ in range(2):
        compiled = client.compiled_by("help", "tags", user=True)
        assert "manual.py" in {name.rpartition("/")[2] for name in compiled}
        assert len(compiled) < 5
    assert len(client.compiled_by("help", "tags")) > 20
    assert client.compiled_by("boot", "--help") == client.compiled_by("vm", "--help") == []


@pytest.mark.root
@pytest.mark.real
@pytest.mark.skipif(not machine.is_root(), reason="needs root")
def test_what_came_compiled_is_not_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the first line of the archive, either; tracebacks name files as ever."""
    client = Client(tmp_path, monkeypatch, sys.executable)
    site = Site(tmp_path / "site", {"etc/motd": "common\n"})
    shutil.copy(client.path, site.store / "overlays/kit" / ARCHIVE)
    root = str(site.pc.root)
    assert client.compiled_by("join", str(site.store), "--root", root, "--no-timer") == []
    assert client.compiled_by("run-conf", "--root", root) == []
    (place,) = client.code.iterdir()
    body = (place / cache.MODULES).read_bytes()
    index = cache.index_of(body)
    for name, (_, path, begin, end) in index.items():
        assert marshal.loads(body[begin:end]).co_filename == f"{place}/archive/{path}", name
    assert {"allie", "allie.cli.join", "allie.cli.boot"} <= index.keys()


def _delivered(archive: Path, body: bytes) -> bytes:
    archive.write_bytes(body)
    return unpack._delivered(str(archive), body)


def test_compiled_code_is_used_with_what_it_was_compiled_from_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the very Python, and where nobody has changed the archive since."""
    monkeypatch.setattr(kit, "_PYTHON", sys.executable)
    good = kit.archive()
    assert _delivered(tmp_path / "good", good)
    at = good.rindex(cache.MODULES.encode(), 0, good.index(b"PK\1\2"))
    assert not _delivered(tmp_path / "a source", good.replace(b"import os\n", b"import OS\n", 1))
    assert not _delivered(tmp_path / "code", good[: at + 999] + b"?" + good[at + 1000 :])
    check = unpack.check_of
    monkeypatch.setattr(unpack, "check_of", lambda before, code, _: check(before, code, b"others"))
    foreign = kit.archive()
    monkeypatch.undo()
    assert len(foreign) == len(good)
    assert not _delivered(tmp_path / "another Python", foreign)


_ODD = b'''"""What it is."""
from __future__ import annotations
class Empty:
    """Nothing."""
def plain(one: int, *rest: str, **more: str) -> str:
    "What it does."
    assert one, "kept"
    return "What it does."
'''


def test_what_nobody_asks_for_is_not_compiled() -> None:
    """Docstrings, but for those of commands; annotations of functions. Never an assert."""
    for path, said in ("/allie/core/odd.py", None), ("/allie/cli/odd.py", "What it is."):
        made: dict[str, Any] = {}
        exec(marshal.loads(compile_client._code(_ODD, f"/a{path}")), made)
        plain, empty = made["plain"], made["Empty"]
        assert (made.get("__doc__"), plain.__doc__, empty.__doc__) == (said, None, None)
        assert not plain.__annotations__
        assert plain(1) == "What it does."
        with pytest.raises(AssertionError, match="kept"):
            plain(0)


def test_the_same_sources_give_the_same_archive() -> None:
    """Whatever the process that makes it has done before, and however it hashes."""
    program = "import sys, hashlib; sys.path.insert(0, sys.argv[1]); {}"
    program += "from allie.server import kit; print(hashlib.sha256(kit.archive()).hexdigest())"
    found = {
        subprocess.run(
            [sys.executable, "-c", program.format(before), str(SRC)],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed, before in (("1", ""), ("2", "import json, argparse, allie.client.setup.join; "))
    }
    assert found == {f"{sha256(kit.archive()).hexdigest()}\n".encode()}


def test_without_a_python_that_compiles_there_are_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "_PYTHON", "/bin/false")
    with zipfile.ZipFile(io.BytesIO(kit.archive())) as archive:
        assert {os.path.splitext(name)[1] for name in archive.namelist()} <= {".py", ".md", ".sh"}
