"""`allie offer` and `allie image capture`: a golden machine's system into the store."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from allie.machine.programs import process_groups
from tests.images.site import Store, rich_root, things
from tests.worlds import machine
from tests.worlds.busybox import busybox_root
from tests.worlds.debian import BOOTED, UnavailableError, debian_root
from tests.worlds.loop import looped
from tests.worlds.store import free_port
from tests.worlds.toy import File, Link, Tree, make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.real]
# What runs or lies about on a golden machine and is not its system
BALLAST: Tree = {
    "proc/1": "the kernel's\n",
    "run/lock": "the kernel's\n",
    "tmp/x": "temporary\n",
    "home/ann/thesis": "ann's\n",
    "var/cache/apt/pkgcache.bin": "cache\n",
    "var/log/syslog": "what happened\n",
    "var/log/nginx/access.log": "what happened\n",
    "var/lib/allie/ledger": "of that machine\n",
    "root/done/50x": "done\n",
    "swapfile": "swap\n",
    "lost+found/#1": "the disk's\n",
}
KEPT: Tree = {
    "var/cache/debconf/config.dat": "answers\n",
    "var/lib/dpkg/status": "packages\n",
    "root/.profile": "root's\n",
}


class Offer:
    """`allie offer` at work, and what it showed."""

    def __init__(self, server: Store, what: Path, *options: str) -> None:
        self.port = free_port()
        argv = server.argv("offer", what, "--port", str(self.port), *options)
        self.process = subprocess.Popen(
            argv,
            env={**server.environment(), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line
            if "waiting for one capture" in line:
                break
        found = re.search(r"RSYNC_PASSWORD=(\S+) allie image capture NAME (\S+)", self.said)
        assert found, self.said
        self.password = {"RSYNC_PASSWORD": found.group(1)}
        self.url = re.sub("@[^:]+:", "@127.0.0.1:", found.group(2))

    @property
    def work(self) -> Path:
        """Its directory, which is in a namespace of its own."""
        pid = self.process.pid
        return Path(f"/proc/{pid}/root/run/allie/offer-{pid}")

    def end(self) -> str:
        """Wait until it ends by itself; what it said at last."""
        out, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, out
        return out


@contextmanager
def offered(server: Store, what: Path, *options: str) -> Iterator[Offer]:
    """An offer, ended if it has not ended by itself."""
    offer = Offer(server, what, *options)
    try:
        yield offer
    finally:
        if offer.process.poll() is None:
            offer.process.send_signal(signal.SIGINT)
            offer.process.communicate(timeout=20)


def daemon_of(pid: int) -> int:
    """The child of an offer; in its own eyes it is process 1."""
    (daemon,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(daemon)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def _left_behind() -> list[str]:
    """Places of offers that have ended; another test may have one that has not."""
    places = Path("/run/allie").glob("offer-*")
    return [each.name for each in places if not Path(f"/proc/{each.name[6:]}").exists()]


@pytest.mark.parametrize("output", ["full", "gone"])
def test_who_cannot_be_told_the_password_is_offered_nothing(tmp_path: Path, output: str) -> None:
    """It would wait for ever for a capture that nobody can make."""
    read, to = os.pipe()
    os.close(read)
    if output == "full":
        os.close(to)
        to = os.open("/dev/full", os.O_WRONLY)
    root = busybox_root(tmp_path / "gold")
    argv = Store(tmp_path / "store").argv("offer", root, "--port", str(free_port()))
    done = subprocess.run(argv, stdout=to, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(to)
    assert (done.returncode, b"could not be shown" in done.stderr) == (2, True), done
    assert _left_behind() == []


def test_a_running_system_comes_without_what_is_not_it(tmp_path: Path) -> None:
    root = rich_root(tmp_path / "golden", {**BALLAST, **KEPT})
    server = Store(tmp_path / "store")
    with offered(server, root, "--to", "127.0.0.1") as offer:
        done = server.run("image", "capture", "gold1", offer.url, env=offer.password).ok()
        assert "captured as gold1 on" in offer.end()
    there = things(server.image("gold1"))
    for path in map(str, BALLAST):
        assert path not in there
    for path in (*map(str, KEPT), "var/log/nginx", "var/cache/apt", "proc", "tmp", "home"):
        assert path in there
    wanted = things(root)
    gone = {path for path in wanted if path not in there}
    assert {path: wanted[path] for path in there} == there
    for why in ("kernel's", "temporary", "users' own", "caches", "logs", "swap", "ALLiE"):
        assert re.search(f"left out: .*{why}", done.out), why
    assert gone >= {"home/ann", "home/ann/thesis", "lost+found", "var/lib/allie/ledger"}
    assert "blandify gold1" in done.out
    assert not _left_behind()
    assert not list(server.part("").iterdir())


def test_it_takes_no_more_of_the_wire_than_it_may(tmp_path: Path) -> None:
    root = busybox_root(tmp_path / "golden", {"opt/noise": File(os.urandom(3 << 20))})
    server = Store(tmp_path / "store")
    with offered(server, root) as offer:
        capture = ["image", "capture", "gold1", offer.url]
        done = server.run(*capture, "--bwlimit", "fast", env=offer.password)
        assert (done.rc, "KiB a second, or 2M" in done.err) == (64, True)
        began = time.monotonic()
        server.run(*capture, "--bwlimit", "1M", env=offer.password).ok()
        assert time.monotonic() - began > 2
        offer.end()
    assert things(server.image("gold1"))["opt/noise"] == things(root)["opt/noise"]


def test_what_was_left_out_is_told_on_a_terminal_too(tmp_path: Path) -> None:
    """There rsync's output is shown as progress; its words are wanted all the same."""
    root, server = rich_root(tmp_path / "golden", BALLAST), Store(tmp_path / "store")
    screen, terminal = pty.openpty()
    with offered(server, root) as offer:
        done = subprocess.run(
            server.argv("image", "capture", "gold1", offer.url),
            env=server.environment(offer.password),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
            timeout=60,
        )
        offer.end()
    os.close(terminal)
    os.close(screen)
    assert done.returncode == 0
    for why in ("kernel's", "temporary", "users' own", "caches", "logs", "swap", "ALLiE"):
        assert re.search(f"left out: .*{why}", done.stdout), why


