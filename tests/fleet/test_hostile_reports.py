"""Whatever lies in one PC's inbox: all others are shown as without it, and no view is harmed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest

from allie.server import store as stores
from allie.server.fleet import fleet as fleets
from allie.server.fleet.fleet import Fleet, Pc
from tests.fleet.hostile import TABLE, Deed, report
from tests.worlds.machine import is_root

pytestmark = pytest.mark.skipif(not is_root(), reason="needs root")

GOOD = [f"pc{number:02}" for number in range(1, 6)]
EVIL = "pc99"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with some PCs that are well."""
    store = tmp_path_factory.mktemp("fleet") / "store"
    stores.init(str(store))
    for host in GOOD:
        put(store, host)
    return store


def put(store: Path, host: str) -> None:
    inbox = store / "inbox" / host
    inbox.mkdir(parents=True, mode=0o700)
    (inbox / "report").write_text(json.dumps(report(host, time.time())))


def others(fleet: Fleet) -> list[Pc]:
    return [pc for pc in fleet.pcs if pc.host != EVIL]


@contextmanager
def beside(store: Path, deed: Deed) -> Iterator[None]:
    """What an attacker leaves in the inbox of his PC."""
    inbox = store / "inbox" / EVIL
    inbox.mkdir(mode=0o700)
    deed(inbox)
    yield
    if inbox.is_symlink() or inbox.is_file():
        inbox.unlink()
    else:
        inbox.chmod(0o700)
        shutil.rmtree(inbox)


@pytest.mark.parametrize("name", TABLE)
def test_the_others_stand_as_without_it(store: Path, name: str) -> None:
    deed, is_read = TABLE[name]
    now = time.time()
    before = fleets.load(str(store), now)
    with beside(store, deed):
        after = fleets.load(str(store), now)
    assert others(after) == others(before)
    (evil,) = (pc for pc in after.pcs if pc.host == EVIL)
    assert bool(evil.systems) == is_read, evil
    assert is_read or evil.state == "missing"
    assert is_read or evil.worst.todo(EVIL) in (
        f"ssh {EVIL} allie status",
        f"ls -la {store}/inbox/{EVIL}",
    )
    assert after.troubles == before.troubles == ()
    assert all(text.isprintable() for text in _texts(evil)), evil


def _texts(value: Any) -> Iterator[str]:
    """All texts of a value, line by line."""
    if isinstance(value, str):
        yield from value.split("\n")
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)


def test_its_word_for_the_time_is_nobodys(store: Path) -> None:
    """A clock that is a century wrong is told, and changes nothing of how a PC stands."""
    for name, word in (("of-2099", "ahead"), ("of-1970", "behind")):
        with beside(store, TABLE[name][0]):
            (evil,) = (pc for pc in fleets.load(str(store), time.time()).pcs if pc.host == EVIL)
        assert evil.state == "current" and evil.told
        assert [note for note in evil.told.notes if word in note]
        assert abs(evil.heard - time.time()) < 600


# --- the whole command line, with all of them at once ---------------------------------------------

MEMORY = 200 << 20  # bytes, at the peak, whatever the reports are


class Said(NamedTuple):
    """What one command line printed, and took."""

    status: int
    out: str
    err: str
    memory: int  # bytes, at its peak

    @property
    def lines(self) -> list[str]:
        """Lines of its output."""
        return self.out.splitlines()


