"""Who is enrolled: no line can say anything else than its one form; the file is old or new."""

from __future__ import annotations

import base64
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allie.core import hosts
from allie.core.errors import Busy, StateError, UsageError
from allie.machine.files import lock
from allie.server.doors import enrolled, host_places, public_key
from allie.server.doors.enrolled import Enrolled
from allie.server.doors.public_key import PublicKey
from allie.server.places import Places
from tests.crash import ptrace
from tests.worlds import machine

CURVES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}


def blob(*fields: bytes) -> str:
    return base64.b64encode(b"".join(len(e).to_bytes(4, "big") + e for e in fields)).decode()


def ed25519(number: int = 0) -> PublicKey:
    key = blob(b"ssh-ed25519", number.to_bytes(32, "big"))
    return public_key.parse(f"ssh-ed25519 {key}")


def rsa(bits: int = 3072) -> str:
    size = bits // 8
    return blob(b"ssh-rsa", b"\1\0\1", b"\0" + b"\xc3" * size)


def ecdsa(curve: str, point: bytes | None = None) -> str:
    kind = f"ecdsa-sha2-{curve}".encode()
    return blob(kind, curve.encode(), point or b"\4" + b"x" * (CURVES[curve] - 1))


ED = str(ed25519()).partition(" ")[2]
NEGATIVE = blob(b"ssh-rsa", b"3", b"\xff" * 300)
PLACES = Places("/srv/allie", "/srv/allie/etc")

# --- keys ----------------------------------------------------------------------------------------

