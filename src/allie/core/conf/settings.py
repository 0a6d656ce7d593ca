"""The settings of a PC: allie.conf (INI) as text in, Settings out.

Every key is documented in allie.conf(5), which a test holds against KEYS. A key that is not known
is passed over, so that a newer file does not stop an older client; `overlay lint` names it.
"""

from __future__ import annotations

from allie.core import globs
from allie.core.conf import ini
from allie.core.conf.addresses import check_door, check_store, is_door, is_no_path
from allie.core.errors import SettingsError
from allie.core.lean import kept, re
from allie.core.stubs import KIT
from allie.core.value import Value

DEFAULT_STALL = 60
# Key exchange at a store's ssh door. ssh's own first choice costs five times the CPU, at every tick
DEFAULT_KEX = "curve25519-sha256"
PRIVATE = "private"  # the overlay of this host alone, which its own door brings; laid last
KEYS = {  # by kind of section; `_values` reads them in this order
    "allie": ("store", "own", "key", "kex", "ring", "host", "stall", "bandwidth", "trusted"),
    "system": ("root", "image", "overlays"),
}
_BANDWIDTH = r"[1-9][0-9]{0,8}(\.[0-9]{1,9})?[KMGkmg]?"
_LABELLED = ("LABEL", "PARTLABEL")
_KEX = r"[A-Za-z0-9+^-][A-Za-z0-9@.,+-]{0,999}"  # one or several, as ssh's KexAlgorithms has them
_LONGEST_NAME, _LONGEST_HOST = 128, 255  # of a host: what DNS and the kernel take, and some more


class Declared(Value):
    """A system that this PC is to have: where it lives as seen from the others, what it follows."""

    name: str
    root: str = ""  # LABEL=, PARTLABEL= or a directory; "": it is only ever the base
    image: str = ""
    overlays: tuple[str, ...] = ()

    @property
    def is_partition(self) -> bool:
        """Whether it lives on a file system of its own, to be found by a label."""
        return "LABEL=" in self.root

    @property
    def is_looked_after(self) -> bool:
        """Whether ALLiE fetches and ticks it; one with a root alone is only ever entered."""
        return bool(self.image or self.overlays)


class Settings(Value):
    """What one system is to follow, and from where."""

    system: str
    stores: tuple[str, ...]
    overlays: tuple[str, ...]
    image: str = ""
    ring: str = ""
    host: str = ""  # "": the hostname
    stall: int = DEFAULT_STALL  # seconds without a byte after which a transfer is given up
    root: str = ""  # where this system lives as seen from the others
    bandwidth: str = ""  # what the fetch of a system may take, as rsync's --bwlimit has it
    others: tuple[Declared, ...] = ()  # the other systems of this PC
    trusted: tuple[str, ...] = ()  # directories below which users' links are followed as root's are
    own: str = ""  # the ssh door that has what is this host's own, where no store is one
    key: str = ""  # the private key that says there which host this is; "": sshd's own
    kex: str = DEFAULT_KEX

    @property
    def fetch_key(self) -> tuple[object, ...]:
        """What a fetch depends on: whether it succeeds, and what it brings."""
        return (self.stores, self.overlays, self.ring, self.stall, *self.own_key)

    @property
    def own_key(self) -> tuple[str, ...]:
        """What the fetch of what is this host's own depends on."""
        return (self.door, self.own, self.key, self.kex)

    @property
    def door(self) -> str:
        """The ssh door that knows this host by its key; "" where no address is one."""
        return self.own or next(filter(is_door, self.stores), "")


@kept(maxsize=8)  # a tick asks for the same few texts again and again
def parse(text: str, system: str) -> Settings:
    """Read allie.conf for the named system.

    Raises SettingsError where the file cannot be read as INI, or names no store, or no overlays
    for this system: a tick guesses nothing. The overlay `kit` is followed whether it is named or
    not (then it is laid first), since a PC without a client would never tick again.
    """
    said = ini.sections(text)
    systems = _declared(said)
    own = next((each for each in systems if each.name == system), None)
    if own is None:
        hint = "add it, with the overlays that this system follows"
        raise SettingsError(f"allie.conf has no section [system {system}]", hint)
    store, door, key, kex, ring, host, stall, bandwidth, trusted = _values(said, "allie")
    stores = _words(store)
    if not stores:
        raise SettingsError("allie.conf names no store", "set store in section [allie]")
    if not own.overlays:
        raise SettingsError(f"allie.conf names no overlays in section [system {system}]")
    return Settings(
        system=system,
        stores=tuple(map(check_store, stores)),
        overlays=own.overlays if KIT in own.overlays else (KIT, *own.overlays),
        image=own.image,
        ring=ring and check_name(ring, "ring"),
        host=host and check_host(host),
        stall=_seconds(stall),
        root=own.root,
        bandwidth=_bandwidth(bandwidth),
        others=tuple(each for each in systems if each is not own),
        trusted=tuple(map(_directory, _words(trusted))),
        own=door and check_door(door),
        key=key and _key(key),
        kex=_kex(kex),
    )


def declared(text: str) -> list[Declared]:
    """Every system that an allie.conf declares, whichever of them reads it."""
    return _declared(ini.sections(text))


