"""What was done, and what is said: mistakes of an administrator's first week, in one table.

Each answer is one line that says what is so and where, and one that says what to do. The command
lines that no parser takes are in tests/unit/test_words.py.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from allie.server import store
from tests.tick.site import script
from tests.worlds.busybox import busybox_root
from tests.worlds.pc import ENVIRONMENT, PC, Result, ended
from tests.worlds.toy import make_tree

pytestmark = [pytest.mark.root, pytest.mark.real]

NOT_JOINED = "{new}/etc/allie/system is missing: this system has not joined a store"
NO_RSYNC = "rsync is not installed | install the package rsync"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A store, a PC that has joined it, and a root that has not."""
    top = tmp_path_factory.mktemp("said")
    store.init(str(top / "store"))
    make_tree(top / "store/overlays/common", {"etc/motd": "hello\n"})
    make_tree(top / "store/images/debian12", {"etc/os-release": "ID=debian\nVERSION_ID=12\n"})
    root = busybox_root(top / "pc", {"etc/hostname": "pc07\n"})
    busybox_root(top / "new", {"etc/hostname": "pc08\n"})
    (top / "empty").mkdir()
    known = {name: str(top / name) for name in ("pc", "new", "store", "empty")}
    PC(root).run("join", known["store"], "--image", "toy", "--system", "base").ok()
    make_tree(root, {"root/conf/55editor": script("true", mode=0o644)})
    yield known


ON_PC = [
    ("status --root {new}", 2, f"{NOT_JOINED} | allie join rsync://server --root {{new}}"),
    ("run-conf --root {new}", 2, NOT_JOINED),
    ("status --root {pc}/no", 2, "{pc}/no is not a directory"),
    ("join {store} --overlays kit,comon", 2, "{store} has no overlay comon | did you mean common?"),
    ("join {store} --overlays kit,lab", 2, "{store} has no overlay lab | it has: common, kit"),
    (
        "join {store}/no --root {new}",
        2,
        "{store}/no is no store: {store}/no has no overlays | `allie store init`, on the server,",
    ),
    ("join {empty} --root {new}", 2, "{empty} is no store: {empty} has no overlays | `allie store"),
    ("join nosuch --root {new}", 2, "'nosuch' is not the address of a store | did you mean r"),
    (
        "join rsnc://server",
        2,
        "'rsnc://server' is not the address of a store | rsync://host[:port]",
    ),
    ("join server:873 --root {new}", 2, "of a store | did you mean rsync://server:873?"),
    ("join rsync://server/allie", 2, "of a store | did you mean rsync://server?"),
    ("join rsync://127.0.0.1:1 --root {new}", 2, "rsync://127.0.0.1:1 does not answer: failed to"),
    ("join {store} --system other", 64, "{pc} is the system base already | --system base"),
    (
        "rsync-image image nosuch {empty}",
        2,
        "{store} has no images/nosuch | allie image list, on the server",
    ),
    (
        "rsync-image overlay nosuch {empty}",
        2,
        "{store} has no overlays/nosuch | allie overlay l",
    ),
    ("rsync-image image debian12 {pc}/no", 64, "{pc}/no is not a directory | mkdir {pc}/no"),
    ("rsync-image image debian12 /etc/passwd", 64, "/etc/passwd is not a directory | name a dir"),
    ("run-conf 55editr", 64, "there is no script {pc}/root/conf/55editr | did you mean 55editor?"),
    ("run-conf 55", 64, "there is no script {pc}/root/conf/55 | did you mean 55editor?"),
    ("run-conf 77zzz", 64, "there is no script {pc}/root/conf/77zzz | allie status"),
    ("pause --for 3", 64, "--for 3: of what? | 3m, 3h, 3d"),
    ("pause --for 0h", 64, "--for '0h' is not a span of time | 30m, 12h, 3d"),
    ("undo 99", 64, "tick 99 cannot be undone | those that can be: 1"),
    ("system update base", 64, "base is the system that runs now | `system update` is for the oth"),
    ("system remove base", 64, "base is the system that runs now | `system remove` is for the oth"),
    ("system add el9", 64, "where is el9 to live? | --in LABEL=…, PARTLABEL=… or a directory"),
    (
        "system add el9 --in /systems/el9 --image debain12",
        2,
        "has no image debain12 | did you mean",
    ),
    (
        "system add el9 --in /systems/el9 --overlays kti",
        2,
        "has no overlay kti | did you mean kit",
    ),
    ("system update el9", 64, "allie.conf declares no system el9 | it has: none"),
    ("system update", 64, "`allie system update` needs NAME | allie system list"),
    ("system update el9 --json", 64, "`allie system update` prints no JSON | leave out --json"),
    ("status --system el9", 64, "allie.conf declares no system el9 | it has: none"),
]
ON_SERVER = [
    ("image blandify", 64, "`allie image blandify` needs NAME | allie image list"),
    ("image import foo", 64, "`allie image import` needs NAME SOURCE | allie image --help"),
    ("image blandify debian13", 64, "no image debian13 in {store} | did you mean debian12?"),
    ("image remove zzz", 64, "there is no image zzz in {store} | allie image list"),
    ("image import a /nosuch", 64, "/nosuch is not a directory, an archive or mmdebstrap:SUITE"),
    ("image remove debian12 --json", 64, "`allie image remove` prints no JSON | leave out --json"),
    ("overlay lint comon", 64, "there is no overlay comon | did you mean common?"),
    ("overlay list comon", 64, "there is no overlay comon | did you mean common?"),
    ("overlay lint --over debian13", 64, "no image debian13 in {store} | did you mean debian12?"),
    ("overlay why /a --host h --overlays comon", 64, "there is no overlay comon | did you mean"),
    ("overlay why", 64, "overlay why needs one path and --host | allie overlay why /etc/motd"),
    ("image installer a --layout /nosuch", 64, "/nosuch is missing | --layout FILE"),
    ("image installer a --layout /etc", 64, "/etc is no file | --layout FILE"),
    ("image list --store {empty}", 64, "{empty} is not a store | allie store init --store {empty}"),
]


