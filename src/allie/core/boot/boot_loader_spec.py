"""The boot menu as systemd-boot reads it: the values of core.boot.menu, rendered another way.

systemd-boot runs no script, so what GRUB counts in grubenv, names of files count here (Boot Loader
Specification, type 1; Automatic Boot Assessment), all below loader/ on one FAT file system:

    loader.conf                        which generation is the menu: `default allie-7-*`
    entries/allie-7-01-deb+2.conf      the default, with two boots left in which to come up
    entries/allie-7-00-el7.conf        the next best: where no entry has a sort key, the greatest
                                       name comes first, in every version

systemd-boot counts by renaming (+2, +1-1, +0-2), and passes over what has no boots left. A new menu
is a new generation beside the present one, and loader.conf replaced: it holds the variables, too,
as comments. Nothing here touches a file.
"""

from __future__ import annotations

import re

from allie.core.boot import menu
from allie.core.boot.menu import MenuEntry
from allie.core.value import Value

ONCE, ALWAYS = "LoaderEntryOneShot", "LoaderEntryDefault"  # variables of the firmware
OURS = "allie-"  # begins the name of each entry of ours
_TRIES = 2
_ID = r"(allie-[0-9]{1,18}-[0-9]+-[a-z0-9._-]+?)(\+([0-9]+)(?:-([0-9]+))?)?\.conf"
_CONF = """\
# Made by ALLiE, which writes it anew: what you change here is lost.
{variables}timeout 3
default allie-{number}-*
"""
_ENTRY = """\
title {title}
version {release}
linux {kernel}
initrd {initrd}
options {options}
"""
# A boot that is counted is confirmed by our tick, and not by systemd's idea of "up"
_UNBLESSED = "systemd.mask=systemd-bless-boot.service"


class LoaderMenu(Value):
    """The menu as it stands on a boot partition."""

    number: int  # of the generation; 0: there is none yet
    entries: tuple[MenuEntry, ...]  # in the order of the menu
    env: dict[str, str]  # the variables, as GRUB and we have them in grubenv
    names: dict[str, str]  # of every entry that is there, also of older generations: id by file


def conf(env: dict[str, str], number: int) -> str:
    """loader.conf. What stands in names and in the firmware's variables is not repeated in it."""
    kept = {name: value for name, value in env.items() if name.startswith("allie_")}
    kept.pop("allie_tries", None)
    lines = [f"# {name}={kept[name]}\n" for name in sorted(kept) if kept[name]]
    return _CONF.format(variables="".join(lines), number=number)


def files(entries: list[MenuEntry], env: dict[str, str], number: int) -> dict[str, str]:
    """The entries of a generation, text by file name: the default first, then the last good one."""
    found = {}
    for rank, each in enumerate(reversed(_ordered(entries, env))):
        counter = _counter(each, env)
        words = [each.options, *([_UNBLESSED] if counter else []), menu.MARK + each.id]
        name = f"{OURS}{number}-{rank:02}-{each.system.lower()}{counter}.conf"
        found[name] = _ENTRY.format(**{**each._asdict(), "options": " ".join(words)})
    return found


def standing(conf: str, files: dict[str, str], once: str, always: str) -> LoaderMenu:
    """Read a menu. once, always: what the firmware's variables of these names hold."""
    match = re.search(r"^default allie-([0-9]{1,18})-\*$", conf, re.MULTILINE)
    number = int(match[1]) if match else 0
    env = dict(re.findall(r"^# (allie_[a-z]+)=(.+)$", conf, re.MULTILINE))
    entries = []
    names = {}
    for name in sorted(files, reverse=True):
        entry = parse(files[name])
        if not entry or not re.fullmatch(_ID, name):
            continue
        names[name] = entry.id
        if generation(name) == number:
            entries.append(entry)
            if entry.id == env.get("allie_default"):
                env.update(_tries(name))
    ids = {bare(name): each for name, each in names.items()}
    if bare(always) in ids:  # chosen in systemd-boot's own menu, or by bootctl
        env = menu.choose(env, ids[bare(always)], once=False, pin=True)
    if bare(once) in ids:
        env["next_entry"] = ids[bare(once)]
    return LoaderMenu(number, tuple(entries), env, names)


def parse(text: str) -> MenuEntry | None:
    """An entry of ours, out of its file; None if it is none, or cut short.

    >>> one = MenuEntry("el7", "3.10", "/k", "/i", "root=LABEL=el7 ro", "el7 (3.10)")
    >>> [parse(text) == one for text in files([one], {}, 1).values()]
    [True]
    """
    lines = dict(line.partition(" ")[::2] for line in text.splitlines())
    words = menu.words(lines.get("options", ""))
    system, _, release = menu.booted_by(" ".join(words)).partition("/")
    if not release or not {"title", "linux", "initrd"} <= set(lines):
        return None
    options = [each for each in words if each != _UNBLESSED and not each.startswith(menu.MARK)]
    return MenuEntry(
        system, release, lines["linux"], lines["initrd"], " ".join(options), lines["title"]
    )


def bare(name: str) -> str:
    """What systemd-boot calls an entry: its file's name without the counter; "" if not ours.

    >>> bare("allie-7-01-deb+1-1.conf"), bare("arch.conf")
    ('allie-7-01-deb.conf', '')
    """
    match = re.fullmatch(_ID, name.lower())
    return f"{match[1]}.conf" if match else ""


def generation(name: str) -> int:
    """The generation of an entry, by its file's name; -1 if it is not ours."""
    return int(name.split("-")[1]) if bare(name) else -1


def _ordered(entries: list[MenuEntry], env: dict[str, str]) -> list[MenuEntry]:
    """The default, the last good one, then the others, whichever system runs."""
    first = [env.get("allie_default", ""), env.get("allie_good", "")]
    found = sorted(entries, key=lambda each: menu.newest_first(each.release), reverse=True)
    found.sort(key=lambda each: each.system)
    return sorted(found, key=lambda each: first.index(each.id) if each.id in first else 2)


def _counter(entry: MenuEntry, env: dict[str, str]) -> str:
    """The counter in the name of a default that has not come up yet: how many boots it has left.

    "" for other entries, and where there is no good entry to give way to.
    """
    good = env.get("allie_good", "")
    if entry.id != env.get("allie_default") or good in ("", entry.id):
        return ""
    done = {"": 0, "0": 0, "1": 1}.get(env.get("allie_tries", ""), _TRIES)
    return f"+{_TRIES - done}-{done}" if done else f"+{_TRIES}"


def _tries(name: str) -> dict[str, str]:
    """What a file's name says of the boots that no tick has confirmed, as grubenv has it."""
    match = re.fullmatch(_ID, name)
    if not match or match[3] is None:
        return {}
    done = _TRIES if int(match[3]) == 0 else int(match[4] or 0)
    return {"allie_tries": str(min(done, _TRIES))} if done else {}
