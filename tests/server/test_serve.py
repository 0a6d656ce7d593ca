"""`allie store serve`: whom rsync answers, for how long, and what it could reach by a fault."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from allie.core.errors import AllieError, SettingsError, StateError
from allie.machine.programs import process, process_groups
from allie.machine.transfer import rsync_daemon
from allie.machine.transfer.rsync_daemon import Callers
from allie.server import store as stores
from allie.server import store_conf
from allie.server.doors import rsyncd_conf
from allie.server.serving import foreground
from allie.server.store_conf import StoreConf
from tests.worlds.store import Served, ServedByAllie, free_port
from tests.worlds.toy import File, Link, Tree, make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root]
FOUR = 0x400C4  # CAP_DAC_READ_SEARCH, CAP_SETGID, CAP_SETUID, CAP_SYS_CHROOT
NOBODY = 65534


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with an overlay and an image, which root alone can read."""
    made = tmp_path / "store"
    stores.init(str(made))
    make_tree(made / "overlays/common", {"etc/motd": "hello\n"})
    noise: Tree = {f"opt/f{each}": File(os.urandom(100_000)) for each in range(40)}
    make_tree(made / "images/toy1", {"etc/shadow": File("root:x\n", 0o600), **noise})
    return made


def pull(url: str, to: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["rsync", "-a", *options, url, str(to)], capture_output=True, text=True, check=False
    )


# --- what it serves ------------------------------------------------------------------------------


def test_everything_in_the_store_is_served_and_nothing_beside_it(
    store: Path, tmp_path: Path
) -> None:
    make_tree(tmp_path / "secret", {"key": File("the server's own\n", 0o600)})
    links: Tree = {
        "usr/lib/ssl/private": Link(str(tmp_path / "secret")),
        "up": Link("../../private"),
        "far": Link("../../../secret"),
    }
    make_tree(store / "images/toy1", links)
    make_tree(store / "private/pc07", {"key": "pc07's\n"})
    with ServedByAllie(store) as server:
        assert pull(f"{server.url}/images/toy1/", tmp_path / "came").returncode == 0
        assert (tmp_path / "came/etc/shadow").read_text() == "root:x\n"
        assert os.readlink(tmp_path / "came/up") == "../../private"
        for link in map(str, links):
            for options in ((), ("-L",), ("--copy-unsafe-links",), ("-k",)):
                pull(f"{server.url}/images/toy1/{link}/", tmp_path / "leaked", *options)
                pull(f"{server.url}/images/toy1/{link}/key", tmp_path / "leaked", *options)
        for module in ("private", "inbox", ""):
            pull(f"{server.url}/{module}/", tmp_path / "leaked")
        leaked = tmp_path / "leaked"
        assert not leaked.exists() or not [*leaked.rglob("key")]
        assert subprocess.run(["rsync", f"{server.url}/"], capture_output=True).stdout == b""


def test_rsync_has_four_capabilities_and_sees_the_modules_alone_read_only(store: Path) -> None:
    with ServedByAllie(store) as server:
        status = Path(f"/proc/{server.daemon}/status").read_text()
        held = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
        for kind in ("CapPrm", "CapEff", "CapBnd"):
            assert int(held[kind], 16) == FOUR
        root = Path(f"/proc/{server.daemon}/root")
        top = root / str(store)[1:]
        assert sorted(os.listdir(top)) == sorted([*stores.MODULES, "rsyncd.conf"])
        assert not (root / "etc/shadow").exists()
        assert not (root / "root").exists()
        assert not (root / "proc").exists()
        for path in (top / "overlays", top / "images/toy1/etc", root / "usr", root / "etc", top):
            with pytest.raises(OSError, match="Read-only"):
                (path / "written").touch()


