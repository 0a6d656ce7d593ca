"""A public key of ssh's: read from its line as text, looked at, and written in one form.

A PC is known by its own ssh host key, so of the kinds that sshd makes for a host all are taken but
DSA. What is in the key is looked at, and not its first word alone: a line that sshd passes over
would be a PC that waits for ever. Floor 3, and pure: no file is read here.
"""

from __future__ import annotations

import base64
import binascii

from allie.core.errors import UsageError
from allie.core.value import Value
from allie.machine.transfer import ssh_door

# What is taken, the one to be preferred first
KINDS = {
    "ssh-ed25519": "ed25519",
    "ecdsa-sha2-nistp256": "ecdsa",
    "ecdsa-sha2-nistp384": "ecdsa",
    "ecdsa-sha2-nistp521": "ecdsa",
    "ssh-rsa": "rsa",
}
_POINTS = {"nistp256": 65, "nistp384": 97, "nistp521": 133}  # bytes of an uncompressed one
_RSA_BITS = range(2048, 16384 + 1)  # below, nobody should trust it; above, OpenSSH does not
_OTHER_KINDS = {
    "ssh-dss": "DSA keys are no longer taken by ssh",
    "cert-v01": "it is a certificate, and not a key",
    "sk-": "a key on a token is no host's own",
}
_WANTED = "the line of /etc/ssh/ssh_host_ed25519_key.pub, as one word in quotes"
_LONGEST = 8192  # characters of a line: RSA of 16,384 bits takes 2,800


class PublicKey(Value):
    """A public key: its type as ssh writes it, and what is in it, in base64."""

    kind: str
    blob: str

    @property
    def short_kind(self) -> str:
        """ed25519, ecdsa or rsa."""
        return KINDS[self.kind]

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` and sshd's log have it: SHA256:…"""
        return ssh_door.fingerprint(str(self))

    def __str__(self) -> str:
        return f"{self.kind} {self.blob}"


def parse(line: str) -> PublicKey:
    """The key of a line `TYPE BASE64 [COMMENT]`, whose comment is dropped.

    Raises UsageError where it is not one that sshd would take, or stands behind options.
    """
    words = line.split(None, 2) if len(line) <= _LONGEST else []
    if len(words) < 2 or "\n" in line.strip() or "\r" in line.strip():
        raise UsageError(f"{line[:40]!r} is no public key", _WANTED)
    kind, blob = words[:2]
    if "PRIVATE KEY" in line:
        raise UsageError("that is a private key: it stays on its PC", _WANTED)
    if kind not in KINDS:
        why = next((words for sign, words in _OTHER_KINDS.items() if sign in kind), "")
        why = why or "a key begins with its type, and no options are taken"
        raise UsageError(f"{kind[:40]!r}: {why}", _WANTED)
    flaw = _flaw(kind, blob)
    if flaw:
        raise UsageError(f"{kind} {blob[:16]}…: {flaw}", _WANTED)
    return PublicKey(kind, blob)


def _flaw(kind: str, text: str) -> str:
    """Why the base64 holds no key of that type; "" if it does."""
    try:
        blob = base64.b64decode(text.encode(), validate=True)
        fields = list(_fields(blob))
    except (ValueError, binascii.Error):
        return "it is not whole, or no base64"
    if base64.b64encode(blob).decode() != text:  # one key, one line: grep finds what sshd asks for
        return "its base64 is not as ssh writes it"
    if not fields or fields.pop(0) != kind.encode():
        return "it is a key of another type"
    if kind == "ssh-rsa":
        return _flaw_of_rsa(fields)
    if kind == "ssh-ed25519":
        return "" if [len(each) for each in fields] == [32] else "an ed25519 key has 32 bytes"
    curve = kind.rpartition("-")[2]
    is_point = len(fields) == 2 and fields[1][:1] == b"\4" and len(fields[1]) == _POINTS[curve]
    return "" if is_point and fields[0] == curve.encode() else f"it is no point of {curve}"


def _flaw_of_rsa(fields: list[bytes]) -> str:
    if len(fields) != 2 or not all(map(_is_number, fields)):
        return "an RSA key is two numbers"
    bits = int.from_bytes(fields[1], "big").bit_length()
    return "" if bits in _RSA_BITS else f"{bits} bits: ssh-keygen -A makes better ones"


def _is_number(field: bytes) -> bool:
    """Whether it is a positive mpint (RFC 4251) without a zero that need not be there."""
    sign_is_needed = field[:1] == b"\0" and field[1:2] >= b"\x80"
    return sign_is_needed or b"\1" <= field[:1] <= b"\x7f"


def _fields(blob: bytes) -> list[bytes]:
    """The strings that a key is made of. Raises ValueError where they are not whole."""
    found = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + size:
            raise ValueError(size)
        found.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return found
