"""Rewrite configuration files so that they no longer name one machine's disks, cards or host.

Pure: text in, text out; None means that the file is to go, as it says nothing else. To rewrite a
text a second time changes nothing. `core.image.machine_own` says which file gets which.
"""

from __future__ import annotations

import re

from allie.core import digest
from allie.core.value import TYPE_CHECKING, Value

if TYPE_CHECKING:
    from _collections_abc import Callable, Iterator

    Rewrite = Callable[[str, "Own"], "str | None"]

_MAC = r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}"
_UUID = r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b"
_NEW = "a111e000"  # how the uuids that we make begin: by that they are known, and left alone
_ANYWHERE = re.compile(r"/dev/(disk/by-(label|partlabel)/|sr\d|fd\d|cdrom|loop|zram|root\b)")
_LONGEST = 12  # of a label: xfs takes no more (ext4: 16, btrfs: 255)
_FIELDS = re.compile(r"(\s*)([^\s#]\S*)(\s+)(\S+)(\s+)(\S+)(.*)", re.DOTALL)
# Of interfaces(5): a line that gives a card an address, whoever sets it
ADDRESSED = rf"(hwaddress\s|bridge[-_]hw\s+{_MAC}|(pre-|post-)?up\s.*\b(addr(ess)?|ether)\s+{_MAC})"
_BOUND_WORDS = (
    r"(rd\.)?luks\.(uuid|name|partuuid|serial)|rd\.md\.uuid|rd\.lvm\.[lv]v|rd\.lvm\.vg|resume_offset"
    r"|systemd\.machine_id|ifname|BOOTIF"
)
_CARDS = ("ethernet", "802-3-ethernet", "wifi", "802-11-wireless")
_NETPLAN_KEYS = r"[\"']?(?:macaddress|set-name|[\w.-]*cloned-mac-address)[\"']?:"
_NETPLAN_BOUND = re.compile(
    r"(?:^|[{,])[ \t]*[\"']?(?:macaddress|[\w.-]*cloned-mac-address)[\"']?:", re.MULTILINE
)
_CARD_NAMES = {"ethernets": "e*", "wifis": "wl*", "modems": "ww*"}


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
    """Name file systems by label: the root's is the image's name, others' are of their mount point.

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
    """Name encrypted disks by label: by the name that they are opened under."""

    def by_label(line: str) -> str:
        found = re.fullmatch(r"(\s*([^\s#]\S*)\s+)(\S+)(.*)", line, re.DOTALL)
        if not found or not _is_bound(found.group(3)):
            return line
        return f"{found.group(1)}LABEL={found.group(2)}{found.group(4)}"

    return "".join(map(by_label, text.splitlines(keepends=True)))


def kernel_words(text: str, own: Own) -> str:
    """The kernel's command line, wherever it stands: root and swap by label, no other disk or card.

    >>> kernel_words("cryptdevice=UUID=1-2:root root=/dev/mapper/root", Own("arch"))
    'cryptdevice=LABEL=root:root root=LABEL=arch'
    """
    bound = r"(?:(?:PART)?UUID=[\w-]+|/dev/(?!disk/by-(?:part)?label/|nfs\b|ram\d)[^\s\"'\\:]+)"
    quoted = rf"(\\?[\"']?){bound}"
    text = re.sub(rf"\b((?:real_)?root=){quoted}\2", rf"\1LABEL={own.label}", text)
    text = re.sub(rf"\b(resume|RESUME)=\"?{bound}\"?", r"\1=LABEL=swap", text)
    text = re.sub(rf"\bcryptdevice={bound}:([\w-]+)", r"cryptdevice=LABEL=\1:\1", text)
    return re.sub(rf" ?\b({_BOUND_WORDS})=[^\s\"'\\]+", "", text)


def without(pattern: str, *, indented: bool = False) -> Rewrite:
    """A rewrite that drops the lines that a pattern matches, from the first word on (`_lines`)."""
    drops = re.compile(rf"\s*(?:{pattern})", re.DOTALL).match
    return lambda text, _own: "".join(
        each for each in _lines(text, indented=indented) if not drops(each)
    )


def _lines(text: str, *, indented: bool = False) -> list[str]:
    """The lines of a text; one that ends with a backslash is one with the next, but no comment.

    indented: one that begins with a blank is one with those before, as mdadm and postfix read it.
    """
    found: list[list[str]] = []
    goes_on = False
    for line in text.splitlines(keepends=True):
        if not (found and (goes_on or (indented and line[0] in " \t" and line.strip()))):
            found.append([])
        found[-1].append(line)
        if not line.lstrip().startswith(("#", ";")):
            goes_on = line.rstrip("\r\n").endswith("\\")
    return ["".join(each) for each in found]


def gone_if(pattern: str) -> Rewrite:
    """A rewrite that lets a file go that has a line that begins like this."""
    found = re.compile(rf"^[ \t]*(?:{pattern})", re.MULTILINE).search
    return lambda text, _own: None if found(text) else text


def networkd(text: str, _own: Own) -> str:
    """systemd-networkd: what was for one card is for every wired one; no card takes its address.

    Nor its name or number for a DHCP server. Addresses in other sections are those of other
    machines, and stay.
    """
    bound, told = r"\s*(Permanent)?MACAddress\s*=", r"\s*(Type|Name|SSID|WLANInterfaceType)\s*="
    is_told = any(at == "[Match]" and re.match(told, line) for at, line in _sections(text))
    lines = []
    for section, line in _sections(text):
        if section.startswith("[DHCP") and re.match(r"\s*(DUIDRawData|IAID|Hostname)\s*=", line):
            continue
        if section in ("[Match]", "[Link]") and re.match(bound, line):
            if section == "[Link]" or is_told:
                continue
            line, is_told = "Type=ether\n", True
        lines.append(line)
    return "".join(lines)


def netdev(text: str, _own: Own) -> str:
    """A virtual device of systemd-networkd, as a bridge: with an address made on each PC."""
    own, bound = ("[NetDev]", "[Peer]", "[Bond]"), r"\s*(MACAddress|AdActorSystem)\s*="
    return "".join(
        line for at, line in _sections(text) if at not in own or not re.match(bound, line)
    )


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Each line of an ini file, with the heading above it."""
    section = ""
    for line in _lines(text):
        section = line.strip() if line.lstrip().startswith("[") else section
        yield section, line


