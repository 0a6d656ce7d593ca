"""The store that a mirror is a copy of: what it has, whether that differs, and how it is fetched.

The command lines are made by pure functions. It is spoken to as a PC speaks to its store. Only
`overlays`, `images` and `releases` are ever named, so nothing that is secret can come.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from allie.core.conf import addresses, settings
from allie.core.conf.settings import DEFAULT_STALL
from allie.core.errors import SettingsError
from allie.core.value import Value
from allie.machine.programs import process
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import MUCH, Bounds
from allie.machine.transfer import listing as listings
from allie.machine.transfer import rsync
from allie.machine.transfer.rsync import Version

# Seconds of silence: as with an image, an end may have to read much before it has more to say
STALL = DEFAULT_STALL * rsync.PATIENCE
_LINK = rb"(?m)^l\S+ +[0-9,.]+ +\S+ +\S+ (.*) -> (.*)$"


class Upstream(Value):
    """How a store is spoken to."""

    address: str
    able: Version
    options: list[str]

    def source(self, path: str) -> str:
        """rsync's name for a path in it."""
        return rsync.sources(self.address, [path])[0]


class Contents(Value):
    """What is in a directory of the store."""

    names: tuple[str, ...]  # of the directories; what is still being made there is none
    links: dict[str, str]  # symlinks to something in it, and to what


def of(address: str, notes: str, bandwidth: str = "") -> Upstream:
    """A store by its address. notes: a directory for what is known of this machine's rsync.

    Raises SettingsError where that is no address.
    """
    if addresses.is_door(addresses.check_store(address)):
        hint = "rsync://host, or ssh://host/path, which ssh's own keys open"
        raise SettingsError(f"a mirror does not read by the door of hosts, {address}", hint)
    known = f"{notes}/rsync"
    able = rsync.version(known, limited=True)
    options = rsync.transport(address, STALL)
    options += rsync.exact_times(able, known)
    return Upstream(address, able, options + [f"--bwlimit={bandwidth}"] * bool(bandwidth))


def listing(up: Upstream, path: str) -> Contents:
    """What a directory of the store has. Raises StoreError."""
    program, *words = listings.of(up.address, f"{path}/", up.options)
    done = _run([program, "--links", *words], only_reads=True)
    rsync.check(done, up.address)
    links = {os.fsdecode(name): os.fsdecode(to) for name, to in re.findall(_LINK, done.out)}
    return Contents(
        tuple(filter(settings.is_name, listings.parse(done.out))),
        {name: to for name, to in links.items() if settings.is_name(name) and settings.is_name(to)},
    )


def differ(up: Upstream, names: Sequence[str], overlays: str, *, thorough: bool) -> set[str]:
    """Which of some overlays, that both have, differ; all are asked for in one call.

    thorough: by content, with ACLs and attributes.
    """
    able = up.able if thorough else up.able.plain
    wanted = rsync.sources(up.address, [f"overlays/{name}" for name in names])
    options = [*up.options, *[rsync.BY_CONTENT] * thorough]
    done = _settled(rsync.ask(able, options, wanted, overlays))
    if done.cut and done.cut.kind == MUCH:
        return set(names)
    rsync.check(done, up.address)
    answer = rsync.parse_answer(done.out)
    return {name.partition("/")[0] for name in (*answer.changed, *answer.gone)}


def differs(up: Upstream, path: str, tree: str, *, thorough: bool) -> bool:
    """Whether a tree is not as the store has it at a path; the first difference ends the question.

    It may be one that is no overlay's: nothing in it is passed over.
    """
    able = up.able if thorough else up.able.plain
    options = [*up.options, *[rsync.BY_CONTENT] * thorough, "-n", "--out-format=%i %n"]
    argv = rsync.fetch(able, options, [f"{up.source(path)}/"], tree, [], whole=True)
    said: list[bytes] = []

    def hear(output: bytes) -> bool:
        said.append(output)
        return bool(output.strip())

    done = _run(argv, on_output=hear, only_reads=True)
    if any(output.strip() for output in said):
        return True
    rsync.check(done, up.address)
    return False


def fetch(
    up: Upstream,
    path: str,
    into: str,
    links: Sequence[str],
    follow: tuple[list[str], Callable[[bytes], None] | None],
) -> Finished:
    """Fetch a tree of the store into an empty directory; what did not change is linked.

    links: trees that may have it. follow: options and reader for progress. How it ended is the
    caller's to judge (`rsync.check`).
    """
    words, show = follow
    # Else another file of the same size and time would pass for the wanted one, also one that a
    # power failure has left with zeros in it
    by_content = [rsync.BY_CONTENT] * bool(links)
    options = [*up.options, *words, *by_content]
    whole = not path.startswith("overlays/")
    argv = rsync.fetch(up.able, options, [f"{up.source(path)}/"], into, links, whole=whole)
    return _run(argv, on_output=show, disk=into)


def _settled(argv: list[str]) -> Finished:
    """The answer to a question; asked a second time where files changed meanwhile."""
    done = _run(argv, only_reads=True)
    return _run(argv, only_reads=True) if rsync.may_settle(done) else done


def _run(
    argv: list[str],
    on_output: Callable[[bytes], bool | None] | None = None,
    disk: str = "",
    *,
    only_reads: bool = False,
) -> Finished:
    bounds = Bounds(STALL, disk=disk)
    return process.run(argv, bounds=bounds, on_output=on_output, only_reads=only_reads)
