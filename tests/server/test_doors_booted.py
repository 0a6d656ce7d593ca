"""`allie store setup` on a server with a real systemd, through a boot, and taken back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.worlds.debian import UnavailableError, debian_root

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]
SRC = Path(__file__).parents[2] / "src"
PACKAGES = ("dbus", "openssh-server", "procps", "python3", "rsync", "systemd", "systemd-sysv")
_ALLIE = '#!/bin/sh\nPYTHONPATH=/opt/allie exec python3 -m allie.cli.main "$@"\n'
_STAGE = """\
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'exec >/out 2>&1; . /stage'
ExecStopPost=/bin/systemctl --no-block poweroff
[Install]
WantedBy=default.target
"""
_SAID = """\
said() { echo "== $1"; shift; "$@"; echo "== exit $?"; }
"""
_CALL = """\
import socket, sys, time
calls = []
for _ in range(int(sys.argv[1])):
    try:
        calls.append(socket.create_connection(("127.0.0.1", 873), 20))
    except OSError:
        pass
began = time.monotonic()
while calls and time.monotonic() - began < 60:
    for call in calls[:]:
        call.setblocking(False)
        try:
            while call.recv(4096):
                pass
            calls.remove(call)
        except BlockingIOError:
            pass
        except OSError:
            calls.remove(call)
    time.sleep(0.2)
