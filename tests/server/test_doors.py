"""Both doors of a store, real rsyncd and sshd: what a host may not do, and who may not come.

Each attack is also made where the line that stops it is taken out, and then succeeds: what stops it
is that line and no accident.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.server.doors import enrolled, rsyncd_conf, sshd_conf
from allie.server.places import ACCOUNT
from tests.worlds.debian import UnavailableError, debian_root
from tests.worlds.doors import LINE, Doors, can_be_opened, with_two_hosts
from tests.worlds.toy import File, Link, Tree, make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """A store with two hosts enrolled, each with a secret."""
    with with_two_hosts(tmp_path_factory.mktemp("doors")) as doors:
        yield doors


def leaked(into: Path, words: str) -> bool:
    """Whether a file with these words has come."""
    return any(words in path.read_text() for path in into.rglob("*") if path.is_file())


# --- what everybody and a host may ---------------------------------------------------------------


def test_a_host_reads_its_own_and_what_is_for_all_and_sends_its_report(
    doors: Doors, tmp_path: Path
) -> None:
    for module in ("overlays", "images"):
        done = doors.rsync("pc07", "-a", f"{module}/", tmp_path / module)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "images/toy1/etc/shadow").read_text() == "root:x\n"
    assert doors.rsync("pc07", "-a", "private/", tmp_path / "private").returncode == 0
    assert (tmp_path / "private/secret").read_text() == "pc07's\n"
    (tmp_path / "report").write_text("{}")
    for _ in range(2):
        done = doors.rsync("pc07", "-t", tmp_path / "report", "inbox/")
        assert done.returncode == 0, done.stderr
    inbox = doors.store / "inbox/pc07"
    assert os.listdir(inbox) == ["report"]
    assert stat.S_IMODE((inbox / "report").stat().st_mode) == 0o600
    assert (inbox / "report").stat().st_uid != 0
    (inbox / "report").unlink()


def test_a_stranger_gets_nothing(doors: Doors) -> None:
    for module in ("", "overlays/", "private/", "inbox/"):
        done = doors.rsync("stranger", "--list-only", f":{module}")
        assert done.returncode != 0
        assert "Permission denied (publickey)" in done.stderr
    assert "Permission denied (publickey)" in doors.ssh("stranger", "id").stderr


def test_nobody_reads_what_is_a_hosts_own(doors: Doors) -> None:
    assert doors.rsync("", "--list-only", "overlays/").returncode == 0
    for module in ("private/", "private/pc07/", "inbox/", "inbox/pc07/", "etc/"):
        assert doors.rsync("", "--list-only", f":{module}").returncode != 0
    assert doors.rsync("", "--list-only", ":").stdout == ""


# --- a host with good credentials ----------------------------------------------------------------

OUT = [
    "private/../pc08/",
    "private/../../private/pc08/",
    "private/pc08/",
    "inbox/../../private/pc08/",
    "overlays/../private/pc08/",
    ":pc08/",
    ":../private/pc08/",
    ":/",
    ":%ALLIE_HOST%/../pc08/",
]


@pytest.mark.parametrize("path", OUT)
def test_another_hosts_place_is_out_of_reach(doors: Doors, tmp_path: Path, path: str) -> None:
    for options in (("-r",), ("-rL",), ("-r", "--list-only")):
        done = doors.rsync("pc07", *options, path, tmp_path / "came")
        assert "pc08" not in done.stdout
    absolute = f"private/{doors.store}/private/pc08/"
    doors.rsync("pc07", "-r", absolute, tmp_path / "came")
    assert not leaked(tmp_path, "pc08's")


def test_a_link_leads_nowhere_out_of_a_module(doors: Doors, tmp_path: Path) -> None:
    """Somebody who may write to an overlay, or to a host's place, is no reader of the server."""
    links: Tree = {
        "there": Link("../pc08/secret"),
        "far": Link(str(doors.store / "private/pc08")),
        "server": Link(str(doors.work / "server")),
    }
    make_tree(doors.store / "private/pc07/links", links)
    for option in ("-rL", "-rk", "-r", "-rl"):
        doors.rsync("pc07", option, "--copy-unsafe-links", "private/links/", tmp_path / "came")
        for name in ("far/", "server/", "there"):
            doors.rsync("pc07", option, f"private/links/{name}", tmp_path / "came")
    assert not leaked(tmp_path, "pc08's")
    assert not leaked(tmp_path, "the server's")
    shutil.rmtree(doors.store / "private/pc07/links")


