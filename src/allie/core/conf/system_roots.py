"""Where the systems of a PC are: from the text of allie.conf.

Of it this reads the one key `root`, without configparser, which would take as long as all the
rest of `allie enter`; core.conf.settings reads the whole, and a test holds the two together.
"""

from __future__ import annotations

BOOT_LABEL = "allie-boot"  # of the file system that ALLiE boots a PC from
NOTE = ".allie-fetching"  # at the top of a tree: it is not complete yet
_FOLDERS = {"LABEL": "by-label", "PARTLABEL": "by-partlabel"}
_PLAIN = "#+-.:=@_"  # beside letters and digits udev leaves these in a link's name


def roots(text: str) -> dict[str, str]:
    """The systems that allie.conf names, each with its root; "" where it has none."""
    found: dict[str, str] = {}
    system = None
    for line in text.splitlines():
        words = line.strip()
        if words.startswith("[") and "]" in words:
            kind, _, name = words[1 : words.rindex("]")].partition(" ")
            system = name.strip() if kind == "system" else None
            if system is not None:
                found.setdefault(system, "")
            continue
        ends = [place for place in (words.find("="), words.find(":")) if place > 0]
        if system is None or not ends or line[:1] in (" ", "\t", "#", ";"):
            continue
        if words[: min(ends)].strip().lower() == "root":
            value = words[min(ends) + 1 :].strip()
            found[system] = "" if value.startswith(";") else value.partition(" ;")[0].strip()
    return found


def device(where: str) -> str:
    """The link below /dev/disk of LABEL=… or PARTLABEL=…, named as udev names it."""
    kind, _, label = where.partition("=")
    if kind not in _FOLDERS or not label:
        return f"/dev/disk/{where}"  # there is no such thing
    return f"/dev/disk/{_FOLDERS[kind]}/" + "".join(
        each
        if each.isalnum() or each in _PLAIN or not each.isascii()
        else "".join(f"\\x{byte:02x}" for byte in each.encode(errors="surrogateescape"))
        for each in label
    )
