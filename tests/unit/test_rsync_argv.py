"""rsync's command lines and what its exits mean.

docs/internals/rules.md, "rsync reads names as comments", "A mirror may be a mixture", "Labels are
the machine's own" and "One call for one server".
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.change import leavings
from allie.core.errors import AllieError, NoRoom, StateError, StoreError, Unreachable
from allie.machine.programs import process
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import AWAY, FULL, MUCH, Cut
from allie.machine.transfer import image_fetch, listing, rsync, vanished
from allie.machine.transfer.image_fetch import Transfer
from allie.machine.transfer.rsync import Version
from tests.conftest import FakePrograms
from tests.worlds.toy import make_tree

WHOLE = Version((3, 5, 0))
SMALL = Version((3, 1, 3), acls=False, xattrs=False)
FILTERS = [
    "--filter=-x security.selinux",
    "--filter=-x trusted.overlay.*",
    "--filter=-x security.ima",
]


# --- what rsync can do -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("rsync  version 3.5.0  protocol version 32\n", Version((3, 5, 0))),
        ("rsync  version v3.2.3  protocol version 31\n", Version((3, 2, 3))),
        ("rsync  version 3.4  protocol\n", Version((3, 4, 0))),
        (
            "rsync version 3.1.3\n    64-bit files, no ACLs, no xattrs, iconv\n",
            Version((3, 1, 3), acls=False, xattrs=False),
        ),
        ("    ACLs, xattrs, symlinks\n", Version((3, 1, 0))),
    ],
)
def test_the_version_is_read(text: str, version: Version) -> None:
    assert rsync.parse_version(text) == version


def test_the_version_is_asked_for_once(
    tmp_path: Path, fake_programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLIE_PATH", f"{fake_programs.folder}:{process.PATH}")
    fake_programs.add("rsync", out="rsync  version 3.2.3\n no ACLs\n")
    notes = str(tmp_path / "rsync")
    expected = Version((3, 2, 3), acls=False)
    assert rsync.version(notes) == rsync.version(notes) == expected
    assert fake_programs.calls_of("rsync") == [["--version"]]
    Path(notes).write_text("{damaged")
    assert rsync.version(notes) == expected
    fake_programs.add("rsync", out="rsync  version 3.5.0 of another size\n")
    assert rsync.version(notes) == WHOLE


def test_no_rsync_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLIE_PATH", str(tmp_path))
    with pytest.raises(StateError, match="install the package rsync"):
        rsync.version(str(tmp_path / "notes"))


HIDDEN = [f"--filter=H {pattern}" for pattern in leavings.PATTERNS]


# --- command lines -----------------------------------------------------------------------------


def test_ask() -> None:
    assert rsync.ask(WHOLE, ["--reach"], ["host::m/a", "host::m/b"], "/mirror/current") == [
        "rsync",
        "-aSHAX",
        "--numeric-ids",
        *FILTERS,
        *HIDDEN,
        "-n",
        "--delete",
        "--no-inc-recursive",
        "--trust-sender",
        "--out-format=%i %n",
        "--reach",
        "--",
        "host::m/a",
        "host::m/b",
        "/mirror/current/",
    ]


def test_a_routine_question_leaves_out_acls_and_attributes() -> None:
    argv = rsync.ask(WHOLE.plain, [], ["host::m/a"], "/mirror/current")
    assert argv[: 4 + len(HIDDEN)] == ["rsync", "-aSH", "--numeric-ids", *HIDDEN, "-n"]
    assert "--trust-sender" in argv
    older = [word for word in argv if word != "--trust-sender"]  # before 3.2.5 there is none
    assert rsync.ask(SMALL.plain, [], ["host::m/a"], "/mirror/current") == older


def test_a_question_need_not_name_what_is_gone() -> None:
    argv = rsync.ask(WHOLE, ["--reach"], ["host::m/a"], "/mirror/current")
    cheap = rsync.ask(WHOLE, ["--reach"], ["host::m/a"], "/mirror/current", gone=False)
    assert cheap == [word for word in argv if word != "--delete"]


def test_fetch() -> None:
    assert rsync.fetch(SMALL, [], ["/srv/overlays/kit"], "/m/2.part", ["/m/1", "/m/left"]) == [
        "rsync",
        "-aSH",
        "--numeric-ids",
        *HIDDEN,
        "--delete",
        "--link-dest=/m/1/",
        "--link-dest=/m/left/",
        "--",
        "/srv/overlays/kit",
        "/m/2.part/",
    ]


def test_an_image_is_copied_with_all_it_has() -> None:
    assert not set(HIDDEN) & set(rsync.copy_trees(WHOLE, "/a", "/b"))


def test_the_names_in_an_answer() -> None:
    out = (
        b">f..t...... common/etc/a file\n"
        b"cd+++++++++ common/etc/new/\n"
        b"*deleting   common/etc/gone/\n"
        b".d..t...... common/etc/\n"
        b"hf+++++++++ common/-\\#012\\#377\n"
    )
    answer = rsync.parse_answer(out)
    assert answer.changed == (
        "common/etc/a file",
        "common/etc/new",
        "common/etc",
        "common/-\n\udcff",
    )
    assert answer.gone == ("common/etc/gone",)
    assert answer.links
    assert answer.directories
    assert not rsync.parse_answer(b">f..t...... common/etc/a file\n").directories


@pytest.mark.parametrize(
    "noise",
    [
        b"Welcome to the mirror of example.org\n\n  Rules: be nice\n",
        b'skipping non-regular file "common/etc/x"\n',
        b"created directory /var/lib/allie\n",
        b"h\ncommon/etc/gone\n*** closed on sundays ***\n*deleted all\n",
        b">f\n>f+++++++++\n.d..t......\n",
        b"\xff\xfe \r\n",
    ],
)
def test_what_is_no_item_of_an_answer_says_nothing(noise: bytes) -> None:
    items = b".d..t...... common/etc/\n*deleting   common/etc/gone\n"
    assert rsync.parse_answer(noise) == rsync.parse_answer(b"")
    assert rsync.parse_answer(noise + items) == rsync.parse_answer(items + noise)
    assert rsync.parse_answer(noise + items) == rsync.parse_answer(items)


def test_no_hard_link_is_among_what_changed() -> None:
    answer = rsync.parse_answer(b">f..t...... common/hf+++++++++ a\n")
    assert not answer.links
    assert answer.changed == ("common/hf+++++++++ a",)


def test_fetch_some() -> None:
    assert rsync.fetch_some(SMALL, [], "/srv/overlays", "/m/2.part", ["/m/1"]) == [
        "rsync",
        "-aSH",
        "--numeric-ids",
        "--from0",
        "--files-from=-",
        "--copy-dest=/m/1/",
        "--",
        "/srv/overlays/",
        "/m/2.part/",
    ]


@pytest.mark.parametrize(
    ("store", "options"),
    [
        ("rsync://h", ["--no-motd", "--sockopts=TCP_NODELAY", "--contimeout=10", "--timeout=60"]),
        ("ssh://h/srv", ["-e", "ssh -oBatchMode=yes -oConnectTimeout=10", "--timeout=60"]),
        ("/srv", []),
    ],
)
def test_how_a_store_is_reached(store: str, options: list[str]) -> None:
    assert rsync.transport(store, 60) == options


@pytest.mark.parametrize(
    ("store", "sources"),
    [
        ("rsync://h", ["rsync://h/overlays/kit", "rsync://h/overlays/a"]),
        ("rsync://u@h:873/", ["rsync://u@h:873/overlays/kit", "rsync://u@h:873/overlays/a"]),
        ("ssh://h", ["allie-store@h::overlays/kit", "::overlays/a"]),
        ("ssh://[::1]:8730", ["allie-store@[::1]::overlays/kit", "::overlays/a"]),
        ("ssh://h/srv/allie", ["h:/srv/allie/overlays/kit", ":/srv/allie/overlays/a"]),
        ("ssh://u@h/srv/allie/", ["u@h:/srv/allie/overlays/kit", ":/srv/allie/overlays/a"]),
        ("/srv/allie", ["/srv/allie/overlays/kit", "/srv/allie/overlays/a"]),
        ("/srv/allie/", ["/srv/allie/overlays/kit", "/srv/allie/overlays/a"]),
    ],
)
def test_all_kinds_of_store_share_one_path_rule(store: str, sources: list[str]) -> None:
    assert rsync.sources(store, ["overlays/kit", "overlays/a"]) == sources


def test_listing_a_directory_of_a_store() -> None:
    assert listing.of("/srv/allie", "overlays/", []) == [
        "rsync",
        "--list-only",
        "--8-bit-output",
        "--outbuf=L",
        "--",
        "/srv/allie/overlays/",
    ]


@pytest.mark.parametrize(
    ("paths", "stdin"),
    [
        ([], b""),
        (["etc/motd"], b"./etc/motd\0"),
        (["#x", ";y", "-z"], b"./#x\0./;y\0./-z\0"),
        (["new\nline", "odd\udcff"], b"./new\nline\0./odd\xff\0"),
    ],
)
def test_names_are_never_taken_for_comments_or_options(paths: list[str], stdin: bytes) -> None:
    assert rsync.names(paths) == stdin


@given(st.lists(st.binary(min_size=1).filter(lambda name: b"\0" not in name)))
def test_every_name_arrives_as_it_is(names: list[bytes]) -> None:
    listed = rsync.names([name.decode(errors="surrogateescape") for name in names])
    assert [each[2:] for each in listed.split(b"\0")[:-1]] == names


# --- what comes back ---------------------------------------------------------------------------


def test_the_directories_of_a_listing() -> None:
    out = (
        b"drwxr-xr-x          4,096 2026/01/02 03:04:05 .\n"
        b"drwxr-xr-x             60 2026/01/02 03:04:05 kit\n"
        b"drwxr-x---          4,096 2026/01/02 03:04:05 two words\n"
        b"drwxr-xr-x          4,096 2026/01/02 03:04:05 odd\xff\n"
        b"-rw-r--r--              9 2026/01/02 03:04:05 README\n"
        b"lrwxrwxrwx              2 2026/01/02 03:04:05 stable -> 12\n"
        b"Welcome to the store.\n"
    )
    assert listing.parse(out) == ["kit", "two words", "odd\udcff"]


def finished(code: int, err: bytes = b"", cut: Cut | None = None) -> Finished:
    return Finished(("rsync", "-a"), code, b"", err, cut)


def test_an_end_without_error_is_well() -> None:
    rsync.check(finished(0, b"a warning\n"), "rsync://h")


@pytest.mark.parametrize("code", [5, 10, 12, 30, 35, 255, -9, -15])
def test_a_store_that_does_not_answer_is_unreachable(code: int) -> None:
    with pytest.raises(Unreachable, match="rsync://h does not answer"):
        rsync.check(finished(code), "rsync://h")


@pytest.mark.parametrize("code", [0, 20, 23, -15])
@pytest.mark.parametrize(
    ("kind", "error"), [(AWAY, Unreachable), (MUCH, StoreError), (FULL, NoRoom)]
)
def test_a_transfer_that_we_ended_is_told_by_why_we_did(
    code: int, kind: str, error: type[AllieError]
) -> None:
    """However rsync ended: it may have been done just then."""
    cut = finished(code, b"rsync error: received SIGINT (code 20)", Cut(kind, "stopped sending"))
    assert not rsync.may_settle(cut)
    with pytest.raises(error, match="stopped sending") as caught:
        rsync.check(cut, "rsync://h")
    assert type(caught.value) is error


@pytest.mark.parametrize("check", [rsync.reason, Finished.last_words])
@given(text=st.text(min_size=1))
def test_what_a_store_makes_rsync_say_is_one_short_line_of_plain_text(
    check: Callable[[Finished], str], text: str
) -> None:
    """A store chooses its error messages: they must not drive the terminal, nor fill it."""
    said = check(finished(23, f"@ERROR: {text * 100}".encode(errors="replace")))
    assert said.isprintable()
    assert len(said) <= 5010, "500 letters, each of ten at most when it is escaped, and an end"


@pytest.mark.parametrize("code", [23, 24])
def test_a_store_that_is_being_edited_is_asked_again_and_then_refused(code: int) -> None:
    assert rsync.may_settle(finished(code))
    with pytest.raises(StoreError, match="is being edited") as caught:
        rsync.check(finished(code), "rsync://h")
    assert not isinstance(caught.value, Unreachable)


@pytest.mark.parametrize(
    ("code", "err", "kind", "said"),
    [
        (
            23,
            'rsync: [sender] link_stat "/lab" (in overlays) failed: No such file or directory (2)',
            StoreError,
            "rsync://h has no overlays/lab (allie overlay list, on",
        ),
        (
            23,
            'rsync: change_dir "/el9" (in images) failed: No such file or directory (2)',
            StoreError,
            "rsync://h has no images/el9 (",
        ),
        (
            23,
            'rsync: [sender] change_dir "/srv/x/images/el9" failed: No such file or directory (2)',
            StoreError,
            "rsync://h has no /srv/x/images/el9 (is it the address",
        ),
        (
            23,
            'rsync: [sender] change_dir "/a" (in images) failed: Permission denied (13)',
            StoreError,
            "rsync://h is being edited, or cannot be read: change_dir",
        ),
        (
            23,
            'rsync: link_stat "/lab/etc/x" (in overlays) failed: No such file or directory (2)',
            StoreError,
            "rsync://h is being edited, or cannot be read: link_stat",
        ),
        (
            5,
            "@ERROR: Unknown module 'overlays'",
            Unreachable,
            "rsync://h does not serve this host: Unknown module 'overlays' (on the server: hosts",
        ),
        (
            5,
            "@ERROR: access denied to overlays from pc07 (10.0.0.7)",
            Unreachable,
            "rsync://h does not serve this host: access denied to overlays from pc07 (10.0.0.7)",
        ),
        (
            5,
            "@ERROR: max connections (200) reached -- try again later",
            Unreachable,
            "rsync://h does not answer: max connections (200) reached",
        ),
        (127, "rsync: not found", StateError, "rsync is not installed (install the package rsync"),
    ],
)
def test_why_a_store_gave_nothing_is_said_as_it_is(
    code: int, err: str, kind: type[AllieError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        rsync.check(finished(code, f"{err}\n".encode()), "rsync://h")
    assert type(caught.value) is kind
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 11, 12, 25])
def test_nothing_else_settles_by_itself(code: int) -> None:
    assert not rsync.may_settle(finished(code))


_END = b"rsync error: some files/attrs were not transferred (code 23) at main.c(1865)\n"


@pytest.mark.parametrize(
    ("err", "here"),
    [
        (b'rsync: [receiver] mkstemp "/etc/.f.x" failed: Operation not permitted (1)\n', True),
        (b"rsync: [generator] delete_file: unlink(f) failed: Operation not permitted (1)\n", True),
        (b'rsync: rename "/etc/.f.x" -> "f": Operation not permitted (1)\n', True),  # before 3.2
        (b"could not make way for new symlink: home\n", True),
        (b'rsync: [sender] send_files failed to open "/f": Permission denied (13)\n', False),
        (b'rsync: link_stat "/f" failed: No such file or directory (2)\n', False),
        (b'rsync: [receiver] mkstemp "/f": x (1)\nrsync: [sender] read errors: x (5)\n', False),
        (b'rsync: [receiver] write failed on "/f": No space left on device (28)\n', False),
        (b"", False),
    ],
)
def test_what_this_pc_refuses_is_not_the_stores_fault(err: bytes, here: bool) -> None:
    ended = finished(23, err + _END)
    assert rsync.is_refused_here(ended) == here
    if here:
        with pytest.raises(StoreError, match="cannot be written on this PC"):
            rsync.check(ended, "rsync://h")
        assert not rsync.is_refused_here(finished(24, err))


def test_our_own_disk_is_not_the_stores_fault() -> None:
    with pytest.raises(StateError, match="disk"):
        rsync.check(finished(11, b"rsync: [receiver] write failed\n"), "rsync://h")


def test_any_other_end_is_said_with_the_command() -> None:
    with pytest.raises(StoreError, match="rsync -a") as caught:
        rsync.check(finished(2), "rsync://h")
    assert not isinstance(caught.value, Unreachable)


@pytest.mark.parametrize(
    ("err", "words"),
    [
        (b"", "rsync ended with 23"),
        (b'rsync: [sender] link_stat "/x" failed: (2)\n', 'link_stat "/x" failed: (2)'),
        (b"@ERROR: Unknown module 'x'\nrsync error: y\n", "Unknown module 'x'"),
        (
            b"rsync error: some files/attrs were not transferred\n",
            "rsync error: some files/attrs were not transferred",
        ),
        (b"\n  first  \nsecond\n", "first"),
        (b"odd \xff\n", "odd \ufffd"),
    ],
)
def test_the_line_that_says_most(err: bytes, words: str) -> None:
    assert rsync.reason(finished(23, err)).startswith(words)


def test_an_image_goes_on_where_it_was_and_leaves_alone_what_is_excluded() -> None:
    what = Transfer(
        Version((3, 2)),
        ["--timeout=60"],
        "rsync://h/images/el9",
        "/systems/.el9.part",
        like="/systems/el9",
        excluded=["/etc/fstab", "/home/*"],
        options=["--bwlimit=2M"],
    )
    argv = image_fetch.command(what)
    assert argv[-3:] == ["--", "rsync://h/images/el9/", "/systems/.el9.part/"]
    assert "--copy-dest=/systems/el9/" in argv
    assert "--bwlimit=2M" in argv
    assert {"--exclude=/etc/fstab", "--exclude=/home/*", "--delete", "-aSHAX"} <= set(argv)
    assert not {"--inplace", "--delete-excluded", "--link-dest=/systems/el9/"} & set(argv)


def test_an_update_is_compressed_where_there_is_a_wire() -> None:
    far = Transfer(Version((3, 2)), ["--timeout=60"], "rsync://h/images/el9", "/systems/.el9.part")
    near = far._replace(reach=[], source="/srv/allie/images/el9", update=True)
    argvs = map(image_fetch.command, (far._replace(update=True), far, near))
    assert [("-z" in argv) for argv in argvs] == [True, False, False]


def test_large_files_come_apart_since_keeping_holes_is_slow() -> None:
    what = Transfer(Version((3, 2)), [], "rsync://h/images/el9", "/systems/.el9.part")
    little = image_fetch.command(what, only_little=True)
    assert {"-aHAX", f"--max-size={image_fetch.LARGE - 1}", "--info=skip1"} <= set(little)
    assert "--inplace" not in little
    fresh = what._replace(fresh=True)
    assert set(image_fetch.command(fresh, only_little=True)) - set(little) == {"--inplace"}
    assert "--inplace" not in image_fetch.command(fresh)


_FAR = b"\r  12  3%  1MB/s  0:00:01 "  # progress, and a name comes on the same line


@pytest.mark.parametrize(
    ("said", "update", "little", "whole"),
    [
        (_FAR + b"(xfr#1, to-chk=9/12)\r\n", False, 1, 0),
        (b"", False, 1, 0),
        (b"usr/lib/x\n" + _FAR + b"(xfr#1, ir-chk=9/12)\n", False, 1, 0),  # asked how far it is
        (b"big is over max-size\n", False, 1, 1),  # whatever has that name
        (_FAR + b"usr/lib/x is over max-size\n", False, 1, 1),
        (b"x is over max-size\n" + _FAR + b"\r", False, 1, 1),
        (b"what a later rsync says of it\n", False, 1, 1),
        (_FAR + b"usr/lib/x\n", True, 0, 1),
    ],
)
def test_a_second_command_comes_unless_the_first_left_out_nothing(
    said: bytes,
    update: bool,
    little: int,
    whole: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it says beside progress, and of what came, may be of a large file that did not."""
    make_tree(tmp_path, {"usr/lib/x": "", "big is over max-size": ""})
    ran: list[list[str]] = []
    shown: list[bytes] = []

    def run(argv: list[str], **how: Any) -> Finished:
        ran.append(argv)
        for byte in said:
            how["on_output"](bytes([byte]))
        assert not how.get("stdin")
        return Finished(tuple(argv), 0, b"", b"")

    monkeypatch.setattr(process, "run", run)
    able, source = Version((3, 2)), "rsync://h/images/el9"
    what = Transfer(able, [], source, str(tmp_path), update=update, fresh=True)
    image_fetch.fetch(what, "rsync://h", 1, shown.append)
    apart = {f"--max-size={image_fetch.LARGE - 1}", "--info=skip1", "--inplace"}
    assert [apart <= set(argv) for argv in ran] == [True] * little + [False] * whole
    for argv in ran[little:]:
        assert not [each for each in argv if each.startswith(("--max-size", "--files-from"))]
        assert {"-aSHAX", "--delete"} <= set(argv)
    assert b"".join(shown) == said * len(ran)


