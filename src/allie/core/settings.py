"""The settings of a PC: allie.conf (INI) as text in, Settings out.

Every key is documented in allie.conf(5), which a test holds against KEYS. A key that is not known
is passed over, so that a newer file does not stop an older client; `overlay lint` names it.
"""

from __future__ import annotations

import configparser
import re
from functools import lru_cache

from allie.core.errors import SettingsError
from allie.core.value import Value

DEFAULT_STALL = 60
KEYS = {
    "allie": ("store", "ring", "host", "stall"),
    "system": ("root", "image", "overlays"),
}
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_STORE = r"(rsync://[^/]+/?|ssh://[^/]+/.*|/.*)"


class Settings(Value):
    """What one system is to follow, and from where."""

    system: str
    stores: tuple[str, ...]
    overlays: tuple[str, ...]
    image: str = ""
    ring: str = ""
    host: str = ""  # "": the hostname
    stall: int = DEFAULT_STALL  # seconds without a byte after which a transfer is given up


@lru_cache(maxsize=8)  # a tick asks for the same few texts again and again
def parse(text: str, system: str) -> Settings:
    """Read allie.conf for the named system.

    Raises SettingsError where the file cannot be read as INI, or names no store, or no overlays
    for this system: a tick guesses nothing.
    """
    ini = _ini(text)
    section = f"system {system}"
    if not ini.has_section(section):
        raise SettingsError(
            f"allie.conf has no section [{section}]",
            "add it, with the overlays that this system follows",
        )
    based = [name for name in ini.sections() if ini.get(name, "root", fallback="").strip() == "/"]
    if based:
        raise SettingsError(
            f"allie.conf: root = / in section [{based[0]}] is true only while that system runs",
            "LABEL=, PARTLABEL= or a directory, as seen from the other systems",
        )
    stores = _words(ini.get("allie", "store", fallback=""))
    overlays = _words(ini.get(section, "overlays", fallback=""))
    if not stores:
        raise SettingsError("allie.conf names no store", "set store in section [allie]")
    if not overlays:
        raise SettingsError(f"allie.conf names no overlays in section [{section}]")
    for store in stores:
        check_store(store)
    for name in overlays:
        check_name(name, "overlay")
    image = ini.get(section, "image", fallback="").strip()
    ring = ini.get("allie", "ring", fallback="").strip()
    return Settings(
        system=system,
        stores=stores,
        overlays=overlays,
        image=check_name(image, "image") if image else "",
        ring=check_name(ring, "ring") if ring else "",
        host=ini.get("allie", "host", fallback="").strip(),
        stall=_seconds(ini.get("allie", "stall", fallback="")),
    )


def render(settings: Settings) -> str:
    """The allie.conf that `join` writes: everything spelled out, nothing to guess."""
    lines = ["[allie]", f"store = {', '.join(settings.stores)}"]
    lines += [f"{key} = {value}" for key, value in _chosen(settings)]
    lines += ["", f"[system {settings.system}]"]
    if settings.image:
        lines.append(f"image = {settings.image}")
    lines.append(f"overlays = {', '.join(settings.overlays)}")
    return "\n".join(lines) + "\n"


def unknown_keys(text: str) -> list[str]:
    """The sections and keys that no version of ALLiE knows: most likely a slip of the pen."""
    ini = _ini(text)
    unknown = []
    for section in ini.sections():
        kind, _, name = section.partition(" ")
        if kind not in KEYS or (kind == "system") != bool(name):
            unknown.append(f"[{section}]")
            continue
        unknown += [f"[{section}] {key}" for key in ini[section] if key not in KEYS[kind]]
    return unknown


def check_name(name: str, kind: str) -> str:
    """Return the name of a thing of this kind if it is one; raise SettingsError if not."""
    if not re.fullmatch(_NAME, name):
        raise SettingsError(
            f"{kind} {name!r}: that is not a name",
            "letters, digits, dot, dash and underscore; no slash",
        )
    return name


def check_store(store: str) -> str:
    """Return a store's address if it is one; raise SettingsError if not."""
    if not re.fullmatch(_STORE, store):
        raise SettingsError(
            f"{store!r} is not the address of a store",
            "rsync://host[:port]/, ssh://user@host/path, or /path",
        )
    return store


def _chosen(settings: Settings) -> list[tuple[str, str]]:
    chosen = [("ring", settings.ring), ("host", settings.host)]
    if settings.stall != DEFAULT_STALL:
        chosen.append(("stall", str(settings.stall)))
    return [(key, value) for key, value in chosen if value]


def _ini(text: str) -> configparser.ConfigParser:
    ini = configparser.ConfigParser(
        interpolation=None, inline_comment_prefixes=(";",), default_section="\0none"
    )
    try:
        ini.read_string(text, "allie.conf")
    except configparser.Error as error:
        raise SettingsError(" ".join(str(error).split())) from error
    return ini


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def _seconds(text: str) -> int:
    if not text.strip():
        return DEFAULT_STALL
    if not re.fullmatch("[0-9]{1,9}", text.strip()) or int(text) < 1:
        raise SettingsError(f"allie.conf: stall = {text!r} is not a number of seconds")
    return int(text)