def test_what_is_left_out_can_be_wanted(tmp_path: Path) -> None:
    root = rich_root(tmp_path / "golden", {**BALLAST, "boot/other": ""})
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root / "boot"], check=True)
    server, capture = Store(tmp_path / "store"), ("image", "capture", "gold1")
    (root / "to-boot").symlink_to("boot")
    make_tree(root / "boot", {"vmlinuz-6.1": "kernel\n", "grub/grub.cfg": "menu\n"})
    try:
        with offered(server, root) as offer:
            assert f"not offered: {root}/boot" in offer.said
            done = server.run(*capture, offer.url, "--with", "/to-boot", env=offer.password)
            assert (done.rc, "/to-boot: that is a link" in done.err) == (64, True)
            options = ["--with", "/boot", "--with", "/home"]
            server.run(*capture, offer.url, *options, env=offer.password).ok()
            offer.end()
        with offered(server, root) as offer:
            server.run("image", "capture", "bare1", offer.url, env=offer.password).ok()
    finally:
        subprocess.run(["umount", root / "boot"], check=True)
    gold = server.image("gold1")
    assert (gold / "boot/vmlinuz-6.1").read_text() == "kernel\n"
    assert (gold / "boot/grub/grub.cfg").exists()
    assert (gold / "home/ann/thesis").exists()
    assert not (gold / "proc/1").exists()
    assert not (gold / "tmp/x").exists()
    assert list((server.image("bare1") / "boot").iterdir()) == []
    rich = {path: each for path, each in things(root).items() if path.startswith("srv")}
    assert rich == {path: each for path, each in things(gold).items() if path.startswith("srv")}


