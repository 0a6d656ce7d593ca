"""Where hosts' keys are found: ssh-keyscan asks them, or a known_hosts has them.

    hosts as somebody names them (`pc[01-20]`, `pc07=10.0.0.7`) → of each the key that is best

Neither says that a key is right: a scan believes whoever answers. So the command shows what was
found and asks. Of a host's several keys the first of `public_key.KINDS` is taken, as a PC does.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import time
from collections.abc import Iterable, Mapping, Sequence

from allie.core import hosts
from allie.core.errors import StateError, UsageError
from allie.core.value import Value
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.machine.programs.process_groups import Bounds
from allie.server.doors import enrolled, public_key
from allie.server.doors.public_key import PublicKey

SSH_PORT = 22
_MOST = 10_000  # hosts at a time
_ANSWER, _PATIENCE = 5, 120  # seconds: for each host, and for all beside
_ADDRESS = r"[A-Za-z0-9][A-Za-z0-9.:_%-]*"
_ORDER = list(public_key.KINDS)


class _KnownHost(Value):
    """A line of a known_hosts."""

    names: str  # separated by commas, or one that is hashed
    key: str


class KeysFound(Value):
    """What was found: a key of each host, and what there is to say of the others."""

    keys: Mapping[str, PublicKey]
    said: Sequence[str]


def addresses(words: Iterable[str]) -> dict[str, str]:
    """The hosts that words name, and by what each is asked for: itself, or what follows a `=`.

    `pc[01-20]` names twenty, `pc[01-20]=pc[01-20].lab` too. Raises UsageError.
    """
    found: dict[str, str] = {}
    for word in words:
        names, _, asked = word.partition("=")
        left, right = hosts.named(names, _MOST), hosts.named(asked or names, _MOST)
        if not left or len(left) != len(right) or len(found) + len(left) > _MOST:
            hint = f"NAME, pc[01-20], NAME=ADDRESS; at most {_MOST} at a time"
            raise UsageError(f"{word[:80]} does not say which hosts", hint)
        for name, address in zip(left, right):
            if not re.fullmatch(_ADDRESS, address, re.A):
                raise UsageError(f"{address[:80]!r} is no address")
            found[enrolled.check_host(name)] = address
    return found


def ask(named: Mapping[str, str], port: int = SSH_PORT) -> KeysFound:
    """Ask each host for its key. named: as `addresses` has it."""
    if not process.has_program("ssh-keyscan"):
        raise StateError("there is no ssh-keyscan", "install openssh-client")
    argv = ["ssh-keyscan", "-T", str(_ANSWER), "-p", str(port), "-t", "ed25519,ecdsa,rsa"]
    table = "".join(f"{address} {host}\n" for host, address in named.items())
    bounds = Bounds(_PATIENCE, time.monotonic() + _PATIENCE + _ANSWER * len(named))
    done = process.run([*argv, "-f", "-"], stdin=table.encode(), bounds=bounds)
    nowhere = set(re.findall(r"^getaddrinfo (\S+):", done.err.decode(errors="replace"), re.M))
    lost = {host: name for host, name in named.items() if name in nowhere}
    said = [
        f"{host}: {name} has no address".removeprefix(f"{name}: ") for host, name in lost.items()
    ]
    shown = {host: _name(host, port) for host in named if named[host] not in nowhere}
    found = _chosen(shown, _lines(done.out.decode(errors="replace")), "does not answer")
    return KeysFound(found.keys, [*said, *found.said])


def in_known_hosts(path: str, named: Mapping[str, str], port: int = SSH_PORT) -> KeysFound:
    """The keys that a known_hosts has of these hosts; where none is given, of all that it names."""
    text = atomic.read(path)
    if text is None:
        raise UsageError(f"{path} is missing, or no file", "--known-hosts FILE")
    lines = _lines(text)
    said = [f"{path}: passed over: {line[:60]}" for line in text.splitlines() if line[:1] == "@"]
    if not named:
        first = (line.names.partition(",")[0] for line in lines)
        named = {name.lower(): name for name in first if hosts.is_name(name.lower())}
        hashed = sum(line.names.startswith("|1|") for line in lines)
        if hashed:
            said.append(f"{path}: {hashed} names in it are hashed: name the hosts that are meant")
    asked = {host: _name(address, port) for host, address in named.items()}
    found = _chosen(asked, lines, f"is not in {path}")
    return KeysFound(found.keys, [*said, *found.said])


def _name(address: str, port: int) -> str:
    """How known_hosts writes a host that is asked at a port."""
    return address if port == SSH_PORT else f"[{address}]:{port}"


def _lines(text: str) -> list[_KnownHost]:
    """The lines of a known_hosts, but for comments and those that say something else of a key."""
    split = (line.split(None, 1) for line in text.splitlines() if line[:1] not in ("#", "@"))
    return [_KnownHost(*words) for words in split if len(words) == 2]


def _chosen(named: Mapping[str, str], lines: Sequence[_KnownHost], otherwise: str) -> KeysFound:
    """Of each host the best key that lines have. otherwise: what is said of one without any."""
    keys, said = {}, []
    plain: dict[str, list[str]] = {}
    for line in lines:
        for name in line.names.lower().split(","):
            plain.setdefault(name, []).append(line.key)
    hashed = [(_salted(line.names), line.key) for line in lines if line.names.startswith("|1|")]
    for host, name in named.items():
        texts = [*plain.get(name.lower(), ())]
        for (salt, digest), key in hashed:
            if hmac.digest(salt, name.lower().encode(), "sha1") == digest:
                texts.append(key)
        good, flaws = _parsed(texts)
        best = min((_ORDER.index(key.kind) for key in good), default=-1)
        fits = [key for key in good if _ORDER.index(key.kind) == best]
        if len(fits) == 1:
            keys[host] = fits[0]
        elif fits:
            said.append(f"{host}: has two {fits[0].short_kind} keys: which of them is right?")
        else:
            said.append(f"{host}: {flaws[0] if flaws else otherwise}")
    return KeysFound(keys, said)


def _parsed(texts: Iterable[str]) -> tuple[set[PublicKey], list[str]]:
    """The keys, and what is wrong with others."""
    good, flaws = set(), []
    for text in texts:
        try:
            good.add(public_key.parse(text))
        except UsageError as error:
            flaws.append(error.message)
    return good, flaws


def _salted(hashed: str) -> tuple[bytes, bytes]:
    """Salt and HMAC of a name `|1|SALT|HMAC` (HashKnownHosts of ssh_config(5)); nobody's if odd."""
    try:
        salt, digest = map(base64.b64decode, hashed.split("|")[2:])
    except (ValueError, binascii.Error):
        return b"", b""
    return salt, digest
