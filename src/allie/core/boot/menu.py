"""The boot menu as a value: its entries, and the variables that say which one is booted next.

core.boot.grub_config renders them for GRUB, core.boot.boot_loader_spec for systemd-boot. The
variables have the names that they have in GRUB's environment block, which GRUB and ALLiE both
write:

    allie_default   the entry that is booted, by its id (system/release)
    allie_pin       the default, where a person chose this very kernel: it outlives newer ones
    next_entry      the entry of the next boot alone; GRUB clears it before it boots
    allie_tries     boots of the default that no tick has confirmed: 1, 2
    allie_good      the entry that a tick confirmed last
    allie_bad       the default that did not come up twice, and gave way to allie_good
"""

from __future__ import annotations

import re

from allie.core.value import Value

MARK = "allie.entry="  # on the kernel's command line: which entry was booted
_WORDS_OF_OURS = ("root=", "initrd=", "BOOT_IMAGE=", MARK)


class MenuEntry(Value):
    """One line of the menu: a kernel of a system."""

    system: str
    release: str
    kernel: str  # its path on the boot partition, from its top: /systems/…
    initrd: str
    options: str  # the kernel's command line
    title: str

    @property
    def id(self) -> str:
        """What the variables call it."""
        return f"{self.system}/{self.release}"


def options(root: str, cmdline: str) -> str:
    """The kernel's command line: the root, and what the system's /etc/kernel/cmdline adds.

    >>> options("LABEL=debian12", "root=/dev/sda1 ro quiet console=ttyS0\\n")
    'root=LABEL=debian12 ro quiet console=ttyS0'
    """
    more = [each for each in words(cmdline) if not each.startswith(_WORDS_OF_OURS)]
    return " ".join([f"root={root}", "ro", *(each for each in more if each not in ("ro", "rw"))])


def words(cmdline: str) -> list[str]:
    """The words of a kernel's command line, as the kernel divides it: what is in "…" is one.

    A quote that nothing ends is ended with its line: it is not to swallow what follows.

    >>> words('quiet  dyndbg="file a.c +p; file  b.c +p')
    ['quiet', 'dyndbg="file a.c +p; file  b.c +p"']
    """
    found = re.findall(r'(?:[^\s"]|"[^"\n]*(?:"|$|(?=\n)))+', cmdline)
    return [each + '"' * (each.count('"') % 2) for each in map(str.strip, found) if each]


def newest_first(release: str) -> list[tuple[int, str]]:
    """A key to sort kernel releases by: numbers as numbers; 6.1~rc1 and 6.1.old come before 6.1.

    >>> sorted(["6.1.0-9", "6.1.0-18.old", "6.1.0-18", "5.10"], key=newest_first, reverse=True)
    ['6.1.0-18', '6.1.0-18.old', '6.1.0-9', '5.10']
    """
    key = []
    for each in re.findall(r"[0-9]+|~|\.old$|(?:(?!\.old$)[^0-9~])+", release):
        rank = -1 if each in ("~", ".old") else 0
        number = each.lstrip("0")
        key.append((len(number) + 1, number) if each[0] in "0123456789" else (rank, each))
    return [*key, (0, "")]


def find(ids: list[str], wanted: str) -> str:
    """The entry that a person means by a system, or by a system and a release; "" if none.

    >>> find(["deb/6.2", "deb/6.1"], "deb"), find(["deb/6.2", "deb/6.1"], "deb/6.1")
    ('deb/6.2', 'deb/6.1')
    """
    return next((each for each in ids if wanted in (each, each.partition("/")[0])), "")


def follow(env: dict[str, str], entries: list[MenuEntry], first: str) -> dict[str, str]:
    """The variables for these entries: none names what is gone; the default moves to a new kernel.

    first: the system to boot where they name none that is there.
    """
    ids = {each.id for each in entries}
    now = dict(env)
    for name in ("next_entry", "allie_good", "allie_bad", "allie_pin"):
        if now.get(name, "") not in ids:
            now.pop(name, None)
    default = now.get("allie_default", "")
    system = default.partition("/")[0] or first
    fit = [each.id for each in entries if each.id != now.get("allie_bad")] or sorted(ids)
    mine = [each for each in fit if each.startswith(f"{system}/")]
    mine = mine or [each for each in fit if each.startswith(f"{first}/")] or fit
    wanted = now.get("allie_pin") or mine[0]
    if wanted != default:
        now["allie_default"] = wanted
        now.pop("allie_tries", None)
    return now


def choose(env: dict[str, str], entry: str, *, once: bool, pin: bool = False) -> dict[str, str]:
    """The variables after a person chose an entry: for good (then no mark is left), or for once.

    pin: this very kernel was meant, and a newer one of its system does not take its place.
    """
    if once:
        return {**env, "next_entry": entry}
    dropped = ("next_entry", "allie_tries", "allie_bad", "allie_pin")
    kept = {name: value for name, value in env.items() if name not in dropped}
    return {**kept, "allie_default": entry, **({"allie_pin": entry} if pin else {})}


def confirm(env: dict[str, str], booted: str) -> dict[str, str]:
    """The variables after a tick in the system that was booted by this entry: it came up."""
    if booted != env.get("allie_default"):
        return env  # for once, or by hand: it says nothing of the default
    kept = {name: value for name, value in env.items() if name != "allie_tries"}
    return {**kept, "allie_good": booted}


def give_way(env: dict[str, str]) -> dict[str, str]:
    """The variables once a default that did not come up twice gave way, as grub.cfg does it."""
    default, good = env.get("allie_default", ""), env.get("allie_good", "")
    if env.get("allie_tries") != "2" or good in ("", default):
        return env
    kept = {name: env[name] for name in env if name not in ("allie_tries", "allie_pin")}
    return {**kept, "allie_bad": default, "allie_default": good}


def booted_by(cmdline: str) -> str:
    """The entry that the running kernel was booted by; "" if not by a menu of ours."""
    marks = [word[len(MARK) :] for word in cmdline.split() if word.startswith(MARK)]
    return marks[-1] if marks else ""
