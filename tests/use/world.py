"""A base system to enter others from: this machine, seen through a mount namespace.

Its /etc, /usr/local, /var/lib, /var/tmp, /home, /srv, /run, /tmp and /dev are its own: nothing of
it is seen outside, nor what other tests have there; the client in /usr/local/bin is the built
archive, unpacked as a tick does it.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from allie.server import kit
from tests.worlds import machine
from tests.worlds.busybox import busybox_root
from tests.worlds.toy import Dir, Fifo, File, Link

USER, UID = "ann", 31000
CLIENT = "/usr/local/bin/allie"
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
}
_OVERLAID = ("etc", "usr/local", "var/lib")
_NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "urandom": (1, 9), "tty": (5, 0)}
_SETTINGS = """\
[allie]
store = /nowhere
[system deb]
root = /srv/deb
[system bb]
root = /srv/bb  ; no Python in here
[system disk]
root = LABEL=the-disk
[system gone]
root = PARTLABEL=gone
[system thebase]
root = LABEL=thebase
overlays = kit
[system rootless]
image = bb
"""
_MAKE = """\
set -e
cd {work}
mount -t tmpfs tmpfs own
for place in {overlaid}; do
    mkdir -p own/$place own/.$place
    mount -t overlay overlay -o lowerdir=/$place,upperdir=own/$place,workdir=own/.$place /$place
done
cp -a files/etc/. /etc/
cp archive {client}
mount -t tmpfs tmpfs /home
mount -t tmpfs tmpfs /srv
mkdir -p /home/{user}/.local/bin
chown -R {uid}:{uid} /home/{user}
chmod 700 /home/{user}
for system in $(ls systems); do
    mkdir /srv/$system
    mount --bind systems/$system /srv/$system
done
mkdir /srv/.dev
mount -t tmpfs tmpfs /srv/.dev
cd /srv/.dev
{nodes}
mkdir pts shm disk
mount --bind /dev/pts pts
ln -s pts/ptmx ptmx
mount --move /srv/.dev /dev
cd /
mount -t tmpfs tmpfs /run
mkdir -p /run/user/{uid} /run/dbus /run/resolver /run/media
chown {uid}:{uid} /run/user/{uid}
echo nameserver 192.0.2.53 > /run/resolver/resolv.conf
echo socket > /run/a-socket
ln -s /dev/shm /run/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
mkdir /tmp/.X11-unix
hostname thebase.example
{client} selfcheck > /dev/null
echo ready
read end
"""


def possible() -> bool:
    """Whether such a base can be made here."""
    if not machine.has_namespaces() or not Path("/usr/bin/python3").exists():
        return False
    try_it = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    try_it += ["unshare", "--user", "--mount", "true"]
    return subprocess.run(try_it, capture_output=True, check=False).returncode == 0


class Said(NamedTuple):
    """How a program ended, and what it printed."""

    rc: int
    out: str
    err: str

    def ok(self) -> Said:
        """Itself, where it exited 0."""
        assert self.rc == 0, f"exit {self.rc}\n{self.out}\n{self.err}"
        return self

    @property
    def lines(self) -> list[str]:
        """What it printed, without the newline at the end."""
        return self.out.splitlines()


class Base:
    """The base; a context manager. `systems` maps names to roots, that stand in /srv there."""

    def __init__(self, work: Path, systems: Mapping[str, Path]) -> None:
        work.mkdir()
        for name in ("own", "systems"):
            (work / name).mkdir()
        for name, root in systems.items():
            (work / "systems" / name).symlink_to(root)
        _write_files(work / "files")
        (work / "archive").write_bytes(kit.archive())
        (work / "archive").chmod(0o755)
        nodes = [f"mknod -m 666 {name} c {a} {b}" for name, (a, b) in _NODES.items()]
        self._script = _MAKE.format(
            work=shlex.quote(str(work)),
            overlaid=" ".join(_OVERLAID),
            client=CLIENT,
            user=USER,
            uid=UID,
            nodes="\n".join(nodes),
        )

    def __enter__(self) -> Base:
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--uts", "--propagation", "private", "bash", "-c", self._script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
        )
        assert self._holder.stdout
        assert self._holder.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.communicate(b"end\n")

    def argv(self, *argv: str, root: bool = False, directory: str = "") -> list[str]:
        """A command line that runs a program on the base, as the user or as root."""
        env = {
            **ENVIRONMENT,
            "HOME": "/root" if root else f"/home/{USER}",
            "SHELL": "/bin/bash",
            "USER": "root" if root else USER,
        }
        start = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt"]
        start.append(f"--uts=/proc/{self._holder.pid}/ns/uts")
        if not root:
            start += ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
        start += ["env", "-i", "-C", directory or env["HOME"]]
        return [*start, *(f"{key}={value}" for key, value in env.items()), *argv]

    def run(self, *argv: str, root: bool = False, directory: str = "") -> Said:
        """Run a program on the base to its end."""
        done = subprocess.run(
            self.argv(*argv, root=root, directory=directory),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def enter(self, system: str, *argv: str, root: bool = False, directory: str = "") -> Said:
        """`allie enter SYSTEM -- argv`."""
        return self.run("allie", "enter", system, "--", *argv, root=root, directory=directory)

    def sh(self, system: str, script: str, root: bool = False) -> Said:
        """A shell script in a system."""
        return self.enter(system, "sh", "-c", script, root=root)


def _write_files(folder: Path) -> None:
    """What the base has of its own in /etc."""
    etc = folder / "etc"
    (etc / "allie").mkdir(parents=True)
    (etc / "allie/allie.conf").write_text(_SETTINGS)
    (etc / "allie/system").write_text("thebase\n")
    for name, line in (
        ("passwd", f"{USER}:x:{UID}:{UID}:Ann:/home/{USER}:/bin/bash"),
        ("group", f"{USER}:x:{UID}:"),
    ):
        (etc / name).write_text(f"root:x:0:0:root:/root:/bin/bash\n{line}\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n192.0.2.7 printer\n")
    (etc / "resolv.conf").symlink_to("../run/resolver/resolv.conf")
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (etc / "localtime").write_text("the base's zone\n")


def busybox_system(top: Path) -> Path:
    """A system without Python, bash, /etc/hosts's neighbours, or a client of its own."""
    return busybox_root(
        top,
        {
            "etc/secret": File("for root\n", 0o600),
            "etc/open": File("for all\n", 0o644),
            "usr/local/bin/hello": File('#!/bin/sh\necho hello from bb "$@"\n', 0o755),
            "usr/local/bin/allie": File("#!/bin/sh\necho not this one\n", 0o755),
            "usr/local/bin/plain": File('echo plain "$@"\n', 0o755),
            "usr/local/bin/empty": File("", 0o755),
            "usr/local/bin/old-script": File("#!/usr/bin/python2 -E\n", 0o755),
            "usr/local/bin/by-data": File("#!/etc/open\n", 0o755),
            "usr/local/bin/dos": File("#!/bin/sh\r\n", 0o755),
            "usr/local/bin/ghost": Link("/opt/ghost/bin/ghost"),
            "usr/local/bin/pipe": Fifo(0o755),
            "opt/closed/bin/tool": File("", 0o755),
            "opt/closed": Dir(0o700),
            "usr/local/bin/cross": File("\x7fELF\2\1\1" + "\0" * 57, 0o755),
            "usr/share/only-here/note": "note\n",
            "root/conf/50thing": File("#!/bin/sh\n", 0o755),
            "etc/localtime": Link("../usr/share/zoneinfo/Etc/UTC"),
            "var/run": Dir(),
        },
    )