def test_what_is_mounted_from_the_same_disk_and_any_swap_is_left_out(tmp_path: Path) -> None:
    tree: Tree = {"etc/fstab": "/opt/pages none swap sw\n", "opt/pages": "of swap\n"}
    root, server = rich_root(tmp_path / "golden", tree), Store(tmp_path / "store")
    make_tree(tmp_path, {"people/letter": "somebody's\n"})
    subprocess.run(["mount", "--bind", tmp_path / "people", root / "srv/sticky"], check=True)
    try:
        with offered(server, root) as offer:
            capture = ["image", "capture", "gold1", offer.url]
            said = server.run(*capture, env=offer.password).ok().out
            offer.end()
        with offered(server, root) as offer:
            capture = ["image", "capture", "gold2", offer.url, "--with", "/srv/sticky"]
            server.run(*capture, env=offer.password).ok()
            offer.end()
    finally:
        subprocess.run(["umount", root / "srv/sticky"], check=True)
    assert "left out: /srv/sticky: another file system" in said
    assert "left out: /opt/pages: swap" in said
    gold = server.image("gold1")
    assert list((gold / "srv/sticky").iterdir()) == []
    assert not (gold / "opt/pages").exists()
    assert (server.image("gold2") / "srv/sticky/letter").exists()


def test_a_disk_is_mounted_read_only_for_the_time(tmp_path: Path) -> None:
    root, server = rich_root(tmp_path / "golden", KEPT), Store(tmp_path / "store")
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-d", root, disk], check=True)
    with looped(disk) as loop, offered(server, Path(loop)) as offer:
        mounts = Path(f"/proc/{offer.process.pid}/mountinfo").read_text()
        (line,) = [line for line in mounts.splitlines() if loop in line]
        assert re.search(r" ro,", line)
        assert loop not in Path("/proc/self/mountinfo").read_text(), "nobody else sees it"
        server.run("image", "capture", "gold1", offer.url, env=offer.password).ok()
        offer.end()
    there = things(server.image("gold1"), whole_seconds=True)  # mkfs.ext4 -d keeps no more
    wanted = things(root, whole_seconds=True)
    assert set(KEPT) <= {*there}
    assert {path: wanted[path] for path in there} == there
    assert not _left_behind()


def test_only_who_knows_the_word_and_only_to_read(tmp_path: Path) -> None:
    root, server = rich_root(tmp_path / "golden"), Store(tmp_path / "store")
    with offered(server, root) as offer:
        for password in ({}, {"RSYNC_PASSWORD": "guess"}):
            done = server.run("image", "capture", "gold1", offer.url, env=password)
            assert done.rc == 2
            assert server.names() == []
        (tmp_path / "evil").write_text("evil\n")
        put = ["rsync", str(tmp_path / "evil"), f"{offer.url}/etc/evil"]
        env = {**os.environ, **offer.password}
        assert subprocess.run(put, env=env, capture_output=True).returncode != 0
        assert not (root / "etc/evil").exists()
        look = ["rsync", f"{offer.url}/"]
        assert subprocess.run(look, env=env, capture_output=True).returncode == 0
        assert offer.process.poll() is None, "a look is no capture"
    with offered(server, root, "--to", "192.0.2.1") as offer:
        done = server.run("image", "capture", "gold1", offer.url, env=offer.password)
        assert done.rc == 2
        assert offer.url in done.err
    assert not _left_behind()