TAKEN = [
    f"ssh-ed25519 {ED}",
    f"ssh-ed25519 {ED} root@pc07",
    f'  ssh-ed25519\t{ED}  a comment, with command="x" in it \n',
    f"ssh-rsa {rsa(2048)} x",
    f"ssh-rsa {rsa(16384)}",
    *(f"ecdsa-sha2-{curve} {ecdsa(curve)} c" for curve in CURVES),
]
REFUSED = [
    ("", "no public key"),
    ("ssh-ed25519", "no public key"),
    ("x" * 10_000, "no public key"),
    (f"ssh-ed25519 {ED}\nssh-ed25519 {ED}", "no public key"),
    (f"ssh-ed25519 {ED}\rx", "no public key"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----", "a private key"),
    (f"ssh-dss {ED}", "DSA"),
    (f"ssh-ed25519-cert-v01@openssh.com {ED}", "certificate"),
    (f"sk-ssh-ed25519@openssh.com {ED}", "token"),
    (f'command="sh" ssh-ed25519 {ED}', "no options"),
    (f"restrict ssh-ed25519 {ED}", "no options"),
    (f"ssh-ed448 {ED}", "no options"),
    (f"ssh-ed25519 {ED[:-4]}", "not whole"),
    (f"ssh-ed25519 {ED}AAAA", "not whole"),
    (f"ssh-ed25519 {ED[:-1]}", "not whole"),
    (f"ssh-ed25519 {ED[:20]}*{ED[21:]}", "not whole"),
    (f"ssh-ed25519 {ED[:20]}é{ED[21:]}", "not whole"),
    (f"ssh-rsa {ED}", "another type"),
    (f"ssh-ed25519 {rsa()}", "another type"),
    (f"ecdsa-sha2-nistp256 {ecdsa('nistp384')}", "another type"),
    (f"ssh-ed25519 {blob(b'ssh-ed25519', b'x' * 31)}", "32 bytes"),
    (f"ssh-ed25519 {blob(b'ssh-ed25519', b'x' * 32, b'')}", "32 bytes"),
    (f"ssh-rsa {rsa(1024)}", "1024 bits"),
    (f"ssh-rsa {rsa(16400)}", "16400 bits"),
    (f"ssh-rsa {blob(b'ssh-rsa', b'', bytes(300))}", "two numbers"),
    (f"ssh-rsa {blob(b'ssh-rsa', b'3', bytes(2) + b'x' * 300)}", "two numbers"),
    (f"ssh-rsa {NEGATIVE}", "two numbers"),
    (f"ecdsa-sha2-nistp256 {ecdsa('nistp256', b'4' * 65)}", "no point"),
    (f"ecdsa-sha2-nistp256 {ecdsa('nistp256', b'4' * 64)}", "no point"),
]


@pytest.mark.parametrize("line", TAKEN)
def test_a_key_is_taken_without_its_comment(line: str) -> None:
    assert str(public_key.parse(line)) == " ".join(line.split()[:2])


@pytest.mark.parametrize(("line", "words"), REFUSED)
def test_what_is_no_hosts_key_is_refused_and_it_is_said_why(line: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        public_key.parse(line)


def test_one_key_is_written_one_way() -> None:
    """base64 with other bits at its end is the same key, which grep would not find."""
    text = rsa(2056)
    assert text.endswith("w==")
    odd = text.replace("w==", "x==")
    assert base64.b64decode(odd) == base64.b64decode(text)
    public_key.parse(f"ssh-rsa {text}")
    with pytest.raises(UsageError, match="not as ssh writes it"):
        public_key.parse(f"ssh-rsa {odd}")


# --- names, and lines ----------------------------------------------------------------------------

NAMES = ["pc07", "p", "7", "PC07", "a-b.example.org", "x" * 255]
NO_NAMES = [
    "", ".", "..", "a..b", "-a", "a-", ".a", "a.", "a/b", "../pc08", "pc07/../pc08", "a b", "a\n",
    "\na", "a\tb", 'a"b', "a\\b", "a'b", "a$b", "a`b`", "a;b", "a%b", "a_b", "ä", "\u212a",
    "x" * 256, "10.0.0.7", "::1", "a\0b", "a,b", "*", "pc[01-20]", "#a",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_hosts_name_is_taken_in_small_letters(name: str) -> None:
    assert enrolled.check_host(name) == name.lower()


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_hosts_name_is_refused(name: str) -> None:
    assert not hosts.is_name(name)
    with pytest.raises(UsageError):
        enrolled.check_host(name)


names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?", fullmatch=True)
keys = st.binary(min_size=32, max_size=32).map(
    lambda raw: public_key.parse(f"ssh-ed25519 {blob(b'ssh-ed25519', raw)}")
)
nasty = st.text(st.sampled_from("ab7.-_ \n\r\t\"'\\/,=#%$;\0é\u2028\u212a"), max_size=12)


@given(st.dictionaries(keys, names, max_size=6))
def test_what_is_written_is_what_is_read(wanted: dict[PublicKey, str]) -> None:
    there = [Enrolled(host, key) for key, host in wanted.items()]
    text = "".join(f"{enrolled.line_of(PLACES, each)}\n" for each in there)
    assert enrolled.parse(text, "x") == there


@settings(max_examples=500)
@given(nasty, st.sampled_from(TAKEN), nasty, st.sampled_from(["", " ", "\n"]))
def test_no_text_makes_a_line_that_says_anything_else(
    host: str, key: str, comment: str, between: str
) -> None:
    """Any name, key and comment is refused, or gives the one line that its parts can make."""
    try:
        name, parsed = enrolled.check_host(host), public_key.parse(f"{key}{between}{comment}")
    except UsageError:
        return
    line = enrolled.line_of(PLACES, Enrolled(name, parsed))
    assert re.fullmatch(
        r'restrict,command="exec env ALLIE_HOST=([a-z0-9.-]+) rsync --server --daemon'
        r' --config=/srv/allie/etc/own.conf \." [a-z0-9-]+ [A-Za-z0-9+/=]+ \1',
        line,
    )
    assert shlex.split(line)[1] == name or len(shlex.split(line)) == 4
    assert line.split('"')[2].split()[:2] == key.split()[:2]


GOOD = enrolled.line_of(PLACES, Enrolled("pc07", ed25519()))
BAD = {
    "comment": "# mine",
    "empty": "",
    "blank": " ",
    "indented": f" {GOOD}",
    "trailing": f"{GOOD} ",
    "cr": f"{GOOD}\r",
    "no restrict": GOOD.partition(",")[2],
    "more options": GOOD.replace("restrict,", "restrict,pty,"),
    "other command": GOOD.replace("--daemon", "--sender"),
    "two hosts": GOOD.replace("=pc07", "=pc08"),
    "path": GOOD.replace("pc07", "../pc07"),
    "dots": GOOD.replace("pc07", ".."),
    "none": GOOD.replace("pc07", ""),
    "capitals": GOOD.replace("pc07", "PC07"),
    "address": GOOD.replace("pc07", "10.0.0.7"),
    "shell": GOOD.replace("exec env", "id; exec env"),
    "configuration": GOOD.replace("own.conf", "own conf"),
    "quote": GOOD.replace("own.conf", 'own.conf"'),
    "plain key": f"ssh-ed25519 {ED} pc07",
    "broken key": GOOD.replace(ED, ED[:-4]),
    "two blanks": GOOD.replace(" ssh-", "  ssh-"),
    "twice": GOOD,
    "other's": enrolled.line_of(PLACES, Enrolled("pc08", ed25519())),
    "bytes": "\udcff",
    "unicode": GOOD.replace("pc07", "pc\u0660\u0667"),
}


@pytest.mark.parametrize("line", BAD.values(), ids=list(BAD))
def test_any_other_line_is_named_and_nothing_is_gone_by(line: str) -> None:
    with pytest.raises(StateError, match="x: line 2 is not as"):
        enrolled.parse(f"{GOOD}\n{line}\n", "x")
    is_form = line in (GOOD, BAD["other's"])  # and only a second line for that key
    assert enrolled.strange_lines(f"{GOOD}\n{line}\n", PLACES.own) == ([] if is_form else [2])
    assert enrolled.strange_lines(f"{GOOD}\n", "/elsewhere/own.conf") == [1]


def test_a_file_that_was_cut_short_is_none() -> None:
    with pytest.raises(StateError, match="line 1"):
        enrolled.parse(GOOD, "x")


# --- the file ------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    made = tmp_path / "store"
    (made / "overlays").mkdir(parents=True)
    yield Places(str(made), str(made / "etc"))


def who(places: Places) -> list[tuple[str, PublicKey]]:
    return [(each.host, each.key) for each in enrolled.read(places)]


def test_hosts_are_let_in_in_order_and_have_their_places(places: Places) -> None:
    enrolled.enrol(places, {"pc08": ed25519(8), "pc07": ed25519(7)})
    enrolled.enrol(places, {"pc07": ed25519(7)})  # nothing new
    assert who(places) == [("pc07", ed25519(7)), ("pc08", ed25519(8))]
    for host in ("pc07", "pc08"):
        assert host_places.standing(places, host) == (True, True)
        assert os.stat(places.private(host)).st_mode & 0o777 == 0o700
        assert os.stat(places.inbox(host)).st_mode & 0o777 == 0o700
    assert os.stat(places.enrolled).st_mode & 0o777 == 0o644
    assert [each.host for each in enrolled.retire(places, "pc07")] == ["pc07"]
    assert who(places) == [("pc08", ed25519(8))]
    assert enrolled.retire(places, "pc07") == []


def test_a_clone_is_refused_and_the_others_go_on(places: Places) -> None:
    enrolled.enrol(places, {"pc07": ed25519(7)})
    outcome = enrolled.enrol(places, {"pc08": ed25519(7), "pc09": ed25519(9)})
    (refused,) = outcome.refused
    assert "this is the key of pc07" in refused.message
    assert "ssh-keygen -A" in refused.hint
    assert who(places) == [("pc07", ed25519(7)), ("pc09", ed25519(9))]
    outcome = enrolled.enrol(places, {"pc11": ed25519(1), "pc12": ed25519(1)})
    assert [each.host for each in outcome.refused] == ["pc12"], "two clones in one scan"


def test_a_second_key_of_a_type_is_refused_unless_it_replaces(places: Places) -> None:
    other = public_key.parse(f"ssh-rsa {rsa()}")
    enrolled.enrol(places, {"pc07": ed25519(7)})
    assert not enrolled.enrol(places, {"pc07": other}).refused
    (refused,) = enrolled.enrol(places, {"pc07": ed25519(70)}).refused
    assert "--replace" in refused.hint
    assert ed25519(7).fingerprint in refused.message
    outcome = enrolled.enrol(places, {"pc07": ed25519(70)}, replace=True)
    assert {each.key for each in outcome.gone} == {ed25519(7), other}
    assert who(places) == [("pc07", ed25519(70))]


def test_a_strange_line_stops_every_change(places: Places) -> None:
    enrolled.enrol(places, {"pc07": ed25519(7)})
    path = Path(places.enrolled)
    path.write_text(before := f"{path.read_text()}# by hand\n")
    for change in (
        lambda: enrolled.enrol(places, {"pc08": ed25519(8)}),
        lambda: enrolled.retire(places, "pc07"),
        lambda: enrolled.settle(places),
    ):
        with pytest.raises(StateError, match="line 2"):
            change()
    assert path.read_text() == before


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_what_is_no_file_is_not_taken_for_an_empty_one(places: Places, kind: str) -> None:
    os.makedirs(places.etc)
    if kind == "link":
        os.symlink("/dev/null", places.enrolled)
    else:
        os.mkdir(places.enrolled)
    with pytest.raises(StateError, match="is no file"):
        enrolled.enrol(places, {"pc08": ed25519(8)})


def test_a_store_that_moved_has_its_lines_put_right(places: Places, tmp_path: Path) -> None:
    enrolled.enrol(places, {"pc07": ed25519(7)})
    moved = Places(str(tmp_path / "moved"), str(tmp_path / "moved/etc"))
    os.rename(places.store, moved.store)
    assert who(moved) == [("pc07", ed25519(7))]
    assert enrolled.settle(moved)
    assert not enrolled.settle(moved)
    assert f"--config={moved.own} ." in Path(moved.enrolled).read_text()


@pytest.mark.parametrize("name", ["a b", 'a"b', "a'b", "a$b", "ä"])
def test_a_store_of_a_name_that_a_shell_reads_otherwise(tmp_path: Path, name: str) -> None:
    odd = Places(str(tmp_path / name), str(tmp_path / name / "etc"))
    with pytest.raises(StateError, match="a shell and sshd read this path"):
        enrolled.enrol(odd, {"pc07": ed25519(7)})
    assert not os.path.exists(odd.enrolled)


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_place_is_never_a_link(places: Places, tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (Path(places.store) / "private").mkdir()
    if kind == "link":
        os.symlink(tmp_path / "elsewhere", places.private("pc07"))
    else:
        Path(places.private("pc07")).touch()
    with pytest.raises(StateError, match="is no directory"):
        enrolled.enrol(places, {"pc07": ed25519(7)})
    assert who(places) == []


def test_a_place_that_was_open_is_closed(places: Places) -> None:
    os.makedirs(places.private("pc07"), 0o755)
    assert host_places.make_private(places, "pc07") == [places.private("pc07")]
    assert os.stat(places.private("pc07")).st_mode & 0o777 == 0o700
    assert host_places.make_private(places, "pc07") == []


# --- two at once, and kills ----------------------------------------------------------------------

ENROL = """
import sys
from allie.server.doors import enrolled, public_key
from allie.server.places import Places
store, *words = sys.argv[1:]
for host, key in zip(words[::2], words[1::2]):
    assert not enrolled.enrol(Places(store, store + "/etc"), {host: public_key.parse(key)}).refused
"""


@pytest.mark.real
def test_two_who_enrol_at_once_lose_nothing(places: Places) -> None:
    both = []
    for first in (0, 20):
        words = [w for n in range(first, first + 20) for w in (f"pc{n}", str(ed25519(n)))]
        both.append(subprocess.Popen([sys.executable, "-c", ENROL, places.store, *words]))
    assert [each.wait() for each in both] == [0, 0]
    assert {host for host, _ in who(places)} == {f"pc{number}" for number in range(40)}


def test_who_waits_too_long_is_told(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolled, "_PATIENCE", 0)
    os.makedirs(places.etc)
    with lock.of_directory(places.etc, lambda: Busy("x")), pytest.raises(Busy, match="another"):
        enrolled.enrol(places, {"pc08": ed25519(8)})


@pytest.mark.real
@pytest.mark.root
@pytest.mark.skipif(not (machine.is_root() and ptrace.works()), reason="needs root and ptrace")
@pytest.mark.parametrize("change", ["enrol", "retire", "withdraw"])
def test_killed_at_any_step_it_is_as_before_or_done(tmp_path: Path, change: str) -> None:
    """And the same command goes on from there."""

    def made(name: str) -> Places:
        store = tmp_path / name
        (store / "overlays").mkdir(parents=True)
        places = Places(str(store), f"{store}/etc")
        enrolled.enrol(places, {"pc07": ed25519(7)})
        (Path(places.private("pc07")) / "key").write_text("secret\n")
        return places

    def work(places: Places) -> int:
        if change == "enrol":
            enrolled.enrol(places, {"pc08": ed25519(8)})
        elif change == "retire":
            enrolled.retire(places, "pc07")
        elif not host_places.emptied(places, "pc07"):
            host_places.empty(places, "pc07")
        return 0

    after = {
        "enrol": ["pc07", "pc08"],
        "retire": [],
        "withdraw": ["pc07"],
    }[change]
    counted = made("counted")
    steps = ptrace.trace(lambda: work(counted), below=tmp_path).steps
    assert len(steps) > 2
    for number in range(1, len(steps) + 1):
        places = made(f"trial-{number}")
        ptrace.trace(lambda places=places: work(places), number, below=tmp_path)  # type: ignore[misc]
        names = [host for host, _ in who(places)]
        assert names in (["pc07"], after)
        assert all(host_places.standing(places, host) == (True, True) for host in names)
        secrets = list(Path(places.store).glob("private/**/key"))
        assert len(secrets) == 1, "what is withdrawn is kept"
        assert set(os.listdir(places.private("pc07"))) in ({"key"}, {".allie-withdraw"})
        work(places)
        assert [host for host, _ in who(places)] == after
        assert bool(host_places.emptied(places, "pc07")) == (change == "withdraw")


def test_ten_thousand_hosts_are_a_matter_of_seconds(places: Places) -> None:
    many = {f"pc{number}": ed25519(number) for number in range(10_000)}
    before = time.process_time()
    enrolled.enrol(places, many)
    enrolled.enrol(places, {"one-more": ed25519(20_000)})
    assert time.process_time() - before < 10
    assert len(who(places)) == 10_001
