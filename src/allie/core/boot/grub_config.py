"""The boot menu as GRUB reads it: grub.cfg, and the environment block (grubenv). No I/O.

GRUB's shell has no arithmetic, so it counts the boots of a default by states: none, 1, 2.
"""

from __future__ import annotations

import re

from allie.core.boot.menu import MARK, MenuEntry, words
from allie.core.errors import StateError

SIZE = 1024  # of the block: GRUB writes it in place, and never makes it longer
_HEAD = "# GRUB Environment Block\n"
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


def _for_grub(word: str) -> str:
    """A word as GRUB is to be given it, so that it means the same to the kernel.

    GRUB quotes a word with a blank by itself, and escapes the quotes in it, which the kernel would
    keep. So the quotes that the kernel would take off are taken off here.

    >>> _for_grub('dyndbg="file a.c +p"'), _for_grub('"a b"')
    ('dyndbg=file a.c +p', 'a b')
    """
    name, equals, value = ("", "", word) if word.startswith('"') else word.partition("=")
    if value.startswith('"'):
        value = value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:]
    return name + equals + value


def quoted(word: str) -> str:
    """A word as GRUB's shell takes it; it never ends a line.

    >>> quoted("it's")
    "'it'\\\\''s'"
    """
    return "'" + word.replace("\n", " ").replace("'", "'\\''") + "'"


def config(entries: list[MenuEntry]) -> str:
    """The menu as GRUB reads it. It needs at least one entry: the first is booted if all fails."""
    lines = [_CFG]
    for each in entries:
        options = [*words(each.options), MARK + each.id]
        line = " ".join(quoted(_for_grub(word)) for word in options)
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

    >>> ids_in(config([MenuEntry("el7", "3.10", "/k", "/i", "ro", "el7 (3.10)")]))
    ['el7/3.10']
    """
    return re.findall(r"^menuentry .* --id '([^']*)' \{$", cfg, re.MULTILINE)


def kernels_in(cfg: str) -> list[str]:
    """The kernels that a grub.cfg of ours boots.

    >>> kernels_in(config([MenuEntry("el7", "3.10", "/k", "/i", "ro", "el7 (3.10)")]))
    ['/k']
    """
    return re.findall(r"^  linux '([^']*)'", cfg, re.MULTILINE)


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