def test_no_host_says_who_it_is(doors: Doors, tmp_path: Path) -> None:
    """By ssh's environment, by the command, or by an argument."""
    for words in (["SetEnv=ALLIE_HOST=pc08"], ["SendEnv=ALLIE_HOST", "SetEnv=ALLIE_HOST=pc08"]):
        through = doors.ssh_words("pc07", *words)
        assert doors.rsync("pc07", "-r", "private/", tmp_path / "a", through=through)
    command = "env ALLIE_HOST=pc08 rsync"
    doors.rsync("pc07", "-r", f"--rsync-path={command}", "private/", tmp_path / "b")
    for option in ("-M--dparam=path=/", f"-M--config={doors.work}/mine.conf", "-M--daemon"):
        doors.rsync("pc07", "-r", option, "private/", tmp_path / "c")
    assert leaked(tmp_path, "pc07's")
    assert not leaked(tmp_path, "pc08's")


@pytest.mark.parametrize(
    "words", ["id", "sh -c id", "rsync --version", "rsync --server . /etc/passwd"]
)
def test_no_command_but_the_one(doors: Doors, words: str) -> None:
    done = doors.ssh("pc07", words)
    assert "uid=" not in done.stdout
    assert "version" not in done.stdout
    assert done.stdout.startswith("@RSYNCD: "), "the forced one, and it waits for nobody"


