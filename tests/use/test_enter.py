"""A user in another system: who, where, with what; and what that does not give."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.use.world import UID, USER, Base
from tests.worlds.loop import looped
from tests.worlds.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.slow]


def test_the_programs_are_the_systems_and_the_person_is_the_same(base: Base) -> None:
    said = base.sh(
        "deb", ". /etc/os-release; echo $ID $VERSION_ID; id -un; id -u; id -gn; hostname"
    )
    assert said.ok().lines == ["debian 12", USER, str(UID), USER, "thebase.example"]
    assert base.sh("bb", ". /etc/os-release; echo $ID").lines == ["busybox"]
    assert base.run("sh", "-c", ". /etc/os-release; echo $ID").lines == ["debian"]


def test_exit_status_and_output_pass_through(base: Base) -> None:
    said = base.sh("bb", "echo out; echo err >&2; exit 9")
    assert said == (9, "out\n", "err\n")


def test_input_passes_through(base: Base) -> None:
    argv = base.argv("allie", "enter", "bb", "--", "cat")
    assert subprocess.run(argv, input=b"a\0b", capture_output=True).stdout == b"a\0b"


def test_the_environment_passes_through(base: Base) -> None:
    script = 'printf \'%s\\n\' "$A" "$LC_CTYPE" "$PATH" $ALLIE_SYSTEM'
    argv = base.argv("env", "-u", "LANG", "A=x y", "PATH=/usr/local/bin:/x:/bin:/usr/bin")
    said = subprocess.run(
        [*argv, "allie", "enter", "bb", "--", "sh", "-c", script], capture_output=True, text=True
    )
    path = "/usr/local/bin:/x:/bin:/usr/bin:/run/allie/bin:/run/host/usr/local/bin"
    assert said.stdout.splitlines() == ["x y", "", path, "bb"]


def test_what_python_ignores_is_not_ignored_by_the_program(base: Base) -> None:
    ours = base.run("grep", "SigIgn", "/proc/self/status").lines
    assert base.enter("bb", "grep", "SigIgn", "/proc/self/status").lines == ours


@pytest.mark.parametrize(
    ("directory", "then"),
    [
        (f"/home/{USER}", f"/home/{USER}"),
        ("/usr/share", "/usr/share"),
        ("/usr/share/perl5", f"/home/{USER}"),  # not in bb
        ("/tmp", "/tmp"),
    ],
)
def test_the_working_directory_is_kept_where_there_is_one(
    base: Base, directory: str, then: str
) -> None:
    assert base.enter("bb", "pwd", directory=directory).ok().lines == [then]


def test_home_tmp_and_devices_are_shared(base: Base) -> None:
    made = "echo text > ~/made; echo text > /tmp/made; echo gone > /dev/null; ls -d /tmp/.X11-unix"
    assert base.sh("bb", made).ok().lines == ["/tmp/.X11-unix"]
    assert base.run("cat", f"/home/{USER}/made", "/tmp/made").lines == ["text", "text"]
    base.run("rm", f"/home/{USER}/made", "/tmp/made").ok()
    assert base.sh("bb", "echo x > /run/user/31000/y; cat /run/user/31000/y; rm /run/user/*/y").ok()


def test_what_a_second_group_may_read_can_be_read(base: Base) -> None:
    """By its number; in the namespace the group itself has no name."""
    file = f"/home/{USER}/shared"
    make = f"echo text > {file}; chown 0:31001 {file}; chmod 640 {file}"
    base.run("sh", "-c", make, root=True).ok()
    person = ["setpriv", f"--reuid={UID}", f"--regid={UID}"]
    cat = ["allie", "enter", "bb", "--", "cat", file]
    assert base.run(*person, "--groups=31001", *cat, root=True).ok().lines == ["text"]
    assert base.run(*person, "--clear-groups", *cat, root=True).rc == 1
    base.run("rm", file, root=True).ok()


def test_disks_that_the_base_mounts_later_are_seen(base: Base) -> None:
    """A stick that is plugged in while a program runs; on a PC with systemd, / is shared."""
    mounts = "mount --make-rshared /; mkdir -p /srv/late; (sleep 0.5; mount -t tmpfs x /srv/late;"
    mounts += "echo on > /srv/late/disk) & "
    person = f"setpriv --reuid={UID} --regid={UID} --clear-groups allie enter bb -- sh -c "
    wait = "'until cat /srv/late/disk 2>/dev/null; do sleep 0.1; done'"
    own = ["unshare", "--mount", "sh", "-c", mounts + person + wait]
    assert base.run(*own, root=True).ok().lines == ["on"]


def test_names_hosts_zone_and_resolver_are_the_bases(base: Base) -> None:
    script = "cat /etc/resolv.conf /etc/machine-id /etc/localtime; grep printer /etc/hosts"
    expected = [
        "nameserver 192.0.2.53",
        "0123456789abcdef0123456789abcdef",
        "the base's zone",
        "192.0.2.7 printer",
    ]
    assert base.sh("bb", script).ok().lines == expected
    # This one has no /etc/resolv.conf and no /etc/hosts to lay them over
    assert base.sh("deb", script).ok().lines == expected
    zones = "cat /usr/share/zoneinfo/Etc/UTC | head -c 4"
    assert base.sh("deb", zones).out == "TZif"  # only the link is covered, not what it leads to


def test_the_services_of_the_base_are_there(base: Base) -> None:
    assert base.sh("bb", "cat /run/a-socket; readlink /run/shm; ls -d /run/dbus /var/run/dbus").ok()


def test_it_is_the_very_process_that_was_started(base: Base) -> None:
    """So whoever waits for it, or ends it, has to do with the program and nothing between."""
    argv = base.argv("allie", "enter", "bb", "--", "sh", "-c", "echo $$; exec sleep 71")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        assert program.stdout.readline() == f"{program.pid}\n"
        program.terminate()
        assert program.wait() == -signal.SIGTERM


def test_a_terminal_works(base: Base) -> None:
    """Ctrl-C is the program's to handle, and Ctrl-Z stops it, as a shell expects of any program."""
    script = "trap 'echo caught' INT; echo ready on $(tty); until read x; do :; done; echo got $x"
    script = shlex.quote(script)
    pid, screen = os.forkpty()
    if pid == 0:
        os.execvp("nsenter", base.argv("bash", "--norc", "-i"))
    try:
        _until(screen, "$ ")
        os.write(screen, f'PS1="> "; stty -echo; allie enter bb -- sh -c {script}\n'.encode())
        assert "ready on /dev/pts/" in _until(screen, "ready on", "\n")
        os.write(screen, b"\x03")
        _until(screen, "caught", "\n")
        os.write(screen, b"\x1a")
        _until(screen, "Stopped", "> ")
        os.write(screen, b"fg\n")
        _until(screen, "allie enter", "\n")
        os.write(screen, b"typed\n")
        _until(screen, "got typed", "> ")
        os.write(screen, b"exit 7\n")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    finally:
        os.close(screen)