def test_trees_are_copied_with_all_below_them() -> None:
    argv = rsync.copy_trees(Version((3, 2)), "/systems/el9", "/systems/.el9.part")
    assert argv[-3:] == ["--", "/systems/el9/", "/systems/.el9.part/"]
    assert {"-r", "--from0", "--files-from=-", "--no-implied-dirs"} <= set(argv)


@pytest.mark.parametrize(
    ("code", "err", "expected"),
    [
        (0, b"", True),
        (24, b'file has vanished: "/f"\nhalf a li', True),
        (23, b'file has vanished: "/f"\n' + _END, True),
        (
            23,
            b"rsync: [sender] get_acl: sys_acl_get_file(f, 1): No such file or directory (2)\n",
            True,
        ),
        (23, b"rsync: get_xattr_data: lgetxattr(f) failed: No such file or directory (2)\n", True),
        (23, b'rsync: [sender] link_stat "/asked" failed: No such file or directory (2)\n', False),
        (23, b'rsync: change_dir "/asked" failed: No such file or directory (2)\n', False),
        (23, b'file has vanished: "/f"\nrsync: [sender] read errors mapping "/g": x (5)\n', False),
        (23, b'rsync: [sender] readlink_stat("/f") failed: Permission denied (13)\n', False),
        (12, b"", False),
    ],
)
def test_what_went_away_is_no_failure(code: int, err: bytes, expected: bool) -> None:
    assert vanished.is_all(finished(code, err)) == expected