# Its peak counts from what it was forked from, and these tests may have grown large: so a small one
# starts it. argv: where the peak goes (KiB), the command line
_SMALL = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=file)
sys.exit(code)
"""


def allie(store: Path, *words: str) -> Said:
    """`allie fleet`, in a process of its own."""
    argv = [sys.executable, "-m", "allie.cli.main", "--store", str(store), "fleet", *words]
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        tempfile.NamedTemporaryFile() as peak,
    ):
        small = [sys.executable, "-c", _SMALL, peak.name, *argv]
        code = subprocess.call(small, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        return Said(code, _text(out), _text(err), int(_text(peak)) << 10)


def _text(file: IO[bytes]) -> str:
    """What is in a file, which is UTF-8, whatever came in."""
    file.seek(0)
    return file.read().decode()


VIEWS = (  # of those that are well alone
    "pc*",
    "pc01",
    "--json pc*",
    "--names pc*",
    "--names pc* --failing",
    "--script 20disk pc*",
    "pc* --drift",
    "--groups pc01",
)


class Played(NamedTuple):
    """A store with an attacker's PC for each trick, and what its views said before."""

    store: Path
    before: dict[str, Said]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    store = tmp_path_factory.mktemp("played") / "store"
    stores.init(str(store))
    for host in GOOD:
        put(store, host)
    for name in TABLE:
        (store / "inbox" / f"evil-{name}").mkdir(mode=0o700)
    before = {words: allie(store, *words.split()) for words in VIEWS}
    for name, (deed, _) in TABLE.items():
        deed(store / "inbox" / f"evil-{name}")
    yield Played(store, before)
    (store / "inbox/evil-closed").chmod(0o700)


def _kept(store: Path, top: Path) -> None:
    """Everything that is made of a fleet and stays: log, metrics, pages."""
    said = allie(store, "--metrics", str(top / "fleet.prom"), "--site", str(top / "site"))
    assert said.status in (0, 1) and "Traceback" not in said.err, said.err
    assert said.memory < MEMORY


def _as_at_any_time(text: str) -> str:
    """A text in which two looks, some seconds apart, do not differ."""
    return re.sub(r'\b\d+ (s|min)\b|\b\d\d:\d\d\b|"now": [0-9.]+', "-", text)


@pytest.mark.parametrize("view", VIEWS)
def test_what_is_said_of_the_others_is_said_without_it(played: Played, view: str) -> None:
    before, beside = played.before[view], allie(played.store, *view.split())
    assert _as_at_any_time(beside.out) == _as_at_any_time(before.out)
    assert (beside.status, beside.err) == (before.status, before.err) == (0, "")
    assert before.out or "--failing" in view


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--json",),
        ("--names",),
        ("--groups",),
        ("--group", "current"),
        ("--failing",),
        ("--missing",),
        ("--drift",),
        ("--script", "20disk"),
        *[(f"evil-{name}",) for name in ("evil-texts", "evil-everywhere", "many-scripts", "huge")],
    ],
    ids=lambda words: " ".join(words) or "all",
)
def test_no_view_is_harmed(played: Played, words: tuple[str, ...]) -> None:
    said = allie(played.store, *words)
    assert said.status in (0, 1), said.err
    assert "Traceback" not in said.err
    odd = [line for line in [*said.lines, *said.err.splitlines()] if not line.isprintable()]
    assert not odd
    assert said.memory < MEMORY
    assert len(said.out) < 1 << 20 or words == ("--json",)


def test_each_flaw_is_said_of_its_own_host(played: Played) -> None:
    said = allie(played.store, "--json")
    pcs = {each["host"]: each for each in json.loads(said.out)["pcs"]}
    assert said.status == 1
    assert [pcs[host]["state"] for host in GOOD] == ["current"] * len(GOOD)
    for name, (_, is_read) in TABLE.items():
        pc = pcs[f"evil-{name}"]
        assert bool(pc["systems"]) == is_read, pc
        assert is_read or (pc["state"] == "missing" and pc["why"] and pc["todo"]), pc
    names = allie(played.store, "--names", "--missing").out
    assert not [host for host in GOOD if host in names]


