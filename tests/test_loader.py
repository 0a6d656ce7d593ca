"""The archive's own beginning: each version is unpacked once, however many copies there are."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from allie.core.system import ARCHIVE
from allie.machine.code import cache, unpack
from allie.server import kit
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
    """An archive with a place of its own for its code; what it compiles is noted."""

    def __init__(self, directory: Path) -> None:
        self.code = directory / "code"
        self.path = directory / "client"
        packed = io.BytesIO()
        whole = kit.archive()
        with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(packed, "w") as after:
            for name in before.namelist():
                text = before.read(name).replace(cache.CODE.encode(), bytes(self.code))
                after.writestr(zipfile.ZipInfo(name), text)
        self.path.write_bytes(whole[: whole.index(b"PK\3\4")] + packed.getvalue())
        self.path.chmod(0o755)

    def compiled_by(self, *words: str, user: bool = False) -> list[str]:
        """Run a command line; the files whose code was compiled, also by what was forked."""
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
        return [name for name in log.read_text().splitlines() if "/allie/" in name]


@pytest.mark.root
@pytest.mark.real
@pytest.mark.skipif(not machine.is_root(), reason="needs root")
def test_a_first_tick_compiles_each_module_once_and_no_more_than_it_needs(tmp_path: Path) -> None:
    client = Client(tmp_path)
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
def test_what_few_load_is_compiled_when_it_is_asked_for(tmp_path: Path) -> None:
    """A user compiles what he needs, each time; root all of it, once."""
    client = Client(tmp_path)
    assert client.compiled_by("status", "--help")
    for _ in range(2):
        compiled = client.compiled_by("help", "tags", user=True)
        assert "manual.py" in {name.rpartition("/")[2] for name in compiled}
        assert len(compiled) < 5
    assert len(client.compiled_by("help", "tags")) > 20
    assert client.compiled_by("boot", "--help") == client.compiled_by("vm", "--help") == []
