"""A server with both doors and ClusterShell, and PCs at a network of theirs, each with its sshd.

What stands on a page about many PCs is typed here. The machines are those of `machines.py`, but
each PC has a network namespace of its own, on a bridge of the server's; it has joined, is enrolled,
and lets the server's root in by ssh.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from allie.server.places import ACCOUNT, INBOX_ACCOUNT
from tests.docs.machines import TOP, Machine, Said, possible
from tests.worlds.doors import INBOX_UID
from tests.worlds.ssh_door import make_key

GROUPS = TOP / "packaging/clustershell/allie.conf"
_ACCOUNTS = {
    "passwd": (
        f"{ACCOUNT}:x:0:0::/:/bin/sh\n{INBOX_ACCOUNT}:x:{INBOX_UID}:{INBOX_UID}::/:/bin/false\n"
    ),
    "group": f"{INBOX_ACCOUNT}:x:{INBOX_UID}:\n",
    "shadow": f"{ACCOUNT}:*:19000::::::\n{INBOX_ACCOUNT}:*:19000::::::\n",
}
_SSH = """\
Host *
    IdentityFile {0}/key
    UserKnownHostsFile {0}/known_hosts
    StrictHostKeyChecking accept-new
    LogLevel ERROR
"""
_SSHD = "AuthorizedKeysFile /root/.ssh/authorized_keys\nUsePAM no\nStrictModes no\n"
# ssh has its files elsewhere, since /root is this machine's; clush takes a terminal for one that
# controls jobs, which a machine's is not, and counts who has answered until all have
_PROGRAMS = {
    "ssh": 'exec /usr/bin/ssh -F /srv/ssh/config "$@"',
    "clush": 'set -o pipefail; /usr/bin/clush "$@" 2>&1 | sed "s/.*\\r//"',
}
_ON_SERVER = """\
(set -e
for each in passwd group shadow hosts clustershell; do
    mount --bind "/srv/etc/$each" "/etc/$each"
done
ip link set lo up
ip link add lan type bridge; ip addr add 10.1.0.1/24 dev lan; ip link set lan up
allie store init >/srv/init.log
allie store serve --ssh >/srv/serve.log 2>&1 &
until [ "$(timeout 1 head -c 4 </dev/tcp/10.1.0.1/8730)" = SSH- ]; do sleep 0.05; done
rsync rsync://server/ >/srv/modules)
"""
_ON_PC = """\
(set -e
ip link set lo up; ip link set eth0 up; ip addr add 10.1.0.{number}/24 dev eth0
mkdir /run/sshd
/usr/sbin/sshd -f /etc/ssh/sshd_config
rsync rsync://server/overlays/kit/usr/local/bin/allie /usr/local/bin/
allie join rsync://server --own ssh://server >/root/joined)
"""


def missing() -> str:
    """Why there can be no such site here; "" if there can."""
    if not possible():
        return "needs root, namespaces, and /usr/bin/python3"
    programs = ("ip", "clush", "nodeset", "sshd", "ssh", "ssh-keygen", "rsync")
    lacks = [each for each in programs if not shutil.which(each)]
    if not lacks and not Path("/etc/clustershell/groups.conf").exists():
        lacks = ["clustershell as Debian has it"]
    return f"needs {' '.join(lacks)}" if lacks else ""


class SiteWithClush:
    """The server and the PCs; a context manager that ends them."""

    def __init__(self, work: Path, hosts: tuple[str, ...]) -> None:
        self.work = work
        self.hosts = hosts
        self._names = "127.0.0.1 localhost\n10.1.0.1 server\n"
        for number, host in enumerate(hosts, 2):
            self._names += f"10.1.0.{number} {host}\n"
        self.server = Machine("server", work / "server", None)
        self._all = {"server": self.server}
        try:
            self._furnish_server()
            self.sure("server", _ON_SERVER)
            for number, host in enumerate(hosts, 2):
                self._add(host, number)
        except BaseException:
            self._end()
            raise

    def types(self, machine: str, command: str) -> Said:
        """Type a command on a machine."""
        return self._all[machine].types(command)

    def sure(self, machine: str, command: str) -> str:
        """The same; what it printed. It must exit 0."""
        said = self.types(machine, command)
        assert said.status == 0, f"{machine}# {command}\nexit {said.status}\n{said.out}"
        return said.out

    def _furnish_server(self) -> None:
        srv = self.work / "server/srv"
        (srv / "etc").mkdir()
        for name, lines in _ACCOUNTS.items():
            (srv / "etc" / name).write_text(Path("/etc", name).read_text() + lines)
        (srv / "etc/hosts").write_text(self._names)
        shutil.copytree("/etc/clustershell", srv / "etc/clustershell")
        shutil.copy(GROUPS, srv / "etc/clustershell/groups.conf.d")
        self._let_ssh(srv / "ssh", "/srv/ssh")
        for name, text in _PROGRAMS.items():
            program = self.work / "server/bin" / name
            program.write_text(f"#!/bin/bash\n{text}\n")
            program.chmod(0o755)
        (srv / "allie/etc").mkdir(parents=True)
        make_key(srv / "allie/etc/ssh_host_ed25519_key")

    def _let_ssh(self, folder: Path, seen_as: str) -> None:
        """ssh's files of a machine that may reach the PCs: all have the same key."""
        folder.mkdir(mode=0o700, exist_ok=True)
        key = self.work / "server/srv/ssh/key"
        if not key.exists():
            make_key(key)
        if folder / "key" != key:
            shutil.copy(key, folder / "key")
        (folder / "config").write_text(_SSH.format(seen_as))
        public = key.with_suffix(".pub").read_text()
        (folder / "authorized_keys").write_text(public)

    def _add(self, host: str, number: int) -> None:
        """A PC: on the network, with its sshd, joined and enrolled."""
        work = self.work / host
        pc = self._all[host] = Machine(host, work, None)
        (work / "etc/hosts").write_text(self._names)
        (work / "etc/shadow").write_text("root:*:19000::::::\n")  # without one it is locked
        (work / "etc/ssh").mkdir(exist_ok=True)
        make_key(work / "etc/ssh/ssh_host_ed25519_key")
        (work / "etc/ssh/sshd_config").write_text(_SSHD)
        self._let_ssh(work / "root/.ssh", "/root/.ssh")
        to = ["nsenter", f"--net=/proc/{self.server.pid}/ns/net"]
        cable = ["type", "veth", "peer", "name", "eth0", "netns", str(pc.pid)]
        for words in (["add", host, *cable], ["set", host, "master", "lan", "up"]):
            subprocess.run([*to, "ip", "link", *words], check=True)
        self.sure(host, _ON_PC.format(number=number))
        self.sure("server", f"allie store enrol --scan {host} --yes")
        self.sure(host, "allie run-conf")  # its first report

    def __enter__(self) -> SiteWithClush:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        for each in reversed(self._all.values()):
            each.end()
