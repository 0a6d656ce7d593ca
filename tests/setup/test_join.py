"""Join: from nothing to a system that looks after itself, in two commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from allie.core.script import parse_span
from tests.tick.site import Site, TickPC, debian, run_in, script
from tests.worlds.busybox import busybox_root
from tests.worlds.debian import BOOTED, UnavailableError, debian_root
from tests.worlds.store import served
from tests.worlds.toy import File, Link, Tree

pytestmark = [pytest.mark.root, pytest.mark.real]
UNITS = Path(__file__).parents[2] / "src/allie/stub/systemd"


def _everything(root: Path, but: tuple[str, ...] = ("var/lib/allie", "run", "var/log")) -> str:
    """All paths of a root with what they are and hold, but for ALLiE's own books."""
    total = sha256()
    for above, directories, names in os.walk(root):
        place = os.path.relpath(above, root)
        directories[:] = sorted(d for d in directories if f"{place}/{d}".lstrip("./") not in but)
        for name in sorted(names) + directories:
            path = f"{above}/{name}"
            st = os.lstat(path)
            times = () if os.path.isdir(path) else (st.st_ino, st.st_mtime_ns, st.st_size)
            total.update(repr((path, st.st_mode, st.st_uid, times)).encode())
    return total.hexdigest()


def _root(top: Path, tree: Tree | None = None) -> Path:
    return busybox_root(top, {"etc/hostname": "pc07\n", **(tree or {})})


def test_a_server_that_follows_its_own_store_keeps_its_commands(tmp_path: Path) -> None:
    """The kit brings the client to where its command is, by a link or as a script."""
    own = f"#!/bin/sh\nexec '{sys.executable}' -m allie.cli.main \"$@\"\n"
    paths = f"PYTHONPATH='{Path(__file__).parents[2] / 'src'}'"
    site = Site(tmp_path, {"etc/motd": "common\n"})
    command = tmp_path / "it's mine"
    command.write_text(own.replace("exec", f"{paths} exec"))
    command.chmod(0o755)
    for kind in ("link", "script", "elsewhere"):
        root = _root(tmp_path / kind)
        place = root / "usr/local/bin/allie"
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "elsewhere":
            shutil.copy(command, root / "usr/bin/allie")
        if kind == "link":
            place.symlink_to(command)
        elif kind == "script":
            shutil.copy(command, place)
        TickPC(root).run("join", str(site.store), "--no-timer").ok()
        assert place.read_bytes().startswith(b"#!/bin/sh\npython="), "the client"
        for _ in range(2):
            subprocess.run([place, "status", "--root", root], check=True)  # unpacks the client
            argv = [str(place), "overlay", "list", "--store", str(site.store)]
            assert "kit " in subprocess.run(argv, capture_output=True, text=True).stdout
            TickPC(root).run("join", str(site.store), "--no-timer").ok()
        assert subprocess.run([str(place), "nosuch"], capture_output=True).returncode == 64


def test_a_client_may_be_called_by_a_relative_path(tmp_path: Path) -> None:
    """It runs from its archive the first time, and its scripts' processes stand elsewhere."""
    site, root = Site(tmp_path, {"etc/motd": "common\n"}), _root(tmp_path / "root")
    shutil.copy(site.store / "overlays/kit/usr/local/bin/allie", tmp_path / "client")
    argv = ["./client", "--root", "root", "join", str(site.store), "--no-timer"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (root / "etc/motd").read_text() == "common\n"


# --- what it finds out, and what it writes -----------------------------------------------------


def test_it_guesses_nothing_twice(tmp_path: Path) -> None:
    site = Site(tmp_path, {"etc/motd": "common\n"})
    site.overlay({"etc/motd": "of the image\n"}, "busybox1")
    site.overlay({"etc/motd": "not mine\n"}, "other")
    done = site.join()
    assert site.pc.read("/etc/allie/system") == "busybox1\n"
    assert site.pc.read("/etc/allie/allie.conf") == (
        f"[allie]\nstore = {site.store}\n\n"
        "[system busybox1]\nimage = busybox1\noverlays = kit, common, busybox1\n"
    )
    assert site.pc.read("/etc/motd") == "of the image\n"
    assert "joined" in done.out
    assert "00overlay" in done.out


def test_what_is_said_overrides(tmp_path: Path) -> None:
    site = Site(tmp_path, {"etc/issue##host.elsewhere": "mine\n"})
    site.overlay({"etc/motd": "lab\n"}, "lab")
    site.join("--image", "deb", "--overlays", "kit,lab,common", "--system", "one", "--host",
              "elsewhere.example.org", "--no-timer")  # fmt: skip
    assert site.pc.read("/etc/allie/system") == "one\n"
    conf = site.pc.read("/etc/allie/allie.conf")
    for line in ("host = elsewhere.example.org", "image = deb", "overlays = kit, lab, common"):
        assert line in conf.splitlines()
    assert site.pc.read("/etc/issue") == "mine\n"
    assert site.pc.status()["host"] == "elsewhere"


def test_again_it_changes_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, {"etc/motd": "common\n", "root/conf/50a": script("true")})
    units: Tree = {"usr/lib/systemd/systemd": "", "etc/systemd/system": Link("/usr/lib/sysd")}
    site.pc.put({**units, "usr/lib/sysd/x": ""})
    site.join()
    before = _everything(site.pc.root)
    site.join()
    assert _everything(site.pc.root) == before


