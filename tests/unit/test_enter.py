"""Where systems are, what the command line says, and names that come from elsewhere than /etc."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.cli import enter as command
from allie.client.use import enter, export
from allie.core.conf import ini, system_roots
from allie.core.errors import StateError, UsageError
from allie.machine.namespaces import userland
from allie.machine.programs import exec_program
from tests.worlds.toy import Dir, Entry, Fifo, File, Link, make_tree

_CONF = """\
# [system no]
[allie]
store = /x
root = /not-a-system
[system a]
Root = /srv/a b  ; a comment
image = x
[system b]
root=LABEL=b;c
[system c]
; root = /no
overlays = kit,
  root = /continued
[ other thing ]
root = /no
[system d]
root: PARTLABEL=d
root =
[system e]
root = ; nothing
"""


def test_roots_of_settings() -> None:
    assert system_roots.roots(_CONF) == {
        "a": "/srv/a b",
        "b": "LABEL=b;c",
        "c": "",
        "d": "",
        "e": "",
    }


_VALUES = st.text("ab/= ;:#", max_size=6).map(str.strip)


@given(st.lists(st.tuples(st.sampled_from(["root", "image", "Root"]), _VALUES), max_size=3))
def test_they_are_those_that_the_whole_parser_reads(pairs: list[tuple[str, str]]) -> None:
    keys = [key.lower() for key, _ in pairs]
    if len(set(keys)) < len(keys):  # an error to the parser
        return
    text = "[system x]\n" + "".join(f"{key} = {value}\n" for key, value in pairs)
    found = ini.by_all_rules(text)["system x"]
    assert system_roots.roots(text) == {"x": found.get("root", "").strip()}


@pytest.mark.parametrize(
    ("where", "link"),
    [
        ("LABEL=debian12", "/dev/disk/by-label/debian12"),
        ("PARTLABEL=a b/c", "/dev/disk/by-partlabel/a\\x20b\\x2fc"),
        ("LABEL=grün", "/dev/disk/by-label/grün"),
        ("UUID=1", "/dev/disk/UUID=1"),
    ],
)
def test_device(where: str, link: str) -> None:
    assert system_roots.device(where) == link


def test_the_command_line() -> None:
    args = command.parse(["--user=root", "el7", "--", "ls", "--", "-l"])
    assert (args.system, args.user, args.root, args.command) == (
        "el7",
        "root",
        "",
        ["ls", "--", "-l"],
    )
    assert command.parse(["--root", "/x", "--", "a"]).root == "/x"
    assert command.parse(["el7"]).command == []
    for wrong in (["--root", "/x", "el7"], ["a", "b"], ["-x", "a"], ["--", "ls"]):
        with pytest.raises(UsageError):
            command.parse(wrong)


def test_our_own_name_may_come_from_ldap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()
    (tmp_path / "etc").mkdir()
    passwd = f"root:x:{uid + 7}:{uid}::/:/bin/sh\n"  # the number stands in another field
    (tmp_path / "etc/passwd").write_text(passwd)
    (tmp_path / "etc/group").write_text(f"g:x:{os.getegid()}:\n")
    fields = ["ann", "*", uid, 5, "Ann", "/home/ann", "/bin/zsh"]
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: pwd.struct_passwd(fields))
    own = enter._own_names(str(tmp_path))
    assert own == {"passwd": f"{passwd}ann:x:{uid}:5:Ann:/home/ann:/bin/zsh\n"}


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (File("deb\n"), "deb"),
        (Fifo(), "dir"),
        (Link("/dev/zero"), "dir"),
        (Link("system"), "dir"),
        (Dir(), "dir"),
        (File("a\033[2J"), "dir"),
        (File("a\nb"), "dir"),
        (File("a b"), "dir"),
        (File("deb\n", size=1 << 42), "dir"),
        (File(""), "dir"),
        (None, "dir"),
    ],
)
def test_whatever_a_system_has_for_its_name(tmp_path: Path, made: Entry | None, name: str) -> None:
    """It is anybody's tree: nothing in it is waited for, read to no end, or shown as it is."""
    make_tree(tmp_path, {"dir/etc/allie/system": made} if made else {})
    assert enter.name_of(str(tmp_path / "dir")) == name


