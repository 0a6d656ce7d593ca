"""What a store has that this PC lacks: rsync is asked, and names it.

    overlays → one call for all working trees, one for each ring → Answer

docs/internals/rules.md, "One call for one server" and "A routine tick asks less".
"""

from __future__ import annotations

from allie.client.mirror import generation as generations
from allie.client.mirror import pull as pulls
from allie.client.mirror import stores
from allie.client.mirror.generation import Generation
from allie.client.mirror.pull import Pull
from allie.core.conf.settings import PRIVATE, Settings
from allie.core.errors import NotAdmitted, StoreError, Unreachable
from allie.core.system import System
from allie.machine.transfer import rsync
from allie.machine.transfer.rsync import Answer


def ask(pull: Pull) -> Answer | None:
    """What a fetch would change, as `overlay/path`; None where there is nothing to compare with.

    Where that is more than fits into an answer, its beginning, and `links`: all is to be fetched.
    """
    before = pull.before
    if before is None or before.overlays != pull.overlays:
        return None
    changed: list[str] = []
    gone: list[str] = []
    links, at_once = False, pull.asks_for_gone
    for each in sources(pull):
        answer, is_cut = _answer(pull, before.path, each, at_once=at_once)
        above = f"{each[1]}/".lstrip("/")
        changed += [above + name for name in answer.changed]
        gone += [above + name for name in answer.gone]
        links = links or answer.links or is_cut
    _need_asked_for(pull, changed + gone)
    if at_once and not (changed or gone or links or generations.is_settled(before)):
        generations.settle(before)  # what it has came whole: nothing went between two questions
    return Answer(tuple(changed), tuple(gone), links)


def _answer(
    pull: Pull, tree: str, source: tuple[list[str], str], *, at_once: bool
) -> tuple[Answer, bool]:
    """What of a source would change, and whether that was more than fits into an answer.

    at_once: ask for what is gone, too; else only where something may be.
    """
    if not at_once:
        try:
            found, is_cut = _said(pull, _question(pull, tree, *source, gone=False))
            if is_cut or not found.directories:
                return found, is_cut
        except (Unreachable, NotAdmitted):
            raise
        except StoreError:
            pass  # a file takes a directory's place, and rsync says that it cannot make way
    return _said(pull, _question(pull, tree, *source, gone=True))


def _said(pull: Pull, question: list[str]) -> tuple[Answer, bool]:
    done = pulls.run(question, pull, only_reads=True)
    return rsync.parse_answer(done.out), bool(done.cut)


def _need_asked_for(pull: Pull, names: list[str]) -> None:
    """Raise StoreError where a name in an answer is of no overlay that was asked for."""
    for name in names:
        first, *rest = name.split("/")
        if first not in pull.overlays or ".." in rest:
            words = f"{pull.store} answers with {name[:80]!r}, which nobody asked for"
            raise StoreError(f"{words}: nothing is taken", "look at what it serves")


def routine(here: System, settings: Settings, before: Generation, store: str) -> list[list[str]]:
    """What a routine tick asks a store: no output means that it has nothing new."""
    pull = pulls.of(here, settings, before, store, routine=True)
    gone = pull.asks_for_gone
    asked = [_question(pull, before.path, *each, gone=gone) for each in sources(pull)]
    if PRIVATE in before.overlays:
        from allie.client.mirror import own_door  # noqa: PLC0415 - see HACKING.md, start-up

        asked += own_door.questions(here, settings, before)
    return asked


def sources(pull: Pull) -> list[tuple[list[str], str]]:
    """The rsync calls that bring all overlays: (sources, where below a tree they go: "", "/NAME").

    All working trees come in one call; a ring's target differs from its name, so each has its own.
    """
    paths = {name: stores.overlay_path(pull.settings, name) for name in pull.settings.overlays}
    together = [path for path in paths.values() if not path.endswith("/")]
    calls = [(rsync.sources(pull.store, together), "")] if together else []
    return calls + [
        (rsync.sources(pull.store, [path]), f"/{name}")
        for name, path in paths.items()
        if path.endswith("/")
    ]


def _question(pull: Pull, tree: str, wanted: list[str], below: str, *, gone: bool) -> list[str]:
    return rsync.ask(pull.asks_for, pull.options, wanted, tree + below, gone=gone)
