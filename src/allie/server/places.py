"""Where the things of the store's two doors are: keys, configurations, accounts, ports."""

from __future__ import annotations

import os

from allie.core.conf import addresses
from allie.core.value import Value

RSYNC_PORT = 873
SSH_PORT = int(addresses.PORT)
ACCOUNT = addresses.ACCOUNT  # who comes through the ssh door; uid 0, and able to run one command
INBOX_ACCOUNT = "allie-inbox"  # whose the reports are; nobody logs in with it
PLAIN_PATH = r"(/[A-Za-z0-9._+-]+)+"  # which sshd, systemd, rsyncd and a shell all read alike


class Places(Value):
    """The files of a store's doors, all in one directory of root's that is not served."""

    store: str  # the store's real path
    etc: str

    @property
    def enrolled(self) -> str:
        """The lines by which sshd knows each host, written by `enrolled` alone; as sshd(8) has it.

        A line: `restrict,command="exec env ALLIE_HOST=pc07 … ." ssh-ed25519 AAAA… pc07`
        """
        return f"{self.etc}/authorized_hosts"

    @property
    def host_key(self) -> str:
        """The ssh door's own host key, which PCs pin; the public half has the ending .pub."""
        return f"{self.etc}/ssh_host_ed25519_key"

    @property
    def common(self) -> str:
        """The part of `own` that is for all: what everybody may read."""
        return f"{self.etc}/common.conf"

    @property
    def own(self) -> str:
        """rsyncd.conf of the ssh door: the common part, and each host's private and inbox."""
        return f"{self.etc}/own.conf"

    @property
    def sshd(self) -> str:
        """sshd_config of the ssh door."""
        return f"{self.etc}/sshd_config"

    def private(self, host: str) -> str:
        """The overlay of one host alone."""
        return f"{self.store}/private/{host}"

    def inbox(self, host: str) -> str:
        """Where one host's report arrives."""
        return f"{self.store}/inbox/{host}"


def address_of(port: int) -> str:
    """The address by which PCs know this server, at its rsync door."""
    suffix = "" if port == RSYNC_PORT else f":{port}"
    return f"rsync://{os.uname().nodename}{suffix}"
