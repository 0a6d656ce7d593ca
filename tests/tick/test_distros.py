"""The real archive in real systems, old and new, as their own base; and with an old rsync.

bullseye has Python 3.9 and rsync 3.2.3 and no merged /usr; trixie Python 3.13 and rsync 3.5.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.tick.site import Site, debian, run_in, script
from tests.worlds.pc import Result
from tests.worlds.store import served
from tests.worlds.toy import Dir, File, Hard, Link, Tree

pytestmark = [pytest.mark.root, pytest.mark.real]
COMMON: Tree = {
    "etc/motd": "common\n",
    "etc/hosts.allow": "default\n",
    "etc/hosts.allow##host.pc07": "pc07\n",
    "etc/issue##distro.debian": "Debian\n",
    "etc/issue": "another\n",
    "lib/site/x": "in lib\n",
    "bin/site": File("#!/bin/sh\necho site\n", 0o755),
    "srv/new/a": "one inode\n",
    "srv/new/b": Hard("srv/new/a"),
    "srv/new/secret": File("hidden\n", 0o600, owner=(0, 42)),
    "srv/new/deep": Dir(0o750),
    "srv/new/deep/f": "f\n",
    "srv/link": Link("new/a"),
    b"srv/new/\xff \n#odd": b"odd\n",
    "var/run/site.conf": "never there\n",
    "root/conf/50once": script("echo x >>/once"),
    "root/conf/60sshd": script("# allie: on-change /etc/motd", "cat /etc/motd >>/seen"),
    "root/conf/70wait": script("[ -e /go ] || exit 75"),
    "root/conf/80nested": script("# allie: every tick", "sh /root/conf/00overlay"),
    "root/conf/90daemon": script("sleep 777 >/dev/null 2>&1 &"),
}


def _ok(done: Result, rc: int = 0) -> Result:
    assert done.rc == rc, f"exit {done.rc}\n{done.out}\n{done.err}"
    assert "Traceback" not in done.err
    return done


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("suite", "python", "rsync"), [("bullseye", "3.9", "3.2."), ("trixie", "3.13", "3.")]
)
def test_a_system_of_its_own(tmp_path: Path, suite: str, python: str, rsync: str) -> None:
    root = debian(suite, tmp_path / suite)
    found = run_in(root, "python3 -V; rsync --version").out
    assert f"Python {python}." in found
    assert f"version {rsync}" in found
    assert (root / "lib").is_symlink() == (suite != "bullseye")
    modes = {
        name: (root / name).stat().st_mode for name in ("", "etc", "root", "tmp", "lib", "srv")
    }
    motd = (root / "etc/motd").read_text()
    issue = (root / "etc/issue").read_text()
    site = Site(
        tmp_path, {name: each for name, each in COMMON.items() if name != "var/run/site.conf"}
    )

    with served(site.store) as server:
        first = f"rsync {server.url}/overlays/kit/usr/local/bin/allie /usr/local/bin/"
        _ok(run_in(root, f"{first} && allie join {server.url}"))
        assert (root / "etc/hosts.allow").read_text() == "pc07\n"
        assert (root / "etc/issue").read_text() == "Debian\n"
        assert (root / "usr/lib/site/x" if suite == "trixie" else root / "lib/site/x").exists()
        assert (root / "lib").is_symlink() == (suite != "bullseye")
        assert run_in(root, "site").out == "site\n"
        assert (root / "srv/new/a").stat().st_ino == (root / "srv/new/b").stat().st_ino
        secret = (root / "srv/new/secret").stat()
        assert (secret.st_mode & 0o777, secret.st_gid) == (0o600, 42)
        assert (root / os.fsdecode(b"srv/new/\xff \n#odd")).read_text() == "odd\n"
        assert (root / "once").read_text() == "x\n"

        quiet = _ok(run_in(root, "/root/conf/run-conf; /root/conf/run-conf; echo $?"))
        assert quiet.out == "0\n", quiet
        assert (root / "once").read_text() == "x\n"
        status = _ok(run_in(root, "allie status")).out
        for words in ("50once", "waiting", "satisfied"):
            assert words in status

        # drift, also of the kind that keeps size and time
        times = os.stat(root / "srv/new/deep/f")
        (root / "srv/new/deep/f").write_text("g\n")
        os.utime(root / "srv/new/deep/f", ns=(times.st_atime_ns, times.st_mtime_ns))
        (root / "etc/hosts.allow").write_text("edited\n")
        assert "hosts.allow" in run_in(root, "allie plan").out
        _ok(run_in(root, "/root/conf/run-conf"))
        assert (root / "srv/new/deep/f").read_text() == "f\n"
        assert (root / "etc/hosts.allow").read_text() == "pc07\n"
        assert "drift" in _ok(run_in(root, "allie log")).out

        site.overlay({"etc/motd": "second\n", "go": ""})
        _ok(run_in(root, "/root/conf/run-conf"))
        assert (root / "seen").read_text() == "common\nsecond\n"
        assert "pc07" in run_in(root, "allie why /etc/hosts.allow").out

        server.stop()
        away = _ok(run_in(root, "/root/conf/run-conf; allie status"))
        assert "does not answer" in away.out
        server.start()

        for name in ("etc/motd", "etc/issue", "etc/issue##distro.debian", "srv/link"):
            (site.store / "overlays/common" / name).unlink()
        _ok(run_in(root, "/root/conf/run-conf"))
        assert (root / "etc/motd").read_text() == motd
        assert (root / "etc/issue").read_text() == issue
        assert not os.path.lexists(root / "srv/link")
        _ok(run_in(root, "allie undo && allie resume"))
        assert (root / "etc/motd").read_text() == "second\n"
    assert modes == {name: (root / name).stat().st_mode for name in modes}


# --- rsync 3.1 ---------------------------------------------------------------------------------

# What rsync 3.1.0 knows of what a client could want (its manual); anything newer is refused as it
# would refuse it.
OLD_RSYNC = """\
#!/bin/sh
[ "$1" = --version ] && { echo "rsync  version 3.1.0  protocol version 31"; exit 0; }
for word; do
    case $word in
    --) break ;;
    --numeric-ids | --filter=* | --from0 | --files-from=* | --no-implied-dirs | --backup) ;;
    --backup-dir=* | --delay-updates | --sockopts=* | --contimeout=* | --timeout=*) ;;
    --link-dest=* | --copy-dest=* | --delete | --out-format=* | --list-only | --8-bit-output) ;;
    --outbuf=[NLB]) ;;
    --info=* | --no-inc-recursive | --no-motd | --modify-window=[0-9]* | --checksum) ;;
    --*) echo "rsync: $word: unknown option" >&2; exit 1 ;;
    -[a-zA-Z]*[NUJ]*) echo "rsync: $word: unknown option" >&2; exit 1 ;;
    esac
