"""Rewrite configuration files so that they no longer name one machine's disks, cards or host.

Pure: text in, text out; None means that the file says nothing else, and is to go. Each leaves a
text alone that it has been over. Read by `core.bland`, which says which file gets which.
"""

from __future__ import annotations

import re

from allie.core.value import TYPE_CHECKING, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    Rewrite = Callable[[str, "Own"], "str | None"]

_MAC = r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}"
_ANYWHERE = re.compile(r"/dev/(disk/by-(label|partlabel)/|sr\d|fd\d|cdrom|loop|zram|root\b)")
_LONGEST = 12  # of a label: xfs takes no more (ext4: 16, btrfs: 255)
_FIELDS = re.compile(r"(\s*)([^\s#]\S*)(\s+)(\S+)(\s+)(\S+)(.*)", re.DOTALL)
_CARDS = ("ethernet", "802-3-ethernet", "wifi", "802-11-wireless")


class Own(Value):
    """What rewriting needs to know: the image's name, which its root's label will be."""

    image: str
    host: str = ""  # the golden machine's name

    @property
    def label(self) -> str:
        """Of its root: as much of the name as any file system takes.

        >>> Own("debian12-teaching").label
        'debian12-tea'
        """
        return self.image[:_LONGEST]


def fstab(text: str, own: Own) -> str:
    """File systems by label: the root's is the image's name, others' are made of their place.

    >>> fstab("UUID=1-2 /boot/efi vfat umask=77 0 1\\n", Own("el9"))
    'LABEL=EFI /boot/efi vfat umask=77 0 1\\n'
    """
    lines = text.splitlines(keepends=True)
    labels: dict[str, str] = {}  # a btrfs stands in several lines; its label is the root's then
    taken: set[str] = set()
    for found in filter(None, map(_FIELDS.fullmatch, lines)):
        if found.group(4) == "/":
            labels[found.group(2)] = own.label
            taken.add(own.label)

    def by_label(line: str) -> str:
        found = _FIELDS.fullmatch(line)
        if not found or not _is_bound(found.group(2)):
            return line
        before, source, gap, place = found.group(1, 2, 3, 4)
        kind = found.group(6)
        label = labels.get(source) or _label(place, kind, own)
        if source not in labels and label in taken:
            label = f"{label[: _LONGEST - 2]}{len(labels) + 1}"
        labels[source] = label
        taken.add(label)
        return f"{before}LABEL={label}{gap}{line[found.end(3) :]}"

    return "".join(map(by_label, lines))


def crypttab(text: str, _own: Own) -> str:
    """Encrypted disks by label, which is the name they are opened under."""

    def by_label(line: str) -> str:
        found = re.fullmatch(r"(\s*([^\s#]\S*)\s+)(\S+)(.*)", line, re.DOTALL)
        if not found or not _is_bound(found.group(3)):
            return line
        return f"{found.group(1)}LABEL={found.group(2)}{found.group(4)}"

    return "".join(map(by_label, text.splitlines(keepends=True)))


def kernel_words(text: str, own: Own) -> str:
    """The kernel's command line, wherever it stands: root and swap by label, no other disks."""
    bound = r"(?:(?:PART)?UUID=[\w-]+|/dev/(?!disk/by-label/)[^\s\"']+)"
    text = re.sub(rf"\broot={bound}", f"root=LABEL={own.label}", text)
    text = re.sub(rf"\b(resume|RESUME)=\"?{bound}\"?", r"\1=LABEL=swap", text)
    return re.sub(
        r" ?\b(rd\.(luks\.uuid|md\.uuid|lvm\.[lv]v|lvm\.vg)|resume_offset)=[^\s\"']+", "", text
    )


def without(pattern: str) -> Rewrite:
    """A rewrite that drops the lines that a pattern matches."""
    line = re.compile(pattern)

    def drop(text: str, _own: Own) -> str:
        return "".join(each for each in text.splitlines(keepends=True) if not line.match(each))

    return drop


def gone_if(pattern: str) -> Rewrite:
    """A rewrite that lets a file go that has such a line."""
    line = re.compile(pattern, re.MULTILINE)

    def gone(text: str, _own: Own) -> str | None:
        return None if line.search(text) else text

    return gone