def netplan(text: str, _own: Own) -> str:
    """netplan: a match by address becomes one by name; so set-name can hold no longer.

    YAML is read by its indentation and its braces, as people and installers write it; which cards
    the names are for, by the heading above. NetworkManager's connections may stand there, too.
    """
    text = _with_new_uuids(text)
    if not _NETPLAN_BOUND.search(text):
        return text
    pieces = re.split(r"\b(ethernets|wifis|modems)(?=\s*:)", text)
    named = [_CARD_NAMES["ethernets"], *(_CARD_NAMES[each] for each in pieces[1::2])]
    rewritten = [_by_names(piece, name) for piece, name in zip(pieces[::2], named)]
    return "".join(heading + piece for heading, piece in zip(["", *pieces[1::2]], rewritten))


def _by_names(text: str, name: str) -> str:
    """One section of netplan's, its matches by this name."""

    def by_name(match: re.Match[str]) -> str:
        return f'{match[1]}name: "{name}"}}' if "macaddress" in match[2] else match[0]

    # Patterns that never try again: an image may have any text there, a megabyte of it
    text = re.sub(r"(match[\"']?:\s*\{)([^{}]*)\}", by_name, text)
    text = re.sub(rf"(?<=[{{,])\s*{_NETPLAN_KEYS}[^,{{}}]*,?", "", text)
    lines: list[str] = []
    match_depth = -1
    gone: int | None = None  # how deep a key stood whose value may stand below it
    for line in text.splitlines(keepends=True):
        depth = len(line) - len(line.lstrip())
        if gone is not None and line.strip():
            if depth > gone:
                continue
            gone = None
        if line.strip():
            match_depth = match_depth if depth > match_depth else -1
        if re.match(r"\s*[\"']?match[\"']?:\s*(#.*)?$", line):
            match_depth = depth
        elif re.match(rf"\s*{_NETPLAN_KEYS}", line):
            gone = depth
            if match_depth < 0 or "macaddress" not in line:
                continue  # an address that the card was to take, or its name by that
            line = f'{" " * depth}name: "{name}"\n'
        lines.append(line)
    return "".join(lines)