def test_what_is_mounted_in_the_store_is_read_only_too(store: Path, tmp_path: Path) -> None:
    (store / "images/other").mkdir()
    make_tree(tmp_path / "other", {"etc/hostname": "other\n"})
    subprocess.run(["mount", "--bind", tmp_path / "other", store / "images/other"], check=True)
    try:
        with ServedByAllie(store) as server:
            assert pull(f"{server.url}/images/other/", tmp_path / "came").returncode == 0
            seen = Path(f"/proc/{server.daemon}/root{store}/images/other/written")
            with pytest.raises(OSError, match="Read-only"):
                seen.touch()
    finally:
        subprocess.run(["umount", store / "images/other"], check=True)
    assert (tmp_path / "came/etc/hostname").exists()


def test_a_module_may_lie_elsewhere_or_nowhere(store: Path, tmp_path: Path) -> None:
    """The images on another disk, by a symlink; a store that somebody made by hand."""
    (store / "images").rename(tmp_path / "elsewhere")
    (store / "images").symlink_to(tmp_path / "elsewhere")
    for name in ("releases", "private", "inbox"):
        (store / name).rmdir()
    with ServedByAllie(store) as server:
        assert pull(f"{server.url}/images/toy1/etc/", tmp_path / "came").returncode == 0
        assert pull(f"{server.url}/overlays/", tmp_path / "overlays").returncode == 0
        assert pull(f"{server.url}/releases/", tmp_path / "none").returncode != 0
    assert (tmp_path / "came/shadow").exists()


def test_it_answers_by_both_protocols(store: Path, tmp_path: Path) -> None:
    class Everywhere(ServedByAllie):
        address: list[str] = []  # noqa: RUF012 - as the base has it

    with Everywhere(store) as server:
        for number, host in enumerate(("127.0.0.1", "[::1]")):
            done = pull(f"rsync://{host}:{server.port}/overlays/", tmp_path / str(number))
            assert done.returncode == 0, done.stderr


def test_the_images_are_roots_alone(store: Path) -> None:
    """In them are old setuid programs, for every user of the server; also where it was not so."""
    for name in ("images", "private", "inbox"):
        assert stat.S_IMODE((store / name).stat().st_mode) == 0o700
        (store / name).chmod(0o755)
    stores.init(str(store))
    assert stat.S_IMODE((store / "images").stat().st_mode) == 0o700
    (store / "images").chmod(0o755)
    with ServedByAllie(store):
        assert stat.S_IMODE((store / "images").stat().st_mode) == 0o700


# --- callers who say nothing ---------------------------------------------------------------------

GREETING = b"@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\n"


def call(port: int, *words: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=20)
    assert made.recv(100).startswith(b"@RSYNCD")
    for each in words:
        made.sendall(each)
    return made


def is_open(call: socket.socket) -> bool:
    call.setblocking(False)
    try:
        while call.recv(4096):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


@contextmanager
def attended(
    store: Path, monkeypatch: pytest.MonkeyPatch, most: int = 100, connections: int = 200
) -> Iterator[tuple[Served, Callers]]:
    """A daemon of this process's own, and who sees to its callers, with little patience."""
    monkeypatch.setattr(process_groups, "LOOK", 0.01)
    monkeypatch.setattr(rsync_daemon, "_GREETING", 0.5)
    monkeypatch.setattr(rsync_daemon, "_IDLE", 1.0)

    class Here(Served):
        def _spawn(self, port: int) -> subprocess.Popen[bytes]:
            said = StoreConf("127.0.0.1", connections)
            conf = store / "rsyncd.conf"
            lock = f"{store}/lock"
            conf.write_text(rsyncd_conf.foreground(str(store), "127.0.0.1", port, said, lock))
            argv = ["rsync", "--daemon", "--no-detach", f"--config={conf}"]
            return subprocess.Popen(argv, start_new_session=True)

    with Here(store) as server:
        yield server, Callers(server.pid, most)


ASKING = (GREETING, b"overlays\n")
ASKED = (*ASKING, b"--server\0--sender\0-logDtpre.iLsfxCIvu\0.\0overlays/\0\0")


