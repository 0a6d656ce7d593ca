"""A server and some PCs on which the documentation's examples run exactly as they are typed.

Each machine is this one seen through namespaces of its own: the server has a /srv of its own, a PC
an /etc, /root, /var, /run, /home and /usr/local; what else is on the disk of / is read-only. They
share a network in which they are alone, so that rsync's usual port is free and `server` is a name.
A PC is a *base* system: its `/` is its root, and the client in its /usr/local/bin is the archive
that it fetched.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import NamedTuple

from tests.worlds import machine

TOP = Path(__file__).parents[2]
SERVE = "allie store serve"  # stays in the foreground: it gets a terminal of its own
OWN = {
    "server": ("srv", "run"),
    "pc": ("etc", "root", "var", "run", "home", "srv", "usr/local", "tmp"),
}
_END = "--- the end of "
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOOPBACK_UP = """\
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH22x", b"lo", 1 | 64))
"""
_ENTER = """\
set -e
mount -t proc proc /proc
mount --bind "{work}" /mnt
for place in {places}; do mount --bind "/mnt/$place" "/$place"; done
[ {name} != server ] || mount --rbind /tmp /tmp  # shared: this project may stand there
mount -o remount,bind,ro /
hostname {name}
exec bash --norc
"""
# Stand-in for the package manager: the machine has no network, and a /usr that cannot be written.
_APT_GET = """\
#!/bin/sh
for last; do :; done
echo "Setting up $last"
printf '#!/bin/sh\\necho "this is %s"\\n' "$last" > "/usr/local/bin/$last"
chmod +x "/usr/local/bin/$last"
"""


def possible() -> bool:
    """Whether such machines can be made here."""
    return machine.has_namespaces() and Path("/usr/bin/python3").exists()


class Said(NamedTuple):
    """What a command printed, on both outputs, and its exit status."""

    out: str
    status: int


class Machine:
    """One machine, and the shell of root on it, which lives until the machine ends."""

    def __init__(self, name: str, work: Path, network: int | None) -> None:
        self.work = work
        kind = "server" if name == "server" else "pc"
        for place in OWN[kind]:
            (work / place).mkdir(parents=True)
        env = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "NO_COLOR": "1"}
        if kind == "server":
            _add_programs(work)
            env["PATH"] = f"/mnt/bin:{_PATH}"
        else:
            _furnish(work)
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts"]
        unshare += ["--propagation", "private"]
        if network is None:
            unshare.append("--net")
        else:
            unshare = ["nsenter", f"--net=/proc/{network}/ns/net", *unshare]
        script = _ENTER.format(places=" ".join(OWN[kind]), work=work, name=name)
        self._screen, terminal = _terminal()
        self._shell = subprocess.Popen(
            [*unshare, "bash", "-c", script],
            cwd="/",
            env=env,
            stdin=subprocess.PIPE,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)

    @property
    def pid(self) -> int:
        """The process that holds the machine's network."""
        return self._shell.pid

    def types(self, command: str) -> Said:
        """Type a command; what it prints, and its exit status."""
        assert self._shell.stdin
        mark = f"{_END}{time.monotonic_ns()} "
        body = f"{{ {command}\n}} </dev/null\n_s=$?\nprintf '%s%s\\n' '{mark}' $_s\n(exit $_s)\n"
        self._shell.stdin.write(body.encode())
        self._shell.stdin.flush()
        out = b""
        while not (end := re.search(mark.encode() + rb"(\d+)\n", out)):
            try:
                out += os.read(self._screen, 65536)
            except OSError:
                raise AssertionError(f"the machine ended:\n{out.decode()}") from None
        said = out[: end.start()] + out[end.end() :]  # what is in the background goes on
        return Said(said.decode(errors="replace"), int(end[1]))

    def shows(self, words: str, so_far: str) -> None:
        """Wait until what runs in the background has shown some words."""
        while words not in so_far:
            so_far += os.read(self._screen, 65536).decode(errors="replace")

    def end(self) -> None:
        """Switch it off; every process on it ends."""
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        if self._shell.stdin:
            self._shell.stdin.close()
        os.close(self._screen)


class Machines:
    """The server and the PCs, made when they are first named; a context manager that ends them."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.server = Machine("server", work / "server", None)
        said = self.server.types(f"{sys.executable} -c '{_LOOPBACK_UP}'")
        assert said.status == 0, said.out
        self._all = {"server": self.server}

    def types(self, machine: str, command: str) -> Said:
        """Type a command on a machine."""
        if machine not in self._all:
            self._all[machine] = Machine(machine, self.work / machine, self.server.pid)
        if command == SERVE:
            return self._serve()
        return self._all[machine].types(command)

    def _serve(self) -> Said:
        said = self.server.types(f"{SERVE} & until rsync rsync://127.0.0.1/; do sleep 0.05; done")
        self.server.shows("Ctrl-C ends it", said.out)
        return Said("", said.status)

    def __enter__(self) -> Machines:
        return self

    def __exit__(self, *_: object) -> None:
        for each in reversed(self._all.values()):
            each.end()


def _terminal() -> tuple[int, int]:
    """A terminal: people see more than pipes do. (our end, the machine's end)."""
    screen, terminal = pty.openpty()
    settings = termios.tcgetattr(terminal)
    settings[1] &= ~termios.OPOST  # no carriage returns
    termios.tcsetattr(terminal, termios.TCSANOW, settings)
    return screen, terminal


def _add_programs(work: Path) -> None:
    """The server's `allie`: the code as it stands."""
    folder = work / "bin"
    folder.mkdir()
    program = folder / "allie"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={TOP}/src exec {sys.executable} -m allie.cli.main "$@"\n'
    )
    program.chmod(0o755)


def _furnish(work: Path) -> None:
    """What a freshly installed PC has, in the directories of its own."""
    for name in ("passwd", "group", "ld.so.cache", "nsswitch.conf", "alternatives"):
        source = Path("/etc", name)
        if source.is_dir():
            shutil.copytree(source, work / "etc" / name, symlinks=True)
        elif source.exists():
            shutil.copy(source, work / "etc" / name)
    (work / "etc/hosts").write_text("127.0.0.1 localhost server\n")
    (work / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    (work / "etc/cron.d").mkdir()
    for name in ("var/lib", "var/log", "usr/local/bin", "usr/local/sbin"):
        (work / name).mkdir(parents=True)
    program = work / "usr/local/bin/apt-get"
    program.write_text(_APT_GET)
    program.chmod(0o755)
