"""Histories as values: how they are drawn, written down, and played in a process of their own.

python -m tests.model.play HISTORIES    plays so many new ones; what it has played it does not
                                        play again (`make deep`; build/deep holds how far it is)
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from random import SystemRandom
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.model import roots
from tests.model.history import OWN, History
from tests.model.model import ENDS, NODES, OVERLAYS, PATHS, PLACES, TAGS, WAY

Deed = tuple[Any, ...]  # a method of History, and its arguments
THEIRS = (*NODES, None, None, ("d", (("mine", ("f", "A", 0o644)),)))
BATCH = 10  # histories of one seed
_SILENT = 300  # seconds for one history: then something hangs


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, list[Deed]]:
    """A kind of root, and what is done.

    Few paths, overlays and tags in one history, or what is done would hardly ever meet.
    """

    def some(of: Iterable[Any], most: int) -> st.SearchStrategy[Any]:
        few = draw(st.lists(st.sampled_from(list(of)), min_size=1, max_size=most, unique=True))
        return st.sampled_from(few)

    def deed(name: str, *words: Any) -> st.SearchStrategy[Deed]:
        drawn = [each if isinstance(each, st.SearchStrategy) else st.just(each) for each in words]
        return st.tuples(st.just(name), *drawn)

    path, overlay, tag = some(PATHS, 3), some(OVERLAYS, 2), some(TAGS, 3)
    place = path if not draw(st.booleans()) else some(PLACES, 3)
    host = st.sampled_from(["pc1", "pc1", "pc2"])
    put = deed("put", overlay, path, tag, st.booleans(), st.sampled_from(NODES))
    edit = deed("edit", place, st.sampled_from(THEIRS), st.booleans())
    withdraw = deed("withdraw", overlay, st.integers(0, 2))
    kill = deed("kill", st.integers(1, 400), st.sampled_from(["all", "all", "caller"]))
    directory = ["etc/sub", "etc/sub/deep", "etc/way", *ENDS, OWN]
    kinds = {
        "world": [
            deed("wipe", st.sampled_from(directory)),
            deed("facts", host, host),
            deed("result", st.sampled_from([0, 0, 1, 75])),
            deed("clock_moves", st.sampled_from([7200, -7200])),
        ],
        "names": [deed("link", overlay, st.integers(0, 2), path), deed("second_name", place)],
        "store": [deed("rename", overlay), deed("retire", overlay), deed("misset")],
        "told": [deed("undo"), deed("undo"), deed("pause"), deed("resume"), deed("resume")],
        "state": [
            deed("lose_counter", st.sampled_from([None, "", "x\n"])),
            deed("save"),
            deed("restore"),
        ],
        "packages": [
            deed("package", place, st.sampled_from(["A", "B", "C"]), st.booleans()),
            deed("unpackage", st.integers(0, 2)),
        ],
        "way": [deed("relink", st.sampled_from([*ENDS, None]))],
        "refusing": [
            deed(
                "close",
                st.sampled_from(["immutable", "readonly", "dead"]),
                st.one_of(place, st.sampled_from([*directory[:2], WAY])),
            ),
            deed("swap", st.sampled_from(["/etc/sub", "/root"])),
            deed("open"),
        ],
    }
    rare = st.sampled_from(sorted(kinds)) if draw(st.booleans()) else some(sorted(kinds), 2)
    often = [put, put, edit, withdraw, kill, deed("tick"), deed("rest")]
    seldom = rare.flatmap(lambda kind: st.one_of(*kinds[kind]))
    deeds = draw(st.lists(st.one_of(*often, seldom, seldom), min_size=10, max_size=24))
    return draw(st.sampled_from(["disk", *roots.KINDS])), deeds


class Failed(NamedTuple):
    """A history that went wrong, and how."""

    kind: str
    deeds: list[Deed]
    why: str

    def __str__(self) -> str:
        deeds = "".join(f"    {each!r},\n" for each in self.deeds)
        return f"{self.why}\nThis history, for test_these_histories:\n{self.kind!r}, [\n{deeds}]"


def play(kind: str, deeds: Iterable[Deed]) -> str:
    """Play one history, in a mount namespace of its own. Returns what went wrong, or ""."""
    with tempfile.TemporaryDirectory() as top, tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            _be(kind, deeds, Path(top), output.fileno())
        until = time.monotonic() + _SILENT
        while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
                os.write(output.fileno(), f"it hung for {_SILENT} seconds".encode())
            time.sleep(0.005)
        status = os.waitpid(child, 0)[1]
        output.seek(0)
        said = output.read().decode(errors="backslashreplace")
        return said or (f"ended with {status}" if status else "")


def _be(kind: str, deeds: Iterable[Deed], top: Path, output: int) -> None:
    """In the child: never returns."""
    code = 1
    history = None
    try:
        os.setsid()
        roots.apart()
        history = History(top, kind)
        for name, *words in deeds:
            getattr(history, name)(*words)
        history.settle()
        code = 0
    except BaseException:
        os.write(output, traceback.format_exc().encode(errors="backslashreplace"))
    finally:
        if history:
            history.open()  # or it could not be removed
        os._exit(code)


def batch(number: int, until: float = 0) -> Failed | None:
    """Play the histories of one seed, to the first that goes wrong, or until then (monotonic)."""
    failed: list[Failed] = []

    @seed(number)
    @settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(histories())
    def played(history: tuple[str, list[Deed]]) -> None:
        if not failed and not (until and time.monotonic() > until):
            why = play(*history)
            if why:
                failed.append(Failed(*history, why))

    played()
    return failed[0] if failed else None


def shorter(failed: Failed) -> Failed:
    """The same failure by fewer deeds: what can be left out is."""
    last = failed.why.rstrip().rpartition("\n")[2][:25]
    place = len(failed.deeds)
    while place:
        place -= 1
        deeds = [*failed.deeds[:place], *failed.deeds[place + 1 :]]
        why = play(failed.kind, deeds)
        if last in why:
            failed = Failed(failed.kind, deeds, why)
    return failed


def _work(place: Path, mine: int, of: int, histories: int) -> None:
    """One worker: every so-manieth seed, from where it ended the last time."""
    done = place / f"played-{mine}-of-{of}"
    number = int(done.read_text()) if done.exists() else 0
    first = int((place / "first-seed").read_text())
    while number * BATCH * of < histories:
        chosen = first + number * of + mine
        failed = batch(chosen)
        if failed:
            failed = shorter(failed)
            (place / f"failed-{chosen}").write_text(f"{failed}\n")
            print(f"\n{chosen}: {failed.why.strip().splitlines()[-1][:200]}", flush=True)
        number += 1
        done.write_text(f"{number}\n")
        if sys.stdout.isatty():
            print(f"\r{number * BATCH * of} played", end="", flush=True)


def main() -> int:
    """Play many histories, from where the last run ended; 1 if one ever failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("histories", type=int)
    parser.add_argument("--place", type=Path, default=Path("build/deep"))
    parser.add_argument("--workers", type=int, default=2)
    told = parser.parse_args()
    told.place.mkdir(parents=True, exist_ok=True)
    if not (told.place / "first-seed").exists():
        (told.place / "first-seed").write_text(f"{SystemRandom().randrange(1 << 40)}\n")
    began = time.monotonic()
    for mine in range(told.workers):
        if not os.fork():
            try:
                _work(told.place, mine, told.workers, told.histories)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    played = sum(int(each.read_text()) for each in told.place.glob("played-*")) * BATCH
    failed = sorted(each.name for each in told.place.glob("failed-*"))
    print(f"{played} histories played, {time.monotonic() - began:.0f} s this time", *failed)
    return bool(failed) or played < told.histories


if __name__ == "__main__":
    sys.exit(main())