def _until(screen: int, *words: str) -> str:
    """Read the screen until these words are there, one after the other."""
    said, found = "", 0
    for word in words:
        while (place := said.find(word, found)) < 0:
            assert select.select([screen], [], [], 20)[0], f"no {word!r} after {said!r}"
            said += os.read(screen, 4096).decode()
        found = place + len(word)
    return said


@pytest.mark.parametrize(("system", "shell"), [("deb", "/bin/bash"), ("bb", "/bin/sh")])
def test_without_a_command_it_is_the_users_shell(base: Base, system: str, shell: str) -> None:
    argv = base.argv("allie", "enter", system)
    done = subprocess.run(argv, input=b"tr '\\0' ' ' < /proc/$$/cmdline\n", capture_output=True)
    assert done.stdout.decode().strip() == shell


def test_no_file_of_roots_can_be_written(base: Base) -> None:
    """Nothing is writable but what is so for everybody, in the base or in the system."""
    places = "/usr /etc /opt /boot /var /run /bin/ /sbin/ /lib/"
    look = f"find {places} -xdev ! -type l -writable 2>/dev/null; true"
    found = base.sh("deb", look).ok().lines
    assert set(found) <= {"/var/tmp", "/run/lock", "/var/lock"}
    tried = "for f in $(find /usr /etc /run/allie /var -xdev -type f); do"
    tried += " (: >> $f) 2>/dev/null && echo $f; done; true"
    assert base.sh("bb", tried).ok().lines == []
    said = base.sh("deb", "for d in / /etc /usr /usr/bin /run /run/allie /var; do (: > $d/x); done")
    assert said.err.count("Read-only file system") + said.err.count("Permission denied") == 7
    for command in ("cat /etc/secret", "ls /root", "echo x > /etc/open", "rm /etc/open"):
        assert base.sh("bb", command).rc != 0, command
    assert base.sh("bb", "cat /etc/open").lines == ["for all"]


def test_setuid_gives_nothing(base: Base) -> None:
    assert base.run("/srv/deb/usr/bin/suid-id", "-u").lines == ["0"]  # it would, on the base
    assert base.enter("deb", "suid-id", "-u").lines == [str(UID)]
    status = base.sh("deb", "grep -E 'NoNewPrivs|CapEff|CapPrm' /proc/self/status")
    assert [line.split()[1] for line in status.lines] == ["0" * 16, "0" * 16, "1"]
    refused = base.sh("deb", "mount -t tmpfs x /mnt; umount /run/host; chroot / true")
    assert refused.err.count("\n") >= 3