def test_killed_in_the_middle_both_ends_go_on(tmp_path: Path) -> None:
    many: Tree = {f"opt/f{each:03}": File(os.urandom(50_000)) for each in range(400)}
    root, server = rich_root(tmp_path / "golden", many), Store(tmp_path / "store")
    tree = server.part("gold1") / "tree/opt"

    def half_done() -> bool:
        return tree.is_dir() and len(os.listdir(tree)) > 50

    with offered(server, root) as offer:
        capture = ["image", "capture", "gold1", offer.url]
        server.kill_when(half_done, *capture, env=offer.password)
        assert server.names() == []
        assert offer.process.poll() is None, "it waits for one that is complete"
        came = {each.name: each.stat().st_ino for each in tree.iterdir() if each.name[0] == "f"}
        offer.process.kill()
        offer.process.wait()
    leavings = _left_behind()
    with offered(server, root) as offer:
        assert not set(leavings) & set(_left_behind()), "the next offer clears it away"
        server.run("image", "capture", "gold1", offer.url, env=offer.password).ok()
        offer.end()
    there = {name: os.lstat(server.image("gold1") / "opt" / name).st_ino for name in came}
    assert there == came
    assert not _left_behind()


def test_the_second_capture_brings_the_difference(tmp_path: Path) -> None:
    many: Tree = {f"opt/f{each:03}": File(os.urandom(50_000)) for each in range(200)}
    root, server = rich_root(tmp_path / "golden", many), Store(tmp_path / "store")
    received = []
    for _ in range(2):
        with offered(server, root) as offer:
            server.run("image", "capture", "gold1", offer.url, env=offer.password).ok()
            received += [
                int(each.replace(",", ""))
                for each in re.findall(r"([\d,]+) bytes sent", offer.end())
            ]
        make_tree(root, {"opt/f000": "another\n"})
    assert (server.image("gold1") / "opt/f001").read_bytes() == (root / "opt/f001").read_bytes()
    first, second = received
    assert first > 10_000_000
    assert second < 50_000


def test_interrupted_it_leaves_nothing(tmp_path: Path) -> None:
    root, server = rich_root(tmp_path / "golden"), Store(tmp_path / "store")
    with offered(server, root) as offer:
        daemon = daemon_of(offer.process.pid)
    assert offer.process.returncode == 130
    assert not process_groups.start_of(daemon)
    assert not _left_behind()


def test_killed_by_9_it_answers_and_sends_no_more(tmp_path: Path) -> None:
    """Neither the daemon nor what it forked for a capture that is under way."""
    many: Tree = {f"opt/f{each:03}": File(os.urandom(50_000)) for each in range(400)}
    root, server = rich_root(tmp_path / "golden", many), Store(tmp_path / "store")
    with offered(server, root) as offer:
        env = {**os.environ, **offer.password}
        argv = ["rsync", "-a", "--bwlimit=200", f"{offer.url}/opt/", str(tmp_path / "came")]
        with subprocess.Popen(argv, env=env, stderr=subprocess.DEVNULL) as capture:
            until((tmp_path / "came").exists, "the capture is under way")
            offer.process.kill()
            offer.process.wait()
            assert capture.wait(20) != 0
        until(lambda: not _listens(offer.port), "the kernel has closed it, in its own time")
    with offered(server, root):
        pass
    assert not _left_behind(), "the next offer clears up"


def test_a_link_leads_nowhere_out_of_what_is_offered(tmp_path: Path) -> None:
    make_tree(tmp_path / "secret", {"key": "this machine's own\n"})
    away: Tree = {"etc/away": Link(str(tmp_path / "secret"))}
    root, server = rich_root(tmp_path / "golden", away), Store(tmp_path / "store")
    with offered(server, root) as offer:
        env = {**os.environ, **offer.password}
        for options in ([], ["-L"], ["--copy-unsafe-links"], ["-k"]):
            for path in ("etc/away/", "etc/away/key"):
                argv = ["rsync", "-a", *options, f"{offer.url}/{path}", str(tmp_path / "came")]
                subprocess.run(argv, env=env, capture_output=True, check=False)
    assert not [*tmp_path.glob("came/**/key")]
    assert not (tmp_path / "came").is_file()