print("left", len(calls), "after", int(time.monotonic() - began))
"""
FIRST = """\
said init allie store init
said setup allie store setup
said again allie store setup
said check allie store serve --check
said sockets systemctl list-sockets --no-pager
python3 -m http.server 8999 & sleep 1
said taken allie store setup --ssh-port 8999
said silent python3 /call.py 40
python3 /call.py 900 >/flood & sleep 3
said meanwhile timeout 10 rsync --list-only rsync://127.0.0.1/overlays/
wait $!
said flood cat /flood
said alive allie store serve --check
said failed systemctl --failed --no-legend --no-pager
said journal journalctl --no-pager -o cat -u 'allie-own@*'
"""
SECOND = """\
said sockets systemctl list-sockets --no-pager
said check allie store serve --check
said moved allie store setup --port 8730 --ssh-port 8731
said kept allie store setup
said one_port allie store setup --ssh-port 8730
said nowhere allie store setup --address 192.0.2.1
said here allie store setup --address 127.0.0.1
echo 'max connections = 20' >>/srv/allie/store.conf
said fewer allie store setup
said still allie store serve --check
said remove allie store setup --remove
said again allie store setup --remove
said passwd cat /etc/passwd /etc/group /etc/shadow
said files find /etc/systemd/system /srv/allie/etc -name '*allie*' -o -path '*/allie/etc/*'
said sockets2 systemctl list-sockets --no-pager
said anew allie store setup
said all allie store setup --remove --keys
said gone ls /srv/allie
"""


OTHER = """\
said init allie store init
said setup allie store setup
said again allie store setup
said check allie store serve --check
said failed systemctl --failed --no-legend --no-pager
said remove allie store setup --remove --keys
said passwd cat /etc/passwd /etc/group /etc/shadow
said journal journalctl --no-pager -o cat -u 'allie-own@*' -u allie-store
"""


class Server:
    """A Debian in a directory, booted for each stage."""

    def __init__(self, root: Path, suite: str = "bookworm") -> None:
        if not shutil.which("systemd-nspawn"):
            pytest.skip("needs systemd-nspawn")
        try:
            self.root = debian_root(suite, root, PACKAGES)
        except (UnavailableError, FileNotFoundError) as error:
            pytest.skip(str(error))
        shutil.copytree(
            SRC / "allie", root / "opt/allie/allie", ignore=shutil.ignore_patterns("__pycache__")
        )
        command = root / "usr/local/bin/allie"
        command.write_text(_ALLIE)
        command.chmod(0o755)
        (root / "call.py").write_text(_CALL)
        # It waits for a terminal, and as long has all that systemd had open: our ports, too
        (root / "etc/systemd/system/console-getty.service").symlink_to("/dev/null")
        (root / "etc/systemd/system/stage.service").write_text(_STAGE)
        wants = root / "etc/systemd/system/default.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "stage.service").symlink_to("../stage.service")

    def boot(self, stage: str) -> dict[str, tuple[str, int]]:
        """Boot it, run a stage, power it off; what each command said, and how it ended."""
        (self.root / "stage").write_text(_SAID + stage)
        boot = 'mount -t tmpfs tmpfs /run && exec systemd-nspawn -q -b -D "$0" --register=no'
        boot += " --keep-unit --private-network --hostname=server --setenv=SYSTEMD_COLORS=0"
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", boot, str(self.root)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=400,
        )
        out = self.root / "out"
        assert out.exists(), done.stdout[-2000:] + done.stderr[-2000:]
        found: dict[str, tuple[str, int]] = {}
        last = ""
        for part in out.read_text(errors="replace").split("== ")[1:]:
            name, _, text = part.partition("\n")
            if name.startswith("exit "):
                found[last] = (found[last][0], int(name[5:]))
            else:
                last = name
                found[name] = (text, -1)
        return found


@pytest.mark.timeout(1200)  # the first time it is made by mmdebstrap
def test_set_up_booted_and_taken_back(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    before = (server.root / "etc/passwd").read_text()

    said = server.boot(FIRST)
    assert said["setup"][1] == 0, said["setup"]
    assert "started allie-own.socket" in said["setup"][0]
    assert said["again"][0].startswith("nothing changed\n")
    assert said["check"][1] == 0, said["check"]
    assert "[::]:8730 " in said["sockets"][0]
    assert said["taken"][1] == 2
    assert "port 8999 is in use already, by python3 (process " in said["taken"][0]
    assert "left 0 after 2" in said["silent"][0], "twenty-odd seconds"
    assert "left 0" in said["flood"][0]
    assert said["meanwhile"][1] == 0, said["meanwhile"]
    assert said["alive"][1] == 0, said["alive"]
    assert said["failed"][0] == ""
    assert "Accepted publickey for allie-store" in said["journal"][0]

    said = server.boot(SECOND)
    assert "[::]:8730 " in said["sockets"][0]
    assert said["check"][1] == 0, said["check"]
    fingerprint = said["moved"][0].split("SHA256:")[1].split()[0]
    assert "rsync://server:8730\n" in said["moved"][0]
    assert said["kept"][0].startswith("nothing changed\n")
    assert "ssh://server:8731" in said["kept"][0]
    assert "both doors would be at port 8730" in said["one_port"][0]
    assert "cannot listen on 192.0.2.1" in said["nowhere"][0]
    assert "started allie-store.service" in said["here"][0], "its own port is not in its way"
    assert "started allie-store.service" in said["fewer"][0]
    assert "started allie-own.socket" in said["fewer"][0]
    assert said["still"][1] == 0, said["still"]
    assert said["remove"][1] == 0, said["remove"]
    assert said["again"][0] == "nothing changed\n"
    assert "allie-" not in said["passwd"][0]
    assert [line.rpartition("/")[2] for line in sorted(said["files"][0].split())] == [
        "authorized_hosts",
        "ssh_host_ed25519_key",
        "ssh_host_ed25519_key.pub",
    ]
    assert "allie-" not in said["sockets2"][0]
    assert fingerprint in said["anew"][0], "PCs still know it"
    assert said["all"][1] == 0, said["all"]
    assert "etc" not in said["gone"][0].split()
    assert "overlays" in said["gone"][0].split()
    assert (server.root / "etc/passwd").read_text() == before


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("suite", ["bullseye", "trixie"])
def test_older_and_newer(tmp_path: Path, suite: str) -> None:
    """rsync 3.2.3, OpenSSH 8.4 and systemd 247; and an sshd of several programs."""
    server = Server(tmp_path / "server", suite)
    said = server.boot(OTHER)
    assert said["setup"][1] == 0, said["setup"]
    assert said["again"][0].startswith("nothing changed\n")
    assert said["check"][1] == 0, said
    assert said["failed"][0] == ""
    assert said["remove"][1] == 0, said["remove"]
    assert "allie-" not in said["passwd"][0]