def test_no_terminal_no_port_no_subsystem(doors: Doors) -> None:
    assert "PTY allocation request failed" in doors.ssh("pc07", "-tt").stderr
    assert "@RSYNCD" not in doors.ssh("pc07", "-W", f"127.0.0.1:{doors.port}").stdout
    with socket.create_server(("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        argv = [*doors.ssh_words("pc07", "ExitOnForwardFailure=yes"), "-N", "-R"]
        forward = [*argv, f"0:127.0.0.1:{port}", "allie-store@127.0.0.1"]
        done = subprocess.run(forward, capture_output=True, text=True, timeout=60, check=False)
        assert "remote port forwarding failed" in done.stderr
    assert "@RSYNCD" not in doors.ssh("pc07", "-s", "sftp").stdout.replace("@RSYNCD: 3", "", 1)


@pytest.mark.parametrize("module", ["overlays/common/", "images/", "releases/", "private/"])
def test_nothing_that_is_read_can_be_written(doors: Doors, tmp_path: Path, module: str) -> None:
    (tmp_path / "mine").write_text("x")
    for host in ("pc07", ""):
        for options in (("-t",), ("-a", "--delete"), ("--remove-source-files",)):
            assert doors.rsync(host, *options, tmp_path / "mine", f":{module}").returncode != 0
            doors.rsync(host, *options, f":{module}", tmp_path / "came")
    assert (doors.store / "private/pc07/secret").exists()
    assert not list(doors.store.rglob("mine"))


# --- the inbox -----------------------------------------------------------------------------------


@pytest.fixture
def inbox(doors: Doors) -> Iterator[Path]:
    """pc07's, empty before and after."""
    place = doors.store / "inbox/pc07"
    yield place
    for each in place.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def test_no_inbox_can_be_read(doors: Doors, inbox: Path, tmp_path: Path) -> None:
    (inbox / "report").write_text("what pc07 said")
    for path in ("inbox/", "inbox/report", "inbox/../pc08/", "inbox/../"):
        for options in (("--list-only",), ("-r",), ("-t",)):
            done = doors.rsync("pc07", *options, path, tmp_path / "came")
            assert done.returncode != 0
            assert "report" not in done.stdout
    assert not leaked(tmp_path, "said")


def test_nothing_but_a_plain_report_can_be_left(doors: Doors, inbox: Path, tmp_path: Path) -> None:
    """As root, one host left a block device, a setuid program and a fifo there (once tried)."""
    mine = tmp_path / "mine"
    things: Tree = {"report": "x\n", "other": "x\n", ".report": "x\n", "d/report": "x\n"}
    make_tree(mine, things)
    os.link(mine / "report", mine / "hard")
    os.mkfifo(mine / "fifo")
    os.symlink("/etc/passwd", mine / "link")
    os.mknod(mine / "disk", stat.S_IFBLK | 0o666, os.makedev(254, 0))
    (mine / "report").chmod(0o6755)
    ways: list[tuple[str | Path, ...]] = [
        *(("-t", mine / name) for name in ("other", ".report", "hard")),
        *(("-a", mine / name) for name in ("fifo", "link", "disk", "report", "d")),
        *(("-D", mine / name) for name in ("fifo", "disk")),
        ("-l", mine / "link"),
        ("-rtH", f"{mine}/"),
        ("-r", f"{mine}/"),
        ("-tp", mine / "report"),
        ("-tog", mine / "report"),
        ("-tX", mine / "report"),
        ("-tA", mine / "report"),
        ("-t", "--chmod=ugo=rwxs", mine / "report"),
        ("-t", "-M--log-file=x", mine / "report"),
        *(
            ("-t", f"--{option}", mine / "report")
            for option in (
                "inplace", "append", "partial", "partial-dir=x", "backup", "suffix=.2",
                "temp-dir=/", "backup-dir=x", "delay-updates", "write-devices", "mkpath",
                "fake-super", "sparse", "preallocate", "super",
                "link-dest=/", "copy-dest=/", "fsync",
                "copy-as=root", "files-from=/etc/hostname", "existing", "dirs", "relative",
            )
        ),
    ]  # fmt: skip
    for way in ways:
        doors.rsync("pc07", *way, "inbox/")
        left = list(inbox.rglob("*"))
        assert all(each.name == "report" and each.parent == inbox for each in left), way
        for each in left:
            st = each.lstat()
            assert stat.S_ISREG(st.st_mode), way
            assert (st.st_mode & 0o7777, st.st_nlink, st.st_uid != 0) == (0o600, 1, True), way
            each.unlink()


@pytest.mark.usefixtures("inbox")
@pytest.mark.parametrize("to", ["inbox/../pc08/", "inbox/../../private/pc07/", ":../inbox/pc08/"])
def test_nothing_can_be_left_elsewhere(doors: Doors, tmp_path: Path, to: str) -> None:
    (tmp_path / "report").write_text("x")
    doors.rsync("pc07", "-t", tmp_path / "report", to)
    doors.rsync("pc07", "-t", tmp_path / "report", f"inbox/{doors.store}/inbox/pc08/")
    assert not (doors.store / "inbox/pc08/report").exists()
    assert not (doors.store / "private/pc07/report").exists()


def test_an_inbox_holds_two_megabytes_and_no_more(
    doors: Doors, inbox: Path, tmp_path: Path
) -> None:
    (tmp_path / "report").write_bytes(b"x" * (rsyncd_conf.REPORT_MOST - 1))
    assert doors.rsync("pc07", "-t", tmp_path / "report", "inbox/").returncode == 0
    (tmp_path / "report").write_bytes(os.urandom(50 << 20))
    for _ in range(3):
        assert doors.rsync("pc07", "-t", tmp_path / "report", "inbox/").returncode != 0
    left = {path.name: path.stat().st_size for path in inbox.iterdir()}
    assert left == {"report": rsyncd_conf.REPORT_MOST - 1}, "and nothing of the tries"


def test_who_breaks_off_leaves_nothing(doors: Doors, inbox: Path, tmp_path: Path) -> None:
    """A part of a file under a name of rsync's own: many of them would be a full disk."""
    (tmp_path / "report").write_bytes(os.urandom(rsyncd_conf.REPORT_MOST - 1))
    ssh = " ".join(doors.ssh_words("pc07"))
    argv = ["rsync", "-t", "-e", ssh, str(tmp_path / "report"), "allie-store@127.0.0.1::inbox/"]
    seen = 0
    for _ in range(10):
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL, start_new_session=True) as push:
            while push.poll() is None:
                if any(path.name != "report" for path in inbox.iterdir()):
                    seen += 1
                    os.killpg(push.pid, signal.SIGKILL)
                    break
    assert seen
    until(lambda: {path.name for path in inbox.iterdir()} <= {"report"})


def test_many_names_are_refused_as_one_is(doors: Doors, inbox: Path, tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"f{number}").touch()
    doors.rsync("pc07", "-r", f"{tmp_path}/", "inbox/")
    doors.rsync("pc07", "-t", *sorted(tmp_path.iterdir()), "inbox/")
    assert not os.listdir(inbox)


def test_which_attributes_travel(doors: Doors, tmp_path: Path) -> None:
    """ACLs, file capabilities and user.* do; trusted.* takes a power that no daemon has."""
    served = doors.store / "images/toy1/bin"
    make_tree(served, {"ping": File("x", 0o755)})
    value = bytes.fromhex("0100000200200000" + "00" * 12)  # cap_net_raw+ep, capability.h
    try:
        os.setxattr(served / "ping", "security.capability", value)
        for kind in ("user", "trusted"):
            os.setxattr(served / "ping", f"{kind}.allie", b"x")
    except OSError as error:
        pytest.skip(f"no such attributes here: {error}")
    for host in ("", "pc07"):
        came = tmp_path / f"came{host}"
        assert doors.rsync(host, "-aX", "images/toy1/bin/", came).returncode == 0
        assert set(os.listxattr(came / "ping")) == {"security.capability", "user.allie"}
        assert os.getxattr(came / "ping", "security.capability") == value


# --- who is let in -------------------------------------------------------------------------------


def test_a_key_that_was_retired_a_moment_ago(doors: Doors) -> None:
    doors.enrol("pc09")
    assert doors.rsync("pc09", "--list-only", "private/").returncode == 0
    lines = Path(doors.places.enrolled)
    kept = [line for line in lines.read_text().splitlines(True) if "pc09" not in line]
    lines.write_text("".join(kept))
    done = doors.rsync("pc09", "--list-only", "private/")
    assert "Permission denied (publickey)" in done.stderr


def test_who_looks_keys_up_is_no_account_that_others_use(doors: Doors) -> None:
    """grep's words are root's: as nobody, any daemon of nobody's wrote a line into its pipe."""
    user = re.search(
        r"^AuthorizedKeysCommandUser (\S+)$", Path(doors.places.sshd).read_text(), re.M
    )
    assert user
    assert user[1] == ACCOUNT


PATHS = ["", ".", "..", "../..", "pc07/../pc08", "pc08/", "/", "pc07/..", "PC07", "-pc07", "pc07."]


@pytest.mark.parametrize("name", [*PATHS, "pc07 x", "pc..07", "a" * 300, "pc07\tx", "$(id)"])
def test_a_line_with_a_name_that_is_a_path_is_refused(name: str) -> None:
    """rsyncd would believe it: an empty name lists everybody's place, and .. the whole store."""
    config = "/srv/allie/etc/own.conf"
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH7xLw+6VNhzmdTFlpoXXIFXFL2vdFOGrH26lNV1AQR3"
    good = LINE.format("pc07", config, key, "pc07")
    assert enrolled.strange_lines(good, config) == []
    assert enrolled.strange_lines(good + LINE.format(name, config, key, name), config) == [2]
    for bad in (
        good.replace("restrict,", ""),
        good.replace("own.conf", "mine.conf"),
        good.replace("exec env", "id; exec env"),
        f"\n{good}",
        f"no-pty {good}",
        good.replace(" pc07\n", " pc08\n"),
        f"ssh-ed25519 {key.split()[1]} root\n",
    ):
        assert enrolled.strange_lines(bad, config), bad


def test_what_is_refused_is_believed_by_rsync(doors: Doors) -> None:
    """So the grammar of lines is no formality."""
    lines = Path(doors.places.enrolled)
    before = lines.read_text()
    try:
        names = {"": "pc08", ".": "pc08", "..": "ssh_host_ed25519_key", "pc07/../pc08": "secret"}
        for number, (name, seen) in enumerate(names.items()):
            doors.enrol(f"x{number}", name)
            assert seen in doors.rsync(f"x{number}", "-r", "--list-only", "private/").stdout
        assert len(enrolled.strange_lines(lines.read_text(), doors.places.own)) == len(names)
    finally:
        lines.write_text(before)


HELD = {  # a line of own.conf; what is in its place; what a host sends, or fetches, then
    "one name": ("filter = - /report/ + /report - *", "", "-t", "mine", "inbox/"),
    "no devices": ("refuse options = ", "refuse options = append #", "-D", "report", "inbox/"),
    "its mode": ("incoming chmod = F0600,D0700", "", "-t", "report", "inbox/"),
    "write only": ("write only = yes", "", "-t", "inbox/report", ""),
    "no list": ("[inbox]", "    list = yes\n[inbox]", "--list-only", ":", ""),
}


@pytest.mark.usefixtures("inbox")
@pytest.mark.parametrize("what", HELD)
def test_it_is_that_line_which_stops_it(doors: Doors, tmp_path: Path, what: str) -> None:
    line, instead, *way = HELD[what]
    conf = Path(doors.places.own)
    good = conf.read_text()
    assert line in good
    inbox = doors.store / "inbox/pc07"

    def attack(number: int) -> bool:
        mine = tmp_path / f"mine{number}"
        mine.mkdir()
        (mine / "mine").write_text("x")
        if what == "no devices":
            os.mkfifo(mine / "report")
        else:
            (mine / "report").write_text("x")
            (mine / "report").chmod(0o644)
        if what == "write only":
            (inbox / "report").write_text("what it said")
        option, source, to = way
        name = source if not to else mine / source
        done = doors.rsync("pc07", option, name, *([to] if to else [] if source == ":" else [mine]))
        left = list(inbox.iterdir())
        odd = [path for path in left if path.name != "report" or not path.is_file()]
        odd += [path for path in left if path.lstat().st_mode & 0o077 and what == "its mode"]
        for path in left:
            path.unlink()
        return bool(odd) or leaked(mine, "said") or "private" in done.stdout

    try:
        assert not attack(1)
        conf.write_text(good.replace(line, instead))
        assert attack(2)
    finally:
        conf.write_text(good)


# --- rsync of Debian 11 --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old_rsync(tmp_path_factory: pytest.TempPathFactory) -> str:
    """rsync 3.2.3, with the libraries that it had."""
    top = tmp_path_factory.mktemp("old")
    try:
        root = debian_root("bullseye", top / "root", ("python3", "rsync"))
    except (UnavailableError, FileNotFoundError) as error:
        pytest.skip(str(error))
    loader = next(root.glob("lib64/ld-linux*")).resolve()
    loader = loader if loader.exists() else next(root.glob("lib/*/ld-2*"))
    libraries = ":".join(map(str, (*root.glob("lib/*-gnu"), *root.glob("usr/lib/*-gnu"))))
    program = top / "rsync"
    words = f"{loader} --library-path {libraries} {root}/usr/bin/rsync"
    program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    program.chmod(0o755)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert "version 3.2.3" in said.stdout
    return str(program)


def test_an_old_client_may_and_may_not_do_the_same(
    doors: Doors, inbox: Path, tmp_path: Path, old_rsync: str
) -> None:
    def run(*words: str | Path) -> int:
        return doors.rsync("pc07", *words, program=old_rsync).returncode

    assert run("-a", "images/", tmp_path / "images") == 0
    assert (tmp_path / "images/toy1/etc/shadow").exists()
    assert run("-aHAX", "private/", tmp_path / "private") == 0
    (tmp_path / "report").write_text("{}")
    assert run("-t", tmp_path / "report", "inbox/") == 0
    for path in OUT:
        run("-r", path, tmp_path / "came")
    run("-t", "inbox/report", tmp_path / "came")
    (tmp_path / "other").touch()
    os.mkfifo(tmp_path / "fifo")
    for way in (["-t", tmp_path / "other"], ["-aD", tmp_path / "fifo"], ["-a", f"{tmp_path}/"]):
        run(*way, "inbox/")
    assert not leaked(tmp_path / "came", "pc08's")
    assert not (tmp_path / "came/report").exists()
    assert os.listdir(inbox) == ["report"]


# --- how long, and what is left ------------------------------------------------------------------


def test_who_shows_no_key_is_shown_the_door(doors: Doors) -> None:
    text = Path(doors.places.sshd).read_text()
    assert f"LoginGraceTime {sshd_conf.GREETING}\n" in text
    with socket.create_connection(("127.0.0.1", doors.ssh_port), timeout=60) as silent:
        silent.recv(100)
        began = time.monotonic()
        assert silent.recv(100) == b""
        assert time.monotonic() - began < sshd_conf.GREETING + 15


def test_it_sees_no_more_than_it_shows(doors: Doors) -> None:
    four = 0x400C4
    for daemon in _daemons(doors):
        status = Path(f"/proc/{daemon}/status").read_text()
        held = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
        assert int(held["CapBnd"], 16) == four
        root = Path(f"/proc/{daemon}/root")
        assert not (root / "etc/shadow").exists()
        assert not (root / "root").exists()
        store = root / str(doors.store)[1:]
        is_ssh = b"sshd" in Path(f"/proc/{daemon}/cmdline").read_bytes()
        assert (store / "private").exists() == is_ssh
        assert (store / "etc").exists() == is_ssh
        for path in filter(Path.exists, (store / "private/pc07", store / "etc", store / "images")):
            with pytest.raises(OSError, match="Read-only"):
                (path / "written").touch()


def _daemons(doors: Doors) -> list[int]:
    children = Path(f"/proc/{doors.pid}/task/{doors.pid}/children").read_text()
    return [int(each) for each in children.split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_both_end_together(tmp_path: Path, number: int) -> None:
    if can_be_opened():
        pytest.skip(can_be_opened())
    with Doors(tmp_path / "store", tmp_path / "work") as doors:
        daemons = _daemons(doors)
        assert len(daemons) == 2
        os.kill(doors.pid, number)
        until(lambda: not any(os.path.exists(f"/proc/{each}") for each in daemons))


@pytest.mark.parametrize("which", [0, 1])
def test_if_one_ends_so_does_the_other(tmp_path: Path, which: int) -> None:
    if can_be_opened():
        pytest.skip(can_be_opened())
    with Doors(tmp_path / "store", tmp_path / "work") as doors:
        daemons = _daemons(doors)
        os.kill(daemons[which], signal.SIGKILL)
        until(lambda: not any(os.path.exists(f"/proc/{each}") for each in daemons))
        assert "ended by itself" in (tmp_path / "work/serve.log").read_text()
