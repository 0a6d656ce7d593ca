"""What an ssh door says, and what it means: never by the exit status, which is always the same.

docs/internals/rules.md, "Two doors, one generation".
"""

from __future__ import annotations

import shlex

import pytest

from allie.core.conf import addresses
from allie.core.errors import AllieError, NotAdmitted, StateError, StoreError, Unreachable
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import AWAY, Cut
from allie.machine.transfer import rsync, ssh_door
from allie.machine.transfer.ssh_door import Identity
from allie.server import places

DOOR = "ssh://store.example.org:8730"
US = Identity("/etc/ssh/ssh_host_ed25519_key", "/etc/allie/known_hosts", "curve25519-sha256")
END = """rsync: did not see server greeting
rsync error: error starting client-server protocol (code 5) at main.c(1954) [Receiver=3.5.0]
"""
OLDER_END = """rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]
rsync error: unexplained error (code 255) at io.c(228) [Receiver=3.2.3]
"""
CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
SHA256:CNaJSvx/Oxvn4d1Z+pO35FLBQChaEN4jamx3vC/KNAI.
Please contact your system administrator.
Host key for allie-store has changed and you have requested strict checking.
Host key verification failed.
"""
LOOSE = """\
Permissions 0644 for '/etc/k' are too open.
This private key will be ignored.
Load key "/etc/k": bad permissions
allie-store@store: Permission denied (publickey).
"""
# What is said → what it is, and words of the message
SAID: list[tuple[str, type[AllieError], str]] = [
    ("allie-store@store: Permission denied (publickey).\n", NotAdmitted, "does not know this PC"),
    ("allie-store@store: Permission denied (publickey,password).\n", NotAdmitted, "does not know"),
    (CHANGED, StoreError, "is another than before: nothing is taken, nothing was sent"),
    (
        "No ED25519 host key is known for allie-store and you have requested strict checking.\n"
        "Host key verification failed.\n",
        StoreError,
        "none that this PC knows",
    ),
    (
        "ED25519 host key for allie-store has changed and you have requested strict checking.\n"
        "Host key verification failed.\n",
        StoreError,
        "is another than before",
    ),
    ("Host key verification failed.\n", StoreError, "none that this PC knows"),
    (LOOSE, StateError, "key /etc/k cannot be used: bad permissions"),
    ('Load key "/etc/k": error in libcrypto\n', StateError, "cannot be used: error in libcrypto"),
    ("@ERROR: Unknown module 'private'\n", StoreError, "Unknown module 'private'"),
    ("@ERROR: chroot failed\n", StoreError, "no place for what is this PC's own"),
    ("@ERROR: chdir failed\n", StoreError, "no place for what is this PC's own"),
    ("@ERROR: max connections (9) reached -- try again later\n", Unreachable, "try again later"),
    (
        "Unable to negotiate with 10.0.0.1 port 8730: no matching key exchange method found."
        " Their offer: sntrup761x25519-sha512@openssh.com\n",
        StoreError,
        "no matching key exchange method found. Their offer: sntrup",
    ),
    (
        "Unsupported KEX algorithm \"foo\"\ncommand-line line 0: Bad SSH2 KexAlgorithms 'foo'.\n",
        StateError,
        "no such option: Bad SSH2 KexAlgorithms 'foo'.",
    ),
    ("rsync: [Receiver] Failed to exec ssh: No such file or directory (2)\n", StateError, "ssh is"),
    ("rsync: Failed to exec ssh: No such file or directory (2)\n", StateError, "ssh is not"),
    ("kex_exchange_identification: Connection closed by remote host\n", Unreachable, "no sshd"),
    ("kex_exchange_identification: banner line contains invalid characters\n", Unreachable, "no"),
    ("ssh: connect to host store port 8730: Connection refused\n", Unreachable, "does not answer"),
    ("ssh: connect to host store port 8730: Connection timed out\n", Unreachable, "not answer"),
    ("ssh: Could not resolve hostname store: Name or service not known\n", Unreachable, "not answ"),
    ("", Unreachable, "does not answer"),
]


@pytest.mark.parametrize("end", [(5, END), (12, OLDER_END), (255, OLDER_END)])
@pytest.mark.parametrize(("said", "kind", "words"), SAID)
def test_a_refusal_is_told_by_what_was_said(
    said: str, kind: type[AllieError], words: str, end: tuple[int, str]
) -> None:
    code = 14 if "Failed to exec" in said else end[0]
    with pytest.raises(kind) as caught:
        rsync.check(Finished(("rsync",), code, b"", (said + end[1]).encode()), DOOR)
    assert type(caught.value) is kind
    assert words in caught.value.message
    assert "\n" not in str(caught.value)


def test_the_same_words_elsewhere_are_none_of_a_door() -> None:
    """A file may have such a name; and what was cut short by us was not refused."""
    said = b'rsync: link_stat "/x/@ERROR: chroot failed" failed: No such file or directory (2)\n'
    ssh_door.check(Finished(("rsync",), 23, b"", said), DOOR)
    late = Finished(("rsync",), 5, b"", b"Host key verification failed.\n", Cut(AWAY, "is away"))
    ssh_door.check(late, DOOR)
    with pytest.raises(Unreachable, match="does not answer"):
        rsync.check(Finished(("rsync",), 5, b"", b"a: Permission denied (x)"), "rsync://h")


def test_how_it_is_called() -> None:
    words = US.words(DOOR)
    options = {each[2:].partition("=")[0]: each.partition("=")[2] for each in words if "=" in each}
    assert words[:3] == ["ssh", "-F", "none"], "no ssh_config has a say"
    assert words[-1] == "-p8730"
    assert options["StrictHostKeyChecking"] == "yes"
    assert options["BatchMode"] == options["IdentitiesOnly"] == "yes"
    assert options["IdentityAgent"] == "none"
    assert options["ServerAliveInterval"] == "0"
    assert options["HostKeyAlias"] == "allie-store"
    assert options["GlobalKnownHostsFile"] == "/dev/null"
    assert options["KexAlgorithms"] == "curve25519-sha256"
    assert "accept-new" in " ".join(US.words(DOOR, first=True))
    assert rsync.transport(DOOR, 60, US.remote_shell(DOOR)) == [
        "--no-motd",
        "-e",
        " ".join(words),
        "--timeout=60",
    ]


def test_names_of_files_that_are_no_single_word() -> None:
    odd = Identity("/srv/my pc/50%/key", "/etc/it's/known", "k")
    words = odd.words(DOOR)
    assert '-oIdentityFile="/srv/my pc/50%%/key"' in words
    # As rsync reads it: in quotes a doubled one is one
    shell = odd.remote_shell(DOOR).replace("it''s", "it'\"'\"'s")
    assert shlex.split(shell) == words


def test_both_sides_mean_the_same_account_and_port() -> None:
    assert (places.ACCOUNT, str(places.SSH_PORT)) == (addresses.ACCOUNT, addresses.PORT)
