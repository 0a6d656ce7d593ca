"""The ssh door of a store: how it is called, and what is meant by how it refuses.

Behind it is rsync's daemon, as behind rsync://, for an account that can do nothing else. The server
knows a host by its key, and the host the server by the key that it found at the first contact. No
ssh_config and no agent has a say, and there is no way back to a connection without ssh.

docs/internals/rules.md, "Two doors, one generation".
"""

from __future__ import annotations

import binascii

from allie.core import digest
from allie.core.conf import addresses
from allie.core.errors import AllieError, NotAdmitted, StateError, StoreError, Unreachable
from allie.core.lean import re
from allie.core.value import Value
from allie.machine.programs import process
from allie.machine.programs.process import Finished

PINNED = "allie-store"  # in known_hosts, whatever the addresses of the server
_NAME = "the server's key"
_CONNECT = 10  # seconds
_OPTIONS = {
    "BatchMode": "yes",
    "HostKeyAlias": PINNED,
    "CheckHostIP": "no",
    "HashKnownHosts": "no",
    "UpdateHostKeys": "no",
    "GlobalKnownHostsFile": "/dev/null",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "PreferredAuthentications": "publickey",
    "ConnectTimeout": f"{_CONNECT}",
    "ServerAliveInterval": "0",  # or bytes would come from a server that stands still
    "LogLevel": "ERROR",
}
_CODES = (5, 10, 12, 14, 255)  # rsync's where ssh, or the daemon behind it, ends at once


class Identity(Value):
    """By what the two know each other."""

    key: str  # the file of this host's private key; "": it has none
    known: str  # the file of the server's key, as known_hosts has it
    kex: str  # as ssh's KexAlgorithms

    def words(self, door: str, *, first: bool = False) -> list[str]:
        """The command of ssh, up to where it says whom to call.

        first: whatever key the server has goes into `known`, which has none yet.
        """
        options = {
            **_OPTIONS,
            "StrictHostKeyChecking": "accept-new" if first else "yes",
            "UserKnownHostsFile": _path(self.known),
            "IdentityFile": _path(self.key),
            "KexAlgorithms": self.kex,
        }
        port = addresses.door_at(door)[1]
        return ["ssh", "-F", "none", "-T", *(f"-o{k}={v}" for k, v in options.items()), f"-p{port}"]

    def remote_shell(self, door: str) -> str:
        """The same as rsync's -e has it, which is split at blanks."""
        return " ".join(map(_quoted, self.words(door)))


def fingerprint(key: str) -> str:
    """What people compare of a public key, as ssh-keygen -l has it.

    >>> fingerprint("ssh-ed25519 AAAA"), fingerprint("ssh-ed25519 A")
    ('SHA256:cJ6AyISHokEeHuTfufIqhhSS0gxHZRUMDHlKvXD4FHw', 'a damaged key')
    """
    try:
        body = binascii.a2b_base64(key.split()[1])
    except ValueError:
        return "a damaged key"
    said = binascii.b2a_base64(bytes.fromhex(digest.of(body)), newline=False)
    return f"SHA256:{said.decode().rstrip('=')}"


def check(finished: Finished, door: str) -> None:
    """Raise what a door's refusal means, where it is one of those that are known.

    The exit status tells nothing: 5 is all of them, rsync's, since none let it see a greeting.
    """
    if finished.code not in _CODES or finished.cut:
        return
    text = finished.err.decode(errors="replace")
    for pattern, kind, words, hint in _SAID:
        found = re.search(rf"(?m)^{pattern}", text)
        if found:
            said = [process.shown(each) for each in found.groups()]
            raise kind(f"{door}: {words.format(*said)}", hint)


_SAID: list[tuple[str, type[AllieError], str, str]] = [  # the first that fits
    (
        r".*Failed to exec ssh|ssh: not found",
        StateError,
        "ssh is not installed here",
        "install the package openssh-client",
    ),
    (
        r'Load key "(.*)": (.*)',
        StateError,
        "this PC's key {0} cannot be used: {1}",
        "its mode must be 0600; another one: key = in allie.conf",
    ),
    (
        r"(?:Host key|\S+ host key) for .* has changed",
        StoreError,
        f"{_NAME} is another than before: nothing is taken, nothing was sent",
        "somebody pretends to be it; or it was set up anew: then rm /etc/allie/known_hosts",
    ),
    (
        r"No \S+ host key is known|Host key verification failed",
        StoreError,
        f"{_NAME} is none that this PC knows: nothing is taken, nothing was sent",
        "somebody pretends to be it; or it was set up anew: then rm /etc/allie/known_hosts",
    ),
    (
        r"\S+: Permission denied \(",
        NotAdmitted,
        "the server does not know this PC's key",
        "on the server: allie store enrol",
    ),
    (
        r"Unable to negotiate with .*: (no matching .* found)(.*)",
        StoreError,
        "{0}{1}",
        "kex = in allie.conf chooses the key exchange",
    ),
    (
        r"command-line:? line 0: (.*)",
        StateError,
        "this ssh takes no such option: {0}",
        "kex = in allie.conf chooses the key exchange",
    ),
    (
        r"@ERROR: (?:chroot|chdir|chmod|setgid|setuid) failed",
        StoreError,
        "there is no place for what is this PC's own",
        "on the server: allie store enrol makes it, allie store serve --check looks",
    ),
    (r"@ERROR: (max connections .*)", Unreachable, "{0}", ""),
    (r"@ERROR: (.*)", StoreError, "{0}", "on the server: allie store serve --check"),
    (
        r"(?:kex_exchange_identification|ssh_exchange_identification|banner exchange): (.*)",
        Unreachable,
        "no sshd answers there: {0}",
        "is it the ssh door's port? What answers without ssh is not asked",
    ),
]


def _path(path: str) -> str:
    """A file, as ssh's options have it: it expands % and divides at blanks."""
    path = path.replace("%", "%%")
    return f'"{path}"' if " " in path else path


def _quoted(word: str) -> str:
    """A word as rsync's -e has it.

    >>> print(_quoted("-p8730"), _quoted("it is"))
    -p8730 'it is'
    """
    doubled = word.replace("'", "''")
    return f"'{doubled}'" if re.search("[ '\"]", word) else word