def test_what_cannot_be_offered_or_captured(tmp_path: Path) -> None:
    server = Store(tmp_path / "store")
    (tmp_path / "file").touch()
    for what in (tmp_path / "missing", tmp_path / "file", Path("/dev/null")):
        done = server.run("offer", what)
        assert done.rc == 64, done
        assert str(what) in done.err
    with offered(server, tmp_path) as other:
        done = server.run("offer", tmp_path, "--port", str(other.port))
        assert done.rc == 2
        assert "--port" in done.err
    for address in ("golden", "rsync://golden", "/srv/x", "http://x/"):
        assert server.run("image", "capture", "gold1", address).rc == 64
    done = server.run("image", "capture", "gold1", "rsync://127.0.0.1:1/offer")
    assert done.rc == 2
    assert "does not answer" in done.err
    assert not list((server.top / "images").glob(".parts/*"))
    assert not _left_behind()


# The golden machine in a chroot behind a real sshd; ssh's and sshd's settings are for us alone.
_OVER_SSH = """\
set -e
cd "$1"
mount -t tmpfs tmpfs /run
mkdir /run/sshd
mount -t proc proc golden/proc
mount -t tmpfs tmpfs golden/mnt
mount --rbind /dev golden/dev
mount --bind ssh_config /etc/ssh/ssh_config
mount --rbind golden /mnt
/usr/sbin/sshd -f "$1/sshd_config" -E "$1/sshd.log"
shift
set +e
"$@"
code=$?
kill "$(cat /run/sshd.pid)"
exit $code
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path("/usr/sbin/sshd").exists(), reason="needs sshd")
def test_over_ssh(tmp_path: Path) -> None:
    try:
        golden = debian_root("bookworm", tmp_path / "golden", BOOTED)
    except UnavailableError as error:
        pytest.skip(str(error))
    make_tree(golden, {"home/ann/thesis": "ann's\n"})
    server = Store(tmp_path / "store")
    port = free_port()
    for name in ("key", "host"):
        argv = ["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(tmp_path / name)]
        subprocess.run(argv, check=True)
    (tmp_path / "ssh_config").write_text(
        f"IdentityFile {tmp_path}/key\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n"
        "LogLevel ERROR\n"
    )
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile /run/sshd.pid\n"
        f"AuthorizedKeysFile {tmp_path}/key.pub\nStrictModes no\nPermitRootLogin yes\n"
        f"UsePAM no\nChrootDirectory /mnt\n"
    )
    private = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    capture = server.argv("image", "capture", "gold1", f"ssh://root@127.0.0.1:{port}/")
    done = subprocess.run(
        [*private, "bash", "-c", _OVER_SSH, "bash", str(tmp_path), *capture],
        env=server.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stderr}\n{(tmp_path / 'sshd.log').read_text()}"
    assert "left out: /mnt: another file system" in done.stdout
    assert "left out: /home" in done.stdout
    there, wanted = things(server.image("gold1")), things(golden)
    for path in ("proc", "dev", "run", "mnt"):  # while something is mounted there
        del there[path], wanted[path]
    assert {path: wanted[path] for path in there} == there
    lost = {path for path in wanted if path not in there}
    assert all(
        path.startswith(("var/log/", "var/cache/", "dev/", "run/", "tmp/", "home/", "proc/"))
        for path in lost
    ), lost


@pytest.mark.skipif(not machine.has_loop(), reason="needs loop devices")
def test_a_disk_that_is_mounted_is_offered_by_its_directory(tmp_path: Path) -> None:
    server, disk = Store(tmp_path / "store"), tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    (tmp_path / "mnt").mkdir()
    subprocess.run(["mount", "-o", "loop", disk, tmp_path / "mnt"], check=True)
    asked = ["findmnt", "-no", "SOURCE", str(tmp_path / "mnt")]
    loop = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    try:
        done = server.run("offer", loop)
        assert done.rc == 2
        assert "offer the directory where it is" in done.err
    finally:
        subprocess.run(["umount", tmp_path / "mnt"], check=True)
    assert not _left_behind()
