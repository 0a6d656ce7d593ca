"""What ALLiE makes has modes of its own, whatever the umask of whoever calls it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from allie.server import kit, store
from tests.tick.site import archive, script
from tests.worlds.busybox import busybox_root
from tests.worlds.toy import File, make_tree

pytestmark = [pytest.mark.root, pytest.mark.real]
_APART = (
    'umask "$0" && mount --bind "$1" /var/lib && mount --bind "$2" /run && shift 2 && "$@"'
)  # fmt: skip


def _modes(top: Path) -> dict[str, str]:
    """The mode of everything below a directory; a code directory is named for its archive."""
    found = {}
    for above, directories, files in os.walk(top):
        for name in [*directories, *files]:
            path = Path(above, name)
            st = path.lstat()
            if not stat.S_ISLNK(st.st_mode):
                found[str(path.relative_to(top))] = f"{stat.S_IMODE(st.st_mode):04o}"
    return found


def _world(tmp_path: Path, umask: str) -> dict[str, str]:
    """Join, tick, change, tick, by one umask; the modes of all that is there then."""
    top = tmp_path / umask
    for name in ("lib", "run"):
        (top / name).mkdir(parents=True)
        (top / name).chmod(0o755)
    old = os.umask(0o022)
    try:
        server = top / "store"
        store.init(str(server))
        kit.write(str(server / "overlays/kit"))
        make_tree(
            server / "overlays/common",
            {
                "etc/new/deeper/file": "first\n",
                "etc/secret": File("x\n", 0o600),
                "etc/open": File("x\n", 0o666),
                "etc/motd": "first\n",
                "root/conf/50a": script("umask; mkdir -p /made/by; echo x >/made/by/script"),
                "root/conf/60b": script("echo no; exit 1"),
            },
        )
        root = busybox_root(top / "pc", {"etc/hostname": "pc07\n", "etc/motd": "its own\n"})
    finally:
        os.umask(old)
    apart = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _APART, umask]
    client = [str(archive()), "--root", str(root)]

    def run(*words: str) -> None:
        argv = [*apart, str(top / "lib"), str(top / "run"), *client, *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=100)
        assert done.returncode in (0, 1), done

    run("join", str(server), "--image", "img", "--overlays", "kit,common", "--no-timer")
    run("run-conf")
    (server / "overlays/common/etc/motd").write_text("second\n")
    (server / "overlays/common/etc/secret").unlink()
    run("run-conf")
    run("pause")
    run("status")
    assert (root / "var/log/allie/50a.log").read_text() == "0022\n"
    return {
        **{f"pc/{name}": mode for name, mode in _modes(root).items()},
        **{f"lib/{name}": mode for name, mode in _modes(top / "lib").items()},
        **{f"run/{name}": mode for name, mode in _modes(top / "run").items()},
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_modes_are_the_same_by_any_umask(tmp_path: Path) -> None:
    usual = _world(tmp_path, "022")
    assert usual["pc/run/allie"] == usual["pc/var/log/allie"] == "0755"
    assert usual["pc/var/lib/allie"] == usual["pc/var/lib/allie/mirror"] == "0700"
    assert usual["lib/allie-code"] == "0755"
    assert usual["pc/made/by/script"] == "0644"
    for umask in ("000", "077", "0777"):
        assert _world(tmp_path, umask) == usual, umask


def test_a_store_is_readable_by_any_umask(tmp_path: Path) -> None:
    modes = []
    for umask in (0o022, 0o000, 0o077):
        top = tmp_path / f"{umask:o}"
        argv = [sys.executable, "-m", "allie.cli.main", "store", "init", "--store", str(top)]
        call = ["sh", "-c", 'umask "$0" && exec "$@"', f"{umask:o}", *argv]
        subprocess.run(call, check=True, capture_output=True)
        modes.append({**_modes(top), "": f"{stat.S_IMODE(top.stat().st_mode):04o}"})
    assert modes[0][""] == modes[0]["overlays/kit/usr/local"] == "0755"
    assert modes[0] == modes[1] == modes[2]


@pytest.mark.parametrize("umask", ["0007", "0077"])
def test_what_is_entered_has_its_callers(tmp_path: Path, umask: str) -> None:
    root = busybox_root(tmp_path / "root")
    enter = [sys.executable, "-m", "allie.cli.main", "enter", "--root", str(root)]
    inside = "umask; stat -c %a /run/host /run/allie"
    argv = ["sh", "-c", 'umask "$0" && exec "$@"', umask, *enter, "--", "sh", "-c", inside]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == [umask, "755", "755"], done


@pytest.mark.parametrize("umask", ["000", "077"])
def test_the_stub_comes_first_and_makes_the_same(tmp_path: Path, umask: str) -> None:
    """It makes /run/allie before any client runs, with whatever umask cron or a person has."""
    (tmp_path / "run").mkdir()
    stub = Path(kit.__file__).parents[1] / "stub/stub.sh"
    apart = 'umask "$0" && mount --bind "$1" /run && sh "$2"; stat -c %a /run/allie'
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", apart, umask]
    done = subprocess.run(
        [*argv, str(tmp_path / "run"), str(stub)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split()[-1] == "755", done
