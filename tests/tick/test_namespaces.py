"""Scripts of another root: chrooted, in namespaces of their own, without a trace.

docs/internals/rules.md, "Another root's scripts see that root alone".
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from allie.core.script import POWERS
from tests import leftovers
from tests.tick.site import Site, TickPC, lone_pc, script
from tests.worlds.toy import Dir, Entry, Link
from tests.worlds.waiting import until

pytestmark = [pytest.mark.root]


@pytest.fixture
def pc(tmp_path: Path) -> TickPC:
    return lone_pc(tmp_path / "pc")


def _says(pc: TickPC, *lines: str) -> str:
    """What a script with these lines prints."""
    pc.put({"root/conf/50a": script(*lines)})
    return pc.run("run-conf", "50a").out


def _host_resolver(text: str, command: list[str]) -> str:
    """Run a command whose host has this /etc/resolv.conf; what the host's is afterwards."""
    setup = (
        "mount -t tmpfs tmpfs /mnt && printf '%s' \"$0\" >/mnt/r &&"
        ' mount --bind /mnt/r "$(readlink -f /etc/resolv.conf)" && "$@" >&2; cat /mnt/r'
    )
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", setup, text, *command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def test_what_a_script_sees(pc: TickPC) -> None:
    out = _says(
        pc,
        "echo pid $$ $PPID; hostname; id -u",
        "ls /; ls /root/conf; ls /dev; ls /run; mount",
        "head -c 4 /dev/urandom | wc -c; echo gone >/dev/null; tty </dev/null",
    )
    assert re.search(r"^pid [2-9] 1$", out, re.MULTILINE), "the script is not process 1"
    assert "pc07\n" in out
    assert {"null", "zero", "urandom", "tty", "ptmx", "pts", "shm"} <= set(out.split())
    assert "sysfs on /sys type sysfs (ro" in out
    assert str(pc.root) not in out


def test_no_mount_process_or_loop_is_left(pc: TickPC) -> None:
    before = leftovers.mounts_but_of(pc.root)
    out = _says(
        pc,
        "# allie: needs sys-admin",
        "sleep 300 & setsid sleep 301 >/dev/null 2>&1 &",
        "mkdir /tmp/m; mount -t tmpfs tmpfs /tmp/m; mount | grep /tmp/m",
    )
    assert "/tmp/m" in out
    assert leftovers.mounts_below(pc.root) == []
    assert leftovers.processes_below(pc.root) == []
    assert leftovers.mounts_but_of(pc.root) == before
    shutil.rmtree(pc.root)  # nothing keeps it busy


def test_a_daemon_dies_with_the_script(pc: TickPC) -> None:
    """Another root's daemon would hold its partition for ever."""
    lines = ("(trap '' TERM HUP; while :; do echo x >>/tmp/beat; sleep 0.05; done) &", "sleep 0.3")
    _says(pc, *lines)
    count = pc.count("/tmp/beat")
    assert count > 0
    time.sleep(0.3)
    assert pc.count("/tmp/beat") == count


def test_the_bases_processes_are_out_of_reach(pc: TickPC) -> None:
    victim = subprocess.Popen(["sleep", "60"])
    try:
        out = _says(
            pc,
            f"kill -9 {victim.pid} && echo killed",
            f"ls -d /proc/{victim.pid} && echo seen",
            "kill -9 -1; ls -d /proc/[0-9]* | wc -l",
        )
        assert victim.poll() is None
        assert "killed" not in out
        assert "seen" not in out
    finally:
        victim.kill()
        victim.wait()


def test_the_running_kernel_is_not_changed(pc: TickPC) -> None:
    knob = Path("/proc/sys/vm/swappiness")
    before = knob.read_text()
    out = _says(
        pc,
        "echo 17 >/proc/sys/vm/swappiness && echo changed",
        "echo x >/sys/power/state && echo slept",
        "[ -e /proc/sysrq-trigger ] && echo h >/proc/sysrq-trigger && echo asked",
        "hostname elsewhere; hostname",
    )
    assert knob.read_text() == before
    assert [line for line in out.splitlines() if line in ("changed", "slept", "asked")] == []
    assert "elsewhere" not in out
    assert os.uname().nodename != "elsewhere"