def test_leaving_leaves_nothing_but_what_was_left_running(base: Base) -> None:
    before = base.run("cat", "/proc/self/mounts").out
    base.enter("deb", "true").ok()
    said = base.sh("bb", "sleep 71 > /dev/null 2>&1 < /dev/null & echo $!").ok()
    pid = int(said.out)
    assert base.run("cat", "/proc/self/mounts").out == before
    time.sleep(0.2)
    assert _inside_of("bb") == [pid]  # a program started in the background lives on, as on the base
    os.kill(pid, signal.SIGKILL)
    until(lambda: not _inside_of("bb"), "it has ended")
    assert not _inside_of("deb")


def _inside_of(name: str) -> list[int]:
    """The processes that see this system as their own."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "root/run/allie/inside").read_text() == name:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_a_disk_is_found_by_its_label(base: Base, tmp_path: Path) -> None:
    said = base.enter("disk", "true")
    assert (said.rc, said.err) == (
        2,
        "allie: system disk: there is no disk with LABEL=the-disk\n       blkid lists them\n",
    )
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-L", "the-disk", str(image)], check=True)
    with looped(image) as loop:
        try:
            _on_a_disk(base, loop)
        finally:
            base.run("sh", "-c", "umount /srv/on; rm -r /dev/disk/by-label", root=True)


def _on_a_disk(base: Base, loop: str) -> None:
    number = os.stat(loop).st_rdev
    node = f"mknod {loop} b {os.major(number)} {os.minor(number)}; mkdir /dev/disk/by-label"
    link = f"ln -s ../../{os.path.basename(loop)} '/dev/disk/by-label/the-disk'"
    base.run("sh", "-c", f"{node}; {link}", root=True).ok()
    said = base.enter("disk", "true")
    assert said.rc == 2
    assert "LABEL=the-disk is not mounted" in said.err
    fill = "mkdir /srv/on; mount $0 /srv/on; cp -a /srv/bb/. /srv/on; echo x > /srv/on/etc/on"
    base.run("sh", "-c", fill, loop, root=True).ok()
    for root in (False, True):  # on a desktop, whoever plugs it in has it mounted
        said = base.enter("disk", "cat", "/etc/on", root=root)
        assert (said.rc, said.out) == (2, "")
        assert f"system disk: not bound: {loop} is on a loop device" in said.err
    base.run("allie", "system", "add", "disk", "--trust", root=True).ok()
    assert base.enter("disk", "cat", "/etc/on").ok().lines == ["x"]
    # … and from inside another system
    assert base.sh("deb", "allie enter disk -- cat /etc/on").ok().lines == ["x"]
    # … and while udev's link leads to something else that has the label
    base.run("ln", "-sfn", "../../null", "/dev/disk/by-label/the-disk", root=True).ok()
    assert base.enter("disk", "cat", "/etc/on").ok().lines == ["x"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nope"], 2, "allie.conf names no system 'nope'"),
        (["rootless"], 2, "those with a root: deb, bb, disk, gone"),
        (["gone"], 2, "there is no disk with PARTLABEL=gone"),
        (["bb", "--", "nosuch"], 127, "nosuch: there is no such program"),
        (["bb", "--", "/etc/open"], 126, "/etc/open: you may not execute it: its mode is 0"),
        (["bb", "--", "old-script"], 126, "needs /usr/bin/python2, which is not there"),
        (["bb", "--", "dos"], 126, "needs /bin/sh\\r, which is not there"),
        (["bb", "--", "by-data"], 126, "needs /etc/open, which you may not run"),
        (["bb", "--", "ghost"], 126, "a link to /opt/ghost/bin/ghost, which is not there"),
        (["bb", "--", "pipe"], 126, "pipe: Permission denied"),
        (["bb", "--", ""], 127, ": there is no such program"),
        (["bb", "--", "cross"], 126, "cross: Exec format error"),
        (["bb", "--", "/root/conf/50thing"], 126, "you may not pass /root, whose mode is 0700"),
        (["--root", "/root/x", "--", "ls"], 2, "/root/x: you may not pass /root, whose mode"),
        (["--root", "/srv/bb", "bb", "--", "ls"], 64, "--root /srv/bb names the system already"),
        (["bb", "--root", "/srv/bb"], 64, "one of them names the system"),
        (["bb", "ls"], 64, "put -- before the command"),
        (["--nosuch", "bb"], 64, "there is no option --nosuch"),
        (["--root"], 64, "--root wants a value"),
        ([], 64, "enter which system?"),
        (["--root", "/srv", "--", "ls"], 2, "/srv holds no system that you can enter"),
        (["--user", "root", "bb"], 64, "only root can enter as root"),
        (["--user", "bob", "bb"], 64, "runuser -u bob"),
    ],
)
def test_what_cannot_be_done_is_said(base: Base, words: list[str], code: int, message: str) -> None:
    said = base.run("allie", "enter", *words)
    assert message in said.err
    assert said.rc == code
    assert "Traceback" not in said.err


def test_a_directory_of_path_that_cannot_be_passed_is_named(base: Base) -> None:
    """What is behind it nobody can see; what is in another directory runs all the same."""
    path = ["env", "PATH=/opt/closed/bin:/usr/local/bin:/usr/bin", "/usr/local/bin/allie"]
    said = base.run(*path, "enter", "bb", "--", "tool")
    assert (said.rc, "may not pass /opt/closed, whose mode is 0700" in said.err) == (127, True)
    assert base.run(*path, "enter", "bb", "--", "hello").ok().lines == ["hello from bb"]


def test_what_is_no_program_is_a_shell_script(base: Base) -> None:
    """As for env, nohup, every shell, and execvp(3)."""
    assert base.enter("bb", "plain", "a b", "c").ok().lines == ["plain a b c"]
    assert base.enter("bb", "empty").ok().lines == []


def test_a_program_whose_loader_is_not_there(base: Base) -> None:
    base.run("cp", "/bin/ls", "/srv/bb/usr/bin/gnu-ls", root=True).ok()
    said = base.enter("bb", "gnu-ls")
    assert (said.rc, "which is not there" in said.err, "ld-" in said.err) == (126, True, True)


@pytest.mark.parametrize("home", ["/var/lib/homes/ann", "/usr/local/home/ann", "/var/lib/svc"])
def test_a_home_may_be_anywhere(base: Base, home: str) -> None:
    """Also where the system has no directory of that name, and where it has one of its own."""
    make = "mkdir -p $0 && chown ann $0 && echo mine > $0/letter"
    base.run("sh", "-c", make, home, root=True).ok()
    base.run("mkdir", "-p", "/srv/bb/var/lib/svc", "/srv/bb/var/lib/kept", root=True).ok()
    script = "cd; pwd; cat letter; echo new > made; ls -d /var/lib/kept /usr/local/bin/hello"
    said = base.run("env", f"HOME={home}", "allie", "enter", "bb", "--", "sh", "-c", script)
    assert said.ok().lines == [home, "mine", "/usr/local/bin/hello", "/var/lib/kept"]
    assert base.run("cat", f"{home}/made").lines == ["new"]
    said = base.run("env", f"HOME={home}", "allie", "enter", "bb", "--", "touch", "/var/lib/x")
    assert said.rc != 0


@pytest.mark.parametrize("home", ["/usr", "/usr/sbin", "/nonexistent", "/", "relative", ""])
def test_a_home_that_is_no_persons_covers_nothing(base: Base, home: str) -> None:
    said = base.run("env", f"HOME={home}", "allie", "enter", "bb", "--", "hello")
    assert said.ok().lines == ["hello from bb"]


def test_help(base: Base) -> None:
    assert "usage: allie enter" in base.run("allie", "enter", "--help").ok().out


def test_a_directory_can_be_entered_by_its_path(base: Base) -> None:
    said = base.run("allie", "enter", "--root", "/srv/bb", "--", "sh", "-c", "echo $ALLIE_SYSTEM")
    assert said.ok().lines == ["bb"]
    said = base.run("allie", "--root", "/srv/bb", "enter", "--", "hello", "you")
    assert said.ok().lines == ["hello from bb you"]


def test_the_way_without_unpacked_code(base: Base) -> None:
    """Before the first tick: slower, and no different."""
    base.run("mv", "/var/lib/allie-code", "/var/lib/away", root=True).ok()
    try:
        assert base.enter("bb", "hello").ok().lines == ["hello from bb"]
        assert base.enter("bb", "nosuch").rc == 127
    finally:
        base.run("mv", "/var/lib/away", "/var/lib/allie-code", root=True).ok()


def test_where_namespaces_are_refused_it_says_what_to_do(base: Base) -> None:
    script = "echo 0 > /proc/sys/user/max_user_namespaces && exec allie enter bb -- true"
    said = base.run("unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", script)
    assert said.rc == 2
    assert "the kernel does not let us make namespaces" in said.err
    assert "as root: sysctl user.max_user_namespaces=10000" in said.err
