"""The packages: who builds them gets the same, nobody finds fault with them, and they work."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from allie import __version__
from tests.worlds import debian, machine

TOP = Path(__file__).parents[2]
DEB = f"allie-server_{__version__}_all.deb"
# What a builder may have otherwise than the one before
ELSEWHERE = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "ALLIE_STORE": "/of/the/builder"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

pytestmark = pytest.mark.slow
on_debian = pytest.mark.skipif(not shutil.which("apt-get"), reason="Debian's are built on Debian")
# The interpreter that a distribution's tools run with is not the one of the tests
SYSTEMS = {"PATH": PATH, "HOME": "/nonexistent", "LANG": "C.UTF-8"}


def run(*argv: object, umask: int = 0o022, env: Mapping[str, str] | None = None) -> str:
    """Run a program as somebody with this umask; what it printed. Fails unless it exits 0."""
    done = subprocess.run(
        list(map(str, argv)),
        env={**SYSTEMS, **(env or {})},
        umask=umask,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}"
    return done.stdout


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    """What is in these files, by name."""
    files = [path for pattern in patterns for path in folder.glob(pattern)]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the packages, built from an unpacked release."""
    folder = tmp_path_factory.mktemp("release") / "allie"
    run(TOP / "tools/export", folder)
    run(folder / "tools/deb")
    return folder / "build/deb"


def test_the_version_is_said_once() -> None:
    """Packages cannot ask the program for its version: so what they say is compared with it."""
    changelog = (TOP / "debian/changelog").read_text()
    assert changelog.startswith(f"allie ({__version__}) ")
    assert f"\nVersion:        {__version__}\n" in (TOP / "packaging/allie.spec").read_text()


@on_debian
def test_the_same_sources_give_the_same_packages(packages: Path, tmp_path: Path) -> None:
    """In a clone elsewhere, by somebody with another umask, zone and language."""
    clone = tmp_path / "some" / "clone"
    run(TOP / "tools/export", clone, umask=0o077)
    run("git", "init", "-q", clone)
    run("git", "-C", clone, "add", "-A")
    run(clone / "tools/deb", umask=0o077, env=ELSEWHERE)
    built = digests(packages, "*.deb", "*.dsc", "*.tar.xz")
    assert len(built) == 4
    assert built == digests(clone / "build/deb", "*.deb", "*.dsc", "*.tar.xz")


@on_debian
def test_lintian_finds_nothing(packages: Path) -> None:
    said = run("lintian", "--fail-on", "error,warning", *packages.glob("*.changes"))
    tags = [line for line in said.splitlines() if re.match("[EW]: ", line)]
    assert not tags


@on_debian
@pytest.mark.root
@pytest.mark.parametrize("suite", ["bullseye", "bookworm"])
def test_a_server_of_the_package_follows_its_own_store(
    packages: Path, tmp_path: Path, suite: str
) -> None:
    """And the client that its kit brought hands over to the package's program."""
    if not machine.is_root():
        pytest.skip("needs root")
    root = debian.debian_root(suite, tmp_path / "root", include=("python3", "rsync"))
    shutil.copy(packages / DEB, root / DEB)

    def on_server(*argv: str) -> str:
        """On the server, with processes and mounts of its own, and no network."""
        enter = ["unshare", "-m", "-p", "-n", "-f", f"--mount-proc={root}/proc", "chroot", root]
        return run(*enter, *argv, env={"DEBIAN_FRONTEND": "noninteractive"})

    on_server("dpkg", "-i", f"/{DEB}")
    assert on_server("allie", "--version") == f"allie {__version__}\n"
    assert any(root.glob("usr/share/allie/allie/core/__pycache__/*.pyc"))
    assert "wrote /srv/allie/overlays/kit/usr/local/bin/allie" in on_server(
        "allie", "store", "init"
    )
    (root / "srv/allie/overlays/common/etc").mkdir()
    (root / "srv/allie/overlays/common/etc/motd").write_text("Welcome\n")

    on_server("allie", "join", "--no-timer", "--system", "server", "/srv/allie")
    assert (root / "etc/motd").read_text() == "Welcome\n"
    client = root / "usr/local/bin/allie"
    assert client.read_bytes() == (root / "srv/allie/overlays/kit/usr/local/bin/allie").read_bytes()
    assert not (root / "usr/local/lib/allie/server").exists()
    (root / "srv/allie/overlays/kit/usr/local/bin/allie").unlink()
    said = on_server("/usr/local/bin/allie", "store", "init")
    assert "wrote /srv/allie/overlays/kit/usr/local/bin/allie" in said
    assert on_server("/usr/local/bin/allie", "overlay", "list").split()[0] == "common"
    assert "server" in on_server("/usr/local/bin/allie", "status")

    units = root / "etc/systemd/system"
    served = "[Service]\nExecStart=/usr/bin/allie store serve --port 873 --store /srv/allie\n"
    (units / "allie-store.service").write_text(served)
    on_server("dpkg", "--purge", "allie-server")
    assert not (root / "usr/share/allie").exists()
    assert (root / "srv/allie/overlays/common/etc/motd").exists()


@on_debian
def test_the_package_brings_the_same_client_as_the_sources(packages: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "-x", packages / DEB, tmp_path)
    modules = tmp_path / "usr/share/allie"
    made = "from allie.server import kit; import zlib; print(zlib.crc32(kit.archive()))"
    python = ("/usr/bin/python3", "-B", "-c", made)
    assert run(*python, env={"PYTHONPATH": str(modules)}) == run(
        *python, env={"PYTHONPATH": str(TOP / "src")}
    )


def test_rpm_packages_are_built(tmp_path: Path) -> None:
    run(TOP / "tools/export", tmp_path)
    run(tmp_path / "tools/rpm")
    pc, server = sorted((tmp_path / "build/rpm").glob("*.noarch.rpm"))
    files = run("rpm", "-qpl", server).split()
    assert "/usr/bin/allie" in files
    assert any(each.startswith("/usr/share/man/man8/allie.8") for each in files)
    for each in (pc, server):
        assert "rsync >= 3.1" in run("rpm", "-qp", "--requires", each)


def test_the_wheel_has_the_command_and_makes_a_store(tmp_path: Path) -> None:
    run(TOP / "tools/export", tmp_path / "allie")
    dist = tmp_path / "dist"
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", dist]
    run(*build, tmp_path / "allie")
    wheel = dist / f"allie_linux-{__version__}-py3-none-any.whl"
    assert (dist / f"allie_linux-{__version__}.tar.gz").exists()
    assert "allie/stub/systemd/allie.timer" in zipfile.ZipFile(wheel).namelist()
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index", wheel)
    store = tmp_path / "store"
    run(tmp_path / "venv/bin/allie", "--store", store, "store", "init")
    assert os.access(store / "overlays/kit/usr/local/bin/allie", os.X_OK)