# What a script may do in its own system, and what would act on the machine or lead out of the root
_OWN = (
    "chown 33:33 /tmp/f",
    "chmod 4755 /tmp/f",
    "dd if=/tmp/f of=/dev/null",
    "mkdir -p /tmp/c/bin; cp /usr/bin/busybox /tmp/c/bin/sh; chroot /tmp/c /bin/sh -c true",
    "ulimit -n 4096",
)
_MACHINES = {
    "net-admin": "ip link set lo mtu 60000",
    "mknod": "mknod /tmp/vda b 254 0",
    "sys-admin": "mount -t tmpfs tmpfs /mnt",
    "sys-time": "adjtimex -f 1",
    "syslog": "head -c 1 /proc/kmsg",
    "net-raw": "arping -c 1 -w 1 -I lo 127.0.0.1",
}


@pytest.mark.parametrize("action", _OWN)
def test_a_script_is_root_in_its_own_system(pc: TickPC, action: str) -> None:
    out = _says(pc, "touch /tmp/f", f"{action} && echo done")
    assert out.endswith("done\n"), out


@pytest.mark.parametrize("power", _MACHINES)
def test_a_script_has_no_power_over_the_machine(pc: TickPC, power: str) -> None:
    """Unless its header asks for it; then only what was asked for."""
    pc.path("/mnt").mkdir(exist_ok=True)
    first, *rest = _MACHINES[power].split(" ", 1)
    action = f"/usr/bin/busybox {first} {rest[0]} 2>&1 && echo it did"
    assert "it did" not in _says(pc, action)
    powers = _caps(_says(pc, "grep Cap /proc/self/status"))
    assert powers["CapEff"] == powers["CapBnd"] == powers["CapPrm"]
    wanted = 1 << POWERS.index(power)
    assert not powers["CapBnd"] & wanted
    asked = _caps(_says(pc, f"# allie: needs {power}", "grep Cap /proc/self/status"))
    assert asked["CapBnd"] in (
        powers["CapBnd"] | wanted,
        powers["CapBnd"],
    )  # if we have it ourselves


def _caps(status: str) -> dict[str, int]:
    lines = (line.split() for line in status.splitlines())
    return {name.rstrip(":"): int(value, 16) for name, value in lines}


def test_init_has_no_more_power_than_the_script(pc: TickPC) -> None:
    """A script may trace process 1 of its namespace, which is ours."""
    assert len(set(_says(pc, "grep -h CapPrm /proc/1/status /proc/self/status").split())) == 2


def test_the_root_is_all_that_there_is(pc: TickPC) -> None:
    """It is no chroot, out of which root finds his way: nothing of the base is above it."""
    pc.put({"root/conf/50a": script("exec sleep 77.5")})
    running = pc.spawn("run-conf", "50a")
    try:
        (script_,) = until(lambda: _called("sleep 77.5"), "the script runs")
        assert os.readlink(script_ / "root") == "/", "a chroot would show where it is"
        points = [line.split()[4] for line in (script_ / "mountinfo").read_text().splitlines()]
        assert {each.split("/")[1] for each in points} == {"", "etc", "proc", "sys", "dev", "run"}
        os.kill(int(script_.name), signal.SIGTERM)
    finally:
        running.communicate()


def _called(words: str) -> list[Path]:
    return [each for each in Path("/proc").glob("[0-9]*") if _argv(each) == words]