def unknown_keys(text: str) -> list[str]:
    """The sections and keys that no version of ALLiE knows: most likely a slip of the pen."""
    said = ini.sections(text)
    unknown = []
    for section in said:
        kind, _, name = section.partition(" ")
        if kind not in KEYS or (kind == "system") != bool(name):
            unknown.append(f"[{section}]")
            continue
        unknown += [f"[{section}] {key}" for key in said[section] if key not in KEYS[kind]]
    return unknown


def flaws(text: str) -> list[str]:
    """Why systems that an allie.conf declares would refuse it; nothing if each can use it."""
    try:
        systems = _declared(ini.sections(text))
    except SettingsError as error:
        return [str(error)]
    found = {}
    names = [each.name for each in systems if each.is_looked_after or not each.root]
    for name in names:
        try:
            parse(text, name)
        except SettingsError as error:
            found[str(error)] = True
    return [*found] if names else ["allie.conf declares no system that follows overlays"]


def check_name(name: str, kind: str) -> str:
    """Return the name of a thing of this kind if it is one; raise SettingsError if not."""
    if not is_name(name):
        hint = "letters, digits, dot, dash and underscore, at most 128; no slash"
        raise SettingsError(f"{kind} {name!r}: that is not a name", hint)
    return name


def is_name(name: str) -> bool:
    """Whether it can be the name of a system, an image, an overlay or a ring."""
    return globs.is_word(name) and len(name) <= _LONGEST_NAME


def check_host(host: str) -> str:
    """Return a host's name, short or full, if it is one; raise SettingsError if not."""
    plain = host.isprintable() and host.split() == [host] and "/" not in host
    if not plain or host.startswith(".") or len(host) > _LONGEST_HOST:
        hint = "letters, digits, dots and dashes, at most 255"
        raise SettingsError(f"host {host!r}: that is not the name of a host", hint)
    return host


def check_root(root: str, system: str) -> str:
    """Return where a system lives if that can be; raise SettingsError if not."""
    where = f"in section [system {system}]"
    if root == "/":
        hint = "LABEL=, PARTLABEL= or a directory, as seen from the other systems"
        raise SettingsError(f"allie.conf: root = / {where} is true only while it runs", hint)
    kind, _, label = root.partition("=")
    labelled = kind in _LABELLED and is_name(label)
    if is_no_path(root) or not (_is_plain(root) or labelled):
        hint = "LABEL=, PARTLABEL= or a directory, absolute and without dots"
        raise SettingsError(f"allie.conf: root = {root!r} {where}", hint)
    return root


def _is_plain(path: str) -> bool:
    """Whether a path is absolute, without dots and empty names; `/` is not."""
    return path.startswith("/") and not {"", ".", ".."} & set(path[1:].split("/"))


def _declared(said: ini.Sections) -> list[Declared]:
    """Every [system NAME], in the file's order."""
    found = []
    for title in said:
        kind, _, name = title.partition(" ")
        if kind != "system" or not name.strip():
            continue
        name = check_name(name.strip(), "system")
        root, image, names = _values(said, title)
        overlays = tuple(check_name(each, "overlay") for each in _words(names))
        if PRIVATE in overlays:
            words = f"[system {name}]: no overlay of a list can be called {PRIVATE}"
            raise SettingsError(words, "so is called what the store has for one host alone")
        root = root and check_root(root, name)
        found.append(Declared(name, root, image and check_name(image, "image"), overlays))
    return found


def _values(said: ini.Sections, section: str) -> list[str]:
    """What a section says for each of the KEYS of its kind; "" for one that it has not."""
    keys = KEYS[section.partition(" ")[0]]
    return [said.get(section, {}).get(key, "").strip() for key in keys]


def is_bandwidth(text: str) -> bool:
    """Whether rsync's --bwlimit takes it, with no more than a unit.

    >>> [is_bandwidth(text) for text in ("500", "2.5M", "fast", "0")]
    [True, True, False, False]
    """
    return bool(re.fullmatch(_BANDWIDTH, text))


def _bandwidth(text: str) -> str:
    if text and not is_bandwidth(text):
        words = f"allie.conf: bandwidth = {text!r} is not one"
        raise SettingsError(words, "KiB a second, or 2M, as for rsync")
    return text


def _directory(path: str) -> str:
    if not _is_plain(path.rstrip("/")):
        words = f"allie.conf: trusted = {path!r} is no directory that can be trusted"
        raise SettingsError(words, "absolute paths without dots, and never /")
    return path.rstrip("/")


def _key(path: str) -> str:
    if not _is_plain(path) or is_no_path(path):
        raise SettingsError(f"allie.conf: key = {path!r} is no file", "an absolute path, no dots")
    return path


def _kex(text: str) -> str:
    if text and not re.fullmatch(_KEX, text):
        words = f"allie.conf: kex = {text!r} is not a list of key exchanges"
        raise SettingsError(words, "as ssh_config(5) has KexAlgorithms; `ssh -Q kex` lists them")
    return text or DEFAULT_KEX


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def _seconds(text: str) -> int:
    if not text:
        return DEFAULT_STALL
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < 1:
        raise SettingsError(f"allie.conf: stall = {text!r} is not a number of seconds")
    return int(text)
