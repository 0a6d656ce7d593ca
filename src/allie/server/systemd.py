"""systemd's units: written where they differ, enabled, started, and removed again.

What a unit says comes from who knows what it is for: the doors' (doors.units), the mirror's
(mirroring.timer), the fleet's (history.timer). The last two are chores, done again and again: each
has a service that does it once, and a timer that starts that.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence

from allie.core.errors import StateError, UsageError
from allie.core.value import Value
from allie.machine.files import atomic
from allie.machine.programs import process

DIRECTORY = "/etc/systemd/system"
_BOOTED = "/run/systemd/system"  # sd_booted(3)
_SPAN = r"([1-9][0-9]{0,4}(s|sec|m|min|h|hours?|d|days?))+"  # systemd.time(7), the plain part of it
_SERVICE = """\
# Written by `{by} --timer`; `{undo}` removes it.
[Unit]
Description={about}
{unit}
[Service]
Type=oneshot
Nice=10
IOSchedulingClass=idle
ExecStart={command}
{service}"""
_TIMER = """\
# Written by `{by} --timer`; `{undo}` removes it.
[Unit]
Description={about}

[Timer]
OnBootSec=2min
OnUnitInactiveSec={every}
RandomizedDelaySec={spread}

[Install]
WantedBy=timers.target
"""


class Chore(Value):
    """What is done again and again."""

    name: str  # of its units: allie-mirror
    about: str  # one line, in words
    by: str  # the command that writes its units
    undo: str  # … and the one that removes them
    words: Sequence[str]  # of the command that does it, without ALLiE's own path
    unit: str = ""  # more lines of [Unit]
    service: str = ""  # … and of [Service]
    spread: str = "1min"  # by how much its times differ, at most


def is_there() -> bool:
    """Whether systemd runs this machine."""
    return os.path.isdir(_BOOTED)


def own_program() -> str:
    """By which path a unit starts ALLiE: the one by which we were started, if that can be."""
    own = os.path.abspath(sys.argv[0])
    return own if os.access(own, os.X_OK) else process.program("allie") or own


def text_of(name: str) -> str | None:
    """A unit's text, as it stands there; None if there is none."""
    return atomic.read(f"{DIRECTORY}/{name}")


def write(wanted: Mapping[str, str]) -> list[str]:
    """Write those units of which the text differs, by name; their names."""
    changed = sorted(name for name, text in wanted.items() if text_of(name) != text)
    for name in changed:
        atomic.write(f"{DIRECTORY}/{name}", wanted[name], 0o644)
    if changed:
        call("daemon-reload")
    return changed


def remove(names: Iterable[str]) -> list[str]:
    """Remove those of the units that are there; their paths."""
    gone = [path for path in (f"{DIRECTORY}/{name}" for name in names) if atomic.remove(path)]
    if gone:
        call("daemon-reload")
    return gone


def is_so(unit: str, state: str) -> bool:
    """Whether systemd says that a unit is `active` or `enabled`."""
    return process.run(["systemctl", "--quiet", f"is-{state}", unit]).code == 0


def call(*words: str) -> None:
    """Have systemctl do something. Raises StateError where it does not, with what it said."""
    done = process.run(["systemctl", "--quiet", *words])
    if done.code:
        message = f"systemctl {' '.join(words)}: {done.last_words()}"
        raise StateError(message, f"journalctl -u {words[-1]}")


def _chore_texts(chore: Chore, every: str) -> dict[str, str]:
    """A chore's units by name. Raises UsageError for a pace that systemd would not understand."""
    if not re.fullmatch(_SPAN, every):
        raise UsageError(f"--every {every}: that is no time", "15min, 1h, 2h30min")
    command = " ".join(map(_argument, (own_program(), *chore.words)))
    said = {**chore._asdict(), "about": plain(chore.about), "every": every, "command": command}
    return {
        f"{chore.name}.service": _SERVICE.format(**said),
        f"{chore.name}.timer": _TIMER.format(**said),
    }


def install(chore: Chore, every: str) -> list[str]:
    """Write a chore's units, and start its timer; the files that were written, or differed."""
    units = _chore_texts(chore, every)
    if not is_there():
        again = " ".join(("allie", *chore.words))
        raise UsageError("there is no systemd here", f"have cron run: {again}")
    changed = write(units)
    timer = f"{chore.name}.timer"
    call("enable", "--now", timer)
    if timer in changed:
        call("restart", timer)  # one that runs already goes on at its former pace
    return [f"{DIRECTORY}/{name}" for name in changed]


def uninstall(name: str) -> list[str]:
    """Stop a chore's timer, and remove its units; the files that were removed. Twice: nothing."""
    units = (f"{name}.service", f"{name}.timer")
    if any(text_of(each) is not None for each in units) and is_there():
        process.run(["systemctl", "--quiet", "disable", "--now", units[1]])
        return remove(units)
    return [path for path in (f"{DIRECTORY}/{each}" for each in units) if atomic.remove(path)]


def plain(text: str) -> str:
    """Text where systemd takes a % for the begin of something else."""
    return text.replace("%", "%%")


def quoted(word: str) -> str:
    """A path in a list of paths, as systemd.syntax(7) has it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return plain(f'"{escaped}"' if re.search(r"[\s\"'\\;]", word) else escaped)


def _argument(word: str) -> str:
    """A word of a command line, in which a $ begins a variable; systemd.service(5)."""
    return quoted(word).replace("$", "$$")