def test_links_of_the_base_stay_in_it(tmp_path: Path) -> None:
    top = str(tmp_path)
    links = [("a", "/etc/b"), ("etc/b", "../run/c"), ("loop", "loop"), ("home", "/var/home")]
    for name, target in links:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(target)
    assert userland.follow(top, "/a") == f"{top}/run/c"
    assert userland.follow(top, "/loop") == f"{top}/loop"
    assert userland.follow(top, "/home/ann/../bob") == f"{top}/var/home/bob"


@pytest.mark.parametrize(
    ("name", "is_systems"),
    [
        *((each, True) for each in ("bin", "etc", "lib", "lib32", "lib64", "libx32", "usr", "var")),
        *((each, False) for each in ("library", "libdata", "home", "srv", "etc2", "variable")),
    ],
)
def test_what_right_below_the_root_is_the_systems(name: str, is_systems: bool) -> None:
    assert userland._is_of_system(name) == is_systems


def _elf(bits: int, order: Literal["little", "big"], loader: bytes) -> bytes:
    """The head of a program with one program header, which names its loader."""
    wide = bits // 8
    begin = 64 if bits == 64 else 52
    size = 56 if bits == 64 else 32
    body = bytearray(begin + size + len(loader) + 64)
    body[:6] = b"\x7fELF" + bytes([bits // 32, 1 if order == "little" else 2])

    def put(at: int, length: int, value: int) -> None:
        body[at : at + length] = value.to_bytes(length, order)

    put(32 if bits == 64 else 28, wide, begin)
    put(54 if bits == 64 else 42, 2, size)
    put(56 if bits == 64 else 44, 2, 1)
    put(begin, 4, 3)
    put(begin + wide, wide, begin + size)
    put(begin + (32 if bits == 64 else 16), wide, len(loader) + 1)
    body[begin + size : begin + size + len(loader)] = loader
    return bytes(body)


@pytest.mark.parametrize(
    ("head", "interpreter"),
    [
        (b"#!/bin/sh", "/bin/sh"),
        (b"#! \t/usr/bin/perl\t-w\n", "/usr/bin/perl"),
        (b"#!/bin/sh\r\n", "/bin/sh\r"),
        (b"#!\n", ""),
        (b"", ""),
        (b"\x7fELF", ""),
        (b"\x7fELF" + b"\xff" * 100, ""),
        (_elf(64, "little", b"/lib64/ld-linux-x86-64.so.2"), "/lib64/ld-linux-x86-64.so.2"),
        (_elf(64, "big", b"/lib/ld64.so.1"), "/lib/ld64.so.1"),
        (_elf(32, "little", b"/lib/ld-musl-i386.so.1"), "/lib/ld-musl-i386.so.1"),
        (_elf(32, "big", b"/lib/ld.so.1"), "/lib/ld.so.1"),
    ],
)
def test_what_a_program_names_to_be_run_by(head: bytes, interpreter: str) -> None:
    assert exec_program.interpreter(head) == interpreter


def test_a_program_is_found_inside_the_root(tmp_path: Path) -> None:
    for folder in ("usr/bin", "opt/x"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "bin").symlink_to("/usr/bin")  # absolute: in the root
    program = tmp_path / "opt/x/tool-2"
    program.write_text("")
    program.chmod(0o755)
    (tmp_path / "usr/bin/tool").symlink_to("/opt/x/tool-2")
    (tmp_path / "usr/bin/plain").write_text("")
    assert export.find_program(str(tmp_path), "tool") == "/usr/bin/tool"
    assert export.find_program(str(tmp_path), "/bin/tool") == "/bin/tool"
    for missing in ("plain", "sh", "/bin/sh"):
        with pytest.raises(StateError):
            export.find_program(str(tmp_path), missing)


def test_a_shim_takes_the_place_of_a_shim_only(tmp_path: Path) -> None:
    path = tmp_path / "bin/tool"
    export.write_shim("el7", "/opt/a b/tool", str(path))
    assert path.stat().st_mode & 0o777 == 0o755
    assert "exec $allie enter el7 -- '/opt/a b/tool' \"$@\"" in path.read_text()
    export.write_shim("el8", "/usr/bin/tool", str(path))
    assert "el8" in path.read_text()
    for other in ("#!/bin/sh\n", ""):
        path.write_text(other)
        with pytest.raises(StateError, match="is there already"):
            export.write_shim("el8", "/usr/bin/tool", str(path))
    path.unlink()
    path.symlink_to("/nowhere")
    with pytest.raises(StateError, match="is there already"):
        export.write_shim("el8", "/usr/bin/tool", str(path))