@pytest.mark.parametrize(("typed", "rc", "said"), ON_PC, ids=[each[0] for each in ON_PC])
def test_on_a_pc(typed: str, rc: int, said: str, world: dict[str, str]) -> None:
    _say(world, typed, rc, said)


@pytest.mark.parametrize(("typed", "rc", "said"), ON_SERVER, ids=[each[0] for each in ON_SERVER])
def test_on_the_server(typed: str, rc: int, said: str, world: dict[str, str]) -> None:
    _say(world, typed, rc, said, {"ALLIE_STORE": world["store"]})


@pytest.mark.parametrize(
    "typed",
    [
        "join {store} --root {new}",
        "rsync-image image debian12 {empty}",
        "image import a {pc} --store {store}",
        "store serve --store {store} --port 1",
    ],
)
def test_without_rsync(typed: str, world: dict[str, str]) -> None:
    _say(world, typed, None, NO_RSYNC, {"ALLIE_PATH": world["empty"]})


def _say(
    world: dict[str, str],
    typed: str,
    rc: int | None,
    said: str,
    env: dict[str, str] | None = None,
) -> None:
    """Run a command line, and compare the last two lines of what it says."""
    words = typed.format(**world).split()
    on_server = words[0] in ("image", "overlay", "store")
    done = _on_server(*words, env=env) if on_server else PC(Path(world["pc"])).run(*words, env=env)
    assert rc in (done.rc, None), done
    assert "Traceback" not in done.err
    lines = [line.strip() for line in done.err.splitlines()]
    assert said.format(**world) in " | ".join(lines), done
    assert done.out == ""


def _on_server(*words: str, env: dict[str, str] | None = None) -> Result:
    return ended([sys.executable, "-m", "allie.cli.main", *words], ENVIRONMENT | (env or {}), 100)


def test_blandify_prints_json_with_and_without_check(world: dict[str, str]) -> None:
    env = {"ALLIE_STORE": world["store"]}
    make_tree(Path(world["store"], "images/debian12"), {"etc/hostname": "gold\n", "usr/x": ""})
    checked = _on_server("image", "blandify", "debian12", "--check", "--json", env=env).json
    done = _on_server("image", "blandify", "debian12", "--json", env=env).ok().json
    assert [each["path"] for each in done] == [each["path"] for each in checked]
    assert _on_server("image", "blandify", "debian12", "--json", env=env).ok().json == []
    [listed] = _on_server("image", "list", "--json", env=env).ok().json
    assert listed["pretty"] == "debian 12", "without PRETTY_NAME"


def test_the_log_has_undos_and_only_what_was_done(world: dict[str, str]) -> None:
    pc = PC(Path(world["pc"]))
    fails = script("exit 3")
    make_tree(pc.root, {"root/conf/60fails": fails, "root/conf/61runs": script("true", mode=0o644)})
    overlay = Path(world["store"], "overlays/common")
    make_tree(overlay, {"etc/new": "new\n"})
    assert "60fails" in pc.run("run-conf").err
    again = pc.run("run-conf")
    assert (again.rc, again.err) == (1, ""), "it has failed before: cron need not hear it again"
    by_ssh = pc.run("run-conf", env={"SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"})
    assert (by_ssh.rc, by_ssh.out.split()[:2]) == (1, ["60fails:", "failing,"])
    pc.run("run-conf", "61runs").ok()
    pc.run("undo").ok()
    make_tree(overlay, {"etc/newer": "newer\n"})
    pc.run("run-conf")
    lines = pc.run("log", "--paths").ok().out.splitlines()
    (pc.root / "root/conf/60fails").unlink()
    pc.run("resume").ok()
    heads = [" ".join(line.split()[3:]) for line in lines if line[:6].strip()]
    assert heads == [
        "17 new",
        "1 new, failing: 60fails",
        "failing: 60fails",
        "failing: 60fails",
        "run-conf 61runs by hand: satisfied: 61runs",
        "undo by hand: 1 removed",
    ]
    assert "removed: /etc/new" in [line.strip() for line in lines]
    assert not [line for line in lines if "would be" in line or "/etc/newer" in line]


def test_a_refused_store_is_said_once_on_a_terminal(world: dict[str, str]) -> None:
    pc = PC(Path(world["pc"]))
    away = Path(world["store"], "overlays/common")
    away.rename(f"{away}.away")
    try:
        shown = _on_a_terminal(pc.argv("run-conf"))
        status = pc.run("status").out
    finally:
        Path(f"{away}.away").rename(away)
    assert shown.count("has no overlays/common") == 1, shown
    assert status.count("has no overlays/common") == 1, status


def test_only_the_first_join_has_a_first_tick(world: dict[str, str], tmp_path: Path) -> None:
    join = PC(busybox_root(tmp_path / "pc")).argv("join", world["store"], "--no-timer")
    assert _on_a_terminal(join).startswith("the first tick runs; ")
    assert _on_a_terminal(join).startswith("a tick runs; ")


def _on_a_terminal(argv: Sequence[str]) -> str:
    """What a program prints on a terminal."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd="/")
    os.close(theirs)
    pieces = []
    try:
        while piece := os.read(ours, 65536):
            pieces.append(piece)
    except OSError:
        pass  # EIO: the other end is closed
    os.close(ours)
    child.wait()
    return b"".join(pieces).decode()
