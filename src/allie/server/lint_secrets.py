"""Find secrets in overlays that everybody reads: keys, tokens, passwords and their hashes.

They are for `private/HOST`, which only that host gets. What is found has a shape that nothing else
has, so that a finding is worth a look: a public key, a certificate and a placeholder are silent,
and so is a password in a file of a kind that is not known here. Nothing of what is found is shown.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterator

from allie.core import tags
from allie.core.change.resolution import Overlay
from allie.machine.files import beneath
from allie.server.lint_settings import Finding

_BEGINNING = 64 << 10  # bytes of a file that are looked at
_LARGEST = 4 << 20  # bytes of a file that is looked at: keys are small
_BINARY = 512  # bytes among which text has no zero
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_KEY, _TOKEN, _PASSWORD, _HASH = "a private key", "a token", "a password", "a password's hash"
_PEM = (
    rb"-----BEGIN (?:[A-Z0-9]{1,9} ){0,2}PRIVATE KEY(?: BLOCK)?-----(?:\r?\n|\\n)"
    rb"(?:[ \t]*[A-Za-z-]{1,30}: [^\n]{0,200}\n)*(?:[ \t\r]*\n)?[ \t]*([A-Za-z0-9+/]{32})"
)
# What each shape is of, by how it begins: a pattern of one letter, and of what may follow it, finds
# that ten times as fast as the shapes themselves would
_SHAPES = {
    rb"P(?:RIVATE KEY|rivateKey|resharedKey|uTTY-User-Key|assphrase=)": [
        (_KEY, _PEM),
        (_KEY, rb"^[ \t]*P(?:rivate|reshared)Key[ \t]*=[ \t]*([A-Za-z0-9+/]{43}=)"),  # WireGuard
        (_KEY, rb"^PuTTY-User-Key-File-[0-9]: (.{4,40})"),
        (_PASSWORD, rb"^Passphrase=(.{8,63})$"),  # iwd
    ],
    rb"A(?:GE-SECRET|KIA|Iza)": [
        (_KEY, rb"AGE-SECRET-KEY-1([A-Z0-9]{50})"),
        (_TOKEN, rb"(?<!\w)(AKIA[A-Z0-9]{16})(?!\w)"),  # AWS
        (_TOKEN, rb"(?<!\w)AIza([\w-]{35})(?![\w-])"),  # Google
    ],
    rb"g(?:h[oprsu]_|ithub_pat_|lpat-|lrt-)": [
        (_TOKEN, rb"(?<!\w)gh[oprsu]_([A-Za-z0-9]{36})"),  # GitHub
        (_TOKEN, rb"github_pat_(\w{60})"),
        (_TOKEN, rb"gl(?:pa|r)t-([\w-]{20})"),  # GitLab
    ],
    rb"xox[abeoprs]-": [(_TOKEN, rb"(?<!\w)xox[abeoprs]-([\w-]{20})")],  # Slack
    rb"hooks\.slack": [(_TOKEN, rb"hooks\.slack\.com/services/(T\w{8,12}/B\w{8,12}/\w{20})")],
    rb"secret_access_key": [(_TOKEN, rb"secret_access_key\W{1,5}([A-Za-z0-9/+]{40})(?!\w)")],
    rb"k_live_": [(_TOKEN, rb"[rs]k_live_(\w{20})")],  # Stripe
    rb"npm_": [(_TOKEN, rb"(?<!\w)npm_([A-Za-z0-9]{36})(?!\w)")],
    rb"p(?:ypi-AgE|sk)": [
        (_TOKEN, rb"pypi-AgE([\w-]{50})"),
        # Wi-Fi: wpa_supplicant; NetworkManager, ifupdown
        (_PASSWORD, rb"^[ \t]*psk[ \t]*=[ \t]*(\"[^\"\n]{8,63}\"|[^\s\"#]{8,64})$"),
        (_PASSWORD, rb"^[ \t]*wpa-psk[ \t]+(\S{8,64})$"),
    ],
    rb"wpa_passphrase": [(_PASSWORD, rb"^[ \t]*wpa_passphrase=(.{8,63})$")],  # hostapd
    rb"\$(?:[156]\$|2[abxy]\$|apr1\$|g?y\$)": [  # crypt(5)
        (_HASH, rb"\$6\$(?:rounds=[0-9]{1,9}\$)?[^$:\s]{1,16}\$([./\w]{86})(?![./\w])"),
        (_HASH, rb"\$5\$(?:rounds=[0-9]{1,9}\$)?[^$:\s]{1,16}\$([./\w]{43})(?![./\w])"),
        (_HASH, rb"\$g?y\$[./\w]{1,20}\$[./\w]{1,86}\$([./\w]{43})(?![./\w])"),
        (_HASH, rb"\$2[abxy]\$[0-9]{2}\$([./\w]{53})(?![./\w])"),
        (_HASH, rb"\$(?:apr)?1\$[^$:\s]{1,8}\$([./\w]{22})(?![./\w])"),
    ],
}
_BEGINS = {re.compile(begin): shapes for begin, shapes in _SHAPES.items()}
_LOGIN = rb"^[^#\n]*\bpassword\s+(\S+)"
_SETTING = rb"^[ \t]*password[ \t]*=[ \t]*(\S+)"
# What is in files of these names
_BY_NAME = {
    ".netrc": (_PASSWORD, _LOGIN),
    "_netrc": (_PASSWORD, _LOGIN),
    "auth.conf": (_PASSWORD, _LOGIN),  # apt's
    ".pgpass": (_PASSWORD, rb"^[^#:\n]+:[^:\n]*:[^:\n]*:[^:\n]*:([^\n]+)$"),
    ".my.cnf": (_PASSWORD, _SETTING),
    ".smbcredentials": (_PASSWORD, _SETTING),
    "rsyncd.secrets": (_PASSWORD, rb"^[^#:\s]+:(\S+)"),
    "shadow": (_HASH, rb"^[^:\n]+:([./0-9A-Za-z]{13}):"),  # DES; others have shapes of their own
}
_PLACEHOLDER = re.compile(
    rb"^[\"']?(?:[<{$@%*]|ext:)|example|change.?me|placeholder|your.|dummy|redacted|xxxx|123456789",
    re.I,
)
_FEWEST = 5  # letters that a secret has, each counted once: `xxxxxxxx` has one


def of_overlay(store: str, overlay: Overlay) -> list[Finding]:
    """What secrets the files of an overlay hold, and where they belong.

    overlay: named by its path in the store.
    """
    found = []
    top = os.open(f"{store}/{overlay.name}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for spelling, is_dir in overlay.listing:
            content = b"" if is_dir else _beginning(top, spelling)
            kinds = ", ".join(dict.fromkeys(_kinds(os.path.basename(spelling), content)))
            if kinds:
                found.append(Finding(f"{overlay.name}/{spelling}", _words(spelling, kinds), False))
    finally:
        os.close(top)
    return found


def _beginning(top: int, path: str) -> bytes:
    """The first bytes of a regular file that is not too large to be what is looked for."""
    try:
        if not stat.S_ISREG(os.stat(path, dir_fd=top, follow_symlinks=False).st_mode):
            return b""  # opening a device may move a tape
        descriptor = beneath.open_beneath(top, path, _OPEN)
    except OSError:
        return b""
    try:
        st = os.fstat(descriptor)
        fits = stat.S_ISREG(st.st_mode) and 0 < st.st_size <= _LARGEST
        return os.read(descriptor, _BEGINNING) if fits else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _kinds(name: str, content: bytes) -> Iterator[str]:
    """What secrets a file's beginning holds."""
    if _is_keytab(content):
        yield "a keytab"
    if b"\0" in content[:_BINARY]:
        return
    likely = [shapes for begins, shapes in _BEGINS.items() if begins.search(content)]
    likely.append([_BY_NAME[each] for each in [tags.unspell(name)[0]] if each in _BY_NAME])
    for kind, shape in itertools.chain.from_iterable(likely):
        if _is_real(shape, content):
            yield kind


def _is_real(shape: bytes, content: bytes) -> bool:
    """Whether something of that shape is there, and is no placeholder."""
    return any(
        len(set(found[1])) >= _FEWEST and not _PLACEHOLDER.search(found[1])
        for found in re.finditer(shape, content, re.M)
    )


def _is_keytab(content: bytes) -> bool:
    """Whether it is a keytab of Kerberos with at least one key: a version, and an entry's size."""
    size = int.from_bytes(content[2:6], "big", signed=True)
    return content[:2] in (b"\5\1", b"\5\2") and len(content) > 20 and 10 < size < len(content)


def _words(spelling: str, kinds: str) -> str:
    path, tag = tags.unspell(spelling)
    hosts = [each.value for each in tag.conditions if each.attribute == "host" and not each.negated]
    host = hosts[0].lower() if hosts and hosts[0].replace("-", "").isalnum() else "HOST"
    words = f"holds {kinds}, and is read by all who read the store:"
    return f"{words} it is for private/{host}/{path} (allie store private {host})"