def test_again_while_the_store_is_away_is_told(tmp_path: Path) -> None:
    """As a first time; the timer's ticks go on with what they have, and that is no failure."""
    site = Site(tmp_path, {"etc/motd": "common\n"})
    with served(site.store) as server:
        site.pc.run("join", server.url).ok()
        server.stop()
        done = site.pc.run("join", server.url)
        assert (done.rc, "does not answer" in done.out) == (1, True), done
        site.pc.run("run-conf").ok()
        server.start()
        site.pc.run("join", server.url).ok()


def test_a_root_is_one_system_only(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.join("--system", "one")
    done = site.join("--system", "two", rc=64)
    assert "is the system one already" in done.err
    site.join()
    assert site.pc.read("/etc/allie/system") == "one\n"


@pytest.mark.parametrize("options", [(), ("--overlays", "kit,common", "--image", "x")])
def test_a_store_that_does_not_answer(tmp_path: Path, options: tuple[str, ...]) -> None:
    pc = TickPC(_root(tmp_path / "pc"))
    before = _everything(pc.root, but=())
    began = time.monotonic()
    done = pc.run("join", "rsync://127.0.0.1:1", *options)
    assert done.rc == 2
    assert "does not answer" in done.err
    assert time.monotonic() - began < 15
    assert _everything(pc.root, but=()) == before
    for wrong in ("/nowhere", "ssh://root@127.0.0.1:1/srv/allie"):
        assert pc.run("join", wrong, *options).rc == 2
    for wrong in ("http://x", "x", ""):
        assert pc.run("join", wrong, *options).rc == 2
    assert _everything(pc.root, but=()) == before


def test_a_store_without_a_kit(tmp_path: Path) -> None:
    site = Site(tmp_path)
    shutil.rmtree(site.store / "overlays/kit")
    before = _everything(site.pc.root, but=())
    done = site.join(rc=2)
    assert "no overlay kit" in done.err
    assert "allie store init" in done.err
    assert _everything(site.pc.root, but=()) == before


def test_a_root_without_os_release_is_asked_for_a_name(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for name in ("etc/os-release", "usr/lib/os-release"):
        (site.pc.root / name).unlink()
    assert "--image" in site.join(rc=2).err
    site.join("--image", "deb")


# --- how ticks are started ---------------------------------------------------------------------


@pytest.mark.parametrize("program", ["usr/lib/systemd/systemd", "lib/systemd/systemd"])
def test_systemd_timers_are_switched_on(tmp_path: Path, program: str) -> None:
    """Merged /usr or not: the kit's units are linked as `systemctl enable` does."""
    site = Site(tmp_path)
    if program.startswith("lib/"):
        (site.pc.root / "lib").unlink()
    site.pc.put({program: "", "etc/cron.d/other": ""})
    assert "systemd starts a tick" in site.join().out
    wants = site.pc.path("/etc/systemd/system/timers.target.wants")
    assert sorted(os.listdir(wants)) == ["allie-boot.timer", "allie.timer"]
    for name in os.listdir(wants):
        assert site.pc.path(os.readlink(wants / name)).read_bytes() == (UNITS / name).read_bytes()
    assert not site.pc.path("/etc/cron.d/allie").exists()


def test_cron_without_systemd(tmp_path: Path) -> None:
    """Packages leave timers and cron jobs in roots that have neither: the program decides."""
    site = Site(tmp_path)
    cron_daemon: Tree = {"usr/sbin/cron": File(mode=0o755), "etc/cron.d/x": ""}
    site.pc.put({"usr/lib/systemd/system/x.timer": "", **cron_daemon})
    said = site.join().out
    cron = site.pc.read("/etc/cron.d/allie")
    assert "@reboot root" in cron
    minute = cron.splitlines()[-1].split()[0]
    assert 0 <= int(minute) < 60
    assert f"minute {minute}" in said
    assert site.pc.path("/etc/cron.d/allie").stat().st_mode & 0o7777 == 0o644


def test_alpine(tmp_path: Path) -> None:
    """Its crond knows neither cron.d nor @reboot; OpenRC has a service for scripts at boot."""
    site = Site(tmp_path)
    tree: Tree = {"etc/periodic/hourly/x": "", "etc/cron.d/x": "", "etc/local.d/README": ""}
    site.pc.put({**tree, "etc/runlevels/default/crond": Link("/etc/init.d/crond")})
    said = site.join().out
    assert "the service local is off: `rc-update add local default`" in said
    assert "crond is off" not in said
    hourly, boot = "/etc/periodic/hourly/allie", "/etc/local.d/allie.start"
    pause = re.search(r"sleep (\d+);", site.pc.read(hourly))
    assert pause
    assert f"{int(pause[1]) // 60} minutes after every hour" in said
    assert "sleep 20;" in site.pc.read(boot)
    site.pc.put({"etc/runlevels/default/local": Link("/etc/init.d/local")})
    before = _everything(site.pc.root)
    assert "is off" not in site.join().out
    assert _everything(site.pc.root) == before


@pytest.mark.parametrize("path", ["/etc/periodic/hourly/allie", "/etc/local.d/allie.start"])
def test_alpines_scripts_start_a_tick_and_wait_for_none(tmp_path: Path, path: str) -> None:
    site = Site(tmp_path)
    site.pc.put({"etc/periodic/hourly/x": "", "etc/local.d/README": ""})
    site.join()
    site.pc.put({"usr/bin/nice": script('echo nice "$@" >/ran')})  # Debian's busybox has none
    text = re.sub(r"sleep \d+;", "sleep 1;", site.pc.read(path))
    site.pc.put({path[1:]: File(text, 0o755)})
    done = run_in(site.pc.root, f"{path} && [ ! -e /ran ] && echo goes on; sleep 3")
    assert done.out == "goes on\n", done
    assert site.pc.read("/ran") == "nice -n 10 /root/conf/run-conf\n"


@pytest.mark.parametrize("left", ["usr/lib/systemd/system/x.timer", "etc/cron.d/e2scrub_all"])
def test_neither_is_said(tmp_path: Path, left: str) -> None:
    site = Site(tmp_path)
    site.pc.put({left: ""})
    assert "start /root/conf/run-conf" in site.join().out


def test_no_timer(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.pc.put({"usr/lib/systemd/systemd": ""})
    assert "--no-timer" in site.join("--no-timer").out
    assert not site.pc.path("/etc/systemd/system/timers.target.wants").exists()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_the_units_are_good(tmp_path: Path) -> None:
    for path in UNITS.iterdir():
        text = path.read_text().replace("/root/conf/run-conf", sys.executable)
        (tmp_path / path.name).write_text(text.replace("Documentation=man:allie(8)\n", ""))
    units = sorted(str(path) for path in tmp_path.glob("allie*"))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "allie" in line] == []
    calendar = (UNITS / "allie.timer").read_text()
    assert "Persistent=true" in calendar
    assert "OnActiveSec=5min" in calendar  # with the delay, within an hour of a join or a boot
    assert "FixedRandomDelay=true" in calendar
    assert parse_span("55m") == 3300


# --- from nothing ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_commands_from_nothing(tmp_path: Path) -> None:
    root = debian("trixie", tmp_path / "trixie")
    site = Site(tmp_path, {"etc/motd": "common\n", "root/conf/50a": script("echo x >>/tmp/ran")})
    but = ("var/lib/allie", "run", "var/log")
    with served(site.store) as server:
        first = f"rsync {server.url}/overlays/kit/usr/local/bin/allie /usr/local/bin/"
        done = run_in(root, f"{first} && allie join {server.url}")
        assert done.rc == 0, done
        before = _everything(root, but)
        again = run_in(root, f"allie join {server.url}")
        assert again.rc == 0, again
        assert _everything(root, but) == before
    assert "50a" in done.out
    assert (root / "etc/motd").read_text() == "common\n"
    assert (root / "tmp/ran").read_text() == "x\n"
    assert (root / "etc/allie/system").read_text() == "debian13\n"
    assert (root / "root/util/rsync-image").read_bytes() == (
        root / "root/conf/run-conf"
    ).read_bytes()


INSIDE = """\
[Unit]
After=multi-user.target network.target
[Service]
Type=oneshot
StandardOutput=tty
ExecStart=-/bin/sh /test.sh
ExecStopPost=/bin/systemctl exit 0
[Install]
WantedBy=default.target
"""
# The timer's minute is made every few seconds: that it fires is systemd's doing and ours to set up.
TEST = """\
exec >/test.out 2>&1
set -x
/usr/local/bin/allie join /store; echo "join exit $?"
systemctl is-active allie.timer; systemctl is-enabled allie.timer allie-boot.timer
systemctl list-timers --all --no-pager
mkdir -p /run/systemd/system/allie.timer.d
cd /run/systemd/system/allie.timer.d
printf '[Timer]\\nOnCalendar=*:*:0/2\\nRandomizedDelaySec=0\\n' >x.conf
systemctl daemon-reload; systemctl restart allie.timer
for i in $(seq 100); do [ "$(wc -l </ran)" -ge 3 ] && break; sleep 0.2; done
systemctl stop allie.timer; sleep 1
systemctl show -p Result,ExecMainStatus allie.service
journalctl -u allie.service --no-pager | tail -5
touch /hang; systemctl start --no-block allie.service
for i in $(seq 100); do pgrep -f 'sleep 4322' >/dev/null && break; sleep 0.2; done
systemctl stop allie.service; pgrep -f 'sleep 4322|allie run-conf' || echo all of it was stopped
systemctl show -p Result,ExecMainStatus allie.service
rm /hang; systemctl start allie.service && echo and started again
pgrep -f 'sleep 4321' && echo the daemon lives
sed -i s/OnBootSec=20s/OnBootSec=19s/ /store/overlays/kit/etc/systemd/system/allie-boot.timer
/root/conf/run-conf; grep OnBoot /etc/systemd/system/allie-boot.timer
systemctl show -p NeedDaemonReload allie-boot.timer
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_in_a_booted_systemd(tmp_path: Path) -> None:
    """Join in a running systemd: the timers are on and fire; a script's daemon lives on.

    `systemctl stop` ends a script that runs, and no daemon.
    """
    if not shutil.which("systemd-nspawn"):
        pytest.skip("no systemd-nspawn")
    try:
        root = debian_root("bookworm", tmp_path / "bookworm", BOOTED)
    except UnavailableError as error:
        pytest.skip(str(error))
    every = script("# allie: every tick", "echo x >>/ran")
    daemon = script("sleep 4321 >/dev/null 2>&1 &")
    hangs = script("# allie: every tick", "[ ! -e /hang ] || sleep 4322")
    scripts: Tree = {"root/conf/50a": every, "root/conf/51b": daemon, "root/conf/52c": hangs}
    site = Site(tmp_path / "s", scripts)
    shutil.copytree(site.store, root / "store", symlinks=True)
    client = root / "store/overlays/kit/usr/local/bin/allie"
    shutil.copy(client, root / "usr/local/bin/allie")
    (root / "etc/systemd/system/test.service").write_text(INSIDE)
    (root / "test.sh").write_text(TEST)
    wants = root / "etc/systemd/system/default.target.wants"
    wants.mkdir()
    (wants / "test.service").symlink_to("../test.service")
    boot = 'mount -t tmpfs tmpfs /run && exec systemd-nspawn -q -b -D "$0" --register=no'
    boot += " --keep-unit --hostname=pc07 --setenv=SYSTEMD_COLORS=0"
    subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", boot, str(root)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
    )
    out = (root / "test.out").read_text()
    assert "join exit 0\n" in out, out
    assert "systemd starts a tick" in out
    lines = out.splitlines()
    assert "active" in lines
    assert lines.count("enabled") == 2, out
    assert len((root / "ran").read_text().splitlines()) >= 3, out
    assert "all of it was stopped" in lines, out
    assert "ExecMainStatus=143" in lines, out
    assert lines.count("Result=success") == 2, out
    assert "and started again" in lines, out
    assert "the daemon lives" in lines, out
    assert "OnBootSec=19s" in lines, out
    assert lines[-1] == "NeedDaemonReload=no", out