def _argv(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


@pytest.mark.parametrize("of", ["self", "1"])
def test_no_descriptor_leads_out_of_the_root(pc: TickPC, of: str) -> None:
    """By a directory of the base's that is open, `..` would lead to the base's own /."""
    (pc.root.parent / "secret").write_text("the base's\n")
    out = _says(
        pc,
        f"for each in /proc/{of}/fd/*; do",
        '  [ -d "$each/." ] || continue; up=$each',
        "  for n in 1 2 3 4 5 6 7 8; do up=$up/..; cat $up/secret; ls $up; done",
        "done 2>/dev/null; echo looked",
    )
    assert "looked" in out
    assert "the base's" not in out
    assert "secret" not in out


def test_a_script_knows_all_the_same_that_it_is_in_a_tick(pc: TickPC) -> None:
    out = _says(pc, "ls -di /var/lib/allie/. | cut -d/ -f1; ls -di /proc/self/fd/$ALLIE_LOCK_FD/.")
    first, second = (line.split()[0] for line in out.splitlines()[:2])
    assert first == second


def test_files_of_the_kernel_that_root_may_write_are_read_only(pc: TickPC) -> None:
    names = "sys irq fs bus acpi scsi mtrr sysrq-trigger"
    out = _says(pc, f"for n in {names}; do [ -e /proc/$n ] && echo $n; done", "cat /proc/mounts")
    there = [line for line in out.splitlines() if " " not in line]
    assert "irq" in there
    for name in there:
        assert f"proc /proc/{name} proc ro," in out, name


def test_setuid_programs_work_for_a_scripts_own_users(pc: TickPC) -> None:
    """Also where the system's directory is nosuid for everybody else; device files do not."""
    out = _says(pc, "head -1 /proc/self/mountinfo")
    assert "nosuid" not in out.splitlines()[0]
    assert "nodev" in out.splitlines()[0]


RESOLVERS: dict[str, Entry | None] = {
    "nothing": None,
    "nothing, with systemd-resolved": None,
    "dangling in /etc": Link("other.conf"),
    "file": "of the image\n",
    "absolute": Link("/etc/elsewhere.conf"),
    "dangling": Link("/etc/nowhere/at/all.conf"),
    "run": Link("/run/systemd/resolve/stub-resolv.conf"),
    "relative run": Link("../run/resolvconf/resolv.conf"),
    "var run": Link("/var/run/NetworkManager/resolv.conf"),
    "loop": Link("resolv.conf"),
    "directory": Dir(),
}


@pytest.mark.parametrize("kind", RESOLVERS)
def test_the_hosts_resolv_conf_is_not_touched(pc: TickPC, kind: str) -> None:
    pc.put({"etc/elsewhere.conf": "of the image\n"})
    present = RESOLVERS[kind]
    if present is not None:
        pc.put({"etc/resolv.conf": present})
    if kind.endswith("resolved"):
        pc.put({"usr/lib/systemd/systemd-resolved": ""})
    lines = (
        "cat /etc/resolv.conf; readlink /etc/resolv.conf",
        "echo mine >/etc/resolv.conf; echo mine >>/run/stub.conf",
    )
    pc.put({"root/conf/50a": script(*lines, "rm -f /etc/resolv.conf; true")})
    before = "nameserver 192.0.2.1\n"
    assert _host_resolver(before, pc.argv("run-conf", "50a")) == before
    if kind != "directory":
        assert before in pc.log("50a"), "it resolves names as the host does"
    if kind == "file":
        assert pc.read("/etc/resolv.conf") == "of the image\n", "it was a copy that was seen"
    if kind == "nothing":
        assert pc.read("/etc/resolv.conf") == "", "what it is shown at, and no more"
    if kind.endswith("resolved"):
        assert "\n../run/systemd/resolve/stub-resolv.conf\n" in pc.log("50a"), "as a boot has it"
    if kind == "absolute":
        assert pc.read("/etc/elsewhere.conf") == "of the image\n"


@pytest.mark.parametrize("name", ["proc", "dev", "sys", "run"])
@pytest.mark.parametrize("target", ["/{name}", "{decoy}", "nowhere"])
def test_a_link_in_the_place_of_a_mount_point(pc: TickPC, name: str, target: str) -> None:
    """Nothing is mounted where it leads, nor written there: that could be the host's own."""
    decoy = pc.root.parent / "decoy"
    decoy.mkdir()
    (pc.root / name).rmdir()
    pc.put({name: Link(target.format(name=name, decoy=decoy)), "etc/resolv.conf": "x\n"})
    mark = f"/{name}/allie-was-here"
    pc.put({"root/conf/50a": script(f"echo x >{mark}; mount; exit 0")})
    before = leftovers.mounts_but_of(pc.root)
    host_run = set(os.listdir("/run"))
    done = pc.run("run-conf", "50a")
    assert "Traceback" not in done.err
    assert leftovers.mounts_but_of(pc.root) == before
    assert not os.path.lexists(mark)
    assert set(os.listdir("/run")) == host_run
    assert os.listdir(decoy) == []


def test_mount_points_that_are_not_there(pc: TickPC) -> None:
    for name in ("proc", "dev", "sys", "run"):
        (pc.root / name).rmdir()
    assert "here\n" in _says(pc, "echo here")


def test_a_system_of_before_there_was_a_run_resolves_names(pc: TickPC) -> None:
    (pc.root / "run").rmdir()
    pc.put({"root/conf/50a": script("cat /etc/resolv.conf")})
    before = "nameserver 192.0.2.1\n"
    assert _host_resolver(before, pc.argv("run-conf", "50a")) == before
    assert before in pc.log("50a")


def test_its_own_run_is_not_the_hosts(pc: TickPC) -> None:
    out = _says(pc, "echo x >/run/leak; [ -e /run/systemd/system ] && echo systemd; true")
    assert "systemd" not in out
    assert not os.path.lexists("/run/leak")
    assert not pc.path("/run/leak").exists()


def test_a_root_without_python_does_the_whole_tick(tmp_path: Path) -> None:
    """The kit's stubs are known by their bytes, and done from outside, before any chroot."""
    site = Site(tmp_path, {"etc/motd": "common\n", "etc/motd##host.pc07": "mine\n"})
    site.join()
    assert not list(site.pc.root.glob("usr/bin/python*"))
    assert site.pc.read("/etc/motd") == "mine\n"
    site.pc.put({"etc/motd": "edited\n"})
    site.pc.tick()
    assert site.pc.read("/etc/motd") == "mine\n"
    stub = site.pc.path("/root/conf/00overlay").read_bytes()
    assert stub == (site.store / "overlays/kit/root/conf/01overact").read_bytes()


def test_a_stub_that_is_changed_is_a_script_like_any_other(tmp_path: Path) -> None:
    """Someone's comment in it: it then runs in the root, where there is no client that starts."""
    site = Site(tmp_path)
    site.join()
    stub = site.pc.path("/root/conf/01overact")
    stub.write_bytes(stub.read_bytes() + b"# a comment\n")
    done = site.pc.run("run-conf", "01overact")
    assert done.rc == 1
    assert site.pc.tick()["01overact"]["state"] == "satisfied", "and is put right by the next tick"


def test_a_stub_of_another_owner_is_no_stub(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.join()
    os.chown(site.pc.path("/root/conf/01overact"), 1000, 1000)
    assert site.pc.run("run-conf", "01overact").rc == 1


def test_what_scripts_expect_of_dev(pc: TickPC) -> None:
    lines = [
        "for n in null zero full random urandom tty ptmx; do [ -c /dev/$n ] || echo no $n; done"
    ]
    lines += ["echo out >/dev/stdout; echo err >/dev/stderr; ls -L /dev/pts/ptmx; ls -ld /dev/shm"]
    out = _says(pc, *lines)
    assert "no " not in out
    assert "out\n" in out
    assert "err\n" in out
    assert "drwxrwxrwt" in out


def test_offline_is_said_and_the_kernel_is_left_alone(pc: TickPC) -> None:
    out = _says(
        pc,
        "echo $ALLIE_OFFLINE$SYSTEMD_OFFLINE; for f in /proc/sys/vm/swappiness"
        " /proc/sysrq-trigger; do [ ! -e $f ] || echo x >$f; done; true",
    )
    assert "11\n" in out
    assert "Read-only" in out