done
exec /usr/bin/rsync "$@"
"""


def test_with_rsync_3_1(tmp_path: Path) -> None:
    """No option that it lacks is used, from join to withdrawal and undo."""
    site = Site(tmp_path, COMMON)
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "rsync").write_text(OLD_RSYNC)
    (folder / "rsync").chmod(0o755)
    path = {"ALLIE_PATH": f"{folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    assert subprocess.run([folder / "rsync", "--mkpath", "a", "b"]).returncode == 1
    with served(site.store) as server:
        done = site.pc.run("join", server.url, env=path)
        assert done.rc == 1, "a file below /run is refused, and 80nested finds no Python"
        assert "unknown option" not in done.err + done.out
        assert "/run is not for overlays" in done.out + done.err + site.pc.run("status").out
        assert site.pc.read("/etc/hosts.allow") == "pc07\n"
        assert site.pc.read("/usr/lib/site/x") == "in lib\n"
        site.overlay({"etc/motd": "second\n"})
        site.pc.put({"etc/hosts.allow": "edited\n"})
        (site.store / "overlays/common/srv/link").unlink()
        done = site.pc.run("run-conf", env=path)
        assert site.pc.read("/etc/motd") == "second\n", done
        assert site.pc.read("/etc/hosts.allow") == "pc07\n"
        assert not os.path.lexists(site.pc.path("/srv/link"))
        site.pc.run("undo", env=path).ok()
        assert site.pc.read("/etc/motd") == "common\n"
        assert site.pc.run("run-conf", env=path).rc == 1
        site.pc.path("/tmp/fetched").mkdir(parents=True)
        got = site.pc.path("/tmp/fetched")
        site.pc.run("rsync-image", "overlay", "common", got, env=path).ok()
        assert (got / "etc/hosts.allow##host.pc07").exists()


def test_an_rsync_that_is_not_there(tmp_path: Path) -> None:
    site = Site(tmp_path)
    done = site.pc.run("join", str(site.store), env={"ALLIE_PATH": "/nowhere"})
    assert done.rc == 2
    assert "rsync" in done.err
    assert "Traceback" not in done.err
    site.join()
    done = site.pc.run("run-conf", env={"ALLIE_PATH": "/nowhere"})
    assert done.rc == 1
    assert "install the package rsync" in site.pc.run("status").out