@pytest.mark.parametrize(
    "words", [(), (b"@RSYNCD",), (GREETING,), ASKING, ASKED], ids=lambda words: str(len(words))
)
def test_who_says_nothing_more_is_shown_the_door(
    store: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[bytes, ...]
) -> None:
    with attended(store, monkeypatch) as (server, callers):
        calls = [call(server.port, *words) for _ in range(5)]
        assert all(map(is_open, calls))

        def gone() -> bool:
            callers.look()
            return not any(map(is_open, calls))

        until(gone)


def test_who_is_served_stays(store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with attended(store, monkeypatch) as (server, callers):
        argv = ["rsync", "-a", "--bwlimit=1000", f"{server.url}/images/", str(tmp_path / "came")]
        began = time.monotonic()
        with subprocess.Popen(argv) as fetch:
            while fetch.poll() is None:
                callers.look()
                time.sleep(0.01)
        assert fetch.returncode == 0
        assert time.monotonic() - began > 2, "longer than anybody may be silent"


def test_too_many_at_a_time_are_sent_away_the_first_first(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with attended(store, monkeypatch, most=10) as (server, callers):
        monkeypatch.setattr(rsync_daemon, "_GREETING", 1e6)
        calls = [call(server.port) for _ in range(30)]

        def few() -> bool:
            callers.look()
            return sum(map(is_open, calls)) == 10

        until(few)
        assert all(map(is_open, calls[-10:]))


def test_rsync_counts_those_that_it_serves(
    store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with attended(store, monkeypatch, connections=2) as (server, _):
        for each in [call(server.port, *ASKED) for _ in range(2)]:
            until(lambda each=each: is_open(each))  # type: ignore[misc]
        until(lambda: "max connections" in pull(f"{server.url}/overlays/", tmp_path).stderr)


# --- it ends with us -----------------------------------------------------------------------------


@contextmanager
def served_by(store: Path, user: int) -> Iterator[tuple[int, int]]:
    """`allie store serve` in a process of this user's: (its pid, port)."""
    port = free_port()
    pid = os.fork()
    if not pid:
        with suppress(BaseException):
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            foreground.serve(str(store), "127.0.0.1", port, lambda: None)
        os._exit(0)
    try:
        until(lambda: answers(port))
        yield pid, port
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, 9)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


@contextmanager
def reachable(store: Path, user: int) -> Iterator[Path]:
    """The store, as a user's own, in a place where he gets to it."""
    with tempfile.TemporaryDirectory(prefix="allie-store-", dir="/var/tmp") as top:
        os.chmod(top, 0o755)
        place = shutil.copytree(store, f"{top}/store", symlinks=True)
        subprocess.run(["chown", "-R", f"{user}:{user}", top], check=True)
        yield Path(place)


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as made:
        return made.recv(8) == b"@RSYNCD:"
    return False


@pytest.mark.parametrize("user", [0, NOBODY], ids=["root", "nobody"])
def test_after_a_kill_9_nothing_answers_or_sends(store: Path, tmp_path: Path, user: int) -> None:
    with reachable(store, user) as place, served_by(place, user) as (pid, port):
        url = f"rsync://127.0.0.1:{port}/images/"
        argv = ["rsync", "-a", "--bwlimit=100", url, str(tmp_path / "x")]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as fetch:
            until(lambda: (tmp_path / "x/toy1/opt").exists())
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            until(lambda: fetch.poll() is not None)
        assert fetch.returncode != 0
        assert not answers(port)


def test_ctrl_c_is_a_good_end(store: Path) -> None:
    with ServedByAllie(store) as server:
        process_of = server._daemon
        assert process_of
        daemon = server.daemon
        process_of.send_signal(2)
        assert process_of.wait(20) == 0
        assert not process_groups.start_of(daemon)


# --- where it listens ----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["serve", "offer"])
@pytest.mark.parametrize("taken", ["0.0.0.0", "127.0.0.1", "::", "::1"])
def test_a_port_that_is_taken_is_named_and_nobody_says_that_he_serves(
    store: Path, taken: str, verb: str
) -> None:
    """rsync itself says it to syslog; and where it has one of IPv4 and IPv6, not even there."""
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET
    with socket.socket(family) as other:
        if family == socket.AF_INET6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind((taken, 0))
        other.listen()
        port = str(other.getsockname()[1])
        words = ["offer", str(store)] if verb == "offer" else ["store", "serve", "--store", store]
        argv = [sys.executable, "-m", "allie.cli.main", *map(str, words), "--port", port]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {port} is in use already" in done.stderr
    assert len(done.stderr.splitlines()) == 2, "an error, and what to do"


@pytest.mark.parametrize(
    ("address", "port", "told"),
    [
        ("", 0, "0 is no port"),
        ("", 65536, "65536 is no port"),
        ("", -1, "-1 is no port"),
        ("192.0.2.1", 8730, "cannot listen on 192.0.2.1: Cannot assign"),
        ("2001:db8::1", 8730, "cannot listen on 2001:db8::1"),
        ("no such name", 8730, "there is no address no such name"),
        ("x" * 64, 8730, "there is no address x"),
        ("a..b", 8730, "there is no address a..b"),
    ],
)
def test_nor_where_there_is_no_such_place(address: str, port: int, told: str) -> None:
    with pytest.raises(AllieError, match=re.escape(told)):
        rsync_daemon.need_port(address, port)


def test_a_port_that_was_just_left_is_free() -> None:
    """A server that is started anew finds its port at once, whoever was connected."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        caller = socket.create_connection(("127.0.0.1", port))
        called, _ = server.accept()
        called.close()
    rsync_daemon.need_port("127.0.0.1", port)
    rsync_daemon.need_port("", port)
    caller.close()


def test_below_1024_only_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(StateError, match="only root can listen on port 873"):
        rsync_daemon.need_port("", 873)


# --- store.conf ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "who may read"),
        ("hosts allow = 127.0.0.1\ntimeout = 0", "timeout"),
        ("hosts allow = 127.0.0.1\ntimeout = soon", "timeout"),
        ("hosts allow = 127.0.0.1\nmax connections = -1", "max connections"),
        ("hosts allow = 127.0.0.1\nmax connections = 1\n\t[overlays]", "max connections"),
    ],
)
def test_what_cannot_be_is_said(store: Path, text: str, told: str) -> None:
    (store / "store.conf").write_text(f"[serve]\n{text}\n")
    with pytest.raises(SettingsError, match=told):
        foreground.serve(str(store), "127.0.0.1", free_port(), lambda: None)


def test_a_site_chooses_how_many_and_how_long(store: Path) -> None:
    text = "[serve]\nhosts allow = 10.0.0.0/8\nmax connections = 7\ntimeout = 30\n"
    (store / "store.conf").write_text(text)
    assert store_conf.read(str(store)) == StoreConf("10.0.0.0/8", 7, 30)


def test_where_no_namespace_can_be_made_it_serves_and_says_so(store: Path, tmp_path: Path) -> None:
    """As in a container: root without CAP_SYS_ADMIN."""
    argv = [sys.executable, "-m", "allie.cli.main", "store", "serve", "--store", str(store)]
    argv += ["--port", str(free_port())]
    limited = ["setpriv", "--bounding-set=-sys_admin", *argv]
    log = tmp_path / "log"
    with log.open("wb") as file:
        run = subprocess.Popen(
            limited,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(Path(stores.__file__).parents[2])},
            stdout=file,
            stderr=file,
        )
    try:
        until(lambda: "is not kept to the store's directories" in log.read_text())
    finally:
        run.kill()
        run.wait()
    assert process.program("rsync")
