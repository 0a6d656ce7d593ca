"""Make scripts due again *before* the change that they wait for is made.

    before → the change → after

So no crash can lose it: a script that runs once too often is harmless, one that never runs is not.
Until it is known whether the change came true, the done-file is put aside. Where nothing came of
it, it comes back as it was: else a place that refuses would have the script run at every tick.

docs/internals/rules.md, "A done-file names what it satisfied".
"""

from __future__ import annotations

import os
from _collections_abc import Iterable

from allie.client.state import done_files, records, script_files
from allie.core import script as rules
from allie.core import tags
from allie.core.change.intent import Step
from allie.core.errors import PathRefused, StateError
from allie.core.lean import suppress
from allie.core.script import Headers
from allie.core.system import System
from allie.machine import console
from allie.machine.files import atomic, tree
from allie.machine.roots import paths
from allie.machine.roots.reach import Reach

ASIDE = ".due"  # in /root/done, while a transaction is at work: no script can be called so

MadeDue = dict[str, list[Step]]  # by script, what makes it due


def before(here: System, steps: Iterable[Step], problems: dict[str, str]) -> MadeDue:
    """Put aside the done-files of scripts that change, or whose `on-change` paths do; durable.

    Where one cannot be, the paths that its script waits for are added to problems.
    """
    changing = [each for each in steps if each.before != each.wanted and each.real not in problems]
    if not changing or not os.path.isdir(here.done):
        return {}
    due = _made_due(here, changing)
    if due:
        tree.remove(f"{here.done}/{ASIDE}")
        for name in list(due):
            try:
                os.makedirs(f"{here.done}/{ASIDE}", 0o700, exist_ok=True)
                os.rename(f"{here.done}/{name}", f"{here.done}/{ASIDE}/{name}")
                _note_cause(here, name, due[name])
            except OSError as error:
                words = f"script {name} waits for it, but /root/done refuses: {error.strerror}"
                problems.update({step.real: words for step in due.pop(name)})
        atomic.sync_directory(here.done)
    return due


def after(here: System, reach: Reach, due: MadeDue, confirmed: Iterable[Step]) -> None:
    """Bring back the done-files of scripts for which nothing was changed; the others go."""
    if not due:
        return
    came_true = {step.real for step in confirmed if step.before != step.wanted}
    for name, steps in due.items():
        if not any(step.real in came_true or _is_changed(reach, step) for step in steps):
            with suppress(OSError):  # then it runs once too often
                os.rename(f"{here.done}/{ASIDE}/{name}", f"{here.done}/{name}")
                atomic.remove(done_files.cause_path(here, name))
    tree.remove(f"{here.done}/{ASIDE}")
    atomic.sync_directory(here.done)


def _note_cause(here: System, name: str, steps: list[Step]) -> None:
    """Have `status` say what made a script due; best effort."""
    path = here.at(steps[0].real)
    own = path == f"{here.conf}/{name}"
    what = "its content changed" if own else f"on-change /{console.printable(steps[0].real)}"
    more = f" and {len(steps) - 1} more" if len(steps) > 1 else ""
    with suppress(StateError):
        text = f"{what}{more}, tick {records.last_tick(here)}\n"
        half = f"{here.done}/{done_files.HALF}"
        atomic.write(done_files.cause_path(here, name), text, durable=False, temporary=half)


def _is_changed(reach: Reach, step: Step) -> bool:
    """Whether a step that did not come true changed something; not where nobody can look."""
    try:
        return not reach.is_state(step.real, step.before)
    except (OSError, PathRefused):
        return False


def _made_due(here: System, steps: list[Step]) -> MadeDue:
    """The scripts with a done-file that these steps make due."""
    due: MadeDue = {}
    done = filter(rules.is_name, os.listdir(here.done))
    inside = paths.Inside(here.root)
    headers = {name: _with_real(inside, _headers(here, name)) for name in done}
    for step in steps if headers else ():
        path, names = here.at(step.real), _names(step)
        for name, each in headers.items():
            if path == f"{here.conf}/{name}" or rules.wants(each, names):
                due.setdefault(name, []).append(step)
    return due


def _names(step: Step) -> tuple[str, ...]:
    """The absolute paths that a step changes: the real one, and as overlays spell it."""
    spelled = (tags.unspell(each.spelling)[0] for each in (step.old, step.after) if each)
    return tuple({f"/{step.real}", *(f"/{each}" for each in spelled)})


def _with_real(inside: paths.Inside, headers: Headers) -> Headers:
    """The same, with its patterns as real paths as well: /lib/x is /usr/lib/x on most PCs."""
    found = list(headers.on_change)
    for pattern in headers.on_change:
        globs = (at for at, letter in enumerate(pattern) if letter in "*?[")
        fixed = pattern[: next(globs, None)].rpartition("/")[0]
        with suppress(PathRefused):
            real = inside.directory(fixed.lstrip("/")).real
            found.append(f"/{real}{pattern[len(fixed) :]}" if real else pattern[len(fixed) :])
    return headers._replace(on_change=tuple(dict.fromkeys(found)))


def _headers(here: System, name: str) -> Headers:
    """What a conf script says of itself, wherever a link of its name leads."""
    try:
        found = script_files.read(here, name)
    except StateError:
        found = None  # its own tick says that it cannot be read
    return rules.parse_headers(found.content) if found else Headers()