def connection(text: str, own: Own) -> str:
    """A NetworkManager keyfile: for any card of its kind, under a uuid not the machine's."""
    kind = re.search(r"^type\s*=\s*(\S+)", text, re.MULTILINE)
    keys = "timestamp|mac-address|seen-bssids|dhcp-hostname|dhcp-fqdn"
    if kind and kind.group(1) in _CARDS:
        keys += "|interface-name"
    text = without(rf"({keys})\s*=")(text, own) or ""
    text = without(rf"cloned-mac-address\s*=\s*{_MAC}")(text, own) or ""
    text = without(r"dhcp-(client-id|duid)\s*=\s*[0-9A-Fa-f]{2}:")(text, own) or ""
    return _with_new_uuids(text, r"uuid|master|controller|parent|secondaries")


def ifcfg(text: str, own: Own) -> str:
    """A connection of ifcfg(5): the same, as Red Hat's and SUSE's have it."""
    keys = "HWADDR|MACADDR|LLADDR|BRIDGE_MACADDR|DHCP_HOSTNAME"
    return _with_new_uuids(without(rf"({keys})\s*=")(text, own) or "", r"(\w+_)?UUIDS?|PHYSDEV")


def _with_new_uuids(text: str, keys: str = "") -> str:
    """Give connections other uuids, each made of the one that it had.

    So what names another connection by it (a bond's port, a VLAN, a VPN) goes on naming that one.
    keys: those of the lines that may name one; all lines do where there are none.
    """

    def new(found: re.Match[str]) -> str:
        mark = digest.of(found[0].lower().encode())
        made = f"{_NEW}-{mark[:4]}-8{mark[4:7]}-8{mark[7:10]}-{mark[10:22]}"
        return found[0] if found[0].startswith(_NEW) else made

    line = re.compile(rf"\s*({keys})\s*=" if keys else "")
    return "".join(
        re.sub(_UUID, new, each) if line.match(each) else each
        for each in text.splitlines(keepends=True)
    )


def hosts(text: str, own: Own) -> str:
    """/etc/hosts without the golden machine; another one may have its short name elsewhere."""
    rows = [line.partition("#")[0].lower().split() for line in text.splitlines(keepends=True)]
    ours = _names_of(rows, own.host.lower())
    lines = []
    for line, row in zip(text.splitlines(keepends=True), rows):
        words = line.partition("#")[0].split()
        names = [name for name in words[1:] if name.lower() not in ours]
        if row[:1] == ["127.0.1.1"] or (len(words) > 1 and not names):
            continue
        if len(names) < len(words[1:]):
            line = f"{words[0]}\t{' '.join(names)}\n"
        lines.append(line)
    return "".join(lines)


def _names_of(rows: list[list[str]], host: str) -> set[str]:
    """The names of a host: its own, its short one, and those beside one of these with a domain."""
    short = host.partition(".")[0]
    if short in ("", "localhost"):
        return set()
    known = {host, short}
    beside = {name for row in rows if known & set(row[1:]) for name in row[1:]}
    return known | {name for name in beside if name.partition(".")[0] == short}


def adjtime(text: str, _own: Own) -> str:
    """Forget the clock's drift, and keep whether it shows UTC."""
    lines = text.splitlines()
    return "\n".join(["0.0 0 0.0", "0", *lines[2:3]]) + "\n" if len(lines) > 1 else text


def iscsi(text: str, _own: Own) -> str | None:
    """The initiator's name: Debian makes one where it is told to, others where there is no file."""
    if "GenerateName=yes" in text:
        return text
    return "GenerateName=yes\n" if "DO NOT EDIT OR REMOVE" in text else None


def allie_conf(text: str, _own: Own) -> str:
    """allie.conf without the host that it was made for."""
    return "".join(
        line for at, line in _sections(text) if at != "[allie]" or not re.match(r"host\s*=", line)
    )


def _is_bound(source: str) -> bool:
    """Whether the first word of a line of fstab names a disk of this machine alone."""
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
