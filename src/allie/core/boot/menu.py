"""The boot menu as a value: entries in, grub.cfg out; and GRUB's environment block (grubenv).

The entries and variables are the same for systemd-boot, which core.boot.boot_loader_spec renders
them for. What is booted next is kept in grubenv, which GRUB and ALLiE both write:

    allie_default   the entry that is booted, by its id (system/release)
    allie_pin       the default, where a person chose this very kernel: it outlives newer ones
    next_entry      the entry of the next boot alone; GRUB clears it before it boots
    allie_tries     boots of the default that no tick has confirmed: 1, 2
    allie_good      the entry that a tick confirmed last
    allie_bad       the default that did not come up twice, and gave way to allie_good

GRUB has no arithmetic: it counts by states. Nothing here touches a file (that is client.boot).
"""

from __future__ import annotations

import re

from allie.core.errors import StateError
from allie.core.value import Value

SIZE = 1024  # of the block: GRUB writes it in place, and never makes it longer
MARK = "allie.entry="  # on the kernel's command line: which entry was booted
_HEAD = "# GRUB Environment Block\n"
_WORDS_OF_OURS = ("root=", "initrd=", "BOOT_IMAGE=", MARK)

_CFG = """\
# Made by ALLiE, which writes it anew: what you change here is lost.
set timeout=3
set allie_env=($root)/grub/grubenv
load_env --file "$allie_env"
set allie_once=
set default="$allie_default"
if [ -n "$next_entry" ]; then
  set default="$next_entry"
  set allie_once=1
  set next_entry=
  save_env --file "$allie_env" next_entry
elif [ "$allie_tries" = 2 -a -n "$allie_good" -a "$allie_good" != "$allie_default" ]; then
  set allie_bad="$allie_default"
  set allie_default="$allie_good"
  set allie_tries=
  set allie_pin=
  set default="$allie_good"
  save_env --file "$allie_env" allie_bad allie_default allie_tries allie_pin
fi
function allie_count {
  if [ "$1" = "$allie_default" -a -z "$allie_once" ]; then
    if [ -z "$allie_tries" ]; then set allie_tries=1; else set allie_tries=2; fi
    save_env --file "$allie_env" allie_tries
  fi
}
"""


class Entry(Value):
    """One line of the menu: a kernel of a system."""

    system: str
    release: str
    kernel: str  # its path on the boot partition, from its top: /systems/…
    initrd: str
    options: str  # the kernel's command line
    title: str

    @property
    def id(self) -> str:
        """What grubenv calls it."""
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


def for_grub(word: str) -> str:
    """A word as GRUB is to be given it, so that it means the same to the kernel.

    GRUB puts a word with a blank in quotes by itself, and a backslash before a quote in one, which
    the kernel would take for part of it. So the quotes go that the kernel takes off, too.

    >>> for_grub('dyndbg="file a.c +p"'), for_grub('"a b"')
    ('dyndbg=file a.c +p', 'a b')
    """
    name, equals, value = ("", "", word) if word.startswith('"') else word.partition("=")
    if value.startswith('"'):
        value = value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:]
    return name + equals + value


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


def quoted(word: str) -> str:
    """A word as GRUB's shell takes it; it never ends a line.

    >>> quoted("it's")
    "'it'\\\\''s'"
    """
    return "'" + word.replace("\n", " ").replace("'", "'\\''") + "'"


def grub_cfg(entries: list[Entry]) -> str:
    """The menu as GRUB reads it. It needs at least one entry: the first is booted if all fails."""
    lines = [_CFG]
    for each in entries:
        options = [*words(each.options), MARK + each.id]
        line = " ".join(quoted(for_grub(word)) for word in options)
        lines += [
            f"menuentry {quoted(each.title)} --id {quoted(each.id)} {{",
            f"  allie_count {quoted(each.id)}",
            f"  linux {quoted(each.kernel)} {line}",
            f"  initrd {quoted(each.initrd)}",
            "}",
        ]
    return "\n".join(lines) + "\n"


def ids_in(cfg: str) -> list[str]:
    """The entries of a grub.cfg that we made, in its order, by their ids.

    >>> ids_in(grub_cfg([Entry("el7", "3.10", "/k", "/i", "ro", "el7 (3.10)")]))
    ['el7/3.10']
    """
    return re.findall(r"^menuentry .* --id '([^']*)' \{$", cfg, re.MULTILINE)


def kernels_in(cfg: str) -> list[str]:
    """The kernels that a grub.cfg of ours boots.

    >>> kernels_in(grub_cfg([Entry("el7", "3.10", "/k", "/i", "ro", "el7 (3.10)")]))
    ['/k']
    """
    return re.findall(r"^  linux '([^']*)'", cfg, re.MULTILINE)


def find(ids: list[str], wanted: str) -> str:
    """The entry that a person means by a system, or by a system and a release; "" if none.

    >>> find(["deb/6.2", "deb/6.1"], "deb"), find(["deb/6.2", "deb/6.1"], "deb/6.1")
    ('deb/6.2', 'deb/6.1')
    """
    return next((each for each in ids if wanted in (each, each.partition("/")[0])), "")


def parse_env(block: bytes) -> dict[str, str]:
    """The variables of a grubenv; of one that is cut short or foreign, those that can be read.

    >>> parse_env(format_env({"a": "b"}))
    {'a': 'b'}
    """
    lines = block.decode(errors="replace").split("\n")
    pairs = [line.partition("=") for line in lines if not line.startswith("#")]
    return {name: value for name, _, value in pairs if value}


def format_env(variables: dict[str, str]) -> bytes:
    """The block that holds these variables: always 1024 bytes. Raises StateError if it cannot."""
    text = _HEAD + "".join(f"{name}={value}\n" for name, value in variables.items() if value)
    body = text.encode()
    if len(body) > SIZE:
        raise StateError("the names of the boot entries are too long for GRUB", "use shorter names")
    return body + b"#" * (SIZE - len(body))


def follow(env: dict[str, str], entries: list[Entry], first: str) -> dict[str, str]:
    """grubenv for these entries: nothing names what is gone, and the default moves to a new kernel.

    first: the system to boot where grubenv names none that is there.
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
    """grubenv after a person chose an entry: for good (then no mark is left), or for once.

    pin: this very kernel was meant, and a newer one of its system does not take its place.
    """
    if once:
        return {**env, "next_entry": entry}
    dropped = ("next_entry", "allie_tries", "allie_bad", "allie_pin")
    kept = {name: value for name, value in env.items() if name not in dropped}
    return {**kept, "allie_default": entry, **({"allie_pin": entry} if pin else {})}


def confirm(env: dict[str, str], booted: str) -> dict[str, str]:
    """grubenv after a tick in the system that was booted by this entry: it came up."""
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
