"""Names, output and answers that would drive a terminal, or break a reader of JSON."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from allie.cli import main
from allie.server import lint, store
from tests.images.site import Store
from tests.tick.site import Site, script
from tests.worlds.pc import Result
from tests.worlds.toy import Fifo, File, Link, Tree, make_tree

pytestmark = [pytest.mark.root, pytest.mark.real]
CLI = Path(main.__file__).parent
ODD = (
    b"byte \xff",
    b"new\nline",
    b"clear \x1b[2J",
    b"green \x1b[32m",
    b"title \x1b]0;x\x07",
    b"del \x7f",
    b"c1 \xc2\x9b2J",
    b"around \xe2\x80\xae",
    b"return \r",
    b"tab \t",
)
SAYS = "printf 'bad \\033[2J \\377 \\r \\033]0;x\\007 \\033[31mred\\n'; exit 1"
# Every command with --json that needs no disk of its own; of "boot" and "image installer", below
ON_A_PC = [
    ["status"],
    ["plan"],
    ["log", "-n", "5", "--paths"],
    ["system", "list"],
    *(["why", "/etc/" + os.fsdecode(name)] for name in ODD),
]
ON_THE_SERVER = [
    ["overlay", "list"],
    ["overlay", "lint"],
    ["image", "list"],
    ["image", "blandify", "img", "--check"],
    *(["overlay", "why", "/etc/" + os.fsdecode(name), "--host", "pc07"] for name in ODD),
]


def _is_clean(done: Result) -> bool:
    return all(each.isprintable() or each == "\n" for each in done.out + done.err)


def _refuse(word: str) -> Any:
    raise AssertionError(f"{word} is no JSON")


def _is_json(done: Result) -> bool:
    read = json.loads(done.out, parse_constant=_refuse)
    json.dumps(read, ensure_ascii=False).encode()  # no lone surrogate
    return done.out.isascii()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whatever_there_is_a_pc_says_it_cleanly(tmp_path: Path) -> None:
    tree: dict[str | bytes, str | bytes | File] = {b"etc/" + name: "first\n" for name in ODD}
    fifo = tmp_path / "store/overlays/common/etc"
    site = Site(tmp_path, {**tree, "root/conf/50odd": script(SAYS)})
    for name in ODD:  # and some that are refused
        os.mkfifo(os.fsencode(fifo) + b"/fifo " + name)
    done = site.join(rc=None)
    assert _is_clean(done), done
    for change in ("second\n", "third\n"):
        site.overlay({b"etc/" + name: change for name in ODD})
        for words in (["plan"], ["run-conf"], ["run-conf", "50odd"]):
            done = site.pc.run(*words)
            assert _is_clean(done), done
            assert "Traceback" not in done.err, done
    os.unlink(os.fsencode(fifo) + b"/" + ODD[0])
    for words in ON_A_PC:
        assert _is_clean(site.pc.run(*words)), words
        done = site.pc.run(*words, "--json")
        assert _is_json(done), (words, done)
    known = json.loads(site.pc.run("status", "--json").out)
    said = next(each["last"] for each in known["scripts"] if each["name"] == "50odd")
    assert "\x1b[2J" in said, "a program sees what it was"


def test_whatever_there_is_a_server_says_it_cleanly(tmp_path: Path) -> None:
    server = Store(tmp_path / "store")
    overlay, image = server.top / "overlays/common/etc", server.image("img")
    (image / "etc/ssh").mkdir(parents=True)
    (image / "usr/lib").mkdir(parents=True)
    (image / "etc/os-release").write_bytes(b'ID=x\nPRETTY_NAME="\x1b[2J \xff"\n')
    overlay.mkdir(parents=True, exist_ok=True)
    for name in ODD:
        Path(os.fsdecode(os.fsencode(overlay) + b"/" + name)).write_text("")
        Path(os.fsdecode(os.fsencode(overlay) + b"/" + name + b"##host.")).write_text("")
        key = b"ssh_host_" + name + b"_key"
        Path(os.fsdecode(os.fsencode(image) + b"/etc/ssh/" + key)).write_text("")
        (image / "lib/modules" / os.fsdecode(name)).mkdir(parents=True)
    for words in ON_THE_SERVER:
        done = server.run(*words)
        assert _is_clean(done), (words, done)
        assert "Traceback" not in done.err
        assert _is_json(server.run(*words, "--json")), words
    said = server.run("overlay", "lint").out
    for shown in ("\\n", "\\x1b", "\\x7f", "\\x9b", "\\u202e", "\\r", "\\t"):
        assert f"its name has what cannot be seen: {shown}" in said


def test_lint_names_what_cannot_be_used(tmp_path: Path) -> None:
    store.init(str(tmp_path))
    tree: Tree = {
        "etc/motd##host.pc[20-01]": "",
        "etc/issue##host.pc*[10-20]": "",
        "etc/allie/classes": "lab: pc[9-1] " + "a" * 300 + "\n",
        "etc/allie/classes##arch.x": "lab: pc[1-" + "9" * 6000 + "]\n",
        "etc/allie/classes##host.a": Fifo(),
        "etc/allie/classes##host.b": File("", size=1 << 40),
        "etc/allie/classes##host.c": Link("/etc/classes"),
        "etc/allie/allie.conf": "[allie]\nstore = /x\nstall = 9\n",
        "root/conf/50a": script("# allie: every 99999999999w", "# allie: timeout " + "9" * 3000),
    }
    make_tree(tmp_path / "overlays/common", tree)
    found = {(each.path, each.message) for each in lint.lint(str(tmp_path), "common", [])}
    top = "overlays/common"
    assert {message for path, message in found if path == f"{top}/root/conf/50a"} == {
        "not understood: # allie: every 99999999999w",
        "not understood: # allie: timeout " + "9" * 3000,
    }
    for path, words in (
        ("etc/motd##host.pc[20-01]", "pc[20-01]: [20-01] runs backwards"),
        ("etc/issue##host.pc*[10-20]", "leaves it one digit"),
        ("etc/allie/classes", "pc[9-1]: [9-1] runs backwards"),
        ("etc/allie/classes", "no host's name is so long"),
        ("etc/allie/classes##host.a", "no PC reads it"),
        ("etc/allie/classes##host.b", "no PC reads it"),
        ("etc/allie/classes##host.c", "no PC reads it"),
        ("etc/allie/allie.conf", "declares no system that follows overlays"),
    ):
        assert [said for at, said in found if at == f"{top}/{path}" and words in said], path
    assert not [said for at, said in found if at.endswith("classes##arch.x") and "pc[" in said]


def test_a_fault_is_shown_cleanly(tmp_path: Path) -> None:
    code = (
        "from allie.cli import main, status\n"
        "def run(args): raise KeyError('\\x1b[2J')\n"
        "status.run = run; raise SystemExit(main.main(['status']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "\x1b" not in done.stderr


# A fleet's is said line by line, of what was cleaned when it was read (server/fleet/cleaning.py)
_SAY_JSON = {"options.show", "exchange.lines"}


def test_every_json_is_said_in_one_place() -> None:
    """So the table above need not have a disk to boot from, nor an initramfs."""
    for path in sorted(CLI.glob("*.py")):
        text = path.read_text()
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        names = [ast.unparse(each.func) for each in calls]
        if path.name != "options.py":
            assert "json.dumps" not in names, path.name
            takes = "options.add_json" in text or "options.add_view" in text
            takes = takes or path.name == "fleet_watch.py"  # its options are cli/fleet.py's
            assert takes == bool(_SAY_JSON & {*names}), path.name
        assert "print" not in names, path.name