def test_what_is_made_and_kept_is_as_without_it(played: Played, tmp_path: Path) -> None:
    """Metrics, pages and log of the others; and nothing of what is in there runs."""
    _kept(played.store, tmp_path)
    metrics = (tmp_path / "fleet.prom").read_text()
    assert all(line.isprintable() for line in metrics.splitlines())
    hosts = re.findall(r'host="([^"]*)"', metrics)
    assert {*hosts} <= {*GOOD, *(f"evil-{name}" for name in TABLE)}
    assert not [line for line in metrics.splitlines() if "<img" in line]
    pages = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert len(pages) > 5 and sum(path.stat().st_size for path in pages) < 20 << 20
    for path in pages:
        assert (tmp_path / "site") in path.resolve().parents
        text = path.read_text()
        assert "<img src=x" not in text and "\x1b" not in text and "\u202e" not in text, path
    deed = TABLE["evil-texts"][0]
    for number in range(3):  # what comes again and again is told, and bounded
        inbox = played.store / "inbox/evil-evil-texts"
        (inbox / "report").unlink()
        deed(inbox)
        for view in ("--log", "--log evil-evil-texts", "--log /etc", "--changed-since-last"):
            said = allie(played.store, *view.split())
            assert said.status in (0, 1) and "Traceback" not in said.err, (number, said.err)
            assert all(line.isprintable() for line in said.lines), said.out
            assert len(said.out) < 200_000
    assert not [line for line in allie(played.store, "--log", "pc*").lines if "evil" in line]


# --- while it is read -----------------------------------------------------------------------------


def test_what_changes_while_it_is_read(store: Path) -> None:
    """A report that grows and shrinks, an inbox that is a link, a file, gone and there again."""
    now = time.time()
    before = fleets.load(str(store), now)
    inbox, whole = store / "inbox" / EVIL, json.dumps(report(EVIL, now)).encode()
    stop = threading.Event()

    def writes() -> None:
        while not stop.is_set():
            inbox.mkdir(mode=0o700)
            (inbox / "report").write_bytes(whole)
            with (inbox / "report").open("ab") as file:
                for _ in range(30):
                    file.write(b" " * 20_000)
                    file.flush()
                file.truncate(10)
            (inbox / "report").unlink()
            (inbox / "report").symlink_to("../pc01/report")
            shutil.rmtree(inbox)
            inbox.symlink_to("pc01")
            inbox.unlink()

    attacker = threading.Thread(target=writes)
    attacker.start()
    try:
        looks = [fleets.load(str(store), now) for _ in range(200)]
    finally:
        stop.set()
        attacker.join()
        shutil.rmtree(inbox, ignore_errors=True)
    assert all(others(each) == others(before) for each in looks)
    found = {pc.why for each in looks for pc in each.pcs if pc.host == EVIL}
    assert len(found) > 1, found  # he was there, in several guises


def test_ten_thousand_inboxes_with_odd_names(tmp_path: Path) -> None:
    """Names that no host has: some are shown, cleaned, and the rest is counted."""
    store = tmp_path / "store"
    stores.init(str(store))
    put(store, "pc01")
    for number in range(10_000):
        (store / "inbox" / f"{number}\n\x1b[31m'$(id)").mkdir()
    for name in ("..pc01", "PC01", "pc 01", "-pc01", os.fsdecode(b"\xff\xfe")):
        (store / "inbox" / name).mkdir()
    said = allie(store)
    assert said.status == 1 and "pc01" in said.out
    assert len(said.err) < 1000 and "more" in said.err
    assert all(line.isprintable() for line in [*said.lines, *said.err.splitlines()])
    assert allie(store, "--names").out == "pc01\n"
    assert said.memory < MEMORY


def test_many_that_say_as_much_as_they_can(tmp_path: Path) -> None:
    """A hundred PCs that were taken over fill no memory: what is kept of each is bounded."""
    store = tmp_path / "store"
    stores.init(str(store))
    put(store, "pc01")
    alone = allie(store, "--json").memory
    for number in range(100):
        inbox = store / f"inbox/evil{number:02}"
        inbox.mkdir()
        TABLE["many-scripts"][0](inbox) if number % 2 else _full_of_texts(inbox)
    said = allie(store, "--json")
    assert '"host": "pc01", "state": "current"' in said.out
    assert said.memory - alone < 100 * (1 << 20)


def _full_of_texts(inbox: Path) -> None:
    value = report(inbox.name, time.time())
    own = value["systems"][0]
    own["changed"]["did"] = {
        f"{inbox.name} {word}": [f"{inbox.name}/{word}/{number}" * 3 for number in range(50)]
        for word in range(64)
    }
    (inbox / "report").write_text(json.dumps(value))