def networkd(text: str, _own: Own) -> str:
    """systemd-networkd: what was for one card is for every wired one."""
    lines = []
    section = ""
    for line in text.splitlines(keepends=True):
        section = line.strip() if line.startswith("[") else section
        if section == "[Match]" and re.match(r"(Permanent)?MACAddress\s*=", line):
            line = "Type=ether\n"
            if line in lines:
                continue
        lines.append(line)
    return "".join(lines)


def netplan(text: str, _own: Own) -> str:
    """netplan: a match by address becomes one by name; so set-name can hold no longer.

    YAML is read by its indentation alone, as people and installers write it.
    """
    # Patterns that never try again: an image may have any text there, a megabyte of it
    inline = re.compile(r"(match:\s*\{)([^{}]*)\}")
    in_braces = any("macaddress:" in each[2] for each in inline.finditer(text))
    if not in_braces and not re.search(r"^[ \t]*macaddress:", text, re.MULTILINE):
        return text
    text = inline.sub(_by_name, text)
    lines: list[str] = []
    match_depth = -1
    for line in text.splitlines(keepends=True):
        depth = len(line) - len(line.lstrip())
        if line.strip():
            match_depth = match_depth if depth > match_depth else -1
        if re.match(r"\s*match:\s*$", line):
            match_depth = depth
        elif re.match(r"\s*macaddress:", line):
            if match_depth < 0:
                continue  # an address that the card was to take
            line = f'{" " * depth}name: "e*"\n'
        elif re.match(r"\s*set-name:", line):
            continue
        lines.append(line)
    return "".join(lines)


def _by_name(match: re.Match[str]) -> str:
    """A match in braces, by a name where it was by an address."""
    return f'{match[1]}name: "e*"}}' if "macaddress:" in match[2] else match[0]


def connection(text: str, _own: Own) -> str:
    """A NetworkManager keyfile: for any card of its kind, under an identity of its own."""
    kind = re.search(r"^type\s*=\s*(\S+)", text, re.MULTILINE)
    keys = "uuid|timestamp|mac-address|seen-bssids"
    if kind and kind.group(1) in _CARDS:
        keys += "|interface-name"
    text = without(rf"({keys})\s*=")(text, _own) or ""
    return without(rf"cloned-mac-address\s*=\s*{_MAC}")(text, _own) or ""


def hosts(text: str, own: Own) -> str:
    """/etc/hosts without the golden machine."""
    lines = []
    for line in text.splitlines(keepends=True):
        words = line.partition("#")[0].split()
        names = [name for name in words[1:] if not _is_host(name, own.host)]
        if words[:1] == ["127.0.1.1"] or (len(words) > 1 and not names):
            continue
        if len(names) < len(words[1:]):
            line = f"{words[0]}\t{' '.join(names)}\n"
        lines.append(line)
    return "".join(lines)


def adjtime(text: str, _own: Own) -> str:
    """The clock's own drift is forgotten; whether it shows UTC is not."""
    lines = text.splitlines()
    return "\n".join(["0.0 0 0.0", "0", *lines[2:3]]) + "\n" if len(lines) > 1 else text


def iscsi(text: str, _own: Own) -> str | None:
    """The initiator's name: Debian makes one where it is told to, others where there is no file."""
    if "GenerateName=yes" in text:
        return text
    return "GenerateName=yes\n" if "DO NOT EDIT OR REMOVE" in text else None


def allie_conf(text: str, _own: Own) -> str:
    """allie.conf without the host that it was made for."""
    lines = []
    section = ""
    for line in text.splitlines(keepends=True):
        section = line.strip() if line.startswith("[") else section
        if section != "[allie]" or not re.match(r"host\s*=", line):
            lines.append(line)
    return "".join(lines)


def _is_bound(source: str) -> bool:
    """Whether the first word of a line of fstab names this very disk."""
    if re.match(r"\"?(PART)?UUID=|ID=", source):
        return True
    return source.startswith("/dev/") and not _ANYWHERE.match(source)


def _label(place: str, kind: str, own: Own) -> str:
    if kind == "swap":
        return "swap"
    if place == "/":
        return own.label
    if place in ("/boot/efi", "/efi", "/boot/EFI"):
        return "EFI"
    return place.rstrip("/").rpartition("/")[2][:_LONGEST] or "data"


def _is_host(name: str, host: str) -> bool:
    short = host.partition(".")[0]
    return bool(short) and short != "localhost" and name.partition(".")[0] == short
