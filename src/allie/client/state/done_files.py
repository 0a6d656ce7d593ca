"""Done-files: what a script that is satisfied leaves in /root/done.

docs/internals/rules.md, "A done-file names what it satisfied".
"""

from __future__ import annotations

import os

from allie.client.state.script_files import Script
from allie.core import digest
from allie.core.errors import StateError
from allie.core.lean import suppress
from allie.core.script import Done, Headers, Verdict
from allie.core.system import System
from allie.machine.files import atomic

HALF = ".part"  # one that is being written: no script can be called so


def read(here: System, name: str) -> Done | None:
    """The done-file; an alarm (empty, or no regular file) satisfies nothing."""
    path = f"{here.done}/{name}"
    text = atomic.read(path)
    if text is None:
        return None
    return Done(text.partition("\n")[0].strip(), os.lstat(path).st_mtime)


def cause(here: System, name: str) -> str:
    """What took the script's done-file away, in words; "" if that was no change of ours."""
    return (atomic.read(cause_path(here, name)) or "").strip()


def cause_path(here: System, name: str) -> str:
    """The file that says so, until the script is satisfied again: no script can be called so.

    It cannot be the done-file: scripts take one that they find there for the alarm that they set.
    """
    return f"{here.done}/.cause-{name}"


def note(here: System, script: Script, verdict: Verdict, headers: Headers, began: float) -> None:
    """Bring the done-file up to date; an alarm, the script's own business, stays as it is.

    began: when the tick did. From then on its time is counted, and not from when it had ended:
    what is to run hourly would be late for the next hour by as long as it takes.
    """
    path = f"{here.done}/{script.name}"
    if verdict.state == "satisfied" and headers.every != 0:
        try:
            os.makedirs(here.done, 0o700, exist_ok=True)
        except OSError as error:
            raise StateError(f"cannot make {here.done}: {error.strerror}") from error
        with suppress(OSError):  # a script's name may leave no room for more
            atomic.remove(cause_path(here, script.name))
        atomic.sync_filesystem(here.root)  # or a power cut leaves it satisfied, and its work undone
        atomic.write(path, digest.of(script.content) + "\n", temporary=f"{here.done}/{HALF}")
        if headers.every:
            os.utime(path, (began, began))
    elif verdict.state != "satisfied":
        done = read(here, script.name)
        if done and done.first_line == digest.of(script.content):  # it was run by name
            atomic.remove(path)
